"""Texts that are written for a terminal, as Markdown."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Sequence

OPTION = re.compile(r"(?<![\w-])--[a-z][a-z0-9-]*")


def prose(text: str) -> str:
    """A line of help as Markdown: options are code, and no sign means anything but itself, outside of `code`."""
    return _outside_code(text, lambda part: OPTION.sub(r"`\g<0>`", re.sub(r"([*_\[\]])", r"\\\1", part)))


def _outside_code(text: str, change: Callable[[str], str]) -> str:
    """A text with `<` as it is, whose parts outside of `code` are changed."""
    parts = text.split("`")
    parts[::2] = [change(part.replace("<", "&lt;")) for part in parts[::2]]
    return "`".join(parts)


def code(text: object) -> str:
    """A name as code, in a table too."""
    return f"`{text}`".replace("|", "\\|")


def cell(text: str) -> str:
    """A line of help as the cell of a table."""
    return prose(text).replace("|", "&#124;")


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of cells that are Markdown already."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def definitions(pairs: Iterable[tuple[str, str]]) -> str:
    """A list of terms and what they mean; both are Markdown already."""
    return "\n".join(f"{term}\n:   {meaning}\n" for term, meaning in pairs)


def paragraphs(docstring: str | None) -> str:
    """A docstring as Markdown, which it is but for its underscores; what is indented, or a tree, stays as it is."""
    parts = inspect.cleandoc(docstring or "").split("\n\n")
    return "\n\n".join(part if part.startswith("    ") else _tree(part) or _paragraph(part) for part in parts)


def _paragraph(text: str) -> str:
    return _outside_code(text, lambda part: OPTION.sub(r"`\g<0>`", part.replace("_", r"\_")))


def _tree(part: str) -> str:
    """A tree as a block of code; empty where there is none."""
    return "\n".join(f"    {line}" for line in part.split("\n")) if "├──" in part else ""
