"""Answers are packed to bits and come back as they were, and are those of the batches that were seen."""

from __future__ import annotations

import msgspec
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from prunebench import prune, pruning_run, train
from prunebench.data.classification import Classification
from prunebench.experiment.answers import Watching, packed, unpacked
from prunebench.experiment.existing import trim
from prunebench.experiment.resolve import resolve
from prunebench.experiment.setup import set_up
from prunebench.models import checkpoint
from prunebench.records import Answers, Bits, Scores


@given(st.lists(st.booleans(), max_size=70))
def test_answers_come_back_as_they_were_through_json(right):
    answers = packed({"test": torch.tensor(right, dtype=torch.bool)})
    read = msgspec.json.decode(msgspec.json.encode(answers), type=Answers)
    assert unpacked(read.parts["test"]).tolist() == right
    assert len(read.parts["test"].packed) == -(-len(right) // 8)


def test_bytes_that_are_missing_are_samples_that_are_missing():
    assert len(unpacked(Bits(20, b"\xff\xff"))) == 16


def test_what_is_watched_is_joined_in_the_order_of_the_batches():
    objective = Classification(3)
    outputs, labels = torch.randn(10, 3), torch.arange(10) % 3
    for share in (None, 0.1):
        watching = Watching(objective, share)
        for chunk in torch.arange(10).split(4):
            watching(outputs[chunk], labels[chunk])
        found = watching.answered(Scores.of(top1=(1, 10)))
        assert torch.equal(found.right, objective.right(outputs, labels))
        expected = {} if share is None else objective.swings(outputs, labels, share)
        assert found.swings.keys() == expected.keys()
        assert all(torch.equal(found.swings[name], expected[name]) for name in expected)


@pytest.mark.parametrize("epochs", [0, 1])
def test_every_step_keeps_its_answers_beside_its_checkpoint(epochs, tiny_config):
    config = tiny_config(validation=0.3, epochs=1, finetune_epochs=epochs, iterations=2)
    experiment, run = resolve(config), pruning_run(config)
    records = list(prune(config, run))
    setup = set_up(experiment)
    for record in records:
        found = {part: unpacked(bits) for part, bits in run.answers(record.step).parts.items()}
        scores = {"test": record.test_after, "train": record.train_after, "validation": record.validation}
        assert {part: (int(right.sum()), len(right)) for part, right in found.items()} == {
            part: (of.correct, of.total) for part, of in scores.items()
        }
        state = checkpoint.load(run.checkpoint(record.step), experiment.model)
        assert torch.equal(setup.answered(state, "test")["test"].right, found["test"])
    assert experiment.dense.answers(0) == run.answers(0)
    trim(run, msgspec.structs.replace(experiment.settings, keep="last"))
    assert [run.answers(step) is None for step in run.steps()] == [True, True, False]
    assert not (run.step_folder(1) / "answers.json").exists()


def test_a_run_begun_by_an_earlier_version_goes_on_without_the_answers_that_it_lacks(tiny_config):
    config = tiny_config(epochs=1, iterations=1)
    experiment = resolve(config)
    train(experiment, experiment.dense)
    dense = experiment.dense
    dense._list({name: checksum for name, checksum in dense.files().items() if "answers" not in name})
    run = pruning_run(config)
    list(prune(config, run))
    assert [run.answers(step) is None for step in run.steps()] == [True, False]
