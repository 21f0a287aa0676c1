"""No link in a folder of runs leads out of it: what lies behind one is neither deleted, nor moved, nor written to."""

from __future__ import annotations

import os
import shutil

import pytest

from prunebench.errors import DiskError, RunError
from prunebench.results.matrices import write_steps
from prunebench.runs.digests import digests_of
from prunebench.runs.index import all_runs, identify
from prunebench.runs.lock import held, holder, locked
from prunebench.runs.run import Run

CONFIG = {"model": "tiny", "dataset": "digits", "method": "structured", "criterion": "l2", "seed": 0}
CHECKPOINT = ("model.safetensors", "structure.json", "tokenizer.json")


def put(folder):
    for name in CHECKPOINT:
        (folder / name).write_bytes(b"of the run")


@pytest.fixture
def run(tmp_path, make_record, commit):
    """A pruning run of three steps."""
    found = Run(tmp_path / "runs", identify("prune", CONFIG, CONFIG, {}))
    commit(found, *(make_record(step) for step in range(3)), write=put)
    return found


@pytest.fixture
def precious(tmp_path):
    """A folder of the user's, which nothing that is done with a run may change."""
    folder = tmp_path / "precious"
    (folder / "below").mkdir(parents=True)
    for place in (folder, folder / "below"):
        for name in (*CHECKPOINT, "record.json", "run.json", "state.json", "note.json", "x.lock"):
            (place / name).write_bytes(b"precious")
    before = content(folder)
    yield folder
    assert content(folder) == before


def content(folder):
    return {
        path.relative_to(folder).as_posix(): (path.read_bytes() if path.is_file() else b"", path.stat().st_mtime_ns)
        for path in folder.rglob("*")
    }


def instead(path, of):
    """Put a link in the place of something."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    elif os.path.lexists(path):
        path.unlink()
    path.parent.mkdir(exist_ok=True)
    path.symlink_to(of)


@pytest.fixture
def deeds(run, here, make_record):
    """Everything that changes a run."""

    def go_on():
        with run.working(here):
            run.write_progress(3, put)()
            run.commit(make_record(3))

    return {
        "tidied": run.tidy,
        "trimmed": lambda: run.drop_checkpoints([0, 1]),
        "redone": lambda: run.redo(2),
        "set aside": run.set_aside,
        "gone on with": go_on,
        "deleted": run.delete,
    }


LINKS = {
    "steps/999": None,
    "steps/001": {"trimmed", "redone"},
    "steps": {"trimmed", "redone", "gone on with"},
    "steps/003": {"gone on with"},
    "progress-003-0": None,
    "progress-001-0": None,
    ".hidden": None,
    "steps/.hidden": None,
    "aside": {"redone"},
    "run.json": {"trimmed", "redone", "gone on with"},
    "tiny_structured_performance.txt": None,
}
"""Links in a run's folder, and what is refused for them; None: nothing."""
WHAT = ("tidied", "trimmed", "redone", "set aside", "gone on with", "deleted")


@pytest.mark.parametrize("what", WHAT)
@pytest.mark.parametrize("link", LINKS)
def test_what_a_link_in_a_run_leads_to_stays_as_it_is(link, what, run, precious, deeds):
    if link == "run.json":  # what it leads to is sound, so that nothing but the link is in the way
        (run.folder / link).rename(run.root.parent / "elsewhere.json")
        instead(run.folder / link, run.root.parent / "elsewhere.json")
    else:
        instead(run.folder / link, precious / "note.json" if link.endswith(".txt") else precious)
    try:
        deeds[what]()
        refused = False
    except (DiskError, RunError):
        refused = True
    if what in ("tidied", "set aside", "deleted"):
        assert not refused
    else:
        assert refused == (what in (LINKS[link] or ()))
    if what == "deleted":
        assert not run.folder.exists()


@pytest.mark.parametrize("link", ["run.json", "environment.json", "steps", ""])
def test_a_link_that_is_in_the_way_is_told_before_anything_is_computed(link, run, here, tmp_path):
    (run.folder / link).rename(tmp_path / "elsewhere")
    instead(run.folder / link, tmp_path / "elsewhere")
    with pytest.raises(DiskError, match="is a link"), run.working(here):
        pytest.fail("it was begun")


