"""What runs are called, and which there are."""

import os
import re
import shutil
import tempfile
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prunebench import RunConfig, pruning_run
from prunebench.errors import AmbiguousRun, RunError
from prunebench.runs.files import write_atomically
from prunebench.runs.index import all_runs, each, find, identify, studies_in, title
from prunebench.runs.manifest import encode
from prunebench.runs.run import Run

CONFIG = {"model": "tiny", "method": "structured", "seed": 0, "exclude": ["head"]}


def identity(**deciding):
    return identify("prune", {**CONFIG, **deciding}, deciding, {})


@pytest.fixture
def run(tmp_path, make_record, commit):
    """A run of two steps."""
    found = Run(tmp_path / "runs", identity(seed=0))
    commit(found, make_record(0), make_record(1))
    return found


@pytest.fixture
def empty(run):
    """A run beside it that has begun and has no step."""
    other = Run(run.root, identity(seed=2))
    write_atomically(other.folder / "run.json", encode(other.manifest.sealed()))
    return other


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
        ("torchvision:resnet18", "torchvision-resnet18"),
        ("timm:resnet18.a1_in1k", "timm-resnet18-a1_in1k"),
        ("hf:/some/where/net", "hf-net"),
    ],
)
def test_files_are_called_by_a_short_name(name, short):
    assert title(name) == short


@pytest.mark.parametrize(
    "name",
    [
        *(
            "../../x",
            "/etc/passwd",
            "a/b:c",
            "x.py:../f",
            "../x.py:f",
            "..:..",
            "..",
            ".",
            "~",
            "$HOME",
            "C:\\x",
            "con:",
        ),
        *("a\0b", "a\nb", "-rf", "*", "x.py:", ":", "", "timm:../..", "hf:..", "hf:", "/.py:f", "…/ü.py:f", None, 3),
    ],
)
def test_a_title_is_never_a_path(name, tmp_path):
    short = title(name)
    assert re.fullmatch(r"[\w-]*", short)
    assert (tmp_path / f"{short}_structured").resolve().parent == tmp_path.resolve()


@given(st.text(st.characters(codec="utf-8") | st.sampled_from("./\\:~<>\0"), max_size=40))
def test_whatever_a_model_is_called_its_run_is_a_plain_folder_that_can_be_read_back(name):
    key = identify("prune", CONFIG | {"model": name}, {}, {}).key
    assert re.fullmatch(r"[\w-]+", key)
    assert Path(key).name == key
    info = msgspec.structs.replace(identity(), key=key, source=key)
    assert msgspec.json.decode(msgspec.json.encode(info), type=type(info)) == info


def test_the_newest_run_comes_first_and_those_without_a_step_do_not_count(run, empty, make_record, commit):
    other = Run(run.root, identity(seed=1))
    commit(other, make_record())
    os.utime(other.folder / "run.json", (1, 1))
    os.utime(empty.folder / "run.json", (2, 2))
    assert [found.manifest for found in all_runs(run.root)] == [run.manifest, other.manifest]
    assert [found.manifest for found in all_runs(run.root, begun=True)] == [
        run.manifest,
        empty.manifest,
        other.manifest,
    ]
    assert all_runs(run.root / "nowhere") == []


def test_a_run_is_found_by_its_key_its_beginning_its_hash_or_its_folder(run):
    digest = run.key.rpartition("-")[2]
    for name in (run.key, run.key[:12], digest[:4], str(run.folder)):
        assert find(run.root, name).folder.resolve() == run.folder.resolve()


def test_a_name_of_no_run_or_of_several_is_refused_with_those_that_there_are(run, make_record, commit):
    commit(Run(run.root, identity(seed=1)), make_record())
    with pytest.raises(AmbiguousRun, match=f"'tiny-' names several runs: .*{run.key}"):
        find(run.root, "tiny-")
    with pytest.raises(RunError, match=f"There is no run 'zzz' in .*; the newest are: .*{run.key}"):
        find(run.root, "zzz")
    with pytest.raises(RunError, match="the newest are: none"):
        find(run.root / "nowhere", "zzz")


def test_a_run_whose_folder_was_renamed_is_found_read_and_continued(run, make_record, commit):
    run.folder.rename(run.root / "my favourite")
    for found in (find(run.root, run.key), find(run.root, str(run.root / "my favourite")), *all_runs(run.root)):
        assert found.folder.resolve() == (run.root / "my favourite").resolve()
        assert found.steps() == [0, 1]
        assert found.record(1) == make_record(1)
    commit(find(run.root, run.key), make_record(2))
    assert [path.name for path in run.root.iterdir() if path.name != ".locks"] == ["my favourite"]
    assert find(run.root, run.key).steps() == [0, 1, 2]


