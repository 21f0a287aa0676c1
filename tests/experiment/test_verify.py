"""Verify computes every step anew; what was recorded comes out again, and what was changed is found."""

from __future__ import annotations

import msgspec
import pytest

from prunebench import dense_run, prune, pruning_run
from prunebench.experiment.resolve import resolve
from prunebench.experiment.verify import inexact, verify
from prunebench.records import Scores
from prunebench.runs.files import digest
from prunebench.runs.manifest import encode


@pytest.fixture(scope="module", params=["structured", "unstructured"])
def made(request, tmp_path_factory, tiny_net, blobs):
    """A finished run of each method, and its config."""
    from prunebench import RunConfig

    config = resolve(
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
    run = pruning_run(config)
    list(prune(config, run))
    return run, config


def rewrite(run, name, thing):
    """Replace a file and its checksum; returns what undoes it."""
    path = run.folder / name
    before = path.read_bytes()

    def put(data):
        path.write_bytes(data)
        run._list({**run.files(), name: digest(path)})

    put(encode(thing))
    return lambda: put(before)


def test_a_run_is_as_it_was_recorded(made):
    run, config = made
    assert inexact(run, config) == ""
    assert [(v.step, v.differences, v.remarks) for v in verify(run, config)] == [(s, (), ()) for s in (0, 1, 2)]
    assert [(v.step, v.differences) for v in verify(dense_run(config), config)] == [(0, ())]


@pytest.mark.parametrize("name", ["params", "nonzero_params", "macs"])
def test_a_count_that_is_off_by_one_is_found(name, made):
    run, config = made
    record = run.record(1)
    undo = rewrite(run, "steps/001/record.json", msgspec.structs.replace(record, **{name: getattr(record, name) + 1}))
    found = {verdict.step: verdict.differences for verdict in verify(run, config)}
    undo()
    assert [step for step in found if found[step]] == [1]
    assert f"{getattr(record, name):,}" in found[1][0]


def test_one_sample_is_a_difference_here_and_a_remark_elsewhere(made):
    run, config = made
    record, environment = run.record(2), run.environment()
    other = Scores.of(top1=(record.train_after.correct - 1, record.train_after.total))
    undo = rewrite(run, "steps/002/record.json", msgspec.structs.replace(record, train_after=other))
    (*_, here) = verify(run, config)
    undo_too = rewrite(run, "environment.json", msgspec.structs.replace(environment, hardware="another"))
    (*_, elsewhere) = verify(run, config)
    far = msgspec.structs.replace(record, train_after=Scores.of(top1=(0 if other.correct > 30 else 61, 61)))
    rewrite(run, "steps/002/record.json", far)
    (*_, too_far) = verify(run, config)
    undo()
    undo_too()
    told = f"train accuracy: recorded {other.correct} of 61, found {other.correct + 1} of 61"
    assert (here.differences, here.remarks) == ((told,), ())
    assert (elsewhere.differences, elsewhere.remarks) == ((), (told,))
    assert len(too_far.differences) == 1


@pytest.mark.parametrize("file", ["model.safetensors", "structure.json", "record.json"])
def test_a_damaged_file_is_a_difference_of_its_step(file, made):
    run, config = made
    path = run.step_folder(1) / file
    data = path.read_bytes()
    path.write_bytes(data[:-1])
    found = {verdict.step: verdict.differences for verdict in verify(run, config)}
    path.unlink()
    missing = {verdict.step: verdict.differences for verdict in verify(run, config)}
    path.write_bytes(data)
    assert [step for step in found if found[step]] == [step for step in missing if missing[step]] == [1]
    assert f"{path} is damaged" in found[1][0]
    assert f"{path} is missing" in missing[1][0]


@pytest.mark.parametrize("change", ["one sample", "none"])
def test_a_change_of_accuracy_on_held_out_data_is_found(change, tiny_config):
    config = resolve(tiny_config(validation=0.3, epochs=1, iterations=1))
    run = pruning_run(config)
    record = list(prune(config, run))[1]
    assert [verdict.differences for verdict in verify(run, config)] == [(), ()]
    old = record.validation
    new = Scores.of(top1=(abs(old.correct - 1), old.total)) if change == "one sample" else None
    rewrite(run, "steps/001/record.json", msgspec.structs.replace(record, validation=new))
    recorded = f"{new.correct} of 18" if new else "none"
    told = f"validation accuracy: recorded {recorded}, found {old.correct} of 18"
    assert [verdict.differences for verdict in verify(run, config)] == [(), (told,)]
