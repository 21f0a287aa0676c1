"""Titles, lines and files are named by what they differ in."""

from __future__ import annotations

import pytest

from prunebench.plots import naming
from prunebench.plots.registry import Picture


def test_lines_are_named_by_what_differs(make_curve):
    groups = [
        [make_curve()],
        [make_curve(criterion="random")],
        [make_curve(fraction=0.9375, left=(1.0, 0.0625))],
    ]
    assert naming.line_names(groups) == ["l1, 50 % a step", "random, 50 % a step", "l1, 93.8 % in one step"]
    assert naming.line_names(groups[::2]) == ["50 % a step", "93.8 % in one step"]
    assert naming.line_names([[make_curve(epochs=epochs)] for epochs in (1, 2)]) == ["epochs=1", "epochs=2"]
    own = [[make_curve(criterion=f"mine.py:{name}")] for name in ("first", "second")]
    assert naming.line_names(own) == ["mine-first", "mine-second"]
    assert naming.line_names([*own[:1], groups[0]]) == ["mine-first", "l1"]


def test_titles_tell_subject_criterion_and_fraction_and_more_where_they_are_the_same():
    of = {"model": "/a/net.py:build", "dataset": "digits", "method": "structured", "criterion": "l2", "fraction": 0.1}
    assert naming.titles([of]) == ["net-build on digits, structured, l2, 10 % a step"]
    assert naming.titles([{"model": "vgg16", "method": "structured"}]) == ["vgg16, structured"]
    assert naming.titles([{**of, "epochs": epochs} for epochs in (1, 2)]) == [
        "net-build on digits, structured, l2, 10 % a step (epochs=1)",
        "net-build on digits, structured, l2, 10 % a step (epochs=2)",
    ]


@pytest.mark.parametrize(
    ("axis", "settings", "label"),
    [
        ("left", {"model": "resnet18", "method": "structured"}, "channels left, % of the unpruned model (nominal)"),
        (
            "units",
            {"model": "bert", "method": "structured"},
            "heads and neurons left, % of the unpruned model (achieved)",
        ),
        (
            "left",
            {"model": "resnet18", "method": "structured", "macs": 0.5},
            "MACs left, % of the unpruned model (nominal)",
        ),
        (
            "units",
            {"model": "resnet18", "method": "structured", "macs": 0.5},
            "channels left, % of the unpruned model (achieved)",
        ),
        ("left", {"model": "x", "method": "foreign"}, "units left, % of the unpruned model (nominal)"),
        ("params", {}, "prunable weights left, % of the unpruned model"),
        ("macs", {}, "MACs left, % of the unpruned model"),
        ("latency@4 openvino", {}, "measured latency left, batch 4, openvino, % of the unpruned model"),
    ],
)
def test_an_axis_says_of_what_it_is_a_percentage(axis, settings, label, make_curve):
    assert naming.axis_label(axis, [[make_curve(**settings)]]) == label


def test_parameters_of_runs_are_all_of_them_and_those_of_matrices_the_prunable(make_curve, with_layers):
    run, matrix = with_layers(make_curve()), make_curve()
    assert naming.axis_label("params", [[run]]).startswith("parameters left")
    assert naming.axis_label("params", [[run], [matrix]]).startswith("parameters (of matrices: prunable weights) left")


def test_seeds_are_told_once_where_they_are_as_many():
    assert naming.pooled([[1, 2], [1, 2]]) == (", n = 2 seeds", ["", ""])
    assert naming.pooled([[1, 2], [1]]) == ("", [" (n = 2)", " (n = 1)"])
    assert naming.pooled([[1], [1]]) == ("", ["", ""])


def test_a_slug_names_the_criterion_where_it_is_not_the_methods_own():
    of = {"model": "net", "method": "unstructured", "criterion": "l1"}
    assert naming.slug_of("layers", of) == "layers-net-unstructured"
    assert (
        naming.slug_of("layers", {**of, "criterion": "random"}, "openvino") == "layers-net-unstructured-random-openvino"
    )
    assert naming.slug("accuracy", "Net", axis="latency@4 openvino, bf16") == "accuracy-net-by-latency-4-openvino--bf16"


def test_names_that_collide_are_numbered():
    pictures = [Picture(name, None) for name in ("a", "a-2", "a", "a")]
    assert [picture.name for picture in naming.numbered(pictures)] == ["a", "a-2", "a-3", "a-4"]
