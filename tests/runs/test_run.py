"""Run: a step exists or it does not, and a file that is not what it was is told, with what to do."""

import os
import random
import re
import shutil
from pathlib import Path

import msgspec
import pytest

from prunebench.errors import DiskError, RunError, RunLocked
from prunebench.records import FORMAT, Answers, Bits, Environment, TimingRecord, UnitCost, UnitCosts
from prunebench.runs.files import digest
from prunebench.runs.index import identify
from prunebench.runs.lock import held
from prunebench.runs.manifest import encode, read_manifest
from prunebench.runs.run import Run

CONFIG = {"model": "tiny", "method": "structured", "seed": 0, "exclude": ["head"]}
STEPS = range(3)


def identity(kind="prune", **deciding):
    return identify(kind, {**CONFIG, **deciding}, deciding, {})


def put(folder):
    for name in ("structure.json", "model.safetensors"):
        (folder / name).write_bytes(bytes(range(200)))


def made(root, kind, make_record, commit):
    found = Run(root / "runs", identity(kind))
    records = [make_record(step) for step in STEPS]
    timings = [TimingRecord(step=step, latencies=()) for step in STEPS]
    commit(found, *(timings if kind == "efficiency" else records), write=put)
    return found


@pytest.fixture
def run(tmp_path, make_record, commit):
    """A pruning run of three steps."""
    return made(tmp_path, "prune", make_record, commit)


