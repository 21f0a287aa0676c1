import os

import msgspec
import pytest

from prunebench.catalogue import all_runs, find, identify, title
from prunebench.errors import AmbiguousRun, ConfigError, RunError
from prunebench.files import check_writable, write_atomically
from prunebench.records import Environment, RunInfo
from prunebench.store import Run

HERE = Environment(
    seed=0,
    device="cpu",
    hardware="a CPU",
    threads=2,
    deterministic=False,
    platform="",
    python="3.12",
    versions={"torch": "2"},
)
CONFIG = {"model": "tiny", "method": "structured", "seed": 0, "exclude": ["head"]}


def identity(**deciding):
    return identify("prune", {**CONFIG, **deciding}, deciding, {})


@pytest.fixture
def run(tmp_path, make_record):
    """A run of two steps."""
    found = Run(tmp_path / "runs", identity(seed=0))
    for step in (0, 1):
        found.commit(make_record(step), HERE, lambda folder: (folder / "model.bin").write_bytes(b"weights"))
    return found


def files(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_making_a_run_touches_no_disk(tmp_path):
    assert Run(tmp_path / "runs", identity()).steps() == []
    assert list(tmp_path.iterdir()) == []


def test_a_run_is_what_was_committed(run, make_record):
    assert run.steps() == [0, 1]
    assert run.records() == [make_record(0), make_record(1)]
    assert files(run.folder) == [
        "environment.json",
        "run.json",
        "steps/000/model.bin",
        "steps/000/record.json",
        "steps/001/model.bin",
        "steps/001/record.json",
    ]
    assert msgspec.json.decode((run.folder / "run.json").read_bytes(), type=RunInfo) == run.info
    assert msgspec.json.decode((run.folder / "environment.json").read_bytes(), type=Environment) == HERE


def test_a_step_that_fails_while_it_is_written_leaves_nothing(run, make_record):
    before = files(run.folder)

    def write(folder):
        (folder / "model.bin").write_bytes(b"half of it")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run.commit(make_record(2), HERE, write)
    assert run.steps() == [0, 1]
    assert files(run.folder) == before
    assert sorted(path.name for path in (run.folder / "steps").iterdir()) == ["000", "001"]


def test_a_step_left_over_by_a_killed_process_does_not_count(run):
    (run.folder / "steps" / ".002-x1y2").mkdir()
    (run.folder / "steps" / ".002-x1y2" / "record.json").write_bytes(b"{}")
    (run.folder / "steps" / "003").mkdir()
    assert run.steps() == [0, 1]


def test_a_missing_step_lists_those_that_are_there(run):
    with pytest.raises(RunError, match=f"Run {run.info.key} has no step 7; it has: 0, 1"):
        run.record(7)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"format": 1}', b'{"format": 1, "step": "one"}'])
def test_a_damaged_record_is_named(run, content):
    path = run.step_folder(1) / "record.json"
    path.write_bytes(content)
    with pytest.raises(RunError, match=r"001.record\.json"):
        run.record(1)


def test_a_record_of_another_format_is_refused_as_such(run):
    path = run.step_folder(1) / "record.json"
    path.write_bytes(path.read_bytes().replace(b'"format": 1', b'"format": 2'))
    with pytest.raises(RunError, match=r"has format 2; this version of prunebench reads format 1"):
        run.record(1)


def test_a_key_depends_on_what_decides_alone():
    first = identify("prune", CONFIG, {"seed": 0, "lr": 0.1}, {"data": "d"})
    assert identify("prune", CONFIG | {"threads": 2}, {"lr": 0.1, "seed": 0}, {"data": "d"}).key == first.key
    assert identify("prune", CONFIG, {"seed": 1, "lr": 0.1}, {"data": "d"}).key != first.key
    assert identify("prune", CONFIG, {"seed": 0, "lr": 0.1}, {"data": "e"}).key != first.key
    assert identify("train", CONFIG, {"seed": 0, "lr": 0.1}, {"data": "d"}).key != first.key


@pytest.mark.parametrize(
    ("name", "short"),
    [
        ("resnet18", "resnet18"),
        ("/some/where/net.py:build", "net"),
        ("net.py:build", "net"),
        ("package.module:make", "make"),
        ("<lambda>", "lambda"),
    ],
)
def test_files_are_called_by_a_short_name(name, short):
    assert title(name) == short


