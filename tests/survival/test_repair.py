"""Real runs that are damaged, trimmed, continued or computed elsewhere: repaired to the same bytes, or refused."""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest
import torch

from prunebench import RunConfig, dense_run, prune, pruning_run, reevaluate, train
from prunebench.errors import RunError, Stopped
from prunebench.experiment.resolve import resolve
from prunebench.records import Seconds, StepRecord
from prunebench.runs.run import Run

STEPS = [0, 1, 2]


@dataclass(frozen=True)
class Made:
    """A run, its config and its records."""

    config: RunConfig
    run: Run
    records: list[StepRecord]


@pytest.fixture(scope="module", params=["structured", "unstructured"])
def finished(request, tiny_net, blobs, tmp_path_factory):
    """A pruning run of two iterations, computed once."""
    folder = tmp_path_factory.mktemp(request.param)
    config = RunConfig(
        model=tiny_net,
        dataset=blobs,
        method=request.param,
        image_size=12,
        epochs=1,
        batch_size=16,
        finetune_epochs=1,
        finetune_batch_size=16,
        lr=0.01,
        fraction=0.3,
        iterations=2,
        device="cpu",
        runs_dir=str(folder / "runs"),
    )
    list(prune(config, pruning_run(config)))
    return config


@pytest.fixture
def made(finished, tmp_path):
    """A copy of it that may be damaged."""
    shutil.copytree(finished.runs_dir, tmp_path / "runs")
    config = msgspec.structs.replace(finished, runs_dir=str(tmp_path / "runs"))
    run = pruning_run(config)
    return Made(config, run, run.records())


