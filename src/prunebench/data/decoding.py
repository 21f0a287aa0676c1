"""Decoding: the text of a file, plain or .gz; where it is none, the line, what it is likely to be, and what to do."""

from __future__ import annotations

import codecs
import gzip
import re
import zlib
from pathlib import Path

from prunebench.data.encodings import is_mostly_utf8, likely, rather, wide
from prunebench.errors import ConfigError, DataError
from prunebench.reading import open_plain
from prunebench.runs.mistaken import BEGINNING, kind_by, stand_in

SHOWN = 60
"""Characters of a file's content that a message shows."""

NEWLINE = re.compile(r"\r\n|\r|\n")


def decoded(path: Path, encoding: str | None = None, *, trust: bool = False) -> str:
    """The text of a file; `.gz` is unpacked, and a byte-order mark is no part of it.

    Args:
        path: the file.
        encoding: as Python calls it; None is UTF-8.
        trust: read a file as `encoding` that is likely in another.

    Raises:
        DataError: it cannot be read, is damaged, or is not in this encoding.
        ConfigError: there is no such encoding.
    """
    data = _bytes(path)
    _check_kind(path, data)
    name = "utf-8" if encoding is None else encoding
    try:
        text = data.decode(name)
    except UnicodeError as error:
        start = error.start if isinstance(error, UnicodeDecodeError) else 0
        raise DataError(_undecodable(path, data, start, name)) from None
    except (LookupError, ValueError):
        raise ConfigError(
            f"--encoding {encoding}: there is none of this name; such as utf-8, cp1252, utf-16."
        ) from None
    if "\0" in text:
        at = line_of(text, text.index("\0"))
        raise DataError(f"{path}:{at}: holds a zero byte. {_advice(data, name, at) if wide(data) else 'Take it out.'}")
    text = text.lstrip("\ufeff")
    if not trust and (doubted := _doubt(data, text, name)):
        at, found, told = doubted
        mend = f"Leave --encoding {name} out" if found == "utf-8" else f"Give --encoding {found}"
        raise DataError(f"{path}:{at}: {told}. {mend} (train and test have the same), or insist with --trust-data.")
    return text


def doubt(path: Path, encoding: str) -> str:
    """What makes it unlikely that a file that can be decoded is in this encoding; empty where nothing does."""
    data = _bytes(path)
    found = _doubt(data, data.decode(encoding).lstrip("\ufeff"), encoding)
    return f"{path.name}:{found[0]}: read as {encoding}, but {found[2]}" if found else ""


def line_of(text: str, position: int) -> int:
    """The line, from 1, in which a character of a text lies; lines end as `open` has them end."""
    return len(NEWLINE.findall(text[:position])) + 1


def shortened(content: object) -> str:
    """What a message shows of a file's content: in quotes, on one line, its middle left out where it is long."""
    text = str(content)
    half = SHOWN // 2
    return repr(text if len(text) <= SHOWN else f"{text[:half]}…{text[-half:]}")


def _bytes(path: Path) -> bytes:
    try:
        if path.suffix != ".gz":
            with open_plain(path) as plain:
                return plain.read()
        with open_plain(path) as packed, gzip.open(packed) as file:
            return file.read()
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{path} is damaged, or no gzip file: {error}. Fetch or make it again.") from error
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}.") from error


def _check_kind(path: Path, data: bytes) -> None:
    """Raise DataError where a file is known to be no text."""
    if what := stand_in(data[:BEGINNING]):
        raise DataError(f"{path} is {what}.")
    if kind := kind_by(data):
        twice = path.suffix == ".gz" and kind == "gzip"
        name = " (name it .gz)" if kind == "gzip" else ""
        mend = "packed twice: unpack it once" if twice else f"no text but {kind}{name}; give it as .tsv, .csv or .jsonl"
        raise DataError(f"{path} is {mend}.")


def _doubt(data: bytes, text: str, name: str) -> tuple[int, str, str] | None:
    """The line, the encoding that a file is rather in, and how both read; None where there is no doubt."""
    if (found := rather(data, text, name)) is None:
        return None
    other, at = found
    number = line_of(text, at)
    sure = "is UTF-8" if other == "utf-8" else f"is likely {other}"
    reads = _line(data.decode(other, "replace"), number)
    return number, other, f"{sure}, in which it reads {reads}, not {_line(text, number)}"


def _undecodable(path: Path, data: bytes, start: int, name: str) -> str:
    """What is wrong where bytes are not in an encoding: the line, how it likely reads, and what to do."""
    before = data[:start].decode(name, "ignore")
    number = line_of(before, len(before))
    byte = f"byte 0x{data[start]:02X}" if start < len(data) else "its end"
    return f"{path}:{number}: {byte} is not {'UTF-8' if name == 'utf-8' else name}. {_advice(data, name, number)}"


def _advice(data: bytes, name: str, number: int = 1) -> str:
    """What a file is likely to be, if not in the encoding `name`, and what to do."""
    own = codecs.lookup(name).name
    found = [each for each in likely(data) if codecs.lookup(each).name != own]
    if not found:
        mend = own == "utf-8" and is_mostly_utf8(data)
        return "The rest is: mend this line." if mend else "Give what it was written in with --encoding."
    reads = _line(data.decode(found[0], "replace"), number)
    others = f" (or {' or '.join(found[1:])})" if found[1:] else ""
    option = "leave --encoding out" if found[0] == "utf-8" else f"give --encoding {found[0]}"
    return f"The file is likely {found[0]}{others}, in which this line reads {reads}: {option}, or what it is in."


def _line(text: str, number: int) -> str:
    lines = NEWLINE.split(text.removeprefix("\ufeff"), number)
    return shortened(lines[min(number, len(lines)) - 1])
