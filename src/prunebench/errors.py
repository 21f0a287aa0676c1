"""What can go wrong in a way that the user can mend.

PrunebenchError
├── ConfigError         a setting that is unknown, missing, mistyped or out of bounds
│   └── UnknownName     a name that no registry holds
├── DataError           data that is missing, malformed or cannot be downloaded
│   └── DownloadNeeded  data or weights are not here, and nothing may be downloaded
├── ModelError          weights or inputs that do not fit the architecture
├── DeviceError         a device that this machine does not have, or that has not enough memory
├── DiskError           files that cannot be written: no space, no permission
├── RunError            a run that is missing or damaged, or does not fit what is asked of it
│   ├── AmbiguousRun    several runs have the name that was given
│   └── RunLocked       another process computes the run
└── Stopped             no error: the work was asked to stop, and has kept what it had

Each message says what is wrong and what to do. The library raises; only the command line prints and exits.
"""

from __future__ import annotations

import re

WORD, TEXT = 300, 2000
"""Characters of a word, and of a message, at most."""

_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
_LONG_WORD = re.compile(rf"\S{{{WORD + 1},}}")


def plain(text: str) -> str:
    """Text whose control characters, which a terminal would obey, are told by their number; lines stay lines."""
    return _CONTROLS.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def on_a_line(text: str) -> str:
    """Plain text without line breaks and tabs, for a cell of a table or a part of a message."""
    return plain(text).replace("\n", "\\n").replace("\t", "\\t")


def legible(text: str) -> str:
    """Plain text that is short, whatever names and values are in it."""
    text = _LONG_WORD.sub(lambda found: _cut(found[0], WORD), plain(text))
    return text if len(text) <= TEXT else _cut(text, TEXT)


def _cut(text: str, most: int) -> str:
    begin, end = most // 3, most // 6
    return f"{text[:begin]}[… {len(text) - begin - end:,} characters …]{text[-end:]}"


class PrunebenchError(Exception):
    """Base of everything that the user can mend. Its text is legible, whatever it names."""

    def __str__(self) -> str:
        return legible(super().__str__())


class ConfigError(PrunebenchError):
    """A setting is unknown, missing, mistyped or out of bounds."""


class UnknownName(ConfigError):
    """A name that no registry holds; the message lists what exists and the nearest match."""


class DataError(PrunebenchError):
    """Data is missing, malformed or cannot be downloaded."""


class DownloadNeeded(DataError):
    """Data or weights are not on this machine, and downloading is not allowed now."""


class ModelError(PrunebenchError):
    """Weights or inputs do not fit the architecture."""


class DeviceError(PrunebenchError):
    """This machine does not have the device that was asked for, or the device has not enough memory."""


class DiskError(PrunebenchError):
    """Files cannot be written: no space, a quota, no permission."""


class RunError(PrunebenchError):
    """A run is missing or damaged, or does not fit what is asked of it."""


class AmbiguousRun(RunError):
    """Several runs have the name that was given; the message lists them."""


class RunLocked(RunError):
    """Another process computes the run; the message says which."""


class Stopped(PrunebenchError):
    """The work was asked to stop, and has kept what it had."""
