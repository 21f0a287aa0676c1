"""Data is what it holds: the same elsewhere is the same run, other data in the same place another."""

from __future__ import annotations

import shutil

import msgspec
import numpy as np
import pytest

from prunebench import Dataset, RunConfig, Split, dense_run, prune, pruning_run
from prunebench.errors import DataError, RunError
from prunebench.experiment.resolve import resolve

ROWS = "text,label\na film,0\na play,1\n"


@pytest.fixture
def text(tmp_path):
    """A folder of sentences."""
    folder = tmp_path / "text"
    folder.mkdir()
    for name in ("train.csv", "test.csv"):
        (folder / name).write_text(ROWS)
    return folder


def key(folder, tmp_path, **about):
    config = RunConfig(model="bert", dataset="text-file", data_dir=str(folder), runs_dir=str(tmp_path / "runs"))
    return dense_run(msgspec.structs.replace(config, **about)).key


def test_the_same_data_elsewhere_is_the_same_run_and_relabelled_data_of_the_same_size_is_not(text, tmp_path):
    before = key(text, tmp_path)
    shutil.copytree(text, tmp_path / "elsewhere")
    assert key(tmp_path / "elsewhere", tmp_path) == before
    (text / "test.csv").write_text(ROWS.replace(",0", ",X").replace(",1", ",0").replace(",X", ",1"))
    assert key(text, tmp_path) != before
    (text / "test.csv").write_text(ROWS)
    assert key(text, tmp_path) == before


def blobs_with(pixel, label=0):
    images = np.zeros((6, 8, 8), np.uint8)
    images[0, 0, 0] = pixel
    return Dataset(Split(images, [label, 1, 2, 0, 1, 2]), Split(images, [0, 1, 2, 0, 1, 2]), ["a", "b", "c"])


@pytest.mark.parametrize(("pixel", "label"), [(1, 0), (0, 2)])
def test_an_own_loader_is_known_by_what_it_returns(pixel, label, tiny_net, tmp_path):
    shown = {"pixel": 0, "label": 0}

    def load():
        return blobs_with(**shown)

    config = RunConfig(model=tiny_net, dataset=load, image_size=8, runs_dir=str(tmp_path / "runs"))
    before = dense_run(config).key
    assert dense_run(config).key == before
    shown.update(pixel=pixel, label=label)
    assert dense_run(config).key != before


def test_a_loader_that_returns_other_data_each_time_is_refused_before_anything_is_written(tiny_net, tmp_path):
    draw = np.random.default_rng(0)

    def load():
        return blobs_with(int(draw.integers(256)))

    config = RunConfig(model=tiny_net, dataset=load, image_size=8, runs_dir=str(tmp_path / "runs"))
    with pytest.raises(DataError, match=r"returned other data when it was called again.*may ask for `seed`"):
        dense_run(config)
    assert not (tmp_path / "runs").exists()


def test_a_loader_is_called_twice_for_a_new_run_and_once_for_one_that_is_there(tiny_config, blobs):
    calls = []

    def load():
        calls.append(1)
        return blobs()

    config = tiny_config(dataset=load, epochs=1, iterations=1)
    list(prune(config, pruning_run(config)))
    calls.clear()
    experiment = resolve(config)
    assert experiment.run.steps() == [0, 1]
    assert len(calls) == 1
    calls.clear()
    assert not resolve(tiny_config(dataset=load, epochs=2)).dense.steps()
    assert len(calls) == 2


def test_going_on_with_a_run_on_other_data_is_refused_with_what_differs(tiny_config, blobs):
    shown = {"first": 0}

    def load():
        data = blobs()
        data.train.inputs[0, 0, 0] = shown["first"]
        return data

    config = tiny_config(dataset=load, epochs=1, iterations=1)
    run = pruning_run(config)
    list(prune(config, run))
    shown["first"] = 200
    with pytest.raises(RunError, match=f"Run {run.key} was computed with other contents of: data"):
        list(prune(tiny_config(dataset=load, epochs=1, iterations=2), run))
