"""Scores in a backend are those of the test data, whatever batch size the backend was made for."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from prunebench import EfficiencyConfig, RunConfig, prune, time_run
from prunebench.errors import RunError
from prunebench.experiment.resolve import resolve
from prunebench.experiment.setup import set_up
from prunebench.latency.accuracy import score_of, task_of
from prunebench.latency.backends import Loaded, eager
from prunebench.models.checkpoint import load as load_checkpoint

CPU = torch.device("cpu")


@pytest.mark.parametrize("sizes", [(1,), (2, 7), (25,), (256,)])
def test_accuracy_is_that_of_the_step_and_every_batch_has_the_same_size(sizes, tiny_config):
    experiment = resolve(tiny_config(iterations=1))
    run = experiment.run
    records = list(prune(experiment, run))
    state = load_checkpoint(run.checkpoint(1), experiment.model)
    loaded = eager.load(state, CPU, "fp32")
    seen = set()

    def runner(size):
        def call(batch):
            seen.add(len(batch))
            return loaded.runner(size)(batch)

        return call

    config = EfficiencyConfig(batch_sizes=sizes)
    score = score_of(task_of(run, experiment, config, state), config, state, CPU)
    with torch.inference_mode():
        (scored,), expected = score(Loaded(loaded.place, runner)), records[1].test_after
    found = scored.scores
    assert list(found.counted) == list(expected.counted) == ["top1", "loss"]
    assert (found.correct, found.total) == (expected.correct, expected.total)
    assert found["loss"] == pytest.approx(expected["loss"], rel=1e-5)
    assert seen == {max((size for size in sizes if size <= 64), default=min(sizes))}


def test_sentences_are_padded_to_the_length_that_an_engine_was_made_for():
    experiment = resolve(RunConfig(model="bert", limit_train=40, limit_test=13, device="cpu"))
    setup = set_up(experiment)
    state = replace(setup.fresh(), tokenizer=setup.task.tokenizer.to_str())
    expected = setup.scores(state)[0]
    loaded, shapes = eager.load(replace(state, model=state.model.eval()), CPU, "fp32"), set()

    def place(batch):
        shapes.update(tuple(part.shape) for part in batch.values())
        return batch

    config = EfficiencyConfig(batch_sizes=(4,))
    score = score_of(task_of(experiment.run, experiment, config, state), config, state, CPU)
    with torch.inference_mode():
        found = score(Loaded(place, loaded.runner))[0].scores
    assert (found.correct, found.total) == (expected.correct, 13)
    assert found["loss"] == pytest.approx(expected["loss"], rel=1e-5)
    assert shapes == {(4, state.architecture.inputs.length)}


def test_accuracy_on_other_data_than_the_runs_is_refused(tiny_config, blobs):
    config = tiny_config(iterations=1)
    list(prune(config, run := resolve(config).run))
    state = load_checkpoint(run.checkpoint(1), resolve(config).model)

    def other():
        data = blobs()
        data.test.inputs[0] ^= 1
        return data

    changed = resolve(tiny_config(iterations=1, dataset=other))
    config = EfficiencyConfig(batch_sizes=(4,))
    score = score_of(task_of(run, changed, config, state), config, state, CPU)
    with pytest.raises(RunError, match="was computed with other contents of: data"):
        score(eager.load(state, CPU, "fp32"))
    with pytest.raises(RunError, match="was computed with other contents of: data"):
        next(time_run(run, changed, EfficiencyConfig(batch_sizes=(4,), dtype="bf16")))