def content(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def reseal(found, **changes):
    """Seal run.json anew, as an attacker or another version would."""
    manifest = msgspec.structs.replace(read_manifest(found.folder / "run.json"), **changes)
    (found.folder / "run.json").write_bytes(encode(manifest.sealed()))


# What is there


def test_making_a_run_touches_no_disk(tmp_path):
    run = Run(tmp_path / "runs", identity())
    assert (run.steps(), run.checkpoints(), run.records(), run.files(), run.progress()) == ([], [], [], {}, None)
    assert run.changed == 0.0
    assert list(tmp_path.iterdir()) == []


def test_a_run_is_what_was_committed(run, make_record, here):
    assert run.steps() == run.checkpoints() == [0, 1, 2]
    assert run.records() == [make_record(step) for step in STEPS]
    assert run.environment() == here
    of_steps = [f"steps/00{step}/{name}" for step in STEPS for name in ("model.safetensors", "record.json")]
    of_steps += [f"steps/00{step}/structure.json" for step in STEPS]
    assert sorted(content(run.folder)) == sorted(["environment.json", "run.json", *of_steps])
    assert run.files() == {name: digest(run.folder / name) for name in ("environment.json", *of_steps)}
    assert msgspec.structs.replace(read_manifest(run.folder / "run.json"), files={}, checksum="") == run.manifest


def test_what_units_cost_is_listed_and_stays_whatever_becomes_of_steps(run, here):
    group = UnitCost(group="conv1", ms=0.5, units=8, removed=4, gain_ms=2.0, low_ms=1.0, high_ms=3.0, told=True)
    costs = UnitCosts(device="cpu", hardware="a CPU", threads=2, batch_size=1, pass_ms=9.0, groups=(group,))
    assert run.unit_costs() is None
    with run.working(here):
        run.keep_unit_costs(costs)
        run.drop_checkpoints([1, 2])
    run.redo(0)
    with run.working(here):
        assert run.unit_costs() == costs
    assert run.files()["unit-costs.json"] == digest(run.folder / "unit-costs.json")
    assert (costs.ms, run.steps()) == ({"conv1": 0.5}, [1, 2])


def test_timings_are_committed_and_read_as_records_are(tmp_path, make_record, commit):
    run = made(tmp_path, "efficiency", make_record, commit)
    assert run.timing(2) == TimingRecord(step=2, latencies=())


def test_a_missing_step_lists_those_that_are_there(run, tmp_path):
    for read in (run.record, run.checkpoint):
        with pytest.raises(RunError, match=f"Run {run.key} has no step 7; it has: 0, 1, 2"):
            read(7)
    with pytest.raises(RunError, match=r"has no step 0; it has: none\."):
        Run(tmp_path, identity()).record(0)


def test_a_run_changed_when_it_last_gained_anything(run):
    os.utime(run.folder / "run.json", (5, 5))
    (run.folder / "later.txt").write_text("")
    assert run.changed == 5
    (run.folder / "progress-003-0").mkdir()
    os.utime(run.folder / "progress-003-0", (9, 9))
    assert run.changed == 9


# Damage

DAMAGES = {
    "flipped": lambda data, draw: flip(data, draw.randrange(8 * len(data))),
    "flipped at the start": lambda data, draw: flip(data, 0),
    "flipped at the end": lambda data, draw: flip(data, 8 * len(data) - 1),
    "cut by a byte": lambda data, draw: data[:-1],
    "emptied": lambda data, draw: b"",
    "longer": lambda data, draw: data + b"\0",
    "missing": lambda data, draw: None,
}


def flip(data, bit):
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def damage(path, how):
    changed = DAMAGES[how](path.read_bytes(), random.Random(str(path)))
    path.unlink()
    if changed is not None:
        path.write_bytes(changed)


@pytest.mark.parametrize("kind", ["train", "prune", "efficiency"])
@pytest.mark.parametrize("how", DAMAGES)
def test_every_damaged_file_is_told_with_what_to_do_and_nothing_else_is_lost(how, kind, tmp_path, make_record, commit):
    run = made(tmp_path, kind, make_record, commit)
    record = run.timing if kind == "efficiency" else run.record
    whole = content(run.folder)
    for name in run.files():
        path = run.folder / name
        damage(path, how)
        before = content(run.folder)
        command = {"train": "train", "prune": "prune", "efficiency": "efficiency"}[kind]
        redo = f"`{command}` command of this run again with --fresh"
        readers = [run.environment]
        if name.startswith("steps/"):
            step = int(name.split("/")[1])
            redo = f"with --redo {step}" if kind == "prune" else redo
            readers = [lambda step=step: run.checkpoint(step), lambda step=step: run.check(step)]
            readers += [lambda step=step: record(step)] * name.endswith("record.json")
            for other in set(STEPS) - {step}:
                assert (record(other).step, run.checkpoint(other)) == (other, run.step_folder(other))
        for read in readers:
            problem = "is missing" if how == "missing" else "is damaged: its SHA-256 is not the one in run.json"
            with pytest.raises(RunError, match=f"^{re.escape(str(path))} {re.escape(problem)}. .*{redo}"):
                read()
        assert content(run.folder) == before
        path.write_bytes(whole[name])
    assert [record(step).step for step in STEPS] == [*STEPS]


@pytest.mark.parametrize("how", DAMAGES)
def test_a_damaged_list_of_files_is_told_with_what_to_do(how, run, here, make_record):
    damage(run.folder / "run.json", how)
    before = content(run.folder)

    def work():
        with run.working(here):
            run.commit(make_record(3), put)

    for use in (run.steps, run.records, run.environment, lambda: run.checkpoint(0), lambda: run.redo(1), work):
        with pytest.raises(RunError, match=r"run\.json is .*--fresh"):
            use()
    assert content(run.folder) == before


def test_a_step_whose_place_is_taken_by_a_folder_is_told(run):
    path = run.step_folder(1) / "record.json"
    path.unlink()
    path.mkdir()
    with pytest.raises(RunError, match=rf"{re.escape(str(path))} cannot be read: Is a directory\. .*--redo 1"):
        run.record(1)


def test_a_damaged_environment_is_told_before_work_goes_on(run, here):
    damage(run.folder / "environment.json", "flipped")
    before = content(run.folder)
    with pytest.raises(RunError, match=r"environment\.json is damaged.*--fresh"), run.working(here):
        raise AssertionError("it goes on")
    assert content(run.folder) == before


def test_a_record_of_a_newer_format_says_to_update(run):
    path = run.step_folder(1) / "record.json"
    path.write_bytes(path.read_bytes().replace(b'"format": 3', b'"format": 4'))
    reseal(run, files={**run.files(), "steps/001/record.json": digest(path)})
    with pytest.raises(RunError, match=r"record\.json has format 4, of a newer version .*: update prunebench\."):
        run.record(1)
    assert run.record(0).format == FORMAT


def test_a_run_of_a_newer_format_says_to_update_and_is_left_alone(run, here):
    reseal(run, format=FORMAT + 1)
    before = content(run.folder)
    with pytest.raises(RunError, match=r"run\.json has format 4, of a newer version .*: update prunebench\."):
        run.steps()
    with pytest.raises(RunError, match="update prunebench"), run.working(here):
        raise AssertionError("it goes on")
    assert content(run.folder) == before


def test_a_run_that_calls_itself_by_a_path_reads_and_writes_nothing_outside_its_folder(run, here, make_record):
    outside = run.root.parent / "x"
    shutil.copytree(run.folder, outside)
    reseal(run, key="../x")
    before = content(outside)
    for use in (run.steps, lambda: run.record(0), lambda: run.redo(1), lambda: run.drop_checkpoints([0])):
        with pytest.raises(RunError, match=r"run\.json is damaged: .*\$\.key"):
            use()
    with pytest.raises(RunError, match=r"\$\.key"), run.working(here):
        raise AssertionError("it goes on")
    assert content(outside) == before


def test_a_list_of_files_outside_the_folder_removes_and_reads_nothing(run):
    outside = run.root.parent / "mine.txt"
    outside.write_text("mine")
    name = "steps/001/../../../../mine.txt"
    assert (run.folder / name).read_text() == "mine"
    reseal(run, files={**run.files(), name: digest(outside)})
    for use in (lambda: run.drop_checkpoints([1]), lambda: run.checkpoint(1), lambda: run.redo(1)):
        with pytest.raises(RunError, match=r"run\.json is damaged"):
            use()
    assert outside.read_text() == "mine"


# What changes it


def test_a_step_that_fails_while_it_is_written_leaves_nothing(run, make_record, here):
    before = content(run.folder)

    def write(folder):
        (folder / "model.safetensors").write_bytes(b"half of it")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), run.working(here):
        run.commit(make_record(3), write)
    assert content(run.folder) == before
    assert sorted(path.name for path in (run.folder / "steps").iterdir()) == ["000", "001", "002"]


