"""Weight files: what fits is taken to the bit and what was done with it is told; all else is refused by name."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import nn
from torch.nn.utils import prune

from prunebench.errors import ModelError
from prunebench.models.weight_files import WeightFile, fitted, names_told, read_folder, read_weights


class Malicious:
    """Makes a folder where it is unpickled."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self):
        return os.mkdir, (str(self.folder),)


@pytest.fixture
def net(tiny_net):
    """A small CNN, always with the same fresh weights."""
    torch.manual_seed(0)
    return tiny_net(3)


@pytest.fixture
def state(tiny_net):
    """Other weights of the small CNN."""
    torch.manual_seed(1)
    return tiny_net(3).state_dict()


def taken(model, tensors, classes=3):
    return fitted(model, WeightFile(dict(tensors)), classes)


def same(found, state):
    return set(found) == set(state) and all(torch.equal(found[name], state[name]) for name in state)


# Reading


@pytest.mark.parametrize("wrap", [lambda thing: thing, lambda thing: {"weight": thing}])
def test_a_weight_file_that_would_run_code_is_refused(wrap, tmp_path):
    torch.save(wrap(Malicious(tmp_path / "stolen")), tmp_path / "evil.pth")
    with pytest.raises(ModelError, match=r"evil\.pth cannot be read as weights without running code.*state_dict\(\)"):
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
    about = {"args": argparse.Namespace(lr=0.1), "best": np.float64(0.9), "epoch": np.int64(3)}
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


# Names


@pytest.mark.parametrize(
    "prefix", ["module.", "_orig_mod.", "module._orig_mod.", "_orig_mod.module.", "model.", "a.b."]
)
def test_a_prefix_that_all_names_have_is_taken_off_and_told(prefix, net, state):
    found = taken(net, {f"{prefix}{name}": tensor for name, tensor in state.items()})
    assert same(found.tensors, state)
    assert found.notes[0].endswith(f"taken off the names of {len(state)} of {len(state)} tensors")
    assert {*prefix.split(".")[:-1]} == {word.strip(".") for word in found.notes[0].split(" taken")[0].split(" and ")}


def test_a_wrapper_inside_a_name_is_taken_off(net, state):
    inside = {name.replace("features.", "features.module."): tensor for name, tensor in state.items()}
    assert same(taken(net, inside).tensors, state)


def test_a_model_that_has_a_part_called_module_keeps_it(net):
    whole = nn.Sequential()
    whole.add_module("module", net)
    found = taken(whole, {name: tensor + 1 for name, tensor in whole.state_dict().items()})
    assert found.notes == ()
    assert set(found.tensors) == set(whole.state_dict())


def test_a_prefix_of_which_only_some_names_are_the_models_is_refused(net, state):
    names = list(state)
    mixed = {f"backbone.{name}" if name in names[:4] else name: state[name] for name in names}
    with pytest.raises(ModelError, match=r"features\.0\.weight.* missing; backbone\.features\.0\.weight.* not part"):
        taken(net, mixed)


def test_a_file_of_another_model_is_refused_with_names_of_both(net):
    with pytest.raises(
        ModelError, match=r"^nothing of it fits: it has conv\.weight; the model has features\.0\.weight"
    ):
        taken(net, {"conv.weight": torch.zeros(3)})


def test_all_that_does_not_fit_is_named_at_once(net, state):
    state.pop("features.0.bias")
    state |= {"more.weight": torch.zeros(2), "features.4.weight": torch.zeros(12, 6, 3, 3)}
    with pytest.raises(ModelError) as error:
        taken(net, state)
    assert str(error.value) == (
        "features.0.bias is missing; more.weight is not part of the model; "
        "features.4.weight has shape (12, 6, 3, 3) instead of (12, 8, 3, 3)"
    )


