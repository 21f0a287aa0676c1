"""Every command has a page, with every option that it has."""

from __future__ import annotations

import re

import pytest

from command_pages import commands, overview, page, setting
from prunebench.cli.main import COMMANDS
from prunebench.config import field_types
from setting_pages import page as setting_page

FOUND = commands()
ANCHORS = set(re.findall(r"\{ #([\w-]+) \}", setting_page()))


def test_every_command_is_found_and_listed():
    assert list(FOUND) == list(COMMANDS)
    assert all(f"[`{name}`]({name}.md)" in overview() for name in COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_a_page_has_every_option_of_its_command_once(name):
    text = page(name, FOUND[name])
    assert text.startswith(f"# prunebench {name}\n\n    prunebench {name} ")
    options = [each for each in FOUND[name].params if each.param_type_name == "option" and not each.hidden]
    assert ":   \n" not in text
    for option in options:
        terms = [
            line for line in text.split("\n") if line.startswith("`") and option.opts[-1] in re.split("[ `/,]+", line)
        ]
        links = text.count(f"(../settings.md#{option.name})")
        assert (len(terms), links) == ((0, 1) if setting(option) else (1, 0)), option.name


@pytest.mark.parametrize("name", COMMANDS)
def test_settings_that_a_page_links_to_are_there(name):
    assert set(re.findall(r"settings\.md#([\w-]+)", page(name, FOUND[name]))) <= ANCHORS


def test_a_paragraph_that_is_not_to_be_wrapped_is_a_block():
    assert "\n\n    Figures: accuracy" in page("plot", FOUND["plot"])


def test_an_option_that_is_called_as_a_setting_is_none():
    assert "\n`-o, --output DIR`\n" in page("plot", FOUND["plot"])
    assert "settings.md" not in page("plot", FOUND["plot"])


def test_all_settings_are_those_of_prune():
    assert [setting(each) for each in FOUND["prune"].params if setting(each)] == list(field_types())
