import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prunebench.records import FORMAT, Scores, StepRecord


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
    assert msgspec.json.decode(msgspec.json.encode(record))["format"] == FORMAT == 2


@given(st.integers(1, 10**6).flatmap(lambda total: st.tuples(st.integers(0, total), st.just(total))))
def test_top1_counts_samples(counts):
    correct, total = counts
    assert Scores.of(top1=(correct, total)).top1 * total == pytest.approx(correct)


def test_what_was_achieved_and_what_a_layer_had_are_in_the_file(make_record):
    stored = msgspec.json.decode(msgspec.json.encode(make_record(1)))
    assert stored["units"][0]["achieved"] == pytest.approx(0.1)
    assert stored["layers"][0]["weights"] == 100 * 100
