"""A run survives SIGKILL at any moment: what is computed in the end equals, byte by byte, a run that never stopped.

The children that compute and die are forked by tests/survival/nursery.py. Run with -m slow for four times the kills.
"""

from __future__ import annotations

import itertools
import random
from pathlib import Path

import msgspec
import pytest

from prunebench import RunConfig, dense_run, pruning_run
from prunebench.records import Seconds

MODELS = Path(__file__).parent / "models.py"
SMALL = RunConfig(
    model=f"{MODELS}:cnn",
    dataset="digits",
    image_size=12,
    limit_train=61,
    limit_test=25,
    method="unstructured",
    epochs=2,
    batch_size=16,
    optimizer="adamw",
    weight_decay=0.01,
    fraction=0.4,
    iterations=2,
    finetune_epochs=2,
    finetune_batch_size=16,
    checkpoint_every=1e-9,
    device="cpu",
    threads=1,
)


def change(config, **changes):
    return msgspec.structs.replace(config, **changes)


RUNS = {
    "cnn-unstructured": change(SMALL, limit_train=400, limit_test=100, iterations=3, augment=True, clip_norm=1.0),
    "resnet18-structured": change(
        SMALL,
        model="resnet18",
        image_size=32,
        limit_train=200,
        limit_test=60,
        method="structured",
        memory_format="channels_last",
        augment=True,
        batch_size=32,
        finetune_batch_size=32,
        fraction=0.3,
        checkpoint_every=2e-3,
    ),
    "bert-structured": change(
        SMALL,
        model=f"{MODELS}:bert",
        dataset="reviews",
        image_size=None,
        sequence_length=24,
        limit_train=300,
        limit_test=100,
        method="structured",
        optimizer="adam",
        fraction=0.25,
        checkpoint_every=1e-3,
    ),
}


def within(config, folder):
    return change(config, runs_dir=str(folder / "runs"), results_dir=str(folder / "performance"))


def outcome(config):
    """Everything that a run has come to, but for seconds and times: files of steps, text matrices, records."""
    found = {}
    for run in (dense_run(config), pruning_run(config)):
        for step in run.steps():
            run.check(step)
            found[run.manifest.kind, step] = msgspec.structs.replace(run.record(step), seconds=Seconds())
        for path in [*run.folder.glob("steps/*/*"), *run.folder.glob("*.txt")]:
            if path.name != "record.json":
                found[run.manifest.kind, str(path.relative_to(run.folder))] = path.read_bytes()
    return found | {path.name: path.read_bytes() for path in Path(config.results_dir).glob("[!.]*")}


def finished(config):
    """Identity of the files of every finished step, but for dropped ones: a step that is computed anew has others."""
    return {
        path: (path.stat().st_ino, path.stat().st_mtime_ns)
        for run in (dense_run(config), pruning_run(config))
        for path in (run.folder / name for name in run.files())
        if path.parent.parent.name == "steps" and (config.keep != "last" or path.name == "record.json")
    }


def leftovers(config):
    """What a finished run has no use for. Locks stay; so may a half-written matrix beside the results."""
    wanted = {run.folder / name for run in (dense_run(config), pruning_run(config)) for name in run.files()}
    return [
        path
        for path in Path(config.runs_dir).rglob("*")
        if path.name != ".locks"
        and not (path.parent.name == ".locks" and path.suffix == ".lock")
        and (path.name.startswith((".", "progress-")) or (path.is_file() and "steps" in path.parts))
        and path not in wanted
    ]


@pytest.fixture(scope="session")
def reference(nursery, tmp_path_factory):
    """Computes a config without interruption, once: its outcome and the seconds that it took."""
    known = {}

    def compute(config):
        if config not in known:
            whole = within(config, tmp_path_factory.mktemp("reference"))
            answer = nursery.compute(whole)
            assert answer["died"] == 0
            assert "error" not in answer, answer
            known[config] = outcome(whole), answer["seconds"]
        return known[config]

    return compute


def check_survives(nursery, reference, config, folder, *, kills, seed):
    """Kill children at random moments until `kills` of them were hit alive, and compare what they come to."""
    expected, seconds = reference(config)
    draw = random.Random(seed)
    tried = hits = 0
    for attempt in itertools.count():
        mine = within(config, folder / str(attempt))
        moments = sorted(draw.uniform(0, seconds) for _ in range(kills - hits))
        answer = {"killed": True}
        for before, moment in itertools.pairwise([0.0, *moments]):
            kept = finished(mine)
            answer = nursery.compute(mine, after=moment - before)
            assert "error" not in answer, answer
            assert finished(mine).items() >= kept.items()
            tried, hits = tried + 1, hits + answer["killed"]
            if not answer["killed"]:
                break
        if answer["killed"]:
            kept = finished(mine)
            answer = nursery.compute(mine)
            assert (answer["died"], answer.get("error")) == (0, None), answer
            assert finished(mine).items() >= kept.items()
        assert outcome(mine) == expected
        assert leftovers(mine) == []
        if hits == kills:
            print(f"{config.model}: {tried} kills tried, {hits} hit, {attempt + 1} runs, alone {seconds:.1f} s")
            return


@pytest.mark.parametrize("name", ["cnn-unstructured", pytest.param("resnet18-structured", marks=pytest.mark.slow)])
def test_a_run_killed_at_random_moments_equals_one_that_never_stopped(name, nursery, reference, tmp_path):
    check_survives(nursery, reference, RUNS[name], tmp_path, kills=5, seed=1)


