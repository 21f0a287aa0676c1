"""The loop: a record per step, committed as it happens, the same whether it was stopped or not."""

from __future__ import annotations

import itertools
import random
import shutil
from functools import partial
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
from torch.nn import functional as F

from prunebench import Dataset, RunConfig, Split, dense_run, prune, pruning_run, reevaluate, train
from prunebench.data.dataset import hold_out
from prunebench.errors import ConfigError, ModelError, RunError, Stopped
from prunebench.experiment import setup
from prunebench.experiment.resolve import resolve
from prunebench.models import checkpoint
from prunebench.models.checkpoint import write_tensors
from prunebench.records import Seconds
from prunebench.runs.files import digest
from prunebench.runs.run import Run
from prunebench.training.fit import evaluate

METHODS = [("structured", "l2"), ("structured", "random"), ("unstructured", "l1"), ("unstructured", "random")]


def timeless(record):
    return msgspec.structs.replace(record, seconds=Seconds())


def everything(folder):
    return sorted(path for path in Path(folder).rglob("*"))


def elsewhere(config, folder):
    return msgspec.structs.replace(config, runs_dir=str(folder))


@pytest.mark.parametrize("method", ["structured", "unstructured"])
def test_a_record_per_step_tells_what_was_asked_and_achieved(method, tiny_config):
    config = tiny_config(method=method, fraction=0.5, iterations=2)
    dense, *pruned = prune(config)
    assert [record.step for record in (dense, *pruned)] == [0, 1, 2]
    assert (dense.nominal_left, dense.fraction, dense.test_before) == (1.0, 0.5, dense.test_after)
    for before, record in zip((dense, *pruned), pruned, strict=False):
        assert record.nominal_left == 0.5**record.step
        assert [unit.before for unit in record.units] == [unit.left for unit in before.units]
        kinds = ["channels", "neurons"] if method == "structured" else ["weights"]
        assert sorted(unit.kind for unit in record.units) == kinds
        assert [unit.achieved for unit in record.units] == [pytest.approx(0.5, abs=0.01)] * len(kinds)
        assert record.nonzero_params < before.nonzero_params
        assert (record.params < before.params) == (record.macs < before.macs) == (method == "structured")
        assert record.prunable_weights == dense.prunable_weights
        assert record.prunable_weights_left < before.prunable_weights_left
        assert [layer.shape_original for layer in record.layers] == [layer.shape for layer in dense.layers]
        assert (record.test_after.total, record.train_after.total) == (25, 61)
        assert record.loss is not None
        assert record.seconds.finetune > 0


def test_without_a_run_nothing_is_written(tiny_config, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    train(tiny_config(epochs=1))
    list(prune(tiny_config(epochs=1, iterations=1)))
    assert everything(tmp_path) == []


def test_each_step_is_committed_before_it_is_yielded(tiny_config):
    config = tiny_config(epochs=1)
    run = pruning_run(config)
    assert not run.folder.exists()
    for count, record in enumerate(prune(config, run), 1):
        assert len(run.steps()) == count
        assert run.record(record.step) == record
        assert record.run == run.key
        assert (run.step_folder(record.step) / "model.safetensors").is_file()


@pytest.mark.parametrize(("method", "criterion"), METHODS)
def test_a_stopped_and_continued_run_equals_one_that_never_stopped(method, criterion, tiny_config, tmp_path):
    config = tiny_config(method=method, criterion=criterion, augment=True)
    whole = pruning_run(elsewhere(config, tmp_path / "whole"))
    expected = [timeless(record) for record in prune(elsewhere(config, tmp_path / "whole"), whole)]

    def interrupt(tick):
        if (tick.phase, tick.step) == ("finetune", 2):
            raise KeyboardInterrupt

    config = elsewhere(config, tmp_path / "stopped")
    run = pruning_run(config)
    with pytest.raises(KeyboardInterrupt):
        list(prune(config, run, interrupt))
    assert run.steps() == [0, 1]
    assert [timeless(record) for record in prune(config, run)] == expected
    for file in ("model.safetensors", "structure.json"):
        assert (run.step_folder(3) / file).read_bytes() == (whole.step_folder(3) / file).read_bytes()
    assert (run.step_folder(3) / "masks.safetensors").exists() == (method == "unstructured")
    assert not [path for path in everything(run.folder) if path.name.startswith(".")]


def texts(run):
    """Every file of every step, but for records, which hold seconds."""
    files = [path for path in run.folder.glob("steps/*/*") if path.name != "record.json"]
    return {str(path.relative_to(run.folder)): path.read_bytes() for path in files}


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (1, 2, 3))])
@pytest.mark.parametrize("method", ["structured", "unstructured"])
def test_a_run_stopped_after_many_batches_equals_one_that_never_stopped(method, seed, tiny_config, tmp_path):
    about = {"validation": 0.2} | ({"round_to": 4} if method == "structured" else {})
    config, draw, stops = tiny_config(method=method, iterations=2, augment=True, **about), random.Random(seed), 0
    whole = pruning_run(elsewhere(config, tmp_path / "whole"))
    expected = [timeless(record) for record in prune(elsewhere(config, tmp_path / "whole"), whole)]
    config = elsewhere(config, tmp_path / "stopped")
    run = pruning_run(config)
    while True:
        asked, at = itertools.count(1), draw.randint(1, 12)
        try:
            found = list(prune(config, run, stop=lambda asked=asked, at=at: next(asked) == at))
            break
        except Stopped:
            stops += 1
    assert stops > 2
    assert [timeless(record) for record in found] == expected
    assert texts(run) == texts(whole)
    assert texts(dense_run(config)) == texts(dense_run(elsewhere(config, tmp_path / "whole")))
    assert not list(run.root.glob("*/progress-*"))


