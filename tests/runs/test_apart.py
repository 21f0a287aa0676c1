"""What tells runs apart: their data by digest and folder, and the settings in which they differ."""

from __future__ import annotations

import pytest

from prunebench.errors import AmbiguousRun
from prunebench.runs.apart import data_name, data_told, differing, digest_in, same_folder
from prunebench.runs.index import find, identify
from prunebench.runs.run import Run


@pytest.fixture
def run(tmp_path):
    """Makes a run that is not on disk."""

    def make(data=None, kind="prune", source=None, **given):
        config = {"model": "resnet18", "dataset": "image-folder", "data_dir": "some/A", "method": "structured", **given}
        return Run(tmp_path, identify(kind, config, config, {"data": data} if data else {}, source))

    return make


def test_data_is_called_by_its_folder_and_digest_and_told_with_all_of_both(run):
    made = run("0123456789abcdef")
    assert data_name(made.manifest.config, made.manifest.contents) == "A:0123456789"
    assert digest_in("A:0123456789") == digest_in("0123456789") == "0123456789"
    assert data_told(made) == "image-folder in some/A, digest 0123456789"
    bundled = run(dataset="digits")
    assert data_name(bundled.manifest.config, bundled.manifest.contents) is None
    assert data_told(bundled) == "digits"
    odd = run("0123456789abcdef", data_dir="/x/a, b=c:d")
    assert data_name(odd.manifest.config, odd.manifest.contents) == "a--b-c-d:0123456789"


def test_a_folder_is_the_same_however_it_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert same_folder("A", str(tmp_path / "A"))
    assert same_folder("A", "./A")
    assert not same_folder("A", "B")


def test_runs_are_told_apart_by_settings_as_filters_write_them(run):
    runs = [run(text_column=["2", "3"], header=False), run(text_column=["2"], header=True), run(text_column=[])]
    assert [differing(one, runs) for one in runs] == ["text_column=2,3 header=false", "text_column=2 header=true", ""]


def test_what_models_have_values_of_their_own_for_tells_only_their_own_runs_apart(run):
    runs = [run(sequence_length=128, lr=0.1), run(sequence_length=128, lr=0.2), run(model="bert", sequence_length=64)]
    assert [differing(one, runs) for one in runs] == ["model=resnet18 lr=0.1", "model=resnet18 lr=0.2", "model=bert"]


def test_data_tells_runs_apart_where_a_dataset_has_several(run):
    runs = [run("a" * 20), run("b" * 20, data_dir="B"), run("c" * 20, dataset="mnist")]
    assert [differing(one, runs) for one in runs] == [
        "dataset=image-folder data=A:aaaaaaaaaa",
        "dataset=image-folder data=B:bbbbbbbbbb",
        "dataset=mnist",
    ]
    elsewhere = [run("a" * 20, seed=0), run("a" * 20, seed=1, data_dir="moved")]
    assert [differing(one, elsewhere) for one in elsewhere] == ["seed=0", "seed=1"]


def test_timings_are_told_apart_by_what_they_timed(run):
    runs = [run(kind="efficiency", source="one"), run(kind="efficiency", seed=1)]
    assert [differing(one, runs) for one in runs] == ["of=one", "seed=1 of=untrained weights"]


def test_a_name_of_several_runs_is_told_with_what_tells_them_apart(run_on, tmp_path):
    one, other = run_on("A"), run_on("B", "warm")
    with pytest.raises(AmbiguousRun) as told:
        find(tmp_path / "runs", "bert-structured")
    for made, folder in ((one, "A"), (other, "B")):
        assert f"{made.key} (data={folder}:{made.manifest.contents['data'][:10]})" in str(told.value)


def test_long_values_are_shortened_where_they_do_not_differ(run):
    deep = "/".join(["a-folder-with-a-long-name"] * 6)
    runs = [run(model=f"{deep}/net.py:{name}") for name in ("small", "large")]
    small, large = (differing(one, runs) for one in runs)
    assert small.startswith("model=…")
    assert small.endswith("/net.py:small")
    assert large.endswith("/net.py:large")
    runs = [run(model=f"{letter}{deep}") for letter in "ab"]
    assert [differing(one, runs) for one in runs] == [f"model={letter}{deep[:79]}…" for letter in "ab"]
    runs = [run(model=f"{deep}/{letter}/{deep}") for letter in "ab"]
    assert [differing(one, runs) for one in runs] == [f"model={deep}/{letter}/{deep}" for letter in "ab"]