def test_a_key_is_a_plain_folder_name():
    key = identify("prune", CONFIG | {"model": "<outer.<locals>.build net>"}, {}, {}).key
    assert key.replace("-", "").replace("_", "").isalnum()


def test_the_newest_run_comes_first_and_empty_ones_do_not_count(run, make_record):
    other = Run(run.root, identity(seed=1))
    other.commit(make_record(), HERE, lambda folder: None)
    os.utime(other.step_folder(0) / "record.json", (1, 1))
    empty = Run(run.root, identity(seed=2))
    write_atomically(empty.folder / "run.json", msgspec.json.encode(empty.info))
    assert [found.info for found in all_runs(run.root)] == [run.info, other.info]
    assert all_runs(run.root / "nowhere") == []


def test_a_run_is_found_by_its_key_its_beginning_its_hash_or_its_folder(run):
    digest = run.info.key.rpartition("-")[2]
    for name in (run.info.key, run.info.key[:12], digest[:4], str(run.folder)):
        assert find(run.root, name).folder.resolve() == run.folder.resolve()


def test_a_name_of_no_run_or_of_several_is_refused_with_those_that_there_are(run, make_record):
    other = Run(run.root, identity(seed=1))
    other.commit(make_record(), HERE, lambda folder: None)
    with pytest.raises(AmbiguousRun, match=f"'tiny-' names several runs: .*{run.info.key}"):
        find(run.root, "tiny-")
    with pytest.raises(RunError, match=f"There is no run 'zzz' in .*; the newest are: .*{run.info.key}"):
        find(run.root, "zzz")
    with pytest.raises(RunError, match="the newest are: none"):
        find(run.root / "nowhere", "zzz")


def test_a_folder_that_cannot_be_written_to_is_told_before_work_begins(tmp_path):
    check_writable(tmp_path / "not" / "there" / "yet")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot be written to"):
        check_writable(tmp_path / "file" / "runs")


def test_a_file_is_replaced_as_a_whole_or_not_at_all(tmp_path):
    path = tmp_path / "new" / "file.txt"
    write_atomically(path, b"one")
    write_atomically(path, b"two")
    with pytest.raises(TypeError):
        write_atomically(path, "text")
    assert path.read_bytes() == b"two"
    assert [found.name for found in path.parent.iterdir()] == ["file.txt"]


def test_a_run_whose_folder_was_renamed_is_found_read_and_continued(run, make_record):
    run.folder.rename(run.root / "my favourite")
    for found in (find(run.root, run.info.key), find(run.root, str(run.root / "my favourite")), *all_runs(run.root)):
        assert found.folder.resolve() == (run.root / "my favourite").resolve()
        assert found.steps() == [0, 1]
        assert found.record(1) == make_record(1)
    find(run.root, run.info.key).commit(make_record(2), HERE, lambda folder: None)
    assert [path.name for path in run.root.iterdir()] == ["my favourite"]
    assert find(run.root, run.info.key).steps() == [0, 1, 2]


@pytest.mark.parametrize("content", [b"", b"[]", b'{"format": 1}', b'{"format": 2}'])
def test_a_run_that_cannot_be_read_is_passed_over_with_a_warning(content, run, caplog):
    bad = run.root / "bad" / "run.json"
    write_atomically(bad, content)
    assert [found.info for found in all_runs(run.root)] == [run.info]
    (told,) = caplog.records
    assert told.levelname == "WARNING"
    assert str(bad) in told.getMessage()
    assert told.getMessage().endswith("It is passed over.")
    with pytest.raises(RunError, match="bad"):
        find(run.root, str(bad.parent))


def test_a_folder_without_a_finished_step_is_no_run(tmp_path):
    empty = Run(tmp_path, identity())
    write_atomically(empty.folder / "run.json", msgspec.json.encode(empty.info))
    with pytest.raises(RunError, match=f"{empty.info.key} has no finished step"):
        find(tmp_path, str(empty.folder))


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_a_folder_without_permission_cannot_be_written_to(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(ConfigError, match="choose another folder"):
        check_writable(tmp_path / "runs")
