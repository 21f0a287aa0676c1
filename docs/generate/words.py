"""Texts that are written for a terminal, as Markdown."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Sequence

OPTION = re.compile(r"(?<![\w-])--[a-z][a-z0-9-]*")


def prose(text: str) -> str:
    """A text as Markdown: options are code, and no sign means anything but itself, outside of `code`."""
    parts = text.split("`")
    for i in range(0, len(parts), 2):
        escaped = re.sub(r"([*_<\[\]])", r"\\\1", parts[i])
        parts[i] = OPTION.sub(r"`\g<0>`", escaped)
    return "`".join(parts)


def code(text: object) -> str:
    """A name as code, in a table too."""
    return f"`{text}`".replace("|", "\\|")


def cell(text: str) -> str:
    """A text as the cell of a table."""
    return prose(text).replace("|", "&#124;")


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of cells that are Markdown already."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def definitions(pairs: Iterable[tuple[str, str]]) -> str:
    """A list of terms and what they mean; both are Markdown already."""
    return "\n".join(f"{term}\n:   {meaning}\n" for term, meaning in pairs)


def paragraphs(docstring: str | None) -> str:
    """A docstring as Markdown; what is indented, or drawn as a tree, stays as it is."""
    parts = inspect.cleandoc(docstring or "").split("\n\n")
    return "\n\n".join(part if part.startswith("    ") else drawn(part) or prose(part) for part in parts)


def drawn(part: str) -> str:
    """A tree as a block of code; empty where there is none."""
    return "\n".join(f"    {line}" for line in part.split("\n")) if "├──" in part else ""
