"""Verify computes every step anew; what was recorded comes out again, and what was changed is found."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations

from prunebench import Dataset, Split, dense_run, prune, pruning_run
from prunebench.data.classification import Classification
from prunebench.experiment.answers import packed, unpacked
from prunebench.experiment.resolve import resolve
from prunebench.experiment.verify import ELSEWHERE, inexact, rounding, verify
from prunebench.models import checkpoint
from prunebench.models.export import export
from prunebench.models.loading import load
from prunebench.records import Answers, Score
from prunebench.runs.files import digest
from prunebench.runs.manifest import encode
from prunebench.statistics import wilson


@pytest.fixture(scope="module", params=["structured", "unstructured"])
def made(request, tmp_path_factory, tiny_net, blobs):
    """A finished run of each method, and its experiment."""
    from prunebench import RunConfig

    experiment = resolve(
        RunConfig(
            model=tiny_net,
            dataset=blobs,
            image_size=12,
            epochs=1,
            finetune_epochs=1,
            batch_size=16,
            method=request.param,
            fraction=0.3,
            iterations=2,
            device="cpu",
            runs_dir=str(tmp_path_factory.mktemp("runs")),
        )
    )
    run = pruning_run(experiment)
    list(prune(experiment, run))
    return run, experiment


class Kinds(nn.Module):
    """A weight that is computed, one of a recurrent layer, and one that no layer holds."""

    def __init__(self, classes):
        super().__init__()
        self.conv = parametrizations.weight_norm(nn.Conv2d(3, 6, 3))
        self.rows, self.out = nn.GRU(6, 7, batch_first=True), nn.Parameter(torch.randn(7, classes))

    def forward(self, images):
        return self.rows(self.conv(images).relu().mean(3).transpose(1, 2))[0][:, -1] @ self.out


def test_weights_of_every_kind_are_pruned_verified_exported_and_loaded(tiny_config, tmp_path):
    experiment = resolve(tiny_config(model=Kinds, method="unstructured", fraction=0.5, iterations=2, epochs=1))
    run = pruning_run(experiment)
    records = list(prune(experiment, run))
    weights = 6 * 27 + 21 * 6 + 21 * 7 + 7 * 3
    assert [record.units[0].left for record in records] == [weights, weights // 2, weights // 4]
    assert [record.prunable_weights_left for record in records] == [weights, weights // 2, weights // 4]
    names = ["out", "conv", "rows.weight_ih_l0", "rows.weight_hh_l0"]
    assert [layer.name for layer in records[2].layers] == names
    assert [sum(layer.weights_left for layer in record.layers) for record in records] == [
        record.units[0].left for record in records
    ]
    assert not any(each.differences for each in verify(run, experiment))
    state = checkpoint.load(run.checkpoint(2), experiment.model)
    assert export(state, "safetensors", tmp_path / "small.safetensors", entry=experiment.model) == 0
    for model in (load(run.folder, Kinds), load(tmp_path / "small.safetensors", Kinds)):
        assert torch.equal(model.conv.weight == 0, ~state.masks["conv.parametrizations.weight.original1"])
        for name, mask in state.masks.items():
            assert torch.equal(model.get_parameter(name) == 0, ~mask)


def rewrite(run, name, thing):
    """Replace a file and its checksum; returns what undoes it."""
    path = run.folder / name
    before = path.read_bytes()

    def put(data):
        path.write_bytes(data)
        run._list({**run.files(), name: digest(path)})

    put(encode(thing))
    return lambda: put(before)


def with_sum(scores, metric, total):
    """Scores with another sum of one metric."""
    return msgspec.structs.replace(
        scores, counted=scores.counted | {metric: Score(float(total), scores.counted[metric].count)}
    )


def test_a_run_is_as_it_was_recorded(made):
    run, experiment = made
    assert inexact(run, experiment) == ""
    assert [(v.step, v.differences, v.remarks) for v in verify(run, experiment)] == [(s, (), ()) for s in (0, 1, 2)]
    assert [(v.step, v.differences) for v in verify(dense_run(experiment), experiment)] == [(0, ())]


@pytest.mark.parametrize("name", ["params", "nonzero_params", "macs", "effective_macs"])
def test_a_count_that_is_off_by_one_is_found(name, made):
    run, experiment = made
    record = run.record(1)
    undo = rewrite(run, "steps/001/record.json", msgspec.structs.replace(record, **{name: getattr(record, name) + 1}))
    found = {found.step: found.differences for found in verify(run, experiment)}
    undo()
    assert [step for step in found if found[step]] == [1]
    assert f"{getattr(record, name):,}" in found[1][0]


@pytest.fixture
def elsewhere(made):
    """Has the run been computed on another machine."""
    run, _ = made
    undo = rewrite(run, "environment.json", msgspec.structs.replace(run.environment(), hardware="another"))
    yield
    undo()


def last(made):
    """What verify finds of the last step."""
    run, experiment = made
    *_, found = verify(run, experiment)
    return found


def flip(run, part, samples, *, count=True):
    """Have the last step have answered these samples otherwise, and counted them so; returns what undoes it."""
    record, answers = run.record(2), run.answers(2)
    bits = unpacked(answers.parts[part])
    before = int(bits.sum())
    bits[list(samples)] ^= True
    changed = {**answers.parts, **packed({part: bits}).parts}
    undo = [rewrite(run, "steps/002/answers.json", msgspec.structs.replace(answers, parts=changed))]
    if count:
        scores = getattr(record, f"{part}_after")
        other = with_sum(scores, "top1", scores.correct + int(bits.sum()) - before)
        undo.append(rewrite(run, "steps/002/record.json", msgspec.structs.replace(record, **{f"{part}_after": other})))
    return lambda: [step() for step in reversed(undo)]


def near(monkeypatch, samples):
    """Have the logits of these test samples alone be nearly equal; 61 samples to train on follow upon 25 of them."""
    seen = []

    def swings(self, output, labels, share):
        place = sum(seen) % (25 + 61)
        seen.append(len(labels))
        top1 = torch.tensor([float(place + i in samples) for i in range(len(labels))])
        return {"top1": top1, "loss": torch.zeros(len(labels))}

    monkeypatch.setattr(Classification, "swings", swings)


@pytest.mark.parametrize("samples", [[0], [3, 17], range(25)])
def test_any_answer_that_is_another_is_a_difference_here(samples, made):
    undo = flip(made[0], "test", samples)
    found = last(made)
    undo()
    assert found.remarks == ()
    assert found.differences[-1] == f"test answers: {len(samples)} of 25 are others"


def test_answers_that_even_out_are_found_though_no_count_tells(made):
    run, _ = made
    right = unpacked(run.answers(2).parts["test"])
    one, other = (int((right == value).nonzero()[0]) for value in (True, False))
    undo = flip(run, "test", [one, other])
    found = last(made)
    undo()
    assert found.differences == ("test answers: 2 of 25 are others",)


@pytest.mark.usefixtures("elsewhere")
def test_elsewhere_answers_may_be_others_where_logits_are_nearly_equal_and_nowhere_else(made, monkeypatch):
    run, _ = made
    undo = flip(run, "test", [3, 17])
    near(monkeypatch, {3, 17, 20})
    allowed = last(made)
    near(monkeypatch, {3, 20})
    refused = last(made)
    undo()
    assert allowed.differences == ()
    assert allowed.remarks[-1] == "test answers: 2 of 25 are others, each of them between logits that are nearly equal"
    assert refused.differences[-1] == "test answers: 2 of 25 are others, 1 of which no rounding explains"


@pytest.mark.usefixtures("elsewhere")
@pytest.mark.parametrize("kept", [True, False])
def test_elsewhere_many_lost_answers_do_not_pass_though_an_interval_would_hold_them(kept, made):
    """Of 61 samples five: the Wilson interval of their share is wider."""
    run, _ = made
    undo = flip(run, "train", range(5))
    drop = (lambda: None) if kept else forget(run)
    found = last(made)
    drop()
    undo()
    assert any(line.startswith("train ") for line in found.differences)


def forget(run):
    """Have the last step have kept no answers, as earlier versions; returns what undoes it."""
    files = run.files()
    run._list({name: checksum for name, checksum in files.items() if name != "steps/002/answers.json"})
    return lambda: run._list(files)


@pytest.mark.usefixtures("elsewhere")
@pytest.mark.parametrize(("nearly", "lost", "fine"), [(range(25), 1, True), (range(25), 2, False), ([], 1, False)])
def test_where_no_answers_were_kept_one_in_a_thousand_may_be_another_and_one_at_least(
    nearly, lost, fine, made, monkeypatch
):
    run, _ = made
    record = run.record(2)
    drop = forget(run)
    changed = with_sum(record.test_after, "top1", abs(record.test_after.correct - lost))
    undo = rewrite(run, "steps/002/record.json", msgspec.structs.replace(record, test_after=changed))
    near(monkeypatch, nearly)
    found = last(made)
    undo()
    drop()
    told = f"test accuracy: recorded {changed.correct} of 25, found {record.test_after.correct} of 25"
    assert (found.differences, found.remarks) == (((), (told,)) if fine else ((told,), ()))
    assert "answers" not in found.compared


@pytest.mark.parametrize("place", ["here", "elsewhere"])
def test_a_record_that_says_otherwise_than_the_answers_beside_it_is_a_difference(place, made, request):
    if place == "elsewhere":
        request.getfixturevalue("elsewhere")
    undo = flip(made[0], "test", [3], count=False)
    found = last(made)
    undo()
    assert len(found.differences) == 1
    assert "others than were counted" in found.differences[0]


@pytest.mark.parametrize("kept", [True, False])
def test_59_of_10000_lost_answers_do_not_pass_elsewhere(kept, tiny_config, blobs):
    """The 95 % interval of 10,000 samples holds them."""

    def load():
        few, draw = blobs(), np.random.default_rng(0)
        images = np.concatenate([few.test.inputs] * 400)
        noise = draw.integers(0, 40, images.shape, np.uint8)
        return Dataset(few.train, Split(images // 2 + noise, np.concatenate([few.test.labels] * 400)), few.classes)

    experiment = resolve(tiny_config(dataset=load, method="none", iterations=1, epochs=1, finetune_epochs=0))
    run = pruning_run(experiment)
    _, record = prune(experiment, run)
    rewrite(run, "environment.json", msgspec.structs.replace(run.environment(), hardware="another"))
    assert [found.differences for found in verify(run, experiment)] == [(), ()]
    lost = with_sum(record.test_after, "top1", record.test_after.correct - 59)
    low, high = wilson(lost["top1"], 10_000)
    assert low < record.test_after["top1"] < high
    rewrite(run, "steps/001/record.json", msgspec.structs.replace(record, test_after=lost))
    bits = unpacked(run.answers(1).parts["test"])
    bits[bits.nonzero()[:: int(bits.sum()) // 59][:59]] = False
    answers = Answers(parts={**run.answers(1).parts, **packed({"test": bits}).parts})
    rewrite(run, "steps/001/answers.json", answers)
    if not kept:
        run._list({name: checksum for name, checksum in run.files().items() if not name.endswith("answers.json")})
    *_, found = verify(run, experiment)
    told = f"test accuracy: recorded {lost.correct} of 10000, found {record.test_after.correct} of 10000"
    assert told in (*found.differences, *found.remarks)
    assert len(found.differences) == 1 + kept
    assert not kept or found.differences[-1].startswith("test answers: 59 of 10,000 are others, ")


def test_how_far_rounding_may_differ_depends_on_devices_and_dtype(made):
    run, experiment = made
    assert rounding(run, experiment) == ELSEWHERE["fp32"]
    bf16 = replace(experiment, settings=msgspec.structs.replace(experiment.settings, dtype="bf16"))
    assert rounding(run, bf16) == ELSEWHERE["bf16"]
    undo = rewrite(run, "environment.json", msgspec.structs.replace(run.environment(), device="cuda"))
    found = rounding(run, experiment)
    undo()
    assert found == ELSEWHERE["tf32"]


def test_macs_that_an_earlier_version_did_not_count_are_no_difference(made):
    run, _ = made
    record = run.record(2)
    for changes, fine in (({"macs": record.macs - 7}, True), ({"macs": record.macs + 7}, False)):
        older = msgspec.structs.replace(record, effective_macs=None, **changes)
        undo = rewrite(run, "steps/002/record.json", older)
        found = last(made)
        undo()
        assert (found.differences == ()) is fine
        assert len(found.differences + found.remarks) == 1
    undo = rewrite(run, "steps/002/record.json", msgspec.structs.replace(record, macs=record.macs - 7))
    assert len(last(made).differences) == 1
    undo()


@pytest.mark.parametrize("file", ["model.safetensors", "structure.json", "record.json", "answers.json"])
def test_a_damaged_file_is_a_difference_of_its_step(file, made):
    run, experiment = made
    path = run.step_folder(1) / file
    data = path.read_bytes()
    path.write_bytes(data[:-1])
    found = {found.step: found.differences for found in verify(run, experiment)}
    path.unlink()
    missing = {found.step: found.differences for found in verify(run, experiment)}
    path.write_bytes(data)
    assert [step for step in found if found[step]] == [step for step in missing if missing[step]] == [1]
    assert f"{path} is damaged" in found[1][0]
    assert f"{path} is missing" in missing[1][0]


@pytest.mark.parametrize("change", ["one sample", "none"])
def test_a_change_of_accuracy_on_held_out_data_is_found(change, tiny_config):
    experiment = resolve(tiny_config(validation=0.3, epochs=1, iterations=1))
    run = pruning_run(experiment)
    record = list(prune(experiment, run))[1]
    assert [found.differences for found in verify(run, experiment)] == [(), ()]
    old = record.validation
    new = with_sum(old, "top1", abs(old.correct - 1)) if change == "one sample" else None
    rewrite(run, "steps/001/record.json", msgspec.structs.replace(record, validation=new))
    recorded = f"{new.correct} of 18" if new else "none"
    told = [f"validation accuracy: recorded {recorded}, found {old.correct} of 18"]
    kept = f"validation answers: {old.correct} of 18 right were kept, others than were counted"
    told += [kept] if new else [f"validation cross-entropy: recorded none, found {old['loss']:.6g}"]
    assert [found.differences for found in verify(run, experiment)] == [(), tuple(told)]


def test_a_loss_is_the_same_to_rounding_here_and_to_what_rounding_changes_elsewhere(made, monkeypatch):
    run, experiment = made
    record, environment = run.record(2), run.environment()
    total = record.test_after.counted["loss"].sum

    def found(factor):
        changed = msgspec.structs.replace(record, test_after=with_sum(record.test_after, "loss", factor * total))
        undo = rewrite(run, "steps/002/record.json", changed)
        (*_, last) = verify(run, experiment)
        undo()
        return len(last.differences), len(last.remarks)

    assert [found(factor) for factor in (1 + 1e-8, 1 + 1e-5, 1.01)] == [(0, 0), (1, 0), (1, 0)]
    undo = rewrite(run, "environment.json", msgspec.structs.replace(environment, hardware="another"))
    assert [found(factor) for factor in (1 + 1e-8, 1 + 1e-5, 1.01)] == [(0, 0), (0, 1), (1, 0)]
    undo()