def own_way():
    """Several labels, a loss and a transform of the user's, which draws by all three generators."""
    draw, splits = np.random.default_rng(0), []
    for count in (40, 20):
        sets = draw.random((count, 3)) < 0.4
        images = draw.integers(0, 100, (count, 12, 12)) + 120 * np.repeat(sets, 4, axis=1)[:, None, :]
        splits.append(Split(images.astype(np.uint8), sets))
    loss = partial(F.binary_cross_entropy_with_logits, pos_weight=torch.tensor([1.0, 2.0, 3.0]))
    return Dataset(*splits, ["left", "middle", "right"], loss=loss, transform=shifted)


def shifted(images):
    return images.roll(random.randrange(3), 2).roll(np.random.randint(3), 3).add(torch.randint(9, ()).to(torch.uint8))


@pytest.mark.parametrize(("retrain", "criterion"), [("finetune", "movement"), ("distil", "taylor")])
def test_a_run_with_an_own_loss_and_transform_goes_on_as_if_it_had_never_stopped(
    retrain, criterion, tiny_config, tmp_path
):
    about = {"method": "unstructured", "criterion": criterion, "calibration": 20, "iterations": 1, "retrain": retrain}
    config, draw, stops = tiny_config(dataset=own_way, validation=0.2, **about), random.Random(0), 0
    whole = pruning_run(elsewhere(config, tmp_path / "whole"))
    expected = [timeless(record) for record in prune(elsewhere(config, tmp_path / "whole"), whole)]
    assert list(expected[1].test_after.counted) == ["exact", "f1", "lrap", "own_loss"]
    run = pruning_run(config)
    while True:
        asked, at = itertools.count(1), draw.randint(1, 12)
        try:
            found = list(prune(config, run, stop=lambda asked=asked, at=at: next(asked) == at))
            break
        except Stopped:
            stops += 1
    assert stops > 1
    assert [timeless(record) for record in found] == expected
    assert texts(run) == texts(whole)


@pytest.mark.parametrize(("method", "criterion"), [("unstructured", "movement"), ("structured", "activation-variance")])
def test_what_criteria_look_at_is_the_same_wherever_a_run_was_stopped(method, criterion, tiny_config, tmp_path):
    about = {"method": method, "criterion": criterion, "calibration": 20, "iterations": 2, "epochs": 1}
    config = tiny_config(**about)
    whole = pruning_run(elsewhere(config, tmp_path / "whole"))
    expected = [timeless(record) for record in prune(elsewhere(config, tmp_path / "whole"), whole)]
    run, ticks = pruning_run(config), []
    assert len(list(itertools.islice(prune(config, run), 2))) == 2
    for phase in ("movement", "finetune") if criterion == "movement" else ("finetune",):
        with pytest.raises(Stopped):
            list(
                prune(config, run, ticks.append, lambda at=(phase, 2): {(t.phase, t.step) for t in ticks[-1:]} == {at})
            )
        assert ticks[-1].batch < ticks[-1].batches
    assert [timeless(record) for record in prune(config, run)] == expected
    assert texts(run) == texts(whole)


