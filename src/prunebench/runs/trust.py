"""Trust: code that a run names is imported only where this machine's user has given it, or says so.

A folder of runs may come from anywhere and name any function. So whatever the user gives to a run that is made here is
noted in the user's own folder of state: what it is for, its name and place, the contents of its file and of the user's
files that it imports, and its arguments, all in one SHA-256. A run that names the very same is believed; a file that
has changed since, another function of it, or other arguments are not.
"""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from prunebench.errors import ConfigError
from prunebench.registry import is_code
from prunebench.runs.files import make, write_new
from prunebench.runs.user_files import digest_of_reference

log = logging.getLogger(__name__)


def note(kind: str, name: str, arguments: Mapping[str, Any] | None = None) -> None:
    """Note that the user has given a function for something, such as "model"; registered names need no note."""
    if not is_code(kind, name):
        return
    try:
        path = _folder() / _mark(kind, name, arguments)
        if not path.exists():
            make(path.parent)
            with suppress(FileExistsError):  # another process notes the same
                write_new(path, f"{kind} {name}\n".encode("utf-8", "backslashreplace"))
    except (OSError, RuntimeError, ConfigError) as error:
        log.info("%s cannot be noted as given by you (%s): runs that name it will ask for --trust", name, error)


def check(kind: str, name: str, arguments: Mapping[str, Any] | None = None, *, whose: str, instead: str) -> None:
    """Raise ConfigError where a function that a run names may not be imported.

    Args:
        kind: what it is for, as it was noted.
        name: its reference, or a registered name.
        arguments: that it would be called with.
        whose: what names it, for the message.
        instead: what the user can do, for the message.
    """
    if not is_code(kind, name):
        return
    place = name.rpartition(":")[0]
    if place.endswith(".py") and not os.path.isfile(place):  # noqa: PTH113 — any text may stand here
        raise ConfigError(f"{whose} names {name}: there is no such file. {instead}")
    try:
        if (_folder() / _mark(kind, name, arguments)).is_file():
            return
    except ConfigError:
        raise
    except Exception:  # any text may stand here
        log.debug("%s is not believed", name, exc_info=True)
    raise ConfigError(
        f"{whose} names {name}, which was not given on this machine or has changed since, and is not imported. "
        f"{instead}"
    )


def _folder() -> Path:
    """Where notes are: in the folder of state of the XDG Base Directory Specification, or of Windows.

    Raises:
        RuntimeError: there is no home folder.
    """
    named = os.environ.get("LOCALAPPDATA" if os.name == "nt" else "XDG_STATE_HOME", "")
    home = Path(named) if Path(named).is_absolute() else Path.home() / ".local" / "state"
    return home / "prunebench" / "given"


def _mark(kind: str, name: str, arguments: Mapping[str, Any] | None) -> str:
    told = [kind, name, digest_of_reference(name), sorted((arguments or {}).items())]
    return hashlib.sha256(msgspec.json.encode(told)).hexdigest()
