"""Folders as Hugging Face has them: what they say of a model is read once, and known by content."""

from __future__ import annotations

import json
import shutil

import pytest

from prunebench.errors import ConfigError, ModelError
from prunebench.models.folders import Folder, folder_of

VIT = {"model_type": "vit", "hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 4, "image_size": 16}


@pytest.fixture
def place(tmp_path):
    """A folder with the config of a ViT and how its images come."""
    folder = tmp_path / "vit"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(VIT))
    (folder / "preprocessor_config.json").write_text(json.dumps({"size": {"height": 16, "width": 16}}))
    return folder


def changed(path, **values):
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def test_a_folder_is_read_once_while_its_files_stay_as_they_are(place):
    first = folder_of(str(place))
    assert first.config["hidden_size"] == 32
    assert folder_of(str(place)) is first
    changed(place / "config.json", hidden_size=64)
    again = folder_of(str(place))
    assert again is not first
    assert again.config["hidden_size"] == 64


def test_a_folder_elsewhere_has_the_same_digest_and_a_changed_one_another(place, tmp_path):
    shutil.copytree(place, tmp_path / "moved")
    assert Folder(str(tmp_path / "moved")).digest() == Folder(str(place)).digest()
    changed(tmp_path / "moved" / "config.json", transformers_version="9", torch_dtype="float16", _name_or_path="x")
    assert Folder(str(tmp_path / "moved")).digest() == Folder(str(place)).digest()
    for file, change in (("config.json", {"hidden_size": 64}), ("preprocessor_config.json", {"do_rescale": False})):
        before = Folder(str(tmp_path / "moved")).digest()
        changed(tmp_path / "moved" / file, **change)
        assert Folder(str(tmp_path / "moved")).digest() != before


def test_a_digest_of_weights_is_of_their_content(place):
    assert Folder(str(place / "none")).weights_digest() is None
    empty = Folder(str(place)).weights_digest()
    (place / "model.safetensors").write_bytes(b"1")
    first = Folder(str(place)).weights_digest()
    (place / "model.safetensors").write_bytes(b"2")
    assert len({empty, first, Folder(str(place)).weights_digest()}) == 3


def test_statistics_are_those_of_images_from_zero_to_one(place):
    about = {"do_rescale": True, "rescale_factor": 1 / 127.5, "rescale_offset": True}
    changed(place / "preprocessor_config.json", **about, image_mean=[0.5] * 3, image_std=[0.5] * 3)
    mean, std = Folder(str(place)).statistics()  # x·255/127.5 − 1 − 0.5, divided by 0.5
    assert mean == pytest.approx([0.75] * 3)
    assert std == pytest.approx([0.25] * 3)


@pytest.mark.parametrize("name", ["./none", "/none", "~none"])
def test_a_path_is_never_looked_up_by_name(name):
    folder = Folder(name)
    assert folder.is_path
    assert folder.here
    assert folder.place is None
    with pytest.raises(ConfigError, match="there is no such folder"):
        folder.fetch()


@pytest.mark.parametrize("text", ["{", "[]", "{" * 100_000])
def test_a_damaged_config_is_refused_in_a_line_and_has_no_digest(text, place):
    (place / "config.json").write_text(text)
    folder = Folder(str(place))
    assert folder.digest() is None
    with pytest.raises(ModelError, match=r"its config.json cannot be read") as caught:
        _ = folder.config
    assert len(str(caught.value).splitlines()) == 1


def test_the_whole_folder_is_asked_for(place):
    (place / "config.json").unlink()
    with pytest.raises(ConfigError, match=r"has no config.json. Give the whole folder"):
        Folder(str(place)).fetch()
