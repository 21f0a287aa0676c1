"""Labels: which are one class, which are none, and which are asked about."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prunebench.data.labels import Labelled, class_names, label_of, questions


def asked(*labels):
    return [question for _, question in questions([Labelled(label, line) for line, label in enumerate(labels, 2)])]


@given(st.integers(-(10**6), 10**6))
def test_a_whole_number_is_one_class_however_it_is_written(number):
    written = [number, str(number), float(number), f"{number}.0", f" {number}.000 ", f"{number:.1f}", f"{number:.18e}"]
    assert {label_of(value) for value in written} == {(str(number), "")}


@given(st.integers(2**53, 2**200))
def test_whole_numbers_of_any_size_are_told_apart(number):
    written, other = f"{number}.0", f"{number + 1}.0"
    assert (label_of(written), label_of(other)) == ((str(number), ""), (str(number + 1), ""))
    assert asked(*[str(number), str(number + 1)] * 2) == []
    assert "only in how it is written" in asked(str(number), f"+{number}", str(number), f"+{number}")[0]


@given(st.text(st.characters(codec="utf-8"), min_size=1).filter(lambda text: not any(map(str.isdigit, text))))
def test_a_name_is_itself_without_the_spaces_around_it(name):
    label, fault = label_of(f" {name}\t", trust=True)
    assert (label, bool(fault)) == (name.strip(), not name.strip())


@pytest.mark.parametrize(
    ("value", "fault"),
    [
        (None, "the label is null"),
        (math.nan, "the label is NaN or infinite"),
        (-math.inf, "the label is NaN or infinite"),
        ("", "the label is empty"),
        (" \t", "the label is empty"),
        ([1], "the label is a list, but a sample has one class"),
        ({"a": 1}, "the label is an object, but a sample has one class"),
    ],
)
def test_what_is_no_label_is_none_even_on_trust(value, fault):
    assert label_of(value) == label_of(value, trust=True) == ("", fault)


@pytest.mark.parametrize("word", ["nan", "NaN", "null", "NULL", "None", "<NA>", "N/A", "#N/A", "NA"])
def test_words_for_nothing_are_labels_on_trust_alone(word):
    assert label_of(word) == ("", f"the label is {word}, which stands for none (insist with --trust-data)")
    assert label_of(word, trust=True) == (word, "")


@pytest.mark.parametrize("name", ["none", "na", "neutral", "nano", "007", "1e5", "v1.0"])
def test_other_names_stay_as_they_are_written(name):
    assert label_of(name) == (name, "")


@pytest.mark.parametrize(
    ("labels", "question"),
    [
        (["0", "1", "0", "1", "0.5"], "the label '0.5' is no whole number"),
        (["0", "1", "0", "1", "0,5"], "the label '0,5' is no whole number"),
        (["1", "1", "1e400"], "the label '1e400' is no whole number"),
        (["a", "b", "a", "b", "[0, 1]"], "the label '[0, 1]' looks like a list"),
        (["True", "False", "maybe", "maybe", "True"], "the label 'maybe' is a name, but others are truth values"),
        (["a", "a", "b", "b", "true"], "the label 'true' is a truth value, but others are names, such as 'a'"),
        (["True", "True", "1", "1", "1"], "the label 'True' is a truth value, but others are numbers"),
        (["0", "1", "0", "1", " dull"], "the label ' dull' is a name, but others are numbers, such as '0'"),
        (["a", "b"] * 30 + ["1", "1"], "the label '1' is a number, but others are names, such as 'a'"),
        (["pos", "neg", "pos", "neg", "Pos", "Pos"], "the label 'Pos' differs from 'pos' only in how it is written"),
        (["1", "2", "1", "2", "01", "01"], "the label '01' differs from '1' only in how it is written"),
        (["é", "b", "é", "b", "e\u0301", "e\u0301"], "differs from 'é' only in how it is written"),
        (["a", "b", "c"], "3 of 3 classes have a single sample, such as 'a'"),
        (["a", "a", "b", "c"], "2 of 3 classes have a single sample, such as 'b'"),
    ],
)
def test_what_is_unlikely_is_asked_about(labels, question):
    assert question in " ".join(asked(*labels))


@pytest.mark.parametrize(
    "labels",
    [
        ["0", "1"],
        ["a"],
        ["-1", "1", "1", "-1"],
        ["True", "False", "True"],
        ["01", "02", "01", "02"],
        ["a", "a", "a", "b"],
        ["1", "2", "other", "1", "2", "other"],
        ["a", "a", "b", "b", "c"],
        ["1" * 400, "2", "1" * 400, "2"],
    ],
)
def test_what_is_likely_is_not_asked_about(labels):
    assert asked(*labels) == []


def test_a_question_names_the_line_where_it_shows_first():
    labels = ["0", "1", "0", "0.5", "0.5", "1"]
    assert [line for line, _ in questions([Labelled(label, line) for line, label in enumerate(labels, 2)])] == [5]


def test_classes_are_in_the_order_of_their_numbers():
    assert class_names([Labelled(label, 1) for label in ("10", "2", "b", "2", "aa")]) == ["2", "b", "10", "aa"]