def content(folder, but=(), *, raw=False):
    """The files of a folder; of records not how long they took."""
    found = {}
    for path in sorted(Path(folder).rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and not any(part in name for part in but):
            found[name] = path.read_bytes()
            if name.endswith("record.json") and not raw:
                record = msgspec.json.decode(found[name], type=StepRecord)
                found[name] = msgspec.structs.replace(record, seconds=Seconds())
    return found


def flip(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 16
    path.write_bytes(data)


def files_of(run, step):
    return [name for name in run.files() if name.startswith(f"steps/{step:03d}/")]


def masks(run):
    return run.manifest.config["method"] == "unstructured"


def change(config, **changes):
    return msgspec.structs.replace(config, **changes)


@pytest.mark.parametrize("step", STEPS)
def test_a_damaged_step_is_told_and_computed_anew_to_the_same_bytes_while_later_ones_stay(step, made):
    run, before = made.run, content(made.run.folder, but=("run.json",))
    for name in files_of(run, step):
        flip(run.folder / name)
    damaged = {name.rpartition("/")[2]: (run.folder / name).read_bytes() for name in files_of(run, step)}
    times = {
        path: path.stat().st_mtime_ns for other in STEPS if other != step for path in run.step_folder(other).iterdir()
    }
    with pytest.raises(RunError, match=f"00{step}/record.json is damaged.*--redo {step}"):
        list(prune(made.config, run))
    with pytest.raises(RunError, match=f"--redo {step}"):
        run.checkpoint(step)

    run.redo(step)
    assert run.steps() == [other for other in STEPS if other != step]
    ticks = []
    records = list(prune(made.config, run, ticks.append))
    assert {(tick.phase, tick.step) for tick in ticks} <= {("finetune", step)}
    assert [change(r, seconds=Seconds()) for r in records] == [change(r, seconds=Seconds()) for r in made.records]
    assert content(run.folder, but=("run.json", "aside/")) == before
    assert {path: path.stat().st_mtime_ns for path in times} == times
    (aside,) = [path for path in (run.folder / "aside").iterdir() if path.is_dir()]
    assert {path.name: path.read_bytes() for path in aside.iterdir()} == damaged
    for other in STEPS:
        run.check(other)


def test_later_steps_of_another_chain_go_aside_and_are_computed_anew(made, caplog):
    """A step that comes out otherwise, as on a GPU, leaves no step that was computed from the one before it."""
    run, before = made.run, content(made.run.folder, but=("run.json",))
    run.redo(1)
    (listed,) = (run.folder / "aside").glob("001-*.json")  # the step that was there was another
    listed.write_text(listed.read_text().replace('steps/001/model.safetensors": "', 'steps/001/model.safetensors": "0'))
    records = list(prune(made.config, run))
    assert [change(r, seconds=Seconds()) for r in records] == [change(r, seconds=Seconds()) for r in made.records]
    assert content(run.folder, but=("run.json", "aside/")) == before
    assert sorted(path.name[:3] for path in (run.folder / "aside").iterdir() if path.is_dir()) == ["001", "002"]
    (warning,) = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert warning.startswith(
        f"step 1 of run {run.key} came out otherwise than before: what was computed from it, step 2"
    )
    for step in STEPS:
        run.check(step)


@pytest.mark.parametrize(("device", "kept"), [("cpu", [0, 1, 2]), ("cuda", [0])])
def test_where_the_step_before_left_no_checkpoint_to_compare_only_what_repeats_to_the_bit_is_kept(
    device, kept, made, tmp_path
):
    run = Run(tmp_path / "elsewhere", made.run.manifest)
    here = msgspec.structs.replace(made.run.environment(), device=device)
    with run.working(here):
        for record in made.records:
            source = made.run.step_folder(record.step)
            run.commit(record, lambda folder, source=source: shutil.copytree(source, folder, dirs_exist_ok=True))
        run.drop_checkpoints([0])
    run.redo(0)
    with run.working(here):
        run.commit(made.records[0], lambda folder: shutil.copytree(made.run.step_folder(0), folder, dirs_exist_ok=True))
    assert run.steps() == kept


def test_damage_to_a_checkpoint_leaves_records_and_other_steps_to_be_read(made):
    path = made.run.step_folder(1) / "model.safetensors"
    flip(path)
    before = content(made.run.folder)
    assert list(prune(made.config, made.run)) == made.records
    with pytest.raises(RunError, match=f"^{re.escape(str(path))} is damaged.*--redo 1"):
        reevaluate(made.run, 1, made.config)
    assert reevaluate(made.run, 2, made.config) == (made.records[2].test_after, made.records[2].train_after)
    assert content(made.run.folder) == before


def test_a_damaged_checkpoint_is_not_pruned_on(made):
    path = made.run.step_folder(2) / "model.safetensors"
    flip(path)
    before = content(made.run.folder)
    with pytest.raises(RunError, match=f"^{re.escape(str(path))} is damaged.*--redo 2"):
        list(prune(change(made.config, iterations=3), made.run))
    assert content(made.run.folder) == before


@pytest.mark.parametrize("name", ["record.json", "model.safetensors", "structure.json"])
def test_a_damaged_dense_run_is_told_and_pruning_does_not_begin(name, made):
    dense = dense_run(made.config)
    made.run.redo(0)
    flip(dense.step_folder(0) / name)
    before = content(made.run.root, raw=True)
    with pytest.raises(RunError, match=f"{dense.key}.*{name} is damaged.*`train` command of this run .*--fresh"):
        list(prune(made.config, made.run))
    assert content(made.run.root, raw=True) == before


def test_keeping_the_last_checkpoint_goes_on_to_the_same_bytes(made, tmp_path):
    longer = change(made.config, iterations=3)
    list(prune(longer, made.run))
    config = change(made.config, keep="last", runs_dir=str(tmp_path / "last"))
    run = pruning_run(config)
    for record in prune(config, run):
        assert run.checkpoints() == [record.step]
    assert [change(r, seconds=Seconds()) for r in run.records()] == [change(r, seconds=Seconds()) for r in made.records]
    assert not (run.step_folder(1) / "model.safetensors").exists()
    list(prune(change(config, iterations=3), run))
    assert run.checkpoints() == [3]
    assert content(run.step_folder(3)) == content(made.run.step_folder(3))
    with pytest.raises(RunError, match=r"has not kept the checkpoint of step 1 \(--keep\); it has those of: 3\."):
        reevaluate(run, 1, config)


def test_keeping_records_alone_answers_and_cannot_go_on(made):
    config = change(made.config, keep="records")
    assert list(prune(config, made.run)) == made.records
    assert made.run.checkpoints() == []
    assert {path.name for path in made.run.folder.rglob("steps/*/*")} == {"record.json"}
    assert list(prune(made.config, made.run)) == made.records
    before = content(made.run.folder)
    told = rf"Run {made.run.key} has not kept the checkpoint of step 2 \(--keep\); it has those of: none\. --fresh"
    with pytest.raises(RunError, match=told):
        list(prune(change(config, iterations=3), made.run))
    assert content(made.run.folder) == before


def test_a_run_that_keeps_records_alone_needs_its_last_checkpoint_until_it_is_finished(tiny_config):
    config = tiny_config(keep="records", iterations=2, epochs=1)
    run = pruning_run(config)
    kept = [run.checkpoints() for _ in prune(config, run)]
    assert kept == [[0], [1], []]


def test_all_checkpoints_of_a_finished_run_are_kept_by_default(made):
    assert made.run.checkpoints() == STEPS
    assert list(prune(change(made.config, keep="last"), made.run)) == made.records
    assert made.run.checkpoints() == [2]


def test_a_run_does_not_go_on_with_other_threads_and_still_answers(made):
    torch.set_num_threads(2)
    before = content(made.run.folder)
    with pytest.raises(RunError, match=r"begun with threads 1; here it would go on with threads 2, .*--threads 1, or"):
        list(prune(change(made.config, iterations=3), made.run))
    assert content(made.run.folder) == before
    assert list(prune(made.config, made.run)) == made.records
    assert train(made.config, dense_run(made.config)).step == 0
    assert len(list(prune(change(made.config, iterations=3, threads=1), made.run))) == 4


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"device": "cuda"}, "device cuda; here it would go on with device cpu"),
        ({"deterministic": True}, "deterministic True; here it would go on with deterministic False"),
        ({"versions": {"torch": "1.0"}}, r"torch 1\.0; here it would go on with torch [\d.]+"),
    ],
)
def test_a_run_does_not_go_on_elsewhere_and_still_answers(changes, told, made, tmp_path):
    began = made.run.environment()
    changes = {name: {**began.versions, **v} if name == "versions" else v for name, v in changes.items()}
    run = Run(tmp_path / "elsewhere", made.run.manifest)
    with run.working(msgspec.structs.replace(began, **changes)):
        for record in made.records:
            source = made.run.step_folder(record.step)
            run.commit(record, lambda folder, source=source: shutil.copytree(source, folder, dirs_exist_ok=True))
    before = content(run.folder)
    with pytest.raises(RunError, match=f"begun with {told}, and could not be repeated to the bit"):
        list(prune(change(made.config, iterations=3), run))
    assert content(run.folder) == before
    assert list(prune(made.config, run)) == made.records


