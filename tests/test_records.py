import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prunebench.records import Accuracy, LayerRecord, StepRecord, UnitCount


def test_a_record_survives_json(make_record):
    record = make_record(3, notes=("conv1 has one channel left",), loss=None)
    assert msgspec.json.decode(msgspec.json.encode(record), type=StepRecord) == record


def test_a_record_is_immutable_and_versioned(make_record):
    record = make_record()
    with pytest.raises(AttributeError):
        record.step = 1
    assert msgspec.json.decode(msgspec.json.encode(record))["format"] == 1


@given(st.integers(1, 10**6).flatmap(lambda total: st.tuples(st.integers(0, total), st.just(total))))
def test_top1_counts_samples(counts):
    correct, total = counts
    assert Accuracy(correct, total).top1 * total == pytest.approx(correct)


@given(st.integers(0, 10**9), st.data())
def test_what_was_achieved_is_a_share_of_what_was_there_before(before, data):
    left = data.draw(st.integers(0, before))
    unit = UnitCount("channels", 2 * before, before, left)
    assert 0 <= unit.achieved <= 1
    assert before * (1 - unit.achieved) == pytest.approx(left)


def test_a_layer_knows_its_original_weights():
    assert LayerRecord("conv", "Conv2d", (8, 4, 3, 3), (4, 2, 3, 3), 70).weights == 8 * 4 * 9
