import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prunebench.experiment.goals import GoalRecord, Reading
from prunebench.records import LayerRecord, RemovedBlock, Scores
from prunebench.results import tables

CELLS = st.text("abc 1.%", max_size=8)


def test_a_row_per_step_shows_what_is_left_and_how_sure_the_accuracy_is(make_record):
    lines = tables.steps([make_record(step) for step in range(3)]).splitlines()
    assert lines[0].split() == ["step", "channels", "params", "MACs", "before", "after", "95", "%", "interval"]
    assert lines[1].split() == ["0", "100.0", "%", "10.1", "k", "640", "k", "0.944", "0.916–0.964"]
    assert lines[3].split() == ["2", "81.0", "%", "6.66", "k", "420", "k", "0.550", "0.939", "0.909–0.959"]
    assert "over 360 samples; channels in % of the original" in lines[4]


def test_masked_weights_have_a_column_of_what_is_left_of_the_macs_without_theirs(make_record):
    records = [make_record(step, macs=640_000, effective_macs=640_000 - 100_000 * step) for step in range(2)]
    text = tables.steps([*records, make_record(2, macs=640_000)])  # of an earlier version
    lines = text.splitlines()
    assert lines[0].split()[3:6] == ["MACs", "effective", "before"]
    assert [line.split()[5:9] for line in lines[1:3]] == [["640", "k", "640", "k"], ["640", "k", "540", "k"]]
    assert lines[3].split()[5:8] == ["640", "k", "0.550"]
    assert "Effective: MACs that are left where those of masked weights are skipped" in text
    plain = [make_record(step, effective_macs=make_record(step).macs) for step in range(2)]
    assert "ffective" not in tables.steps(plain)


def test_blocks_that_went_are_named_with_their_scores(make_record):
    removed = (RemovedBlock("layer1.1", 0.01234), RemovedBlock("layer2.1", 0.5))
    records = [make_record(0), make_record(1, removed=removed, criterion="influence", notes=("one is left",))]
    assert tables.steps(records).splitlines()[-2:] == [
        "Step 1 removed layer1.1 (0.0123), layer2.1 (0.5): in brackets influence.",
        "Step 1: one is left.",
    ]


def test_remarks_follow_the_table(make_record):
    text = tables.steps([make_record(0), make_record(1, notes=("conv1 keeps its last channel",))])
    assert text.endswith("Step 1: conv1 keeps its last channel.")


ZERO, CONSTANT = "all weights are zero", "outputs are constant"


def collapsed(*ways):
    return tuple(LayerRecord(f"fc{i}", "Linear", (4, 4), (4, 4), 16, 16, way) for i, way in enumerate(ways))


@pytest.mark.parametrize(
    ("ways", "told"),
    [
        ((ZERO,), "fc0 collapsed (all weights are zero)"),
        (("", CONSTANT), "fc1 collapsed (outputs are constant)"),
        ((ZERO, "", ZERO, ZERO), "fc0, fc2, fc3 collapsed (all weights are zero)"),
        ((ZERO, *[CONSTANT] * 4), "fc0, fc1, fc2 and 2 more collapsed (all weights are zero, or outputs are constant)"),
    ],
)
def test_a_step_whose_layers_collapsed_is_warned_of_below_the_table(ways, told, make_record):
    records = [make_record(0), make_record(3, layers=collapsed(*ways), notes=("one channel is left",))]
    lines = tables.steps(records).splitlines()
    assert lines[-2:] == ["Step 3: one channel is left.", f"Step 3: Warning: {told}."]
    assert "Warning" not in tables.steps([make_record(0), make_record(3, layers=collapsed("", ""))])


def test_a_layer_that_collapsed_is_marked_in_a_column_that_is_there_for_it_alone(make_record):
    lines = tables.layers(make_record(layers=collapsed("", ZERO))).splitlines()
    assert lines[0].split()[-1] == "collapsed"
    assert lines[1].endswith("%")
    assert lines[2].endswith(f"%  {ZERO}")
    assert "collapsed" not in tables.layers(make_record(layers=collapsed("", "")))


