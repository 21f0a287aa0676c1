"""The page: a document, Plotly, and what shows the one with the other, in one HTML file that needs no network."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import asdict
from html import escape
from importlib.resources import files
from string import Template
from typing import Any

import msgspec

from prunebench.plots.themes import THEMES, Theme
from prunebench.report.commands import shortened
from prunebench.report.document import Document

SCRIPTS = ("plots.js", "tables.js", "board.js", "layers.js", "damage.js", "page.js")

UNSAFE = "<>&\u2028\u2029"
"""Characters that HTML or JavaScript reads as markup; in JSON they stand inside strings only."""


def page(document: Document) -> bytes:
    """The page of a document, always the same bytes for the same document.

    Its policy lets the scripts run that are in it now and no other, and lets nothing be fetched from anywhere.
    """
    from plotly.offline import get_plotlyjs

    scripts = {"plotly": get_plotlyjs(), "script": "\n".join(map(_text, SCRIPTS))}
    parts = {
        "policy": _policy(list(scripts.values())),
        "title": escape(document.title),
        "style": _colours() + _text("page.css"),
        "data": embedded(msgspec.json.encode(_in_few_bytes(document)).decode()),
    }
    return Template(_text("page.html")).substitute(scripts | parts).encode()


def _in_few_bytes(document: Document) -> dict[str, Any]:
    return msgspec.structs.asdict(document) | {"commands": list(shortened(document.commands))}


def embedded(json: str) -> str:
    """JSON as it may stand inside a script element: the same value, without a character of markup."""
    return json.translate({ord(c): f"\\u{ord(c):04x}" for c in UNSAFE})


def _policy(scripts: list[str]) -> str:
    hashes = [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts]
    allowed = " ".join(f"'sha256-{found}'" for found in hashes)
    return (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src data: blob:; "
        "base-uri 'none'; form-action 'none'"
    )


def _colours() -> str:
    """The colours of both themes, as variables of the page that are the one or the other."""
    light, dark = (_named(THEMES[name]) for name in ("light", "dark"))
    lines = [f"  --{name}: light-dark({colour}, {dark[name]});\n" for name, colour in light.items()]
    return f":root {{\n{''.join(lines)}}}\n"


def _named(theme: Theme) -> dict[str, str]:
    """`paper`, …, and `line-1`, … → colour."""
    plain = {name: colour for name, colour in asdict(theme).items() if isinstance(colour, str)}
    return plain | {f"line-{number}": colour for number, colour in enumerate(theme.lines, 1)}


def _text(name: str) -> str:
    return (files("prunebench.report") / name).read_text(encoding="utf-8")
