"""Every registered name is told of, by what its file says."""

from __future__ import annotations

import pytest

from name_pages import REGISTRIES, anchor, choices_page, criteria_page, files, models_page, summary

EXPLAINED = ("criteria", "datasets", "scopes", "patterns", "schedules", "policies")


@pytest.mark.parametrize("kind", EXPLAINED)
def test_every_name_is_in_the_file_that_registers_it(kind):
    found = [name for names in files(kind).values() for name in names]
    assert sorted(found) == REGISTRIES[kind].names()
    assert all(len(docstring) > 20 for docstring in files(kind))


@pytest.mark.parametrize("kind", EXPLAINED)
def test_every_name_has_a_place_on_its_page_and_other_names_are_told(kind):
    page = {"criteria": criteria_page, "datasets": models_page}.get(kind, choices_page)()
    for name in REGISTRIES[kind].names():
        place = anchor(kind, name)
        assert page.count(f"{{ #{place} }}") + page.count(f'id="{place}"') == 1, name
    assert all(f"`{alias}`" in page for alias in REGISTRIES[kind].aliases())


@pytest.mark.parametrize("kind", REGISTRIES)
def test_a_table_has_every_name(kind):
    rows = summary(kind).splitlines()[2:]
    names = [*REGISTRIES[kind].names(), *(f"{library}:NAME" for library in REGISTRIES[kind].libraries())]
    assert [row.split("`")[1] for row in rows] == names


def test_a_criterion_tells_what_it_is_of_and_what_it_asks_for():
    rows = {row.split("`")[1]: row.split(" | ")[2:] for row in criteria_page().splitlines() if row.startswith("| [`")}
    assert rows["fisher"] == ["weights, units", "`squared_gradient` |"]
    assert rows["random"] == ["weights, units, blocks", " |"]
    assert rows["fpgm"] == ["units", " |"]


def test_settings_that_suit_a_model_are_told():
    assert "`resnet18`\n:   `--image-size 32`, `--optimizer adamw`" in models_page()
