"""A disk that is really full, or read-only: told in clear words, nothing finished is lost, and the same call goes on.

The children that write are forked by tests/survival/nursery.py; "fill" fills a small tmpfs of theirs, "limit" lets no
file grow (RLIMIT_FSIZE), "readonly" remounts the tmpfs.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import msgspec
import pytest

from prunebench import RunConfig, dense_run, pruning_run
from prunebench.records import Seconds

CONFIG = RunConfig(
    model=f"{Path(__file__).parent / 'models.py'}:cnn",
    dataset="digits",
    image_size=12,
    limit_train=61,
    limit_test=25,
    method="structured",
    epochs=2,
    batch_size=16,
    fraction=0.3,
    iterations=2,
    finetune_epochs=2,
    finetune_batch_size=16,
    checkpoint_every=1e-9,
    device="cpu",
    threads=1,
)
POINTS = {
    "the progress of training": ("runs/progress.py", "listed = encode(brought(beside))", 5),
    "the progress of a step": ("runs/progress.py", "listed = encode(brought(beside))", 16),
    "the checkpoint of the dense step": ("models/checkpoint.py", "save_file(storable, path, metadata)", 15),
    "the checkpoint of step 0": ("models/checkpoint.py", "save_file(storable, path, metadata)", 16),
    "the checkpoint of a step": ("models/checkpoint.py", "save_file(storable, path, metadata)", 31),
    "the optimizer of a step": ("models/checkpoint.py", "save_file(storable, path, metadata)", 18),
    "the second name of a checkpoint": ("runs/progress.py", "(folder / name).hardlink_to(progress / name)", 3),
    "the record of a step": ("runs/run.py", '(folder / "record.json").write_bytes(encode(record))', 3),
    "the list of a run": ("runs/run.py", "self._list({**self.files(), **{", 3),
    "the first file of a run": ("runs/run.py", "self._list({})", 1),
}
REASONS = {
    "limit": "the file would be larger than this process may write",
    "fill": "no space is left on the disk",
    "nearly": "no space is left on the disk",
}


@pytest.fixture
def disk(nursery):
    """The children's small disk, empty: its folder for them, and for this process."""
    if nursery.seen is None:
        pytest.skip("this machine does not let a tmpfs be mounted")
    empty(nursery.seen)
    yield nursery.disk, nursery.seen
    empty(nursery.seen)


@pytest.fixture
def places(request, tmp_path):
    """For a deed, the folder that children write to, and the same as this process sees it."""

    def choose(deed):
        return (tmp_path, tmp_path) if deed == "limit" else request.getfixturevalue("disk")

    return choose


@pytest.fixture(scope="session")
def undisturbed(nursery, tmp_path_factory):
    """What a run on a disk with room comes to."""
    config = within(CONFIG, tmp_path_factory.mktemp("undisturbed"))
    assert "error" not in nursery.compute(config)
    return outcome(config)


def empty(folder):
    for path in folder.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def within(config, folder):
    return msgspec.structs.replace(config, runs_dir=f"{folder}/runs", results_dir=f"{folder}/performance")


def outcome(config):
    """Checkpoints, records but for seconds, and text matrices; every checksum is checked on the way."""
    found = {}
    for run in (dense_run(config), pruning_run(config)):
        for step in run.steps():
            run.check(step)
            found[run.manifest.kind, step] = msgspec.structs.replace(run.record(step), seconds=Seconds())
            for path in run.step_folder(step).iterdir():
                if path.name != "record.json":
                    found[run.manifest.kind, step, path.name] = path.read_bytes()
    results = Path(config.results_dir)
    return found | {path.name: path.read_bytes() for path in (results.iterdir() if results.exists() else ())}


def hidden(folder):
    return [path for path in folder.rglob(".*") if path.name != ".locks"]


CASES = [(point, deed) for point in POINTS for deed in ("limit", "fill")]
CASES += [(point, "nearly") for point in POINTS if point.startswith(("the progress", "the checkpoint", "the opt"))]


@pytest.mark.parametrize(("point", "deed"), CASES)
def test_a_full_disk_is_told_and_the_same_call_goes_on_when_there_is_room(point, deed, nursery, places, undisturbed):
    theirs, mine = places(deed)
    config, seen = within(CONFIG, theirs), within(CONFIG, mine)
    answer = nursery.compute(config, at=POINTS[point], do=deed)
    assert answer["happened"], answer
    assert (answer["died"], answer["error"]) == (0, "DiskError"), answer
    assert f"could not be written to {theirs}" in answer["text"]
    assert REASONS[deed] in answer["text"]
    assert "What was finished before is intact. Make room" in answer["text"]
    before = outcome(seen)
    steps = {name: value for name, value in before.items() if isinstance(name, tuple)}
    assert undisturbed.items() >= steps.items()
    assert hidden(mine) == []
    (mine / "ballast").unlink(missing_ok=True)
    answer = nursery.compute(config)
    assert (answer["died"], answer.get("error")) == (0, None), answer
    assert outcome(seen) == undisturbed
    assert hidden(mine) == []


@pytest.mark.parametrize("deed", ["limit", "fill"])
@pytest.mark.parametrize("count", [1, 2, 4])
def test_matrices_that_cannot_be_written_are_as_before_or_new_as_a_whole(count, deed, nursery, places, undisturbed):
    theirs, mine = places(deed)
    config, seen = within(CONFIG, theirs), within(CONFIG, mine)
    once = msgspec.structs.replace(config, iterations=1)
    assert "error" not in nursery.compute(once)
    before = outcome(seen)
    at = ("results/matrices.py", "write_atomically(path, content.encode())", count)
    answer = nursery.compute(config, at=at, do=deed)
    assert (answer["happened"], answer["died"], answer["error"]) == (True, 0, "DiskError"), answer
    assert REASONS[deed] in answer["text"]
    now = outcome(seen)
    texts = [name for name in before if isinstance(name, str)]
    assert len(texts) == 2
    assert all(now[name] in (before[name], undisturbed[name]) for name in texts)
    assert any(now[name] == before[name] for name in texts)
    assert hidden(mine) == []
    (mine / "ballast").unlink(missing_ok=True)
    assert "error" not in nursery.compute(config)
    assert outcome(seen) == undisturbed


def test_on_a_full_disk_a_run_can_be_deleted_to_make_room(nursery, disk):
    config, seen = (within(CONFIG, folder) for folder in disk)
    answer = nursery.compute(config, at=POINTS["the progress of a step"], do="fill")
    assert answer["error"] == "DiskError", answer
    with pytest.raises(OSError, match="No space left"):
        (disk[1] / "more").write_bytes(bytes(2**25))
    run = dense_run(seen)
    assert run.steps() == [0]
    run.delete()
    assert not run.folder.exists()
    (disk[1] / "again").write_bytes(bytes(2**13))


def test_a_read_only_folder_is_told_and_a_finished_run_in_it_is_read(nursery, disk, undisturbed):
    config, seen = (within(CONFIG, folder) for folder in disk)
    answer = nursery.compute(config, do="readonly")
    assert (answer["error"], "Read-only file system" in answer["text"]) == ("DiskError", True), answer
    half = msgspec.structs.replace(config, iterations=1)
    assert "error" not in nursery.compute(half)
    before = outcome(seen)
    assert "error" not in nursery.compute(half, do="readonly", write=False)
    answer = nursery.compute(config, do="readonly", write=False)
    assert (answer["error"], "Read-only file system" in answer["text"]) == ("DiskError", True), answer
    assert outcome(seen) == before
    assert "error" not in nursery.compute(config)
    assert outcome(seen) == undisturbed
