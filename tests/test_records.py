import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prunebench.data.classification import Classification
from prunebench.records import FORMAT, METRICS, Scores, StepRecord, other_format


def test_a_record_survives_json(make_record):
    record = make_record(3, notes=("conv1 has one channel left",), loss=None)
    assert msgspec.json.decode(msgspec.json.encode(record), type=StepRecord) == record


def test_a_record_without_held_out_data_is_read_and_one_with_it_survives_json(make_record):
    record = make_record(validation=Scores.of(top1=(3, 4)))
    assert msgspec.json.decode(msgspec.json.encode(record), type=StepRecord) == record
    old = {name: value for name, value in msgspec.to_builtins(record).items() if name != "validation"}
    assert msgspec.convert(old, StepRecord) == make_record()


def test_a_record_is_immutable_and_versioned(make_record):
    record = make_record()
    with pytest.raises(AttributeError):
        record.step = 1
    assert msgspec.json.decode(msgspec.json.encode(record))["format"] == FORMAT == 3


@given(st.integers(1, 10**6).flatmap(lambda total: st.tuples(st.integers(0, total), st.just(total))))
def test_top1_counts_samples(counts):
    correct, total = counts
    assert Scores.of(top1=(correct, total)).top1 * total == pytest.approx(correct)


def test_what_was_achieved_and_what_a_layer_had_are_in_the_file(make_record):
    stored = msgspec.json.decode(msgspec.json.encode(make_record(1)))
    assert stored["units"][0]["achieved"] == pytest.approx(0.1)
    assert stored["layers"][0]["weights"] == 100 * 100


# Scores and metrics

COUNTED = Scores.of(top1=(3, 4), top5=(4, 4), loss=(2.5, 4))


def test_scores_are_means_of_what_was_counted_and_the_first_metric_is_the_main_one():
    assert (COUNTED.top1, COUNTED["top1"], COUNTED["top5"], COUNTED["loss"]) == (0.75, 0.75, 1.0, 0.625)
    assert (COUNTED.main, COUNTED.correct, COUNTED.total) == (METRICS["top1"], 3, 4)
    assert "loss" in COUNTED
    assert "f1" not in COUNTED
    other = Scores.of(loss=(2.5, 4))
    assert (other.main, other.total) == (METRICS["loss"], 4)
    with pytest.raises(KeyError):
        other["top1"]


def test_scores_survive_json_in_their_order():
    found = msgspec.json.decode(msgspec.json.encode(COUNTED), type=Scores)
    assert found == COUNTED
    assert list(found.counted) == ["top1", "top5", "loss"]


@pytest.mark.parametrize("classes", [2, 10, 11, 1000])
def test_every_metric_that_a_task_counts_is_in_the_table(classes):
    assert set(Classification(classes).metrics) <= set(METRICS)


@pytest.mark.parametrize("name", METRICS)
def test_a_metric_says_what_it_is(name):
    metric = METRICS[name]
    assert metric.name == name
    assert metric.title
    assert metric.higher_is_better == (metric.unit == "share")
    assert (metric.interval == "wilson") == (name in ("top1", "top5", "exact"))  # which count samples


@pytest.mark.parametrize(
    ("version", "told"),
    [
        (FORMAT + 1, "a newer version of prunebench; this one reads format 3: update prunebench."),
        (2, "an older version of prunebench; this one reads format 3: what it recorded is shown, but it is not conti"),
        ("2", "another version of prunebench; this one reads format 3: "),
        (None, "another version of prunebench; this one reads format 3: "),
    ],
)
def test_another_format_is_told_with_what_to_do(version, told):
    assert other_format("run.json", version).startswith(f"run.json has format {version}, of {told}")