@pytest.mark.parametrize("what", WHAT)
def test_a_run_that_is_a_link_itself_is_read_and_not_changed(what, run, tmp_path, deeds):
    run.folder.rename(tmp_path / "elsewhere")
    instead(run.folder, tmp_path / "elsewhere")
    shutil.copy(tmp_path / "elsewhere/steps/000/model.safetensors", tmp_path / "elsewhere/steps/000/old.safetensors")
    before = content(tmp_path / "elsewhere")
    assert [found.key for found in all_runs(run.root)] == [run.key]
    assert len(run.records()) == 3
    if what == "tidied":
        deeds[what]()
    else:
        with pytest.raises(DiskError, match=f"{run.folder} is a link\\. Inside a folder of runs nothing is written"):
            deeds[what]()
    assert content(tmp_path / "elsewhere") == before
    assert run.folder.is_symlink()


@pytest.mark.parametrize("what", WHAT[1:])
@pytest.mark.parametrize("link", [".locks", ".locks/{key}.lock", ".locks/{key}.json"])
def test_nothing_is_written_through_a_link_for_a_lock(link, what, run, precious, deeds):
    note = link.endswith(".json")
    instead(run.root / link.format(key=run.key), precious if link == ".locks" else precious / "note.json")
    if note:
        with held(run.folder):
            assert holder(run.folder).pid == os.getpid()
        assert not (run.root / ".locks").exists()
    elif what != "trimmed":  # by whoever holds it
        with pytest.raises(DiskError, match=r"\.locks.* is a link"):
            deeds[what]()
    assert not locked(run.folder)


def test_a_run_is_not_set_aside_through_a_link(run, precious):
    instead(run.root / "aside", precious)
    with pytest.raises(DiskError, match=r"aside is a link"):
        run.set_aside()
    assert len(run.records()) == 3


def test_links_to_files_of_a_checkpoint_go_and_what_they_lead_to_stays(run, precious):
    """As git-annex and DVC keep large files."""
    for step in range(2):
        path = run.step_folder(step) / "model.safetensors"
        shutil.copy(path, run.root.parent / f"object-{step}")
        instead(path, run.root.parent / f"object-{step}")
    instead(run.step_folder(2) / "left.safetensors", precious / "model.safetensors")
    run.drop_checkpoints([0])
    run.tidy()
    assert run.checkpoints() == [1, 2]
    assert (run.root.parent / "object-0").read_bytes() == b"of the run"
    assert not (run.step_folder(2) / "left.safetensors").is_symlink()


@pytest.mark.parametrize("link", [".digests", ".digests/{name}"])
def test_digests_of_data_are_not_kept_through_a_link(link, tmp_path, precious):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "one").write_bytes(b"1")
    found = digests_of([tmp_path / "data" / "one"], tmp_path / "data", tmp_path / "runs")
    (kept,) = (tmp_path / "runs" / ".digests").iterdir()
    instead(tmp_path / "runs" / link.format(name=kept.name), precious if link == ".digests" else precious / "note.json")
    (tmp_path / "data" / "one").write_bytes(b"2")
    again = digests_of([tmp_path / "data" / "one"], tmp_path / "data", tmp_path / "runs")
    assert found != again


@pytest.mark.parametrize("link", ["{key}", "{key}/tiny_structured_performance.txt"])
def test_matrices_are_not_written_through_a_link(link, run, precious, tmp_path):
    (name,) = [path.name for path in write_steps(run, run.records(), None) if "performance" in path.name]
    assert name == "tiny_structured_performance.txt"
    records = run.records()
    instead(run.root / link.format(key=run.key), precious if link == "{key}" else precious / "note.json")
    with pytest.raises(DiskError, match="is a link"):
        write_steps(run, records, None)


def test_a_folder_of_runs_may_be_a_link_since_the_user_has_named_it(run, tmp_path, here, make_record, commit):
    (tmp_path / "link").symlink_to(run.root)
    other = Run(tmp_path / "link", identify("prune", CONFIG | {"seed": 1}, {"seed": 1}, {}))
    commit(other, make_record(0), write=put)
    assert other.set_aside().is_dir()
    Run(tmp_path / "link", run.manifest).delete()
    assert not run.folder.exists()
