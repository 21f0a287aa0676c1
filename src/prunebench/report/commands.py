"""Commands of many runs in few bytes: of a command as long as the one before it, the words that it has instead.

`restored` in `tables.js` makes them whole again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from prunebench.report.document import Command


def shortened(commands: Iterable[Command]) -> Iterator[dict[str, Any]]:
    """`{run, command}`; `{run, instead}` where words of the command before are replaced: their number → the word."""
    before: list[str] = []
    for of in commands:
        words = [] if of.command is None else of.command.split(" ")
        if words and len(words) == len(before):
            changed = {str(i): new for i, (old, new) in enumerate(zip(before, words, strict=True)) if old != new}
            yield {"run": of.run, "instead": changed}
        else:
            yield {"run": of.run, "command": of.command}
        before = words
