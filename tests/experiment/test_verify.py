"""Verify computes every step anew; what was recorded comes out again, and what was changed is found."""

from __future__ import annotations

import msgspec
import pytest

from prunebench import dense_run, prune, pruning_run
from prunebench.experiment.resolve import resolve
from prunebench.experiment.verify import inexact, verify
from prunebench.records import Score
from prunebench.runs.files import digest
from prunebench.runs.manifest import encode


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


@pytest.mark.parametrize("name", ["params", "nonzero_params", "macs"])
def test_a_count_that_is_off_by_one_is_found(name, made):
    run, experiment = made
    record = run.record(1)
    undo = rewrite(run, "steps/001/record.json", msgspec.structs.replace(record, **{name: getattr(record, name) + 1}))
    found = {found.step: found.differences for found in verify(run, experiment)}
    undo()
    assert [step for step in found if found[step]] == [1]
    assert f"{getattr(record, name):,}" in found[1][0]


def test_one_sample_is_a_difference_here_and_a_remark_elsewhere(made):
    run, experiment = made
    record, environment = run.record(2), run.environment()
    other = with_sum(record.train_after, "top1", record.train_after.correct - 1)
    undo = rewrite(run, "steps/002/record.json", msgspec.structs.replace(record, train_after=other))
    (*_, here) = verify(run, experiment)
    undo_too = rewrite(run, "environment.json", msgspec.structs.replace(environment, hardware="another"))
    (*_, elsewhere) = verify(run, experiment)
    far = msgspec.structs.replace(record, train_after=with_sum(other, "top1", 0 if other.correct > 30 else 61))
    rewrite(run, "steps/002/record.json", far)
    (*_, too_far) = verify(run, experiment)
    undo()
    undo_too()
    told = f"train accuracy: recorded {other.correct} of 61, found {other.correct + 1} of 61"
    assert (here.differences, here.remarks) == ((told,), ())
    assert (elsewhere.differences, elsewhere.remarks) == ((), (told,))
    assert len(too_far.differences) == 1


@pytest.mark.parametrize("file", ["model.safetensors", "structure.json", "record.json"])
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
    told += [] if new else [f"validation cross-entropy: recorded none, found {old['loss']:.6g}"]
    assert [found.differences for found in verify(run, experiment)] == [(), tuple(told)]


def test_a_loss_is_the_same_to_rounding_here_and_to_a_twentieth_elsewhere(made):
    run, experiment = made
    record, environment = run.record(2), run.environment()
    total = record.test_after.counted["loss"].sum

    def found(factor):
        changed = msgspec.structs.replace(record, test_after=with_sum(record.test_after, "loss", factor * total))
        undo = rewrite(run, "steps/002/record.json", changed)
        (*_, last) = verify(run, experiment)
        undo()
        return len(last.differences), len(last.remarks)

    assert [found(factor) for factor in (1 + 1e-8, 1.001, 1.2)] == [(0, 0), (1, 0), (1, 0)]
    undo = rewrite(run, "environment.json", msgspec.structs.replace(environment, hardware="another"))
    assert [found(factor) for factor in (1 + 1e-8, 1.001, 1.2)] == [(0, 0), (0, 1), (1, 0)]
    undo()
