"""Weight files: whatever they are called and however they are wrapped, tensors are read, code is not run."""

from __future__ import annotations

import argparse
import json
import os
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from prunebench.errors import ModelError
from prunebench.models.weight_files import read_folder, read_weights


class Malicious:
    """Makes a folder where it is unpickled."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self):
        return os.mkdir, (str(self.folder),)


def same(found, state):
    return set(found) == set(state) and all(torch.equal(found[name], state[name]) for name in state)


@pytest.mark.parametrize("wrap", [lambda thing: thing, lambda thing: {"weight": thing}])
def test_a_weight_file_that_would_run_code_is_refused(wrap, tmp_path):
    torch.save(wrap(Malicious(tmp_path / "stolen")), tmp_path / "evil.pth")
    with pytest.raises(
        ModelError, match=r"evil\.pth cannot be read as weights without running .* it holds posix\.mkdir,"
    ):
        read_weights(tmp_path / "evil.pth")
    assert not (tmp_path / "stolen").exists()


def test_a_whole_pickled_model_is_refused_with_what_to_save_instead(net, tmp_path):
    torch.save(net, tmp_path / "net.pt")
    with pytest.raises(ModelError, match=r"Sequential, which is no tensor. Save the weights alone"):
        read_weights(tmp_path / "net.pt")


@pytest.mark.parametrize("name", ["w.pth", "w.pt", "w.bin", "w.th", "w.ckpt", "w.pth.tar", "w.safetensors", "W.PTH"])
def test_a_file_of_any_known_name_is_read(name, state, tmp_path):
    (save_file if name.endswith(".safetensors") else torch.save)(state, tmp_path / name)
    found = read_weights(tmp_path / name)
    assert same(found.tensors, state)
    assert (found.notes, found.statistics) == ((), None)


def test_safetensors_under_another_name_are_known_by_their_content(state, tmp_path):
    save_file(state, tmp_path / "weights.bin")
    assert same(read_weights(tmp_path / "weights.bin").tensors, state)


@pytest.mark.parametrize(
    ("wrap", "place"),
    [
        (lambda s: {"state_dict": s}, "state_dict"),
        (lambda s: {"model": s, "epoch": 3}, "model"),
        (lambda s: {"model_state_dict": s, "loss": 0.1}, "model_state_dict"),
        (lambda s: {"net": s, "acc": 91.5}, "net"),
        (lambda s: {"checkpoint": {"state_dict": {"model": s}}}, "checkpoint.state_dict.model"),
        (lambda s: {"my_resnet": s, "optimizer": {"state": {}, "param_groups": []}}, "my_resnet"),
    ],
)
def test_a_nested_state_dict_is_found_and_where_is_told(wrap, place, state, tmp_path):
    torch.save(wrap(state), tmp_path / "w.pth")
    found = read_weights(tmp_path / "w.pth")
    assert same(found.tensors, state)
    assert found.notes == (f"taken from {place} of the file",)


def test_of_several_models_the_likeliest_is_taken_and_the_others_are_told(state, tmp_path):
    average = {name: tensor.clone() for name, tensor in state.items()}
    torch.save({"state_dict_ema": average, "state_dict": state}, tmp_path / "w.pth")
    assert read_weights(tmp_path / "w.pth").notes == (
        "taken from state_dict of the file",
        "the file holds state_dict_ema too, which is not used",
    )


def test_of_several_models_of_which_any_may_be_meant_none_is_taken(state, tmp_path):
    torch.save({"generator": state, "discriminator": state}, tmp_path / "w.pth")
    with pytest.raises(ModelError, match="holds several models, 'generator', 'discriminator'"):
        read_weights(tmp_path / "w.pth")


def test_what_training_scripts_save_beside_weights_is_read_without_running_code(state, tmp_path):
    about = {"args": argparse.Namespace(lr=0.1, out=Path("here")), "best": np.float64(0.9), "epoch": np.int64(3)}
    torch.save({"state_dict": state, **about}, tmp_path / "w.pth.tar")
    assert same(read_weights(tmp_path / "w.pth.tar").tensors, state)


def test_entries_that_are_no_tensors_are_left_out_and_told(state, tmp_path):
    torch.save({**state, "epoch": 3, "name": "net"}, tmp_path / "w.pth")
    found = read_weights(tmp_path / "w.pth")
    assert same(found.tensors, state)
    assert found.notes == ("epoch, name left out: no tensor",)


def test_packed_weights_are_refused_by_name(state, tmp_path):
    torch.save({**state, "classifier.3._packed_params": (torch.zeros(3), None)}, tmp_path / "w.pth")
    with pytest.raises(ModelError, match=r"classifier\.3\._packed_params, which is no tensor: .* quantised"):
        read_weights(tmp_path / "w.pth")


@pytest.mark.parametrize("thing", [[1, 2], {"epoch": 3}, {}, {"optimizer": {"state": {}, "param_groups": []}}])
def test_a_file_without_a_state_dict_is_refused(thing, tmp_path):
    torch.save(thing, tmp_path / "weights.pth")
    with pytest.raises(ModelError, match="no state dict"):
        read_weights(tmp_path / "weights.pth")


@pytest.mark.parametrize("name", ["broken.pth", "broken.safetensors"])
@pytest.mark.parametrize("content", [b"these are no weights", b""])
def test_bytes_that_are_no_weights_are_refused(name, content, tmp_path):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ModelError, match="cannot be read as weights"):
        read_weights(tmp_path / name)


def test_a_folder_in_several_parts_is_read_whole(state, tmp_path):
    names = list(state)
    for number, part in enumerate((names[:3], names[3:]), 1):
        save_file({name: state[name] for name in part}, tmp_path / f"model-0000{number}-of-00002.safetensors")
    assert same(read_folder(tmp_path).tensors, state)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ModelError, match="holds no weights"):
        read_folder(tmp_path / "empty")


def test_weights_beside_those_that_are_read_are_told(state, tmp_path):
    save_file(state, tmp_path / "model.safetensors")
    torch.save({name: tensor + 1 for name, tensor in state.items()}, tmp_path / "pytorch_model.bin")
    found = read_folder(tmp_path)
    assert same(found.tensors, state)
    assert found.notes == ("pytorch_model.bin beside model.safetensors is not read",)


def test_a_normalisation_that_cannot_be_taken_is_told(state, tmp_path):
    torch.save({"state_dict": state, "mean": [125.0], "std": [60.0]}, path := tmp_path / "w.pth")
    assert read_weights(path).notes[-1].startswith("mean 125, std 60 is not taken: images are scaled to 0 to 1")
    torch.save({"state_dict": state, "mean": [0.5], "std": [0.25]}, path)
    assert not any("not taken" in note for note in read_weights(path).notes)


def test_a_file_whose_parts_have_other_checksums_is_damaged_which_torch_does_not_see(state, tmp_path):
    torch.save(state, path := tmp_path / "w.pth")
    content = bytearray(path.read_bytes())
    at = content.index(state["features.0.weight"].numpy().tobytes())
    content[at] ^= 1
    path.write_bytes(content)
    assert not torch.equal(torch.load(path)["features.0.weight"], state["features.0.weight"])
    with pytest.raises(
        ModelError, match=r"w\.pth is damaged: the checksum of its part w/data/0 is wrong\. Fetch or make"
    ):
        read_weights(path)


def test_a_file_that_was_written_without_checksums_is_read(state, tmp_path):
    before = torch.serialization.get_crc32_options()
    torch.serialization.set_crc32_options(False)
    try:
        torch.save(state, tmp_path / "w.pth")
    finally:
        torch.serialization.set_crc32_options(before)
    assert same(read_weights(tmp_path / "w.pth").tensors, state)


def test_a_file_that_is_cut_off_or_of_another_kind_is_called_that(state, tmp_path):
    torch.save(state, path := tmp_path / "w.pth")
    for content, words in (
        (path.read_bytes()[:-300], "it is damaged, or cut off. Fetch or make it again."),
        (b"\x89HDF\r\n\x1a\n" + bytes(99), "it is HDF5."),
        (b"GGUF" + bytes(99), "it is GGUF."),
        (b"\x80\x04\x95" + bytes(99), "it is a pickle."),
        (b"\x08\x07\x12\x07pytorch" + bytes(99), "it is none that torch or safetensors write."),
    ):
        path.write_bytes(content)
        with pytest.raises(ModelError) as caught:
            read_weights(path)
        assert str(caught.value) == f"{path} cannot be read as weights: {words}"


def test_of_several_parts_those_that_the_index_names_are_read(state, tmp_path):
    first, *others = state
    save_file({first: state[first]}, tmp_path / "model-00001-of-00002.safetensors")
    save_file({name: state[name] for name in others}, tmp_path / "model-00002-of-00002.safetensors")
    save_file({first: state[first] + 1}, tmp_path / "model-00003-of-00009.safetensors")  # of another time
    index = {first: "model-00001-of-00002.safetensors"} | dict.fromkeys(others, "model-00002-of-00002.safetensors")
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": index}))
    assert same(read_folder(tmp_path).tensors, state)
    (tmp_path / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(ModelError, match=r"index\.json names model-00002-of-00002\.safetensors, which is not there"):
        read_folder(tmp_path)
    (tmp_path / "model.safetensors.index.json").write_text("[]")
    with pytest.raises(ModelError, match=r"index\.json cannot be read as an index of weights"):
        read_folder(tmp_path)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 3\n", "pointer of Git LFS"),
        (b"<!DOCTYPE html><html>", "a web page"),
        (b"", "it is empty"),
    ],
)
@pytest.mark.parametrize("name", ["w.pth", "w.safetensors"])
def test_what_is_mistaken_for_weights_is_named(name, content, words, tmp_path):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ModelError, match=words):
        read_weights(tmp_path / name)


def test_a_torchscript_program_is_named(net, tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.trace(net.eval(), torch.zeros(1, 3, 12, 12)).save(str(tmp_path / "w.pt"))
    with pytest.raises(ModelError, match=r"it is a TorchScript program\. Save the weights alone"):
        read_weights(tmp_path / "w.pt")
