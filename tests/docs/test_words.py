"""Texts of a terminal mean as Markdown what they mean there."""

from __future__ import annotations

import pytest

from words import cell, definitions, paragraphs, prose, table


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("see --finetune-lr", "see `--finetune-lr`"),
        ("a well-known--fact", "a well-known--fact"),
        ("DIR/<class>/* and a_b", r"DIR/&lt;class>/\* and a\_b"),
        ("`a_b --c` and [default: x]", r"`a_b --c` and \[default: x\]"),
    ],
)
def test_options_are_code_and_no_sign_means_anything_else(text, shown):
    assert prose(text) == shown


def test_a_bar_ends_no_cell():
    assert table(["a"], [[cell("|w|")]]).splitlines()[-1] == "| &#124;w&#124; |"


def test_a_term_has_its_meaning_below_it():
    assert definitions([("`a`", "b")]) == "`a`\n:   b\n"


def test_a_docstring_keeps_its_blocks_and_trees():
    text = """Title with x_i and *stress*.

        kept_as_it_is
        so

    A
    ├── B
    └── C
    """
    assert paragraphs(text) == (
        "Title with x\\_i and *stress*.\n\n    kept_as_it_is\n    so\n\n    A\n    ├── B\n    └── C"
    )