def test_a_step_for_which_there_is_no_room_is_told_and_the_others_are_intact(run, make_record, here):
    before = content(run.folder)

    def write(folder):
        (folder / "model.safetensors").write_bytes(b"half of it")
        raise OSError(28, "No space left on device")

    where = re.escape(str(run.folder))
    with (
        pytest.raises(
            DiskError,
            match=f"^Step 3 of run {run.key} could not be written to {where}: no space is left on the disk",
        ),
        run.working(here),
    ):
        run.commit(make_record(3), write)
    assert content(run.folder) == before
    assert run.steps() == [*STEPS]


def test_what_a_killed_process_left_half_written_does_not_count_and_is_cleared_away(run, here):
    before = content(run.folder)
    for name in ("steps/.003-x1y2", ".folder"):
        (run.folder / name).mkdir()
        (run.folder / name / "record.json").write_bytes(b"{}")
    for name in (".progress", ".run.json-x1y2"):
        (run.folder / name).write_bytes(b"half of it")
    assert run.steps() == [*STEPS]
    with run.working(here):
        assert content(run.folder) == before
    assert not (run.folder / "steps" / ".003-x1y2").exists()


def test_a_step_that_was_never_listed_does_not_count_and_is_replaced(run, here, make_record):
    shutil.copytree(run.step_folder(2), run.step_folder(3))
    (run.step_folder(3) / "old.bin").write_bytes(b"old")
    assert run.steps() == run.checkpoints() == [*STEPS]
    with pytest.raises(RunError, match="has no step 3"):
        run.record(3)
    with run.working(here):
        run.commit(make_record(3), put)
    assert run.record(3) == make_record(3)
    assert sorted(path.name for path in run.step_folder(3).iterdir()) == [
        *("model.safetensors", "record.json", "structure.json")
    ]


def test_a_run_that_began_and_computed_nothing_leaves_no_folder(tmp_path, here):
    run = Run(tmp_path, identity())
    with run.working(here):
        assert run.environment() == here
    assert not run.folder.exists()
    with pytest.raises(KeyError), run.working(here):
        raise KeyError
    assert not run.folder.exists()


