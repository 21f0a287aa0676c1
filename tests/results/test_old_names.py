"""Records as JSON keep the names of before beside the new ones."""

import msgspec
import pytest

from prunebench.records import LatencyRecord, Scores, TimingRecord
from prunebench.results.old_names import with_old_names

COUNTED = Scores.of(top1=(3, 4), top5=(4, 4), loss=(2.5, 4))


def test_a_record_is_told_with_the_old_names_beside_the_new_ones(make_record):
    record = make_record(test_after=COUNTED, validation=None)
    told = with_old_names(record)
    assert told["test_after"] == {"correct": 3, "total": 4, **msgspec.to_builtins(COUNTED)}
    assert told["train_after"] == {"correct": 1437, "total": 1437, "counted": {"top1": [1437.0, 1437]}}
    assert isinstance(told["test_after"]["correct"], int)
    assert told["validation"] is None
    assert without_old_names(told) == msgspec.json.decode(msgspec.json.encode(record))


def test_scores_without_accuracy_have_no_correct_samples(make_record):
    told = with_old_names(make_record(test_after=Scores.of(loss=(2.5, 4))))
    assert told["test_after"] == {"counted": {"loss": [2.5, 4]}}


@pytest.mark.parametrize("scores", [COUNTED, None])
def test_a_timing_is_told_with_its_accuracy_by_the_old_name_too(scores):
    about = {"run": None, "model": "tiny", "method": "structured", "step": 1, "nominal_left": 0.9, "batch_size": 1}
    record = LatencyRecord(
        **about, variant="pruned", device="cpu", dtype="fp32", threads=1, samples_ms=(1.0,), scores=scores
    )
    told = with_old_names(record)
    assert told["top1"] == told["scores"] == (with_old_names(scores) if scores else None)
    (nested,) = with_old_names(TimingRecord(step=1, latencies=(record,)))["latencies"]
    assert nested == told


def without_old_names(value):
    """A record as what JSON is made of, without `correct` and `total`."""
    if isinstance(value, dict):
        dropped = {"correct", "total"} if "counted" in value else set()
        return {name: without_old_names(part) for name, part in value.items() if name not in dropped}
    return [without_old_names(part) for part in value] if isinstance(value, list) else value