@pytest.mark.slow
@pytest.mark.parametrize("name", RUNS)
def test_a_run_killed_at_many_random_moments_equals_one_that_never_stopped(name, nursery, reference, tmp_path):
    check_survives(nursery, reference, RUNS[name], tmp_path, kills=20, seed=2)


KEEPING = "self._list({**self.files(), **{"
LINKING = "(folder / name).hardlink_to(progress / name)"
POINTS = {
    "inside an epoch": ("training/fit.py", "scaling.step(optimizer)", 7),
    "before the progress is kept": ("runs/progress.py", "listed = encode(brought(beside))", 11),
    "before the progress has its name": ("runs/progress.py", "settle(beside, place)", 12),
    "between the new progress and removing the old": ("runs/progress.py", "forget(run, but=place)", 3),
    "before the old progress is removed": ("runs/progress.py", "if path != but:", 3),
    "while the old progress is removed": ("runs/progress.py", "remove(hidden)", 3),
    "before the dense step has its model": ("runs/progress.py", LINKING, 1),
    "while a step takes its checkpoint over": ("runs/progress.py", LINKING, 4),
    "before a step has its record": ("runs/run.py", '(folder / "record.json").write_bytes(encode(record))', 3),
    "before the dense step is renamed": ("runs/run.py", "settle(beside, place)", 1),
    "before a step is renamed": ("runs/run.py", "settle(beside, place)", 3),
    "between renaming the dense step and listing it": ("runs/run.py", KEEPING, 1),
    "between renaming a step and listing it": ("runs/run.py", KEEPING, 4),
    "between listing the dense step and removing its progress": ("runs/run.py", "progress.forget(self.folder)", 1),
    "between listing a step and removing its progress": ("runs/run.py", "progress.forget(self.folder)", 3),
    "between listing the last step and removing its progress": ("runs/run.py", "progress.forget(self.folder)", 4),
    "before the run has a list": ("runs/run.py", "self._list({})", 2),
    "before the environment is listed": ("runs/run.py", "self._list({name: digest(self.folder / name)})", 1),
    "while a list is replaced": ("runs/files.py", "replace(beside, path)", 11),
    "before a text matrix of a run is replaced": ("runs/files.py", "replace(beside, path)", 9),
    "before a result is replaced": ("runs/files.py", "replace(beside, path)", 10),
    "before a text matrix of a finished run is replaced": ("runs/files.py", "replace(beside, path)", 15),
}


def check_what_finishes(nursery, config, expected, **job):
    """Have a child die as a job says, and the next one finish the run; compare."""
    answer = nursery.compute(config, **job)
    assert (answer["killed"], answer["happened"]) == (True, True), answer
    kept = finished(config)
    answer = nursery.compute(config)
    assert (answer["died"], answer.get("error")) == (0, None), answer
    assert finished(config).items() >= kept.items()
    assert outcome(config) == expected
    assert leftovers(config) == []


@pytest.mark.parametrize("point", POINTS)
def test_a_run_killed_at_an_exact_point_equals_one_that_never_stopped(point, nursery, reference, tmp_path):
    check_what_finishes(nursery, within(SMALL, tmp_path), reference(SMALL)[0], at=POINTS[point], do="kill")


@pytest.mark.parametrize(("point", "left"), [(1, 16), (4, 8)])  # four batches an epoch, two epochs a step
def test_a_run_killed_between_the_last_epoch_and_the_commit_does_not_train_again(point, left, nursery, tmp_path):
    config, at = within(SMALL, tmp_path), ("training/fit.py", "scaling.step(optimizer)", left + 1)
    answer = nursery.compute(config, at=("runs/progress.py", LINKING, point), do="kill")
    assert (answer["killed"], answer["happened"]) == (True, True), answer
    answer = nursery.compute(config, at=at, do="kill")
    assert (answer["killed"], answer["happened"], answer.get("error")) == (False, False, None), answer
    assert pruning_run(config).steps() == [0, 1, 2]


@pytest.mark.parametrize("count", [1, 2, 15, 16, 18])  # model and optimizer; last epoch; step 0; masks
def test_a_safetensors_file_cut_short_by_a_kill_counts_for_nothing(count, nursery, reference, tmp_path):
    at = ("models/checkpoint.py", "save_file(storable, path, metadata)", count)
    check_what_finishes(nursery, within(SMALL, tmp_path), reference(SMALL)[0], at=at, do="tear")


def lines(nursery, folder, keep):
    """How many lines of the files that write runs a run executes."""
    answer = nursery.compute(within(change(SMALL, keep=keep), folder), line=10**9)
    assert "error" not in answer, answer
    return answer["lines"]


@pytest.mark.parametrize("keep", ["all", "last"])
def test_a_run_killed_at_random_lines_of_the_store_equals_one_that_never_stopped(keep, nursery, reference, tmp_path):
    expected, draw = reference(change(SMALL, keep=keep))[0], random.Random(3)
    for number in sorted(draw.sample(range(1, lines(nursery, tmp_path / "count", keep)), 8)):
        check_what_finishes(nursery, within(change(SMALL, keep=keep), tmp_path / str(number)), expected, line=number)


@pytest.mark.slow
@pytest.mark.parametrize("keep", ["all", "last"])
def test_a_run_killed_at_every_fourth_line_of_the_store_equals_one_that_never_stopped(
    keep, nursery, reference, tmp_path
):
    expected = reference(change(SMALL, keep=keep))[0]
    for number in range(1, lines(nursery, tmp_path / "count", keep), 4):
        check_what_finishes(nursery, within(change(SMALL, keep=keep), tmp_path / str(number)), expected, line=number)