@given(st.lists(st.text("ab", min_size=1), max_size=9))
def test_no_list_of_names_is_longer_than_six(names):
    told = names_told(names)
    assert all(name in told for name in names[:5])
    assert (f"and {len(names) - 5} more" in told) == (len(names) > 5)


# The classifier


@pytest.mark.parametrize("classes", [2, 10])
def test_the_classifier_alone_starts_fresh_where_the_classes_differ(classes, net, tiny_net):
    other = tiny_net(classes).state_dict()
    found = taken(net, other)
    assert found.fresh == ("classifier.3.weight", "classifier.3.bias")
    assert same(found.tensors, {name: other[name] for name in other if name not in found.fresh})
    assert found.notes == (f"classifier.3 starts fresh, since the weights have {classes} classes",)


def test_the_classifier_starts_fresh_where_the_file_has_none(net, state):
    found = taken(net, {name: state[name] for name in state if not name.startswith("classifier.3")})
    assert found.fresh == ("classifier.3.weight", "classifier.3.bias")
    assert found.notes == ("classifier.3 starts fresh, since the weights have none",)


def test_a_last_layer_that_is_no_output_of_the_classes_never_starts_fresh(tiny_net):
    net = tiny_net(3)
    net.add_module("side", nn.Linear(3, 5))  # defined last, and not what answers
    other = {**net.state_dict(), "side.weight": torch.zeros(7, 3), "side.bias": torch.zeros(7)}
    with pytest.raises(ModelError, match=r"side\.weight has shape \(7, 3\) instead of \(5, 3\)"):
        taken(net, other)


def test_half_a_classifier_is_refused(net, state):
    state.pop("classifier.3.bias")
    with pytest.raises(ModelError, match=r"^classifier\.3\.bias is missing$"):
        taken(net, state)


# Types


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_types_of_numbers_are_converted_and_told(dtype, net, state):
    halved = {name: tensor.to(dtype) if tensor.is_floating_point() else tensor for name, tensor in state.items()}
    found = taken(net, halved)
    assert same(found.tensors, {name: halved[name].to(state[name].dtype) for name in state})
    floats = sum(tensor.is_floating_point() for tensor in state.values())
    assert found.notes == (f"{floats} tensors converted from {str(dtype).removeprefix('torch.')} to float32",)


def test_a_model_of_float64_takes_float64_as_it_is(net, state):
    found = taken(net.double(), {name: t.double() if t.is_floating_point() else t for name, t in state.items()})
    assert found.notes == ()
    assert found.tensors["features.0.weight"].dtype is torch.float64


def quantised(tensor):
    return torch.quantize_per_tensor(tensor, 0.1, 0, torch.qint8)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: (t * 100).to(torch.int8), r"quantised \(int8\): features\.0\.weight\."),
        (lambda t: (t * 100).to(torch.uint8), r"quantised \(uint8\): features\.0\.weight"),
        (lambda t: (t * 100).to(torch.int64), r"quantised \(int64\): features\.0\.weight"),
        (lambda t: t > 0, r"quantised \(bool\): features\.0\.weight"),
        (lambda t: t.to(torch.float8_e4m3fn), r"quantised \(float8_e4m3fn\): features\.0\.weight"),
        (lambda t: t.to(torch.complex64), r"complex \(complex64\): features\.0\.weight"),
        (lambda t: torch.full_like(t, torch.nan), r"features\.0\.weight holds NaN"),
        (lambda t: t.double() + 1e300, r"features\.0\.weight holds float64 that float32 cannot hold"),
    ],
)
def test_what_are_no_weights_of_the_model_is_refused_by_name(change, message, net, state):
    state["features.0.weight"] = change(state["features.0.weight"])
    with pytest.raises(ModelError, match=message):
        taken(net, state)


@pytest.mark.filterwarnings("ignore:.*quantiz:DeprecationWarning", "ignore:.*quantiz:UserWarning")
def test_torchs_quantised_tensors_are_refused_by_name(net, state):
    state["features.0.weight"] = quantised(state["features.0.weight"])
    with pytest.raises(ModelError, match=r"quantised \(qint8\): features\.0\.weight"):
        taken(net, state)