PROGRESS = [
    "model.safetensors",
    "structure.json",
    "state.json",
    "optimizer.safetensors",
    "right.safetensors",
    "files.json",
]


@pytest.mark.parametrize("name", [*PROGRESS, "what is left"])
def test_damaged_progress_is_told_and_after_it_is_deleted_the_step_begins_anew(name, made):
    config, run, seen = change(made.config, iterations=3), made.run, []
    with pytest.raises(Stopped, match=r"Stopped in epoch 1 of 1, after batch 1\."):
        list(prune(config, run, seen.append, stop=lambda: "finetune" in {tick.phase for tick in seen}))
    path, left = run.progress(), "masks.safetensors" if masks(run) else "kept.json"
    assert {found.name for found in path.iterdir()} == {*PROGRESS, left}
    name = left if name == "what is left" else name
    flip(path / name)
    before = content(run.folder)
    with pytest.raises(RunError, match=f"^{re.escape(str(path))} is damaged: {name} is damaged.*Delete it"):
        list(prune(config, run))
    assert content(run.folder) == before
    shutil.rmtree(path)
    assert [record.step for record in prune(config, run)] == [0, 1, 2, 3]
    assert run.progress() is None


def test_a_leftover_of_the_next_step_that_was_never_listed_is_replaced(made):
    shutil.copytree(made.run.step_folder(2), made.run.step_folder(3))
    assert list(prune(made.config, made.run)) == made.records
    *_, last = prune(resolve(change(made.config, iterations=3)), made.run)
    assert last.step == 3
    assert made.run.record(3) == last