HOSTILE = encode(msgspec.structs.replace(identity(), files={"x/record.json": ""}).sealed())


@pytest.mark.parametrize(
    "content", [b"", b"[]", b'{"format": 1}', b'{"format": 2}', b'{"format": 3}', b'{"format": 4}', HOSTILE]
)
def test_a_run_that_cannot_be_read_is_passed_over_with_a_warning(content, run, caplog):
    bad = run.root / "bad" / "run.json"
    write_atomically(bad, content)
    assert [found.manifest for found in all_runs(run.root)] == [run.manifest]
    (told,) = caplog.records
    assert told.levelname == "WARNING"
    assert str(bad) in told.getMessage()
    assert told.getMessage().endswith("It is passed over.")
    with pytest.raises(RunError, match="bad"):
        find(run.root, str(bad.parent))


def test_a_copy_of_a_run_beside_it_is_passed_over_with_a_warning(run, caplog):
    shutil.copytree(run.folder, run.root / "copy")
    os.utime(run.root / "copy" / "run.json")  # it is the newer one
    assert [found.folder for found in all_runs(run.root)] == [run.folder]
    assert f"copy holds a copy of run {run.key}. It is passed over." in caplog.text
    assert find(run.root, str(run.root / "copy")).folder.name == "copy"
    run.folder.rename(run.root / "other")  # which is the copy cannot be told then
    assert len(all_runs(run.root)) == 2


def test_a_folder_without_a_finished_step_is_no_run_unless_one_asks_for_it(empty):
    with pytest.raises(RunError, match=f"{empty.key} has no finished step"):
        find(empty.root, str(empty.folder))
    with pytest.raises(RunError, match=f"There is no run '{empty.key}'"):
        find(empty.root, empty.key)
    assert find(empty.root, str(empty.folder), begun=True).manifest == empty.manifest
    assert find(empty.root, empty.key, begun=True).manifest == empty.manifest


def test_a_run_that_lies_in_a_study_is_told_where(tmp_path, make_record, commit):
    run = pruning_run(RunConfig(model="resnet18", runs_dir=str(tmp_path / "small")))
    commit(run, make_record())
    (tmp_path / "small" / "study.json").write_text("{}", encoding="utf-8")
    with pytest.raises(RunError, match=rf"but in {tmp_path}/small: give --runs-dir {tmp_path}/small"):
        find(tmp_path, run.key)
    with pytest.raises(RunError, match=r"is no run's folder\. Its runs:  prunebench runs --runs-dir"):
        find(tmp_path, str(tmp_path / "small"))
    assert studies_in(tmp_path) == [tmp_path / "small"]


@pytest.fixture
def anybody():
    """A folder that others than root may enter, and root as one of them."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    if root := os.geteuid() == 0:
        os.chown(folder, 65534, -1)
        os.seteuid(65534)
    yield folder
    if root:
        os.seteuid(0)
    for path in folder.rglob("*"):
        path.chmod(0o700)
    shutil.rmtree(folder)


@pytest.mark.parametrize("mode", [0o000, 0o100, 0o400, 0o600])
def test_a_run_that_may_not_be_read_is_warned_of(mode, anybody, make_record, commit, caplog):
    mine, other = (Run(anybody / "runs", identity(seed=seed)) for seed in (0, 1))
    for run in (mine, other):
        commit(run, make_record(0))
    other.folder.chmod(mode)
    assert [run.key for run in all_runs(anybody / "runs")] == [mine.key]
    (record,) = caplog.records
    assert str(other.folder) in record.getMessage()
    assert record.getMessage().endswith("cannot be read: Permission denied. It is passed over.")


def test_a_folder_of_runs_that_may_not_be_read_is_an_error(anybody):
    (anybody / "runs").mkdir(0o000)
    with pytest.raises(RunError, match=r"runs cannot be read: Permission denied\."):
        all_runs(anybody / "runs")


def test_whatever_goes_wrong_with_a_run_is_damage_of_it_alone(run, caplog):
    def read(number):
        return 1 / number

    assert each([2, 0, 4], read, lambda number: run.root / str(number)) == [0.5, 0.25]
    (record,) = caplog.records
    told = f"{run.root / '0'} is damaged: ZeroDivisionError: division by zero."
    assert record.getMessage() == f"{told} It is passed over."
    with pytest.raises(RunError, match=re.escape(told)):
        each([0], read, lambda number: run.root / str(number), some=True)
    assert each([], read, lambda number: run.root, some=True) == []


def test_names_that_no_path_can_have_name_no_run(run):
    for name in ("x" * 300, "\0", "x/" * 3000):
        with pytest.raises(RunError, match="There is no run"):
            find(run.root, name)
