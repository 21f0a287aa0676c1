"""Trackers: programs that keep and draw what is told of runs while they are computed, one file each.

To add one, add a file that registers a Tracker. Where a name stands, `path.py:Tracker` works too: a class, or a
function that returns an object. It is handed by name what it asks for of `OFFERED`; its method `tell(line, figures)` is
called with the number of each line and its figures (see `tracking.lines`), and `close(state)`, where it has one, at the
end with "finished", "stopped" or "failed". What it raises ends no run.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal, Protocol

from prunebench.errors import ConfigError
from prunebench.registry import Registry, call, check_installed, parameters
from prunebench.tracking.lines import Figures, Setting

State = Literal["finished", "stopped", "failed"]

OFFERED = ("run", "created", "folder", "root", "settings", "tags", "last")
"""What a tracker of the user's own may ask for: the fields of `Told`."""


@dataclass(frozen=True)
class Told:
    """What a tracker is told of a run before its first line.

    Attributes:
        run: its key.
        created: when it was begun, which tells it from another run of the same key that was set aside.
        folder: of the run.
        root: the folder of runs that it is in, for what the tracker keeps itself.
        settings: what the run is computed with.
        tags: what it is found by: its key, folder, kind, and what it started from.
        last: the number of the last line that the tracker was told of this run, by this process or an earlier one;
            -1 where there is none.
    """

    run: str
    created: str
    folder: Path
    root: Path
    settings: Mapping[str, Setting]
    tags: Mapping[str, str]
    last: int = -1


class Hears(Protocol):
    """What is told of one run."""

    def tell(self, line: int, figures: Figures) -> None:
        """Keep a line, so that it is there when this returns."""


@dataclass(frozen=True)
class Tracker:
    """A registered tracker.

    Attributes:
        open: (told) → what is told of a run from then on. Of a run that goes on it goes on with what it has. A
            `close(state)` of what it returns is called at the end; its `last`, if there is one, is the number of the
            last line that it has, where it knows that better than `told.last`.
        needs: packages that must be installed besides those of prunebench.
        extra: the extra of prunebench that installs them.
    """

    name: str
    summary: str
    open: Callable[[Told], Hears]
    needs: tuple[str, ...] = ()
    extra: str = ""


def check_tracker(name: str) -> Tracker:
    """The tracker of a name or a reference.

    Raises:
        ConfigError: there is none, it is not installed, or one of the user's own asks for what it cannot have.
    """
    found: Tracker = trackers.get(name)
    check_installed(found.needs, f"--track {name}", found.extra)
    return found


def _own(name: str, thing: Any) -> Tracker:
    """A class or function of the user's own as a tracker."""
    asks = [asked for asked, about in parameters(thing).items() if about.default is about.empty]
    if missing := [asked for asked in asks if asked not in (*OFFERED, "args", "kwargs")]:
        raise ConfigError(f"{name} asks for an argument {missing[0]!r}; it can have: {', '.join(OFFERED)}.")
    return Tracker(name, "of the user's own", partial(_opened, name, thing))


def _opened(name: str, thing: Any, told: Told) -> Hears:
    made: Hears = call(thing, {asked: getattr(told, asked) for asked in OFFERED})
    if not callable(getattr(made, "tell", None)):
        raise ConfigError(f"{name} gave {type(made).__name__}, which has no method tell(line, figures).")
    return made


trackers: Registry[Tracker] = Registry("tracker", "prunebench.tracking.trackers", _own)