def test_counts_of_batches_may_be_of_any_type_that_holds_them_and_may_be_missing(net, state):
    state["features.1.num_batches_tracked"] = torch.tensor(7.0)
    state.pop("features.5.num_batches_tracked")
    found = taken(net, state)
    assert found.tensors["features.1.num_batches_tracked"] == 7
    assert found.notes == ("features.1.num_batches_tracked: converted from float32 to int64",)
    state["features.1.num_batches_tracked"] = torch.tensor(7.5)
    with pytest.raises(ModelError, match=r"features\.1\.num_batches_tracked holds float32 that int64 cannot hold"):
        taken(net, state)


def test_sparse_tensors_are_filled_up_and_told(net, state):
    dense = state["classifier.1.weight"].clone()
    state["classifier.1.weight"] = dense.to_sparse()
    found = taken(net, state)
    assert torch.equal(found.tensors["classifier.1.weight"], dense)
    assert found.notes == ("classifier.1.weight: converted from sparse_coo to dense",)


def test_weights_that_are_one_in_the_model_may_be_there_once_and_never_differ(net, state):
    net.add_module("again", net.classifier)
    assert taken(net, state).tensors.keys() == net.state_dict().keys()
    state["again.3.bias"] = state["classifier.3.bias"] + 1
    with pytest.raises(ModelError, match=r"classifier\.3\.bias and again\.3\.bias are one tensor .* differ"):
        taken(net, state)


# Masks


def test_masks_of_torch_load_as_masks(net, state, tiny_net):
    other = tiny_net(3)
    other.load_state_dict(state)
    prune.l1_unstructured(other.features[0], "weight", 0.5)
    prune.random_unstructured(other.classifier[1], "bias", 3)
    found = taken(net, other.state_dict())
    assert set(found.masks) == {"features.0.weight", "classifier.1.bias"}
    assert all(found.masks[name].dtype is torch.bool for name in found.masks)
    for module, name in ((other.features[0], "weight"), (other.classifier[1], "bias")):
        prune.remove(module, name)
    assert same(found.tensors, other.state_dict())
    assert found.notes == (
        "2 masks of torch.nn.utils.prune: 111 of 232 weights are masked, and stay so (features.0.weight, "
        "classifier.1.bias)",
    )


def test_masks_under_a_prefix_load_as_well(net, tiny_net):
    other = tiny_net(3)
    prune.l1_unstructured(other.features[0], "weight", 0.5)
    found = taken(net, {f"module.{name}": tensor for name, tensor in other.state_dict().items()})
    assert set(found.masks) == {"features.0.weight"}
    assert found.notes[0].startswith("module. taken off")


def test_a_mask_that_prunes_nothing_is_none(net, tiny_net):
    other = tiny_net(3)
    prune.identity(other.features[0], "weight")
    assert taken(net, other.state_dict()).masks == {}


def test_a_model_that_is_pruned_by_torch_itself_takes_its_masks_as_they_are(net):
    prune.l1_unstructured(net.features[0], "weight", 0.5)
    found = taken(net, net.state_dict())
    assert found.masks == {}
    assert same(found.tensors, net.state_dict())


@pytest.mark.parametrize("mask", [torch.full((8, 3, 3, 3), 0.5), torch.ones(8)])
def test_what_is_no_mask_is_refused(mask, net, state):
    state["features.0.weight_orig"] = state.pop("features.0.weight")
    with pytest.raises(ModelError, match=r"features\.0\.weight_mask is no mask of features\.0\.weight_orig"):
        taken(net, state | {"features.0.weight_mask": mask})


def test_zeros_without_a_mask_are_told(net, state):
    state["features.4.weight"][:6] = 0
    (note,) = taken(net, state).notes
    assert note == "23 % of its weights are zero without a mask: training does not keep them so"