def test_rounded_widths_follow_the_schedule_whether_a_run_was_stopped_or_not(tiny_config, tmp_path):
    config = tiny_config(round_to=4, iterations=4, epochs=1)
    whole = list(prune(elsewhere(config, tmp_path / "whole")))
    assert [[layer.shape[0] for layer in record.layers[:2]] for record in whole] == [
        *([8, 12], [8, 8], [4, 8], [4, 4], [4, 4])  # 6, 4, 3, 2 and 8, 6, 4, 3 without rounding
    ]
    assert whole[4].notes == ("nothing was removed from 2 of 3 groups (features.4, features.0)",)
    for iterations in (1, 3, 4):  # each goes on from what is on disk
        config = elsewhere(tiny_config(round_to=4, iterations=iterations, epochs=1), tmp_path / "stopped")
        found = list(prune(config, pruning_run(config)))
    assert [timeless(msgspec.structs.replace(record, run="")) for record in found] == [timeless(r) for r in whole]


@pytest.mark.parametrize("method", ["structured", "unstructured"])
def test_nothing_but_its_accuracy_depends_on_what_is_held_out(method, tiny_config, blobs, tmp_path):
    whole, held = blobs(), hold_out(blobs(), 0.3, 5).validation.inputs
    places = [i for i, image in enumerate(whole.train.inputs) if (image == held).all((1, 2)).any()]
    assert len(places) == 18

    def run_on(indices):
        def load():
            data = blobs()
            data.train.inputs[indices] = np.random.default_rng(1).integers(0, 256, (len(indices), 12, 12))
            return data

        config = tiny_config(method=method, dataset=load, validation=0.3, seed=5, iterations=2)
        config = elsewhere(config, tmp_path / str(len(indices)))
        return [timeless(record) for record in prune(config, pruning_run(config))]

    for one, other in zip(run_on([]), run_on(places), strict=True):
        assert one.validation.total == other.validation.total == 18
        assert one.train_after.total == 43
        assert one.validation.correct > other.validation.correct
        theirs = {"validation": other.validation, "run": other.run, "summary": other.summary}
        assert other == msgspec.structs.replace(one, **theirs)


def test_where_nothing_is_held_out_there_is_no_such_accuracy(tiny_config):
    assert [record.validation for record in prune(tiny_config(iterations=1, epochs=1))] == [None, None]


def test_a_training_run_tells_the_accuracy_on_held_out_data_that_step_0_repeats(tiny_config):
    config = tiny_config(validation=0.3, iterations=1)
    run = pruning_run(config)
    first = next(iter(prune(config, run)))
    assert train(config, dense_run(config)).validation == first.validation
    assert run.record(0) == first


def test_too_little_data_to_hold_out_is_told_before_the_training(tiny_config):
    config, ticks = tiny_config(validation=0.001), []
    run = pruning_run(config)
    with pytest.raises(ConfigError, match="--validation"):
        next(prune(config, run, ticks.append))
    assert ticks == []
    assert not run.root.exists() or everything(run.root) == []


@pytest.mark.parametrize("at", [1, 4, 8, 9, 12])
def test_a_stop_is_heard_wherever_it_is_asked_for(at, tiny_config):
    asked = itertools.count(1)
    with pytest.raises(Stopped):
        train(tiny_config(), stop=lambda: next(asked) == at)
    assert next(asked) == at + 1


