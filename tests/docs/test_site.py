"""The site builds without a warning, fetches nothing, and says all that there is."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
import tomllib
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import urlsplit

import pytest

import prunebench
from shown import PAGES, ROOT

FETCHED = {"script": "src", "img": "src", "link": "href", "iframe": "src", "source": "src"}
"""Elements that a browser fetches, and where they say from where."""


WIDTH = 400
"""Of a phone, pixels."""

WIDEST = ("index.html", "zoo.html", "architecture.html", "reference/settings.html", "reference/api.html")
"""Pages with wide tables, long lines of code, long words."""


class Fetches(HTMLParser):
    """The addresses that a page has a browser fetch."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        given = dict(attributes)
        if tag in FETCHED and given.get("rel") not in ("canonical", "prev", "next"):
            self.found += [given.get(FETCHED[tag]) or ""]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The site, built as `make docs` builds it."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    quiet = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    result = subprocess.run(command, cwd=ROOT, env=quiet, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "Documentation built" in result.stderr
    return folder


def pages(site: Path) -> dict[str, str]:
    return {path.relative_to(site).as_posix(): path.read_text(encoding="utf-8") for path in site.rglob("*.html")}


def test_make_builds_it_as_strictly():
    """With --quiet mkdocs would let warnings pass."""
    assert re.search(
        r"^docs:.*\n.*mkdocs build --strict$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE
    )


def test_every_extra_is_told_of_and_no_other():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    table = PAGES["docs/start.md"].partition("### Extras")[2].partition("\n## ")[0]
    assert set(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)) <= set(extras)
    text = "\n".join(PAGES.values())
    assert [name for name in extras if f"`{name}`" not in text and f"[{name}]" not in text] == []


def test_no_page_fetches_anything_from_elsewhere(site):
    for name, text in pages(site).items():
        fetches = Fetches()
        fetches.feed(text)
        assert fetches.found
        assert {urlsplit(address).scheme for address in fetches.found} <= {"", "data"}, name
    styles = [path.read_text(encoding="utf-8") for path in site.rglob("*.css")]
    assert styles
    assert not any(re.search(r"url\(['\"]?(https?:)?//", style) for style in styles)


def test_every_address_that_is_linked_to_is_whole(site):
    addresses = (site / "external-links.txt").read_text(encoding="utf-8").split()
    assert addresses == sorted(set(addresses))
    for address in addresses:
        parts = urlsplit(address)
        assert parts.scheme == "https", address
        assert re.fullmatch(r"[a-z0-9-]+(\.[a-z0-9-]+)+", parts.netloc), address
        assert address[-1] not in ".,;:)", address


def test_what_generates_pages_is_no_page(site):
    assert not list(site.rglob("*.py"))
    assert not (site / "generate").exists()


def test_the_first_page_is_the_readme_and_its_picture_is_there(site):
    first = pages(site)["index.html"]
    (picture,) = re.findall(r'<img alt="[^"]+" src="([^"]+)"', first)
    assert (site / picture).exists()
    assert 'href="start.html"' in first


def test_tables_that_pages_ask_for_are_filled_in(site):
    assert not any("<!-- names" in text or "<!-- docstring" in text for text in pages(site).values())
    assert "<code>uniform+</code>" in pages(site)["amounts.html"]
    assert "squared_gradient" in pages(site)["add-a-criterion.html"]


def test_everything_that_can_be_imported_is_on_the_page_of_the_api(site):
    headings = re.findall(r'id="prunebench[\w.]*?\.(\w+)"', pages(site)["reference/api.html"])
    assert set(prunebench.__all__) <= set(headings)


@pytest.fixture
def phone(chromium):
    chromium.get_log("browser")
    size = {"width": WIDTH, "height": 900, "deviceScaleFactor": 1, "mobile": True}
    chromium.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    yield chromium
    chromium.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_pages_are_no_wider_than_a_phone(phone, site):
    wide = {}
    for path in site.rglob("*.html"):
        if path.name != "404.html":  # it is made for a server
            phone.get(path.as_uri())
            wide[path.relative_to(site).as_posix()] = phone.execute_script(
                "return document.documentElement.scrollWidth"
            )
    assert {name: width for name, width in wide.items() if width > WIDTH} == {}
    assert phone.get_log("browser") == []


def test_the_search_works_without_a_server(chromium, site):
    chromium.get((site / "reference" / "settings.html").as_uri())
    chromium.find_element("css selector", ".md-search__input").send_keys("finetune_lr")
    deadline = time.monotonic() + 20
    found = []
    while not found and time.monotonic() < deadline:
        time.sleep(0.1)
        found = chromium.find_elements("css selector", ".md-search-result__item a")
    assert "#finetune_lr" in found[0].get_attribute("href") or "Every setting" in found[0].text
    assert chromium.get_log("browser") == []
