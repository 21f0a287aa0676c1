"""What a dense and a pruned model answer is computed once from their checkpoints, and the run stays as it was."""

from __future__ import annotations

import io
import shutil
from dataclasses import replace

import msgspec
import numpy as np
import pytest
import torch
from PIL import Image

from prunebench import RunConfig, prune, pruning_run
from prunebench.data.images import ImageTask
from prunebench.errors import RunError
from prunebench.experiment.damage import damage, dense_run
from prunebench.experiment.damages import FOLDER, keep, kept, lost_counts, most_lost
from prunebench.experiment.resolve import resolve
from prunebench.models import checkpoint
from prunebench.results.damage import damage_of, seeds_of


@pytest.fixture(scope="module")
def made(tmp_path_factory, tiny_net, blobs):
    """Finished runs of two seeds with their experiments."""
    root = str(tmp_path_factory.mktemp("runs"))
    about = {"model": tiny_net, "dataset": blobs, "image_size": 12, "epochs": 6, "batch_size": 16, "lr": 0.01}
    about |= {"fraction": 0.6, "iterations": 2, "finetune_epochs": 1, "device": "cpu", "runs_dir": root, "keep": "all"}
    found = []
    for seed in (0, 1):
        experiment = resolve(RunConfig(**about, seed=seed))
        run = pruning_run(experiment)
        list(prune(experiment, run))
        found.append((run, experiment))
    return found


@pytest.fixture
def fresh(made):
    """The run and the experiment of seed 0, nothing of its damage kept."""
    run, experiment = made[0]
    shutil.rmtree(run.root / FOLDER, ignore_errors=True)
    return run, experiment


def raw(run, experiment, step, blobs):
    """Logits on the test data, and labels, without the code that is tested."""
    state = checkpoint.load(run.checkpoint(step), experiment.model)
    inputs = state.architecture.inputs
    task = ImageTask(blobs(), 12, statistics=(inputs.mean, inputs.std))
    images, labels = next(task.batches("test", [torch.arange(25)], torch.device("cpu")))
    with torch.no_grad():
        return state.model.eval()(images).double().numpy(), labels.numpy()


def test_of_several_labels_it_is_refused_in_a_line(tiny_config, tiny_net, blobs):
    def several():
        data, sets = blobs(), np.eye(3, dtype=bool)
        return replace(data, **{p: replace(s, labels=sets[s.labels]) for p, s in data.splits.items() if len(s)})

    config = tiny_config(dataset=several, iterations=1, epochs=1)
    run = pruning_run(config)
    list(prune(config, run))
    with pytest.raises(
        RunError, match=r"may have several labels, and damage is told by the one class that is answered\."
    ):
        damage(run, 1, resolve(config))


def test_every_figure_is_that_of_the_raw_logits(fresh, blobs):
    run, experiment = fresh
    found = damage_of(damage(run, 2, experiment))
    (one, labels), (other, _) = raw(run, experiment, 0, blobs), raw(run, experiment, 2, blobs)
    answers = [logits.argmax(1) for logits in (one, other)]
    right = [answer == labels for answer in answers]
    assert found.whole.dense.figure == right[0].mean() == run.record(0).test_after.top1
    assert found.whole.pruned.figure == right[1].mean() == run.record(2).test_after.top1
    assert found.churn.churn.figure == np.mean(answers[0] != answers[1])
    assert found.churn.lost == np.mean(right[0] & ~right[1])
    assert found.churn.gained == np.mean(~right[0] & right[1])
    assert found.churn.moved == pytest.approx(np.mean(~right[0] & ~right[1] & (answers[0] != answers[1])))
    for i, row in enumerate(found.classes):
        mine = labels == i
        assert (row.samples, row.dense.figure, row.pruned.figure) == (
            mine.sum(),
            right[0][mine].mean(),
            right[1][mine].mean(),
        )
    for logits, answered, error in zip(
        (one, other), right, (found.calibration.dense, found.calibration.pruned), strict=True
    ):
        sure = (np.exp(logits) / np.exp(logits).sum(1, keepdims=True)).max(1)
        bins = [(sure > i / 15) & (sure <= (i + 1) / 15) for i in range(15)]
        each = [abs(answered[of].mean() - sure[of].mean()) * of.mean() for of in bins if of.any()]
        assert error[0] == pytest.approx(sum(each), abs=1e-5)
        assert 0 <= error[1] <= error[0] <= error[2] <= 1
    assert found.otherwise == (0, 0)


