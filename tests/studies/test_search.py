"""A search ends at the first step that meets every cost, or before accuracy breaks, and says what it found."""

from __future__ import annotations

import itertools

import pytest

from prunebench import pruning_run, seek
from prunebench.experiment.goals import GoalRecord, Reading
from prunebench.experiment.resolve import HELD_OUT, SEARCHED, resolve
from prunebench.records import Scores, StepRecord
from prunebench.studies import search as seeking


@pytest.fixture
def search(monkeypatch, tiny_config, make_record):
    """Searches over made-up steps: `accuracies` are percent of held-out samples; costs fall by a tenth per step."""

    def run(goals, accuracies):
        made = [make_record(step, validation=Scores.of(top1=(right, 100))) for step, right in enumerate(accuracies)]
        asked = []

        def fake(config, run, progress, stop):
            for record in made:
                asked.append(record.step)
                yield record

        monkeypatch.setattr(seeking, "prune", fake)
        config = tiny_config(until=tuple(goals), iterations=len(made) - 1)
        *steps, found = seek(config, pruning_run(config))
        assert [record.step for record in steps] == asked
        return found, asked[-1]

    return run


LEVEL = [90] * 11


@pytest.mark.parametrize(
    ("goals", "accuracies", "step", "reached", "last"),
    [
        (["macs<=0.5"], LEVEL, 4, True, 4),  # 0.9 ** 8 = 0.43
        (["macs<=0.5", "params<=0.3"], LEVEL, 6, True, 6),
        (["macs<=0.01"], LEVEL, 10, False, 10),
        (["top1>=dense-0.05"], LEVEL, 10, True, 10),
        (["top1>=dense-0.05"], [90, 88, 86, 84, 95], 2, True, 3),
        (["top1>=0.95"], LEVEL, None, False, 0),
        (["macs<=0.5", "top1>=dense-0.05"], LEVEL, 4, True, 4),
        (["macs<=0.5", "top1>=dense-0.05"], [90, 88, 80, 90, 90], 1, False, 2),
        (["macs<=0.5", "top1>=dense-0.05"], [90, 90, 90, 90, 80], 3, False, 4),
        (["macs<=640001"], LEVEL, 0, True, 0),
    ],
)
def test_the_answer_is_the_step_that_the_goals_ask_for(search, goals, accuracies, *, step, reached, last):
    found, computed = search(goals, accuracies)
    assert (found.step, found.reached, computed) == (step, reached, last)
    assert [reading.goal for reading in found.readings] == goals
    assert all(reading.holds for reading in found.readings) is reached


def test_accuracy_holds_data_out_and_a_search_goes_further_than_ten_steps(tiny_config):
    settings = resolve(tiny_config(until=("top1>=dense-0.02",), iterations=None)).settings
    assert (settings.validation, settings.iterations) == (HELD_OUT, SEARCHED)
    assert resolve(tiny_config(until=("loss<=dense+0.02",))).settings.validation == HELD_OUT
    assert resolve(tiny_config(until=("macs<=0.5",))).settings.validation == 0


def test_a_real_search_is_the_same_when_it_is_made_again_and_shares_its_run(tiny_config):
    config = tiny_config(until=("macs<=0.6", "latency@2<=5000ms"), epochs=1, iterations=5)
    run = pruning_run(config)
    first = list(seek(config, run))
    assert isinstance(first[-1], GoalRecord)
    assert first[-1].reached
    steps = [record for record in first if isinstance(record, StepRecord)]
    assert steps[-1].macs <= 0.6 * steps[0].macs < steps[-2].macs
    assert [record.step for record in steps] == run.steps()
    assert list(seek(config, run)) == first
    assert pruning_run(tiny_config(epochs=1)).key == run.key


@pytest.mark.parametrize(
    ("keep", "goal", "kept"),
    [
        pytest.param("records", "latency@1<=0.0001", [], marks=pytest.mark.slow),
        ("last", "latency@1<=0.0001", [2]),
        ("last", "latency@1<=100000ms", [0]),
        pytest.param("all", "latency@1<=0.0001", [0, 1, 2], marks=pytest.mark.slow),
    ],
)
def test_a_step_is_timed_before_its_checkpoint_goes_and_a_finished_search_answers_without(
    keep, goal, kept, tiny_config
):
    config = tiny_config(until=(goal,), keep=keep, epochs=1, iterations=2, finetune_epochs=0)
    run = pruning_run(config)
    first = list(seek(config, run))
    assert isinstance(first[-1], GoalRecord)
    assert run.checkpoints() == kept
    assert list(seek(config, run)) == first
    assert run.checkpoints() == kept


def test_the_answer_stays_though_later_steps_were_computed(tiny_config, monkeypatch):
    """Accuracy holds for two steps and breaks at the third, so the second is the answer."""

    def read(goal, record, first):
        return Reading(goal.text, goal.bound, 0.0, holds=record.step < 3)

    monkeypatch.setattr(seeking, "read", read)
    config = tiny_config(until=("top1>=dense-0.05",), keep="last", epochs=1, iterations=4, finetune_epochs=0)
    run = pruning_run(config)
    *steps, (found, kept) = ((found, run.checkpoints()) for found in seek(config, run))
    assert (found.step, run.steps(), kept) == (2, [0, 1, 2, 3], [2, 3])
    assert [there for _, there in steps] == [[0], [0, 1], [1, 2], [2, 3]]


def test_latency_is_read_as_a_share_with_its_interval(tiny_config):
    config = tiny_config(until=("latency@1<=0.0001",), epochs=1, iterations=1)
    found = list(itertools.islice(seek(config, pruning_run(config)), 3))[-1]
    assert not found.reached
    (reading,) = found.readings
    assert reading.low <= reading.figure <= reading.high
    assert 0.1 < reading.figure < 10
