"""Selection: a key, a folder, or a filter names pruning runs, and anything else is told."""

from __future__ import annotations

import pytest

from prunebench.config import RunConfig
from prunebench.errors import ConfigError, RunError
from prunebench.experiment.resolve import dense_run, pruning_run, resolve
from prunebench.results.settings import NAMED
from prunebench.runs.selection import select


@pytest.fixture
def keys(tmp_path, make_record, commit):
    """Keys of pruning runs by criterion and fraction, of a run that has not pruned yet, and of a dense run."""
    found = {}
    for criterion in ("l1", "l2"):
        for fraction in (0.1, 0.25):
            config = resolve(RunConfig(model="vgg16", criterion=criterion, fraction=fraction, runs_dir=str(tmp_path)))
            commit(pruning_run(config), make_record(0), make_record(1))
            found[criterion, fraction] = pruning_run(config).key
    commit(dense_run(config), make_record(0))
    begun = resolve(RunConfig(model="vgg16", seed=7, runs_dir=str(tmp_path)))
    commit(pruning_run(begun), make_record(0))
    return {**found, "dense": dense_run(config).key, "begun": pruning_run(begun).key}


def chosen(text, root):
    return {run.key for run in select(text, root).runs}


def test_a_key_its_beginning_or_a_folder_is_that_run(keys, tmp_path):
    key = keys["l1", 0.25]
    assert chosen(key, tmp_path) == chosen(key.rpartition("-")[2][:8], tmp_path) == chosen(str(tmp_path / key), ".")
    assert chosen(key, tmp_path) == {key}


def test_a_folder_of_runs_is_all_that_have_pruned_a_step(keys, tmp_path):
    assert chosen(str(tmp_path), "nowhere") == {keys[c, f] for c in ("l1", "l2") for f in (0.1, 0.25)}


@pytest.mark.parametrize(
    ("text", "criteria", "fractions"),
    [
        ("criterion=l1", ["l1"], [0.1, 0.25]),
        ("fraction=.25", ["l1", "l2"], [0.25]),
        (" fraction = 0.10 , criterion = l2 ", ["l2"], [0.1]),
        ("freeze=FALSE", ["l1", "l2"], [0.1, 0.25]),
    ],
)
def test_a_filter_is_all_runs_that_have_these_settings(text, criteria, fractions, keys, tmp_path):
    assert chosen(text, tmp_path) == {keys[c, f] for c in criteria for f in fractions}
    assert set(select(text, tmp_path).filter) == {part.partition("=")[0].strip() for part in text.split(",")}


def test_a_value_that_goes_by_another_name_is_found_by_it(keys, tmp_path):
    selected = select("criterion=magnitude", tmp_path, NAMED)
    assert {run.key for run in selected.runs} == {keys["l1", 0.1], keys["l1", 0.25]}
    assert selected.filter == {"criterion": "l1"}
    with pytest.raises(RunError, match="no pruning run"):
        select("criterion=slim", tmp_path, NAMED)


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("criterion=l3", RunError, r"no pruning run .* has these settings\. --criterion there: l1, l2\."),
        ("fraction=much", RunError, r"--fraction there: 0\.1, 0\.25\."),
        ("criterio=l1", ConfigError, "'criterio' is no setting that decides a run. Did you mean 'criterion'"),
        ("criterion=l1,fraction", ConfigError, "'fraction' is no setting|Filters look like"),
        ("threads=1", ConfigError, "'threads' is no setting that decides a run"),
        ("no-such-run", RunError, "There is no run 'no-such-run'"),
    ],
)
def test_what_names_nothing_is_told(text, error, message, keys, tmp_path):
    with pytest.raises(error, match=message):
        select(text, tmp_path)


def test_a_dense_run_and_an_empty_folder_are_told(keys, tmp_path):
    with pytest.raises(RunError, match="is a train run; name a pruning run"):
        select(keys["dense"], tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(RunError, match="holds no pruning run"):
        select(str(tmp_path / "empty"), tmp_path)
    with pytest.raises(RunError, match="There are no pruning runs at all"):
        select("criterion=l1", tmp_path / "empty")


def test_a_file_in_a_folder_is_that_file_and_its_name_alone_every_one_of_it(tmp_path, make_record, commit, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = {}
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "net.py").write_text(f"def build(classes):\n    return {folder!r}\n")
        run = pruning_run(RunConfig(model=f"{folder}/net.py:build", runs_dir="runs"))
        commit(run, make_record(0), make_record(1))
        found[folder] = run.key
    assert chosen("model=net.py:build", "runs") == set(found.values())
    for text in ("a/net.py:build", "./a/net.py:build", "b/../a/net.py:build", f"{tmp_path}/a/net.py:build"):
        assert chosen(f"model={text}", "runs") == {found["a"]}
    monkeypatch.chdir(tmp_path / "a")
    assert chosen("model=./net.py:build", "../runs") == {found["a"]}
    with pytest.raises(RunError, match="has these settings"):
        select("model=c/net.py:build", "../runs")


def test_a_filter_names_data_by_its_digest_or_its_folder(run_on, tmp_path):
    one, other = run_on("A"), run_on("B", "warm")
    root, digest = tmp_path / "runs", one.manifest.contents["data"]
    for text in (f"data={digest}", f"data={digest[:6]}", f"data=A:{digest[:10]}", f"data_dir={tmp_path / 'A'}"):
        assert chosen(text, root) == {one.key}
    assert chosen("dataset=text-file", root) == {one.key, other.key}
    with pytest.raises(RunError, match=f"--data there: A:{digest[:10]}, B:"):
        select("data=none", root)
