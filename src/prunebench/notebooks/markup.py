"""Markup: tables, text and pictures as HTML that is readable in light notebooks and in dark ones.

Text has the notebook's own colours, and pictures, which are drawn on white, a white ground. All text is escaped.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from html import escape

from prunebench.errors import on_a_line

LINE = "border-bottom:1px solid rgba(128,128,128,.3);padding:2px 8px;white-space:nowrap"


def heading(text: str) -> str:
    """A line in bold."""
    return f'<div style="font-weight:bold;margin:6px 0 2px">{_plain(text)}</div>'


def note(text: str) -> str:
    """A line of small text."""
    return f'<div style="font-size:90%;opacity:.8">{_plain(text)}</div>'


def table(rows: Sequence[Sequence[str]], left: int = 0) -> str:
    """A table whose first row is its head; the first `left` columns are text, the others figures."""
    sides = ["left" if i < left else "right" for i in range(len(rows[0]))]
    lines = []
    for number, row in enumerate(rows):
        tag = "td" if number else "th"
        cells = [
            f'<{tag} style="text-align:{side};{LINE}">{_plain(cell)}</{tag}>'
            for cell, side in zip(row, sides, strict=True)
        ]
        lines.append(f"<tr>{''.join(cells)}</tr>")
    body = f"<thead>{lines[0]}</thead><tbody>{''.join(lines[1:])}</tbody>"
    style = "border-collapse:collapse;font-variant-numeric:tabular-nums"
    return f'<div style="overflow-x:auto"><table style="{style}">{body}</table></div>'


def picture(svg: bytes, what: str) -> str:
    """A drawing; in an image of its own, so that names in it are no names of the page."""
    data = base64.b64encode(svg).decode()
    style = "max-width:100%;background:#fff;border-radius:4px;margin-top:6px"
    return f'<img alt="{escape(on_a_line(what))}" style="{style}" src="data:image/svg+xml;base64,{data}">'


def folded(title: str, text: str) -> str:
    """Text of several lines that is shown when its title is clicked on."""
    style = "overflow-x:auto;background:transparent;color:inherit"
    shown = "\n".join(escape(on_a_line(line)) for line in text.splitlines())
    return f'<details><summary>{_plain(title)}</summary><pre style="{style}">{shown}</pre></details>'


def whole(parts: Sequence[str]) -> str:
    """Parts, one below the other."""
    return f'<div class="prunebench">{"".join(parts)}</div>'


def _plain(text: str) -> str:
    return escape(on_a_line(text))
