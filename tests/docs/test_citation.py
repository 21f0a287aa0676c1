"""How prunebench is cited is as its package is called."""

from __future__ import annotations

import tomllib

import yaml

from shown import ROOT


def test_the_citation_is_of_this_version_and_names_no_people():
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert {"cff-version", "message", "title", "authors"} <= set(cited)
    assert [cited["title"], cited["version"], cited["license"]] == [project["name"], project["version"], "MIT"]
    assert cited["authors"] == [{"name": "The prunebench developers"}]