def test_a_row_per_layer_shows_its_weights():
    layers = (
        LayerRecord("conv1", "Conv2d", (64, 3, 3, 3), (32, 3, 3, 3), 1728, 864),
        LayerRecord("fc", "Linear", (10, 64), (10, 32), 640, 0),
    )
    record = type("Record", (), {"layers": layers})
    lines = tables.layers(record).splitlines()
    assert lines[1].split() == ["conv1", "Conv2d", "1,728", "864", "50.0", "%"]
    assert lines[2].split() == ["fc", "Linear", "640", "0", "0", "%"]


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (GoalRecord(4, True, (Reading("macs<=0.5", 0.5, 0.432, True),)), ["Step 4 is the answer", "0.432", "holds"]),
        (
            GoalRecord(10, False, (Reading("latency@1<=0.5", 0.5, 0.7, False, 0.68, 0.71),)),
            ["Not reached by step 10.", "more than --iterations 10", "0.7 (0.68–0.71)", "does not hold"],
        ),
        (
            GoalRecord(2, False, (Reading("top1>=0.9", 0.9, 0.95, True), Reading("macs<=0.5", 0.5, 0.7, False))),
            ["Not reached. The last step that keeps the bounds of scores is step 2.", "does not hold"],
        ),
        (GoalRecord(None, False, (Reading("top1>=0.9", 0.9, 0.8, False),)), ["the unpruned model breaks a bound"]),
        (GoalRecord(1, True, (Reading("latency@4<=20ms", 20.0, 12.5, True),)), ["12.5 ms"]),
        (GoalRecord(1, True, (Reading("top1>=dense-0.01", 0.01, 0.005, True),)), ["dense-0.0050"]),
    ],
)
def test_the_end_of_a_search_is_told_with_every_figure(found, words):
    text = tables.goal_lines(found, 10)
    assert [word for word in words if word not in text] == []


def test_held_out_accuracy_has_a_column_where_there_is_some(make_record):
    records = [make_record(step, validation=Scores.of(top1=(30 - step, 40))) for step in (0, 1)]
    assert [line.split()[-1] for line in tables.steps(records).splitlines()[:3]] == ["validation", "0.750", "0.725"]
    assert "validation" not in tables.steps([make_record(0)])


@given(st.integers(1, 3).flatmap(lambda n: st.lists(st.lists(CELLS, min_size=n, max_size=n), min_size=1, max_size=5)))
def test_columns_end_at_the_same_place(rows):
    lines = tables.align(rows).split("\n")
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    ends = [sum(widths[: i + 1]) + 2 * i for i in range(len(widths))]
    for line, row in zip(lines, rows, strict=True):
        padded = line.ljust(ends[-1])
        assert [padded[end - width : end].strip() for end, width in zip(ends, widths, strict=True)] == [
            cell.strip() for cell in row
        ]


@given(st.lists(st.lists(st.text(max_size=5), min_size=2, max_size=2), min_size=1, max_size=3))
def test_a_row_is_a_line_whatever_its_cells_hold(rows):
    assert len([*tables.align([*rows, ["a", "b"]]).splitlines()]) == len(rows) + 1


@given(st.integers(1, 10**6), st.data())
def test_a_share_keeps_two_significant_digits(whole, data):
    part = data.draw(st.integers(0, whole))
    shown = float(re.fullmatch(r"([\d.e+-]+) %", tables.share(part, whole)).group(1))
    assert shown == pytest.approx(100 * part / whole, rel=0.051)


def test_a_share_of_nothing_is_nothing():
    assert tables.share(0, 0) == "0 %"


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, "0"), (999, "999"), (1_000, "1 k"), (11_181_642, "11.2 M"), (999_999, "1 M"), (4_100_000_000, "4.1 G")],
)
def test_large_numbers_are_short(number, text):
    assert tables.short(number) == text


def test_the_interval_is_that_of_wilson():
    assert tables.interval(Scores.of(top1=(0, 20))) == "0.000–0.161"