def test_a_stop_without_a_run_writes_nothing(tiny_config, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for work in (train, lambda config, stop: list(prune(config, stop=stop))):
        with pytest.raises(Stopped, match="after batch 1"):
            work(tiny_config(), stop=lambda: True)
    assert everything(tmp_path) == []


def test_a_loss_that_is_no_number_in_fine_tuning_leaves_the_earlier_steps(tiny_config):
    config = tiny_config(finetune_lr=1e30, finetune_epochs=2)
    run = pruning_run(config)
    with pytest.raises(ModelError, match=r"The loss became .* of finetune, step 1\. Finished steps are kept\."):
        list(prune(config, run))
    assert run.steps() == [0]
    run.check(0)
    assert not list(run.root.glob("*/progress-*"))


def test_a_run_that_is_kept_equals_one_that_is_not(tiny_config):
    config = tiny_config()
    kept = [timeless(record) for record in prune(config, pruning_run(config))]
    assert [msgspec.structs.replace(record, run="") for record in kept] == [timeless(r) for r in prune(config)]


def test_more_iterations_continue_the_same_run(tiny_config):
    short, long = tiny_config(iterations=1), tiny_config(iterations=2)
    run = pruning_run(short)
    first = list(prune(short, run))
    assert pruning_run(long).key == run.key
    written = (run.step_folder(1) / "model.safetensors").stat().st_mtime_ns
    assert list(prune(long, run))[:2] == first
    assert (run.step_folder(1) / "model.safetensors").stat().st_mtime_ns == written
    assert [record.step for record in prune(short, run)] == [0, 1]


def as_before(run, **changes):
    """Have a run be one of an earlier version, which kept no answers and counted no effective MACs."""
    files = {name: checksum for name, checksum in run.files().items() if not name.endswith("/answers.json")}
    for step in run.steps():
        name = f"steps/{step:03d}/record.json"
        old = msgspec.to_builtins(msgspec.structs.replace(run.record(step), **changes))
        del old["effective_macs"]
        (run.folder / name).write_bytes(msgspec.json.encode(old))
        files[name] = digest(run.folder / name)
        (run.step_folder(step) / "answers.json").unlink()
    run._list(files)


def test_a_run_that_an_earlier_version_began_goes_on_to_the_same_figures(tiny_config, tmp_path):
    config = tiny_config(method="unstructured", iterations=1)
    run = pruning_run(config)
    list(prune(config, run))
    as_before(run)
    as_before(dense_run(config))
    longer = tiny_config(method="unstructured", iterations=2)
    found = [timeless(record) for record in prune(longer, run)]
    whole = [timeless(record) for record in prune(elsewhere(longer, tmp_path / "other"))]
    assert found[2] == msgspec.structs.replace(whole[2], run=run.key)
    assert [record.effective_macs is None for record in found] == [True, True, False]
    assert [run.answers(step) is None for step in run.steps()] == [True, True, False]
    assert found[2].notes == ()


def test_where_an_earlier_version_counted_fewer_macs_that_is_told_and_goals_on_them_are_refused(tiny_config):
    config = tiny_config(iterations=1, epochs=1)
    run = pruning_run(config)
    macs = next(prune(config, run)).macs
    as_before(run, macs=macs - 100)
    bounded = resolve(tiny_config(iterations=1, epochs=1, until=("macs<=0.5",)))
    with pytest.raises(RunError, match=rf"--until bounds MACs, but an earlier version counted {macs - 100:,} MACs"):
        list(prune(bounded, run))
    assert run.steps() == [0]
    _, record = prune(config, run)
    assert record.notes[0].startswith(f"an earlier version counted {macs - 100:,} MACs of the unpruned model")
    assert f"it has {macs:,}" in record.notes[0]


def test_a_finished_run_computes_nothing_again(tiny_config):
    config = tiny_config(iterations=1)
    run, ticks = pruning_run(config), []
    first = list(prune(config, run))
    assert list(prune(config, run, ticks.append)) == first
    assert ticks == []


def test_pruning_runs_of_the_same_training_share_the_dense_run(tiny_config):
    ticks = []
    for method in ("structured", "unstructured"):
        config = tiny_config(method=method, iterations=1)
        list(prune(config, pruning_run(config), ticks.append))
    assert {tick.phase for tick in ticks} == {"train", "finetune"}
    assert sum(tick.phase == "train" and tick.batch == tick.batches for tick in ticks) == config.epochs
    assert dense_run(config).steps() == [0]


def test_training_is_kept_and_not_repeated(tiny_config):
    config, ticks = tiny_config(), []
    run = dense_run(config)
    record = train(config, run)
    assert (record.method, record.step, record.units) == ("dense", 0, ())
    assert train(config, run, ticks.append) == record
    assert ticks == []


def test_without_fine_tuning_accuracy_is_the_same_before_and_after(tiny_config):
    _, record = prune(tiny_config(finetune_epochs=0, iterations=1))
    assert (record.test_before, record.train_before) == (record.test_after, record.train_after)
    assert record.loss is None


@pytest.mark.parametrize(("epochs", "evaluated"), [(0, 3), (1, 5)])
@pytest.mark.parametrize("kept", [False, True])
def test_nothing_is_evaluated_twice(kept, epochs, evaluated, tiny_config, monkeypatch):
    config, parts = tiny_config(finetune_epochs=epochs, iterations=2, validation=0.3), []

    def counted(model, task, part, samples, **about):
        parts.append(part)
        return evaluate(model, task, part, samples, **about)

    monkeypatch.setattr(setup, "evaluate", counted)
    steps = [len(parts) for _ in prune(config, pruning_run(config) if kept else None)]
    assert steps == [3, 3 + evaluated, 3 + 2 * evaluated]
    assert parts[-3:] == ["test", "train", "validation"]


@pytest.mark.parametrize("kept", [False, True])
def test_a_short_fit_is_written_once_when_it_ends_and_not_again_for_the_step(kept, tiny_config, monkeypatch):
    config, written = tiny_config(finetune_epochs=3, iterations=2), []

    def counted(tensors, path, metadata=None):
        written.append(path.name)
        write_tensors(tensors, path, metadata)

    monkeypatch.setattr(checkpoint, "write_tensors", counted)
    list(prune(config, pruning_run(config) if kept else None))
    fits, copies = 1 + 2, 1  # step 0 of the pruning run is a copy of the dense model
    assert written.count("model.safetensors") == (fits + copies if kept else 0)
    assert "optimizer.safetensors" not in written


@pytest.mark.parametrize(("phase", "epochs"), [("train", 2), ("finetune", 3)])
def test_a_step_that_is_stopped_after_its_last_epoch_takes_the_model_over_and_does_not_train_again(
    phase, epochs, tiny_config
):
    config, seen = tiny_config(iterations=1, finetune_epochs=3), []
    pruning = pruning_run(config)
    run, step = (pruning, 1) if phase == "finetune" else (dense_run(config), 0)

    def stop():
        return seen[-1:] != [] and (seen[-1].phase, seen[-1].epoch + 1, seen[-1].batch) == (phase, epochs, 4)

    with pytest.raises(Stopped, match=f"Stopped after epoch {epochs} of {epochs}"):
        list(prune(config, pruning, seen.append, stop))
    assert run.steps() == list(range(step))
    saved = run.progress() / "model.safetensors"
    before, again = (saved.stat().st_ino, saved.read_bytes()), []
    records = [timeless(record) for record in prune(config, pruning, again.append)]
    after = run.step_folder(step) / "model.safetensors"
    assert (after.stat().st_ino, after.read_bytes()) == before
    assert phase not in {tick.phase for tick in again}
    assert run.progress() is None
    assert run.record(step).seconds.finetune > 0
    whole = [timeless(record) for record in prune(tiny_config(iterations=1, finetune_epochs=3))]
    assert [msgspec.structs.replace(record, run="") for record in records] == whole


def test_a_goal_on_what_is_not_counted_is_told_before_the_training(tiny_config):
    config, ticks = tiny_config(until=("top5>=dense-0.1",)), []
    run = pruning_run(config)
    with pytest.raises(ConfigError, match=r"--until 'top5>=dense-0\.1': on this data are counted: top1, loss"):
        next(prune(config, run, ticks.append))
    assert ticks == []
    assert not run.root.exists() or everything(run.root) == []


@pytest.mark.parametrize("method", ["structured", "unstructured"])
def test_a_step_computed_anew_from_its_files_scores_what_was_recorded(method, tiny_config):
    config = resolve(tiny_config(method=method, iterations=2))
    run = pruning_run(config)
    for record in prune(config, run):
        assert reevaluate(run, record.step, config) == (record.test_after, record.train_after)


NET = """
from torch import nn

def build(classes):
    return nn.Sequential(nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(),
                         nn.Linear(24, classes))
"""
PARTS = """
import numpy as np
from prunebench import Dataset, Split

def load(seed):
    draw = np.random.default_rng(seed)
    images = draw.integers(0, 256, (40, 10, 10)).astype(np.uint8)
    labels = (images[:, :5].mean((1, 2)) > images[:, 5:].mean((1, 2))).astype(int)
    return Dataset(Split(images[:30], labels[:30]), Split(images[30:], labels[30:]), ["below", "above"])
"""
MINE = """
def score(weight, task):
    return weight.abs() * len(task.targets["train"])
"""


@pytest.mark.parametrize("method", ["structured", "unstructured"])
def test_a_users_model_dataset_and_criterion_from_files(method, tmp_path):
    for name, text in (("net", NET), ("parts", PARTS), ("mine", MINE)):
        (tmp_path / f"{name}.py").write_text(text)
    config = RunConfig(
        model=f"{tmp_path}/net.py:build",
        dataset=f"{tmp_path}/parts.py:load",
        criterion=f"{tmp_path}/mine.py:score",
        method=method,
        image_size=10,
        epochs=1,
        iterations=2,
        fraction=0.5,
        runs_dir=str(tmp_path / "runs"),
    )
    run = pruning_run(config)
    records = list(prune(config, run))
    assert records[-1].criterion == f"{tmp_path}/mine.py:score"
    assert [unit.left for record in records for unit in record.units] == (
        [6, 3, 1] if method == "structured" else [210, 105, 53]
    )
    (tmp_path / "mine.py").write_text(MINE.replace("abs()", "square()"))
    assert pruning_run(config).key != run.key
    assert dense_run(config).key == dense_run(config).key


def test_a_users_model_dataset_and_criterion_as_objects(tiny_net, blobs, tiny_config):
    def smallest_first(weight):
        return weight.abs()

    named = [timeless(record) for record in prune(tiny_config(method="unstructured", criterion="l1"))]
    own = [timeless(record) for record in prune(tiny_config(method="unstructured", criterion=smallest_first))]
    assert [msgspec.structs.replace(record, criterion="l1") for record in own] == named
    config = tiny_config(model=tiny_net(3), dataset=blobs(), iterations=1)
    run = pruning_run(config)
    assert [record.step for record in prune(config, run)] == [0, 1]
    assert isinstance(run, Run)


def test_a_project_of_a_user_goes_on_where_it_was_moved_to(tmp_path, monkeypatch):
    config = RunConfig(model="net.py:build", dataset="parts.py:load", criterion="mine.py:score", image_size=10)
    config = msgspec.structs.replace(config, epochs=1, iterations=1, device="cpu")
    old, new = tmp_path / "old", tmp_path / "new"
    old.mkdir()
    for name, text in (("net", NET), ("parts", PARTS), ("mine", MINE)):
        (old / f"{name}.py").write_text(text)
    monkeypatch.chdir(old)
    first = pruning_run(config)
    expected = list(prune(config, first))
    old.rename(new)
    monkeypatch.chdir(new)
    longer = msgspec.structs.replace(config, iterations=2)
    run, ticks = pruning_run(longer), []
    assert run.manifest == msgspec.structs.replace(
        first.manifest, config=run.manifest.config, created=run.manifest.created
    )
    assert list(prune(longer, run, ticks.append))[:2] == expected
    assert {(tick.phase, tick.step) for tick in ticks} == {("finetune", 2)}
    again = msgspec.structs.replace(config, weights=run.key)
    assert train(again, dense_run(again)).step == 0


def test_a_step_is_computed_anew_by_a_config_that_is_not_resolved(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = RunConfig(model="resnet18", limit_train=40, limit_test=20, epochs=1)
    run = dense_run(config)
    record = train(config, run)
    assert reevaluate(run, 0, config) == (record.test_after, record.train_after)


def test_what_a_step_could_not_prune_is_in_its_notes(tiny_config):
    _, record = prune(tiny_config(fraction=0.05, iterations=1, epochs=1))
    (note,) = record.notes
    assert note.startswith("nothing was removed from 1 of 3 groups (features.0)")


def test_patterns_that_match_nothing_are_told_before_the_training(tiny_config):
    ticks = []
    with pytest.raises(ConfigError, match="'feature'; the model consists of: features, classifier"):
        next(prune(tiny_config(exclude=("feature",)), progress=ticks.append))
    assert ticks == []


@pytest.fixture
def two_phases(tiny_config, tmp_path):
    """Makes configs of a training in two phases, the first with the body frozen."""
    (tmp_path / "head.toml").write_text("epochs = 1\nlr = 0.1\nbatch_size = 16\nfreeze = true\n", encoding="utf-8")
    return lambda **changes: tiny_config(weights=str(tmp_path / "head.toml"), iterations=1, **changes)


def test_a_first_phase_is_trained_in_a_run_of_its_own_and_gone_on_from(two_phases, tmp_path):
    config = two_phases()
    run = pruning_run(config)
    records = [timeless(record) for record in prune(config, run)]
    first, second = (phase.dense for phase in resolve(config).phases)
    assert first.steps() == second.steps() == [0]
    assert second.manifest.config["weights"] == first.key
    assert first.record(0).loss != second.record(0).loss
    by_hand = two_phases(runs_dir=str(tmp_path / "by-hand"))
    begin = resolve(by_hand).first
    train(begin, begin.dense)
    by_hand = msgspec.structs.replace(by_hand, weights=first.key)
    assert [timeless(record) for record in prune(by_hand, pruning_run(by_hand))] == records
    in_memory = [timeless(record) for record in prune(two_phases(runs_dir=str(tmp_path / "none")))]
    assert [msgspec.structs.replace(record, run=run.key) for record in in_memory] == records
    assert not (tmp_path / "none").exists()


def test_a_first_phase_is_not_trained_again(two_phases):
    config = two_phases()
    first, second = (phase.dense for phase in resolve(config).phases)
    train(config, second)
    created = first.folder.joinpath("run.json").read_bytes()
    again = two_phases(epochs=3)
    train(again, dense_run(again))
    assert first.folder.joinpath("run.json").read_bytes() == created
    assert len(list(first.root.glob("*-dense-*"))) == 3


def test_a_training_in_two_phases_that_was_stopped_in_either_goes_on(two_phases, tmp_path):
    expected = timeless(train(two_phases(runs_dir=str(tmp_path / "whole"))))
    config = two_phases()
    for after in (2, 7):  # batches: four of the first phase, four an epoch of the second
        asked = itertools.count(1)
        with pytest.raises(Stopped):
            train(config, dense_run(config), stop=lambda asked=asked, after=after: next(asked) >= after)
    found = timeless(train(config, dense_run(config)))
    assert msgspec.structs.replace(found, run="") == expected


def test_a_first_phase_on_less_data_leaves_the_same_model_whoever_trains_it(two_phases, tmp_path):
    """`prune` prepares data before the first phase; `train` does after it, and normalises by what that has seen."""
    with (tmp_path / "head.toml").open("a", encoding="utf-8") as file:
        file.write("limit_train = 20\n")
    pruned, trained = two_phases(), two_phases(runs_dir=str(tmp_path / "trained"))
    list(prune(pruned, pruning_run(pruned)))
    train(trained, dense_run(trained))
    files = [dense_run(config).step_folder(0) / "model.safetensors" for config in (pruned, trained)]
    assert files[0].read_bytes() == files[1].read_bytes()
    structures = [file.with_name("structure.json").read_bytes() for file in files]
    assert structures[0] == structures[1]


def test_a_run_goes_on_alike_though_its_first_phase_was_deleted(two_phases, tmp_path):
    with (tmp_path / "head.toml").open("a", encoding="utf-8") as file:
        file.write("limit_train = 20\n")
    config, whole = two_phases(), two_phases(runs_dir=str(tmp_path / "whole"))
    expected = [timeless(record) for record in prune(whole, pruning_run(whole))]
    found = [timeless(next(prune(config, pruning_run(config))))]
    shutil.rmtree(resolve(config).first.dense.folder)
    found += [timeless(record) for record in prune(config, pruning_run(config))][1:]
    assert found == expected