@pytest.mark.parametrize("what", ["damaged", "missing"])
def test_what_went_wrong_is_told_and_not_what_that_led_to(what, run, here):
    """A disk that fails, say: the error that the work ended with, whatever leaving the run comes to."""

    def fail(then):
        then()
        raise KeyError("the real one")

    with pytest.raises(KeyError, match="the real one"), run.working(here):
        fail(lambda: damage(run.folder / "run.json", "emptied" if what == "damaged" else "missing"))
    locks = run.root / ".locks"
    with pytest.raises(KeyError, match="the real one"), held(run.folder):
        fail(lambda: (shutil.rmtree(locks), locks.write_bytes(b"no folder any more")))
    assert (run.root / ".locks").is_file()


def test_progress_that_another_process_replaces_while_a_run_is_listed_counts_nothing(begun, monkeypatch):
    (progress,) = begun.folder.glob("progress-*")
    shutil.copytree(progress, gone := begun.folder / f"progress-000-{'1' * 64}")
    listed = sorted(begun.folder.iterdir())
    shutil.rmtree(gone)
    monkeypatch.setattr(Path, "iterdir", lambda folder: iter(listed))
    assert begun.begun
    assert begun.changed >= progress.stat().st_mtime_ns / 1e9
    assert begun.progress() == progress


def test_when_a_run_began_does_not_change(run, here, make_record):
    created = read_manifest(run.folder / "run.json").created
    later = Run(run.root, msgspec.structs.replace(run.manifest, created="later"))
    with later.working(here):
        later.commit(make_record(3), put)
    assert read_manifest(run.folder / "run.json").created == created


def test_a_run_that_another_process_computes_is_left_alone(run, here):
    before = content(run.folder)
    with held(run.folder):
        for change in (lambda: run.redo(1), run.set_aside, run.delete):
            with pytest.raises(RunLocked):
                change()
        with pytest.raises(RunLocked), run.working(here):
            raise AssertionError("both compute it")
        assert run.record(1).step == 1
    assert content(run.folder) == before


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"threads": 3}, "begun with threads 2; here it would go on with threads 3, .* Give --threads 2, or .*--fresh"),
        (
            {"device": "cuda"},
            "begun with device cpu; here it would go on with device cuda, .* Use what it was begun with, or",
        ),
        ({"deterministic": True}, "begun with deterministic False; here .* deterministic True"),
        ({"versions": {"torch": "3"}}, "begun with torch 2; here it would go on with torch 3"),
        ({"versions": {"torch": "2", "numpy": "1"}}, "begun with numpy None; here it would go on with numpy 1"),
        ({"threads": 3, "device": "cuda"}, "begun with device cpu, threads 2; here .* device cuda, threads 3"),
    ],
)
def test_an_environment_that_computes_otherwise_is_refused_and_a_finished_run_answers(changes, told, run, here):
    before = content(run.folder)
    now = msgspec.structs.replace(here, **changes)
    with pytest.raises(RunError, match=f"Run {run.key} was {told}"), run.working(now):
        raise AssertionError("it goes on")
    assert content(run.folder) == before
    assert [record.step for record in run.records()] == [*STEPS]


@pytest.mark.parametrize(
    "changes",
    [
        {"hardware": "another"},
        {"platform": "another"},
        {"python": "4"},
        {"versions": {"torch": "2", "prunebench": "9"}},
    ],
)
def test_an_environment_that_computes_the_same_goes_on(changes, run, here, make_record):
    other: Environment = msgspec.structs.replace(here, **changes)
    with run.working(other):
        run.commit(make_record(3), put)
    assert run.environment() == here


def test_redo_sets_the_files_of_a_step_aside_and_touches_no_other(run):
    damage(run.step_folder(1) / "model.safetensors", "flipped")
    before = content(run.folder)
    of_step = {name: before.pop(name) for name in list(before) if name.startswith("steps/001/")}
    run.redo(1)
    after = content(run.folder)
    aside = {name: after.pop(name) for name in list(after) if name.startswith("aside/001-")}
    (listed,) = [name for name in aside if name.count("/") == 1]
    told = msgspec.json.decode(aside.pop(listed))
    assert told.keys() == of_step.keys()
    assert {f"{listed.removesuffix('.json')}/{name.rpartition('/')[2]}" for name in told} == aside.keys()
    assert {name.rpartition("/")[2]: data for name, data in aside.items()} == {
        name.rpartition("/")[2]: data for name, data in of_step.items()
    }
    del before["run.json"], after["run.json"]
    assert after == before
    assert run.steps() == [0, 2]


