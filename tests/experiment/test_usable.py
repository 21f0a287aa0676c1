"""What can be checked of data without a model is told first, and files that were opened are not opened again."""

import numpy as np
import pytest
from PIL import Image

from prunebench import RunConfig
from prunebench.data import survey
from prunebench.errors import ConfigError, DataError, Stopped
from prunebench.experiment.data import make_task
from prunebench.experiment.resolve import resolve
from prunebench.experiment.usable import check_usable, opening


@pytest.fixture
def pictures(tmp_path, tiny_net):
    """The experiment of a folder of images; keywords replace settings."""
    for part in ("train", "test"):
        for name in ("cat", "dog"):
            folder = tmp_path / "data" / part / name
            folder.mkdir(parents=True)
            for index in range(2):
                Image.fromarray(np.full((8, 8, 3), 100 * index, np.uint8)).save(folder / f"{index}.png")

    def make(**changes):
        about = {"dataset": "image-folder", "data_dir": str(tmp_path / "data"), "runs_dir": str(tmp_path / "runs")}
        return resolve(RunConfig(**{"model": tiny_net, "image_size": 8, "workers": 0} | about | changes))

    return make


def test_a_broken_image_is_told(pictures, tmp_path):
    (tmp_path / "data" / "test" / "dog" / "1.png").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"1 of 8 images cannot be read: .*dog/1\.png"):
        check_usable(pictures(), lambda tick: None)


def test_what_is_opened_here_is_not_opened_again_for_the_task(pictures, monkeypatch):
    experiment = pictures()
    check_usable(experiment, lambda tick: None)
    monkeypatch.setattr(survey, "examine", None)
    assert make_task(experiment).targets.some("test").tolist() == [0, 1, 2, 3]


def test_too_little_data_and_data_of_another_kind_are_told(pictures, tmp_path):
    with pytest.raises(ConfigError, match="--validation"):
        check_usable(pictures(validation=0.01), lambda tick: None)
    with pytest.raises(ConfigError, match="text"):
        check_usable(resolve(RunConfig(model="bert", dataset=lambda: pictures().dataset)), lambda tick: None)


def test_how_many_files_are_opened_is_told_until_it_is_stopped():
    ticks = []
    opening(ticks.append, lambda: False)(3, 9)
    assert [(tick.phase, tick.batch, tick.batches) for tick in ticks] == [("check images", 3, 9)]
    with pytest.raises(Stopped, match="Stopped after 3 of 9 images"):
        opening(ticks.append, lambda: True)(3, 9)
