"""Fitting: what fits is taken to the bit and what was done with it is told; all else is refused by name."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn.utils import prune

from prunebench.errors import ModelError
from prunebench.models.fitting import fitted
from prunebench.models.weight_files import WeightFile, names_told


def taken(model, tensors, classes=3):
    return fitted(model, WeightFile(dict(tensors)), classes)


def same(found, state):
    return set(found) == set(state) and all(torch.equal(found[name], state[name]) for name in state)


# Names


@pytest.mark.parametrize(
    "prefix", ["module.", "_orig_mod.", "module._orig_mod.", "_orig_mod.module.", "model.", "a.b."]
)
def test_a_prefix_that_all_names_have_is_taken_off_and_told(prefix, net, state):
    found = taken(net, {f"{prefix}{name}": tensor for name, tensor in state.items()})
    assert same(found.tensors, state)
    assert found.notes[0].endswith(f"taken off the names of {len(state)} of {len(state)} tensors")
    off = found.notes[0].partition(" taken")[0].replace(" and ", "")
    assert sorted(off.split(".")[:-1]) == sorted(prefix.split(".")[:-1])


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


def test_what_is_beside_the_model_in_a_file_of_one_is_refused_alone(net, state):
    lightning = {f"net.{name}": tensor for name, tensor in state.items()} | {"loss.weight": torch.ones(3)}
    with pytest.raises(ModelError, match=r"^loss\.weight is not part of the model$"):
        taken(net, lightning)


def test_an_average_of_models_is_taken_without_its_count(net, tiny_net):
    average = torch.optim.swa_utils.AveragedModel(tiny_net(3))
    found = taken(net, average.state_dict())
    assert same(found.tensors, average.module.state_dict())
    assert found.notes[0] == "n_averaged left out: the weights are an average of several"


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
        (lambda t: torch.full_like(t, -torch.inf), r"features\.0\.weight holds infinite values"),
        (lambda t: torch.empty_like(t, device="meta"), r"features\.0\.weight is without values \(on the device meta\)"),
        (lambda t: t.double() + 1e300, r"features\.0\.weight holds float64 that float32 cannot hold"),
    ],
)
def test_what_are_no_weights_of_the_model_is_refused_by_name(change, message, net, state):
    state["features.0.weight"] = change(state["features.0.weight"])
    with pytest.raises(ModelError, match=message):
        taken(net, state)


def test_what_is_infinite_in_the_model_may_be_so_in_the_file(net, state):
    mask = torch.full((2, 2), -torch.inf).triu(1)
    net.register_buffer("mask", mask)
    assert torch.equal(taken(net, {**state, "mask": mask}).tensors["mask"], mask)
    with pytest.raises(ModelError, match="mask holds NaN"):
        taken(net, {**state, "mask": mask * 0})


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
