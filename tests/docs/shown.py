"""What README and the pages show: commands, examples, addresses."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
FILES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
PAGES = {str(path.relative_to(ROOT)): path.read_text(encoding="utf-8") for path in FILES}
"""Every page that is written: its path → its text."""

COMMANDS = list(
    dict.fromkeys(re.findall(r"^    prunebench (.+?)(?: +# .*)?$", "\n".join(PAGES.values()), re.MULTILINE))
)
"""Every command line that is shown, once, without its comment."""


def blocks(language: str) -> list[str]:
    """Every example in a language."""
    return [block for text in PAGES.values() for block in re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)]


def named_files(language: str, *pages: str) -> dict[str, str]:
    """The examples of some pages that begin with their file's name."""
    texts = [PAGES[f"docs/{page}.md"] for page in pages]
    shown = [block for text in texts for block in re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)]
    found = (re.match(r"# (\w+\.\w+)\n(.*)", block, re.DOTALL) for block in shown)
    return {match[1]: match[2] for match in found if match}
