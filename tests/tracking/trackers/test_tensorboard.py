"""Event files hold each line once, whenever the run was killed."""

from __future__ import annotations

from pathlib import Path

import pytest

from prunebench import RunConfig, dense_run, prune, pruning_run

MODELS = Path(__file__).parents[2] / "survival" / "models.py"
LINES = "tracking/telling.py"
POINTS = {
    "after a line of an epoch was told": ("self.last = line", 5),
    "before what was told is noted": ("write_atomically(self._place", 6),
}


def read(run):
    """Tag → steps of a run's scalars, as TensorBoard shows them."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(run.root / "tensorboard" / run.key)).Reload()
    return {tag: [event.step for event in events.Scalars(tag)] for tag in events.Tags()["scalars"]}, events


def test_scalars_settings_and_what_the_run_is_are_there(tiny_config):
    config = tiny_config(iterations=1, track=("tensorboard",))
    records = list(prune(config, pruning_run(config)))
    steps, events = read(pruning_run(config))
    assert steps["test/top1"] == [0, 2]
    assert steps["fit/loss"] == steps["fit/lr"] == [1]
    assert [event.value for event in events.Scalars("macs")] == [record.macs for record in records]
    hparams = [tag for tag in events.Tags()["tensors"] if tag.startswith("run")]
    assert hparams == ["run/text_summary"]
    assert pruning_run(config).key in str(events.Tensors("run/text_summary")[0].tensor_proto)
    assert read(dense_run(config))[0]["fit/top1"] == [0, 1]


@pytest.mark.parametrize("point", POINTS)
def test_a_run_that_is_killed_goes_on_in_the_same_run_without_a_step_told_twice(point, nursery, tmp_path):
    config = RunConfig(
        model=f"{MODELS}:cnn",
        dataset="digits",
        image_size=12,
        limit_train=61,
        limit_test=25,
        epochs=2,
        batch_size=16,
        iterations=2,
        finetune_epochs=2,
        device="cpu",
        threads=1,
        runs_dir=str(tmp_path / "runs"),
        results_dir=str(tmp_path / "performance"),
        track=("tensorboard",),
    )
    text, count = POINTS[point]
    answer = nursery.compute(config, at=(LINES, text, count), do="kill")
    assert (answer["killed"], answer["happened"]) == (True, True), answer
    answer = nursery.compute(config)
    assert (answer["died"], answer.get("error")) == (0, None), answer
    dense, pruning = (read(of(config))[0] for of in (dense_run, pruning_run))
    assert (dense["fit/loss"], dense["test/top1"]) == ([0, 1], [2])
    assert (pruning["fit/loss"], pruning["test/top1"]) == ([1, 2, 4, 5], [0, 3, 6])
