"""What mkdocs calls: it adds pages that are generated, fills tables in, and lists the links that leave the site.

Two lines of a page become text: `<!-- names: scopes -->` the table of a registry, and `<!-- docstring: MODULE -->` the
docstring of a module, but for its first paragraph.
"""

from __future__ import annotations

import importlib
import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

import command_pages
import name_pages
import root_pages
import setting_pages
from words import paragraphs

ASKED = re.compile(r"^<!-- (names|docstring): (\S+) -->$", re.MULTILINE)
COMMANDS_AT = "reference/commands/"
LINK = re.compile(r"""(?:href|src)="(https?:[^"]*)\"""")


def generated() -> dict[str, str]:
    """Every page that no one writes: its place in `docs` → its text."""
    pages = {at: root_pages.page(name) for name, at in root_pages.PAGES.items()}
    commands = command_pages.commands()
    pages |= {f"{COMMANDS_AT}{name}.md": command_pages.page(name, command) for name, command in commands.items()}
    return pages | {
        f"{COMMANDS_AT}index.md": command_pages.overview(),
        "reference/settings.md": setting_pages.page(),
        "reference/criteria.md": name_pages.criteria_page(),
        "reference/choices.md": name_pages.choices_page(),
        "reference/models.md": name_pages.models_page(),
    }


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Put every command into the navigation, after the page that lists them."""
    for section in config.nav or []:
        for entry in next(iter(section.values())) if isinstance(section, dict) else []:
            for pages in entry.values() if isinstance(entry, dict) else []:
                if isinstance(pages, list) and pages[0].startswith(COMMANDS_AT):
                    pages += [f"{COMMANDS_AT}{name}.md" for name in command_pages.COMMANDS]
    return config


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Add the pages that are generated."""
    for place, text in generated().items():
        files.append(File.generated(config, place, content=text))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Fill in what a page asks for."""
    filled = {"names": name_pages.summary, "docstring": docstring}
    return ASKED.sub(lambda found: filled[found[1]](found[2]), markdown)


def docstring(module: str) -> str:
    """What a module says of itself, but for the first paragraph, which is its title."""
    return paragraphs((importlib.import_module(module).__doc__ or "").partition("\n\n")[2])


def on_post_build(*, config: MkDocsConfig) -> None:
    """Write down which addresses the site links to, a line each."""
    site = Path(config.site_dir)
    found = {link for page in site.rglob("*.html") for link in LINK.findall(page.read_text(encoding="utf-8"))}
    (site / "external-links.txt").write_text("".join(f"{link}\n" for link in sorted(found)), encoding="utf-8")
