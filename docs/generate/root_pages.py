"""Pages that are files of the root, so that each is written once: README, ARCHITECTURE, CHANGELOG."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = {"README.md": "index.md", "ARCHITECTURE.md": "architecture.md", "CHANGELOG.md": "changelog.md"}


def page(name: str) -> str:
    """The text of a file of the root, its links as they are from the folder `docs`."""
    text = (ROOT / name).read_text(encoding="utf-8")
    text = re.sub(r"\]\(docs/", "](", text)
    for file, at in PAGES.items():
        text = text.replace(f"]({file}", f"]({at}")
    return text