def test_it_is_computed_once_and_the_run_stays_as_it_was(fresh):
    run, experiment = fresh
    before = {path: path.read_bytes() for path in run.folder.rglob("*") if path.is_file()}
    first = damage(run, 2, experiment)
    assert kept(run, 2) == first
    assert damage(run, 2, experiment, stop=lambda: pytest.fail("it computes")) == first
    assert {path: path.read_bytes() for path in run.folder.rglob("*") if path.is_file()} == before


def test_the_samples_lost_most_often_are_counted_over_seeds_else_over_steps(made, fresh):
    run, experiment = fresh
    alone = damage(run, 2, experiment)
    assert (alone.over, [trial.name for trial in alone.trials]) == ("steps", ["step 1", "step 2"])
    (other,) = seeds_of(run)
    assert other.key == made[1][0].key
    together = damage(run, 2, experiment, [other])
    assert (together.over, [trial.name for trial in together.trials]) == ("seeds", ["seed 0", "seed 1"])
    assert (together.dense, together.pruned) == (alone.dense, alone.pruned)
    bits = {
        (of.key, step): np.unpackbits(np.frombuffer((of.answers(step).parts["test"]).packed, np.uint8), count=25)
        for of in (run, other)
        for step in (0, 2)
    }
    times = sum(bits[of.key, 0] * (1 - bits[of.key, 2]) for of in (run, other))
    assert list(lost_counts(together, together.trials)) == list(times)
    listed = most_lost(together, together.trials)
    assert sorted(listed) == list(np.flatnonzero(times))
    assert [times[i] for i in listed] == sorted(times[times > 0], reverse=True)


def test_lost_samples_are_shown_as_the_model_reads_them(fresh, blobs):
    run, experiment = fresh
    record = damage(run, 2, experiment)
    assert record.shown
    for shown in record.shown:
        pixels = np.asarray(Image.open(io.BytesIO(shown.png)))
        assert np.array_equal(pixels, np.repeat(blobs().test.inputs[shown.sample][..., None], 3, 2))


def test_what_was_computed_of_other_files_or_is_damaged_is_none(fresh):
    run, experiment = fresh
    record = damage(run, 2, experiment)
    for changes in (
        {"files": {**record.files, "steps/002/record.json": "0" * 64}},
        {"labels": record.labels[:-4]},
        {"classes": record.classes[:1]},
        {"run": "another"},
        {"kinds": {"brightness": b""}},
    ):
        keep(run, msgspec.structs.replace(record, **changes))
        assert kept(run, 2) is None or changes.get("run")
        keep(run, record)
        assert kept(run, 2) == record
    (place,) = (run.root / FOLDER).iterdir()
    place.write_bytes(b"{")
    assert kept(run, 2) is None
    assert damage(run, 2, experiment) == record


def test_a_dense_model_that_is_gone_is_told(made, tmp_path):
    run, experiment = made[0]
    shutil.copytree(run.folder, tmp_path / run.key)
    copy = type(run)(tmp_path, run.manifest)
    assert dense_run(copy) is copy
    copy.drop_checkpoints([0])
    with pytest.raises(
        RunError, match=r"The dense model that run \S+ comes from is gone: no run conftest-dense-\S+ in .* keeps it"
    ):
        damage(copy, 2, experiment)