def test_what_is_aside_stays_where_the_only_step_is_computed_anew_and_fails(tmp_path, make_record, here, commit):
    run = Run(tmp_path, identity("train"))
    commit(run, make_record(0), write=put)
    run.redo(0)
    with pytest.raises(KeyError), run.working(here):
        raise KeyError
    assert [path.name for path in (run.folder / "aside").glob("*/*") if path.name == "record.json"]


def test_a_step_whose_files_are_all_gone_can_be_computed_anew(run):
    shutil.rmtree(run.step_folder(2))
    with pytest.raises(RunError, match="--redo 2"):
        run.record(2)
    run.redo(2)
    assert run.steps() == [0, 1]


def test_redo_is_refused_without_what_the_step_is_computed_from(run):
    run.drop_checkpoints([1])
    before = content(run.folder)
    with pytest.raises(RunError, match=r"has not kept the checkpoint of step 1 \(--keep\); it has those of: 0, 2"):
        run.redo(2)
    with pytest.raises(RunError, match=f"--redo 7: run {run.key} has no step 7; it has: 0, 1, 2"):
        run.redo(7)
    assert content(run.folder) == before
    damage(run.step_folder(0) / "model.safetensors", "flipped")
    with pytest.raises(RunError, match="--redo 0"):
        run.redo(1)
    assert run.steps() == [*STEPS]


def test_a_run_that_is_set_aside_is_kept_and_its_name_is_free(run, make_record, commit):
    before, places = content(run.folder), []
    for _ in range(2):
        place = run.set_aside()
        places.append(place)
        assert not run.folder.exists()
        assert place.parent == run.root / "aside"
        assert run.steps() == []
        commit(run, make_record(0))
        assert run.steps() == [0]
    assert content(places[0]) == before
    assert places[0] != places[1]
    assert Run(run.root, run.manifest, places[0]).records() == [make_record(step) for step in STEPS]


def test_there_is_nothing_to_set_aside_of_a_run_that_is_not_there(tmp_path):
    assert Run(tmp_path / "runs", identity()).set_aside() is None
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_run_can_be_set_aside_and_removed(run):
    damage(run.folder / "run.json", "emptied")
    assert run.set_aside().is_dir()
    run.folder.mkdir()
    run.delete()
    assert not run.folder.exists()


def test_a_run_that_is_deleted_is_gone_and_others_stay(run, make_record, commit):
    other = Run(run.root, identity(seed=1))
    commit(other, make_record(0))
    run.delete()
    assert not run.folder.exists()
    assert other.record(0) == make_record(0)


def test_checkpoints_go_and_records_stay(run, make_record):
    run.drop_checkpoints([0, 2])
    assert run.checkpoints() == [1]
    assert run.records() == [make_record(step) for step in STEPS]
    assert [path.name for path in run.step_folder(0).iterdir()] == ["record.json"]
    assert run.checkpoint(1) == run.step_folder(1)
    for step in (0, 2):
        with pytest.raises(
            RunError, match=rf"has not kept the checkpoint of step {step} \(--keep\); it has those of: 1\. --fresh"
        ):
            run.checkpoint(step)


def test_a_finished_run_is_tidied_unless_another_process_computes_it(run):
    before = content(run.folder)
    left = [".progress", "steps/.003-x1y2", f"progress-001-{'0' * 64}/state.json", "steps/001/masks.safetensors"]
    left += [".progress-x1y2/state.json"]
    for name in left:
        (run.folder / name).parent.mkdir(exist_ok=True)
        (run.folder / name).write_bytes(b"left by a process that was killed")
    (run.folder / "tiny_structured_performance.txt").write_bytes(b"1")
    with held(run.folder):
        run.tidy()
        assert set(left) < set(content(run.folder))
    run.tidy()
    assert content(run.folder) == before | {"tiny_structured_performance.txt": b"1"}


