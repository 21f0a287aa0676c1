"""Goals: what users write is read, refused with the forms, or held against records."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prunebench.errors import ConfigError
from prunebench.experiment.goals import FORMS, Goal, check_counted, check_goals, parse, read
from prunebench.experiment.resolve import resolve
from prunebench.pruning.registry import methods
from prunebench.records import Scores
from prunebench.studies.search import seek


@pytest.mark.parametrize(
    ("text", "goal"),
    [
        ("macs<=0.5", ("macs", 0.5, "share", 0)),
        ("params<=.25", ("params", 0.25, "share", 0)),
        ("params<=2M", ("params", 2e6, "count", 0)),
        ("macs <= 1.5G", ("macs", 1.5e9, "count", 0)),
        ("params<=5000", ("params", 5000, "count", 0)),
        ("latency@1<=0.6", ("latency", 0.6, "share", 1)),
        ("latency@16<=20ms", ("latency", 20, "ms", 16)),
        ("top1>=dense-0.01", ("top1", 0.01, "points", 0)),
        ("top1>=0.95", ("top1", 0.95, "top1", 0)),
        ("top5>=dense-0.02", ("top5", 0.02, "points", 0)),
        ("loss<=dense+0.05", ("loss", 0.05, "points", 0)),
        ("loss <= dense + 2", ("loss", 2, "points", 0)),
        ("loss<=1.5", ("loss", 1.5, "loss", 0)),
    ],
)
def test_every_form_is_read(text, goal):
    assert parse(text) == Goal(text, *goal)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("macs<0.5", "macs is bounded by <="),
        ("macs>=0.5", "macs is bounded by <="),
        ("top1<=0.9", "top1 is bounded by >="),
        ("latncy@1<=0.5", "Did you mean 'latency'"),
        ("latency<=0.5", "latency needs a batch size"),
        ("latency@0<=0.5", "no goal"),
        ("macs@4<=0.5", "macs has no batch size"),
        ("macs<=0", "between 0 and 1"),
        ("params<=1", "between 0 and 1"),
        ("latency@1<=1.5", "between 0 and 1"),
        ("macs<=20ms", "no goal"),
        ("latency@1<=2M", "no goal"),
        ("macs<=dense-0.1", "no goal"),
        ("top1>=95", "between 0 and 1"),
        ("top1>=dense+0.01", "bounded by dense-"),
        ("loss>=0.5", "loss is bounded by <="),
        ("loss<=dense-0.05", "bounded by dense+"),
        ("loss@4<=0.5", "loss has no batch size"),
        ("loss<=20ms", "Goals look like"),
        ("los<=0.5", "Did you mean 'loss'"),
        ("macs<=many", "no goal"),
        ("", "no goal"),
    ],
)
def test_what_is_no_goal_is_refused_with_the_reason_and_the_forms(text, reason):
    with pytest.raises(ConfigError, match="--until") as error:
        parse(text)
    assert reason in str(error.value)
    assert all(form in str(error.value) for form in FORMS)


@given(st.floats(0.001, 0.999), st.sampled_from(["macs", "params", "latency@4"]))
def test_a_share_is_read_as_it_is_printed(share, measure):
    assert parse(f"{measure}<={share!r}").bound == pytest.approx(share)


def test_the_forms_in_the_message_are_goals():
    assert [parse(form).text for form in FORMS] == list(FORMS)


@pytest.mark.parametrize(
    ("goal", "figure", "holds"),
    [
        ("macs<=0.7", 0.6561, True),
        ("macs<=0.6", 0.6561, False),
        ("macs<=420k", 64 * 81**2, True),
        ("macs<=419k", 64 * 81**2, False),
        ("params<=0.66", (100 + 81**2) / 10_100, True),
        ("top1>=dense-0.05", 0.05, True),
        ("top1>=dense-0.04", 0.05, False),
        ("top1>=0.85", 0.85, True),
        ("top1>=0.86", 0.85, False),
        ("loss<=dense+0.3", 0.3, True),
        ("loss<=dense+0.29", 0.3, False),
        ("loss<=0.5", 0.5, True),
        ("loss<=0.49", 0.5, False),
    ],
)
def test_a_record_is_held_against_a_goal(goal, figure, holds, make_record):
    held = [Scores.of(top1=(90, 100), loss=(20, 100)), Scores.of(top1=(85, 100), loss=(50, 100))]
    first, record = (make_record(step, validation=scores) for step, scores in zip((0, 2), held, strict=True))
    reading = read(parse(goal), record, first)
    assert reading.figure == pytest.approx(figure)
    assert reading.holds is holds


def test_parameters_are_those_that_are_left(make_record):
    first, record = make_record(0), make_record(0, nonzero_params=1010)
    assert read(parse("params<=0.2"), record, first).figure == pytest.approx(0.1)


def test_what_can_never_be_reached_is_refused():
    with pytest.raises(ConfigError, match="masks do not lower MACs"):
        check_goals([parse("macs<=0.5")], methods.get("unstructured"), 0.0)
    with pytest.raises(ConfigError, match="--validation 0 holds none out"):
        check_goals([parse("top1>=0.9")], methods.get("structured"), 0.0)
    with pytest.raises(ConfigError, match="--validation 0 holds none out"):
        check_goals([parse("loss<=0.9")], methods.get("structured"), 0.0)
    with pytest.raises(ConfigError, match="--method none does not lower: it removes nothing"):
        check_goals([parse("params<=0.5")], methods.get("none"), 0.0)
    check_goals([parse("macs<=0.5"), parse("top1>=0.9")], methods.get("structured"), 0.1)


def test_a_metric_that_is_not_counted_on_the_data_bounds_nothing():
    with pytest.raises(ConfigError, match=r"--until 'top5>=0\.9': on this data are counted: top1, loss"):
        check_counted([parse("macs<=0.5"), parse("top5>=0.9")], ("top1", "loss"))
    check_counted([parse("macs<=0.5"), parse("top5>=0.9")], ("top1", "top5", "loss"))


@pytest.mark.parametrize(
    ("goal", "reached"),
    [("loss<=dense+5", (3, True)), ("loss<=0.0001", (None, False)), ("top1>=dense-0.99", (3, True))],
)
def test_a_search_reads_a_metric_on_held_out_data_and_ends_where_its_bound_is_broken(goal, reached, tiny_config):
    experiment = resolve(tiny_config(until=(goal,), iterations=3, validation=0.3))
    *records, found = seek(experiment, experiment.run)
    assert (found.step, found.reached) == reached
    assert [record.step for record in records] == ([0, 1, 2, 3] if found.reached else [0])
    held = [record.validation[experiment.goals[0].measure] for record in records]
    (reading,) = found.readings
    by = {"loss<=dense+5": held[-1] - held[0], "loss<=0.0001": held[0], "top1>=dense-0.99": held[0] - held[-1]}
    assert reading.figure == pytest.approx(by[goal])