def test_checkpoints_of_which_a_killed_process_removed_only_the_names_go(run, here):
    reseal(run, files={name: found for name, found in run.files().items() if "001" not in name or "record" in name})
    assert (run.step_folder(1) / "model.safetensors").exists()
    run.tidy()
    assert [path.name for path in run.step_folder(1).iterdir()] == ["record.json"]
    assert run.checkpoints() == [0, 2]


def test_answers_are_kept_beside_a_checkpoint_and_go_with_it(run, make_record, here):
    answers = Answers(parts={"test": Bits(3, b"\xa0")})
    with run.working(here):
        run.commit(make_record(3), put, answers)
    assert run.answers(3) == answers
    assert run.answers(2) is None
    path = run.step_folder(3) / "answers.json"
    data = path.read_bytes()
    path.write_bytes(data[:-1])
    with pytest.raises(RunError, match=r"answers\.json is damaged"):
        run.answers(3)
    path.write_bytes(data)
    run.drop_checkpoints([3])
    assert (run.answers(3), path.exists(), run.record(3)) == (None, False, make_record(3))
    path.write_bytes(data)  # as a process that was killed leaves it
    run.tidy()
    assert not path.exists()


# Progress


def half(name, data=b"a model"):
    """What puts a half-done step into a folder."""

    def write(folder):
        put(folder)
        (folder / "state.json").write_text(name)
        (folder / "model.safetensors").write_bytes(data)
        (folder / "optimizer.safetensors").write_bytes(b"moments")

    return write


@pytest.fixture
def begun(tmp_path, here):
    """A run whose first step is half done."""
    run = Run(tmp_path, identity())
    with run.working(here):
        run.write_progress(0, half("first"))()
        run.write_progress(0, half("second"))()
    return run


def progress_files(run):
    return sorted(run.folder.glob("*progress*"))


def test_the_last_progress_is_kept_until_the_step_exists(begun, here, make_record):
    path = begun.progress()
    assert begun.begun
    assert (path / "state.json").read_text() == "second"
    assert progress_files(begun) == [path]
    with begun.working(here):
        begun.commit(make_record(0), put)
    assert begun.progress() is None
    assert not begun.begun
    assert progress_files(begun) == []


def test_a_step_whose_progress_holds_its_checkpoint_takes_it_from_there(begun, here, make_record):
    kept = content(begun.progress())
    with begun.working(here):
        begun.commit(make_record(0))
    names = {"model.safetensors", "structure.json"}
    found = content(begun.checkpoint(0))
    assert found.keys() == {*names, "record.json"}
    assert {name: found[name] for name in names} == {name: kept[name] for name in names}
    assert begun.record(0) == make_record(0)
    assert progress_files(begun) == []


def test_progress_that_fails_while_it_is_written_leaves_the_last(begun, here):
    def write(folder):
        (folder / "state.json").write_bytes(b"half of it")
        raise OSError(122, "Disk quota exceeded")

    before = content(begun.folder)
    with pytest.raises(DiskError, match=r"^The progress of run .* the disk quota is used up"), begun.working(here):
        begun.write_progress(0, write)()
    assert content(begun.folder) == before
    assert progress_files(begun) == [begun.progress()]


def test_of_two_that_a_killed_process_left_the_newer_counts(begun):
    path = begun.progress()
    older = begun.folder / f"progress-000-{'0' * 64}"
    older.mkdir()
    os.utime(older, (1, 1))
    assert begun.progress() == path


def test_damaged_progress_is_told_before_work_goes_on_and_is_left_as_it_is(begun, here):
    path = begun.progress()
    damage(path / "model.safetensors", "flipped")
    before = content(begun.folder)
    told = f"^{re.escape(str(path))} is damaged: model.safetensors is damaged: .* Delete it"
    with pytest.raises(RunError, match=told):
        begun.progress()
    with pytest.raises(RunError, match=told), begun.working(here):
        begun.progress()
    assert content(begun.folder) == before
    shutil.rmtree(path)
    assert begun.progress() is None
