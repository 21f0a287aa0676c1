"""A parameter with several names is one: counted, masked, stored, trained and pruned once."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn import functional as F

from prunebench import load, prune, pruning_run
from prunebench.experiment.resolve import resolve
from prunebench.experiment.setup import set_up
from prunebench.experiment.verify import verify
from prunebench.latency.prepare import Conditions, memory_of
from prunebench.latency.variants import TimedStep, layers_as_they_were, variants
from prunebench.models import checkpoint
from prunebench.models.architecture import Architecture, ModelEntry, models
from prunebench.models.checkpoint import Checkpoint
from prunebench.models.costs import costs, masked, params
from prunebench.models.fitting import fitted
from prunebench.models.input_spec import InputSpec
from prunebench.models.sharing import by_first_names, distinct, first_names, held_by_several, settle
from prunebench.models.weight_files import WeightFile
from prunebench.pruning.methods import structured, unstructured

INPUTS = InputSpec(kind="images", size=12)


class Net(nn.Module):
    """Three convolutions of one shape in a row, a fourth, and a classifier."""

    def __init__(self, classes):
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, padding=1)
        self.second = nn.Conv2d(8, 8, 3, padding=1)
        self.third = nn.Conv2d(8, 8, 3, padding=1)
        self.fourth = nn.Conv2d(8, 6, 3)
        self.classifier = nn.Linear(6, classes)

    def forward(self, images):
        features = self.third(self.second(self.first(images).relu()).relu()).relu()
        return self.classifier(self.fourth(features).relu().mean((2, 3)))


class Decoder(nn.Module):
    """Brightness as one of 16 tokens, whose embeddings the decoder's weights are."""

    def __init__(self, classes):
        super().__init__()
        self.embedding = nn.Embedding(16, 8)
        self.hidden = nn.Linear(8, 8)
        self.decoder = nn.Linear(8, 16, bias=False)
        self.decoder.weight = self.embedding.weight
        self.classifier = nn.Linear(16, classes)

    def forward(self, images):
        tokens = (images.mean(1).flatten(1) * 4 + 8).clamp(0, 15).long()
        return self.classifier(self.decoder(self.hidden(self.embedding(tokens)).relu()).mean(1))


def shared(classes):
    """Two layers hold one weight."""
    model = Net(classes)
    model.third.weight = model.second.weight
    return model


def twice(classes):
    """One layer is used twice, under two names."""
    model = Net(classes)
    model.third = model.second
    return model


def twins(classes):
    """Two parameters are made of one tensor."""
    model = Net(classes)
    model.third.weight = nn.Parameter(model.second.weight)
    return model


TIES = {
    "shared": (shared, "second.weight", "third.weight"),
    "twice": (twice, "second.weight", "third.weight"),
    "twins": (twins, "second.weight", "third.weight"),
    "decoder": (Decoder, "embedding.weight", "decoder.weight"),
}


@pytest.fixture(params=TIES)
def tie(request):
    """A builder of a tied model, and two names of one parameter."""
    return TIES[request.param]


def state_of(build, masks=None):
    """A checkpoint of a fresh model."""
    torch.manual_seed(0)
    about = Architecture("tied", {"classes": 3}, INPUTS)
    return Checkpoint(about, about.build(ModelEntry("tied", "", build)).eval(), masks or {})


def one(model, first, second):
    return model.get_parameter(first) is model.get_parameter(second)


def test_names_of_a_parameter_go_by_the_first(tie):
    build, first, second = tie
    model = state_of(build).model
    names = first_names(model)
    assert (names[first], names[second]) == (first, first)
    assert set(names.values()) == {name for name, _ in model.named_parameters()}
    assert distinct(model, [second, first, "classifier.weight"]) == [second, "classifier.weight"]
    assert distinct(model, ["of no parameter"]) == ["of no parameter"]
    assert held_by_several(model) == (set() if build is twice else {first, second})


def test_masks_of_one_parameter_become_one_that_removes_what_any_did(tie):
    build, first, second = tie
    model = state_of(build).model
    shape = model.get_parameter(first).shape
    halves = [torch.arange(shape.numel()).view(shape) % 2 == i for i in range(2)]
    found = by_first_names({second: halves[0], first: halves[1], "classifier.weight": torch.ones(3, 6).bool()}, model)
    assert set(found) == {first, "classifier.weight"}
    assert not found[first].any()


@pytest.mark.parametrize("about", [{}, {"targets": "all"}, {"scope": "layerwise"}])
def test_a_run_counts_masks_and_stores_it_once_and_stays_tied(about, tie, tiny_config):
    build, first, second = tie
    config = tiny_config(model=build, method="unstructured", epochs=1, iterations=2, fraction=0.6, **about)
    experiment = resolve(config)
    run = pruning_run(experiment)
    records = list(prune(experiment, run))
    before = state_of(build).model
    targeted = unstructured.targets(before, set_up(experiment).request(1))
    assert second not in targeted
    whole = sum(before.get_parameter(name).numel() for name in targeted)
    layers = [module for module in before.modules() if isinstance(module, (nn.Conv2d, nn.Linear))]
    weights = {id(layer.weight): layer.weight.numel() for layer in layers}
    for record in records:
        state = checkpoint.load(run.checkpoint(record.step), experiment.model)
        assert one(state.model, first, second)
        assert set(state.masks) <= set(targeted)
        assert record.params == params(before) == sum(p.numel() for p in before.parameters())
        assert record.nonzero_params == record.params - masked(state.masks) > 0
        (units,) = record.units
        assert (units.original, units.left) == (whole, whole - masked(state.masks))
        assert sum(layer.weights for layer in record.layers) == record.prunable_weights == sum(weights.values())
        assert record.prunable_weights_left == sum(layer.weights_left for layer in record.layers)
        if not about:
            assert sum(layer.weights_left for layer in record.layers) == units.left
        for name, mask in state.masks.items():  # after fine-tuning, by either name
            assert not state.model.get_parameter(second if name == first else name)[~mask].any()
        stored = load_file(run.step_folder(record.step) / "model.safetensors")
        assert first in stored
        assert second not in stored
        assert 0 < record.effective_macs <= record.macs
    assert masked(state.masks) == pytest.approx(0.84 * whole, abs=len(targeted) + 1)
    summary = records[0].summary
    assert (summary.reached_params, summary.params) == (whole, params(before))
    assert 0 < summary.reached_macs <= summary.macs
    assert summary.spared == {}
    assert [found.differences for found in verify(run, experiment)] == [()] * 3
    assert one(load(run.folder, build), first, second)


def test_a_run_that_goes_on_is_the_same_as_one_that_never_stopped(tie, tiny_config):
    build, *_ = tie
    about = {"model": build, "method": "unstructured", "epochs": 1, "fraction": 0.5}
    whole, short = tiny_config(iterations=2, **about), tiny_config(iterations=1, **about)
    list(prune(short, pruning_run(short)))
    *_, last = prune(whole, pruning_run(whole))
    *_, alone = prune(whole)
    assert (last.test_after, last.units, last.loss) == (alone.test_after, alone.units, alone.loss)


@pytest.mark.parametrize("pattern", ["second", "third", "embedding", "decoder"])
def test_a_parameter_is_spared_where_any_layer_that_holds_it_is_excluded(pattern, request_for):
    for build, first, second in TIES.values():
        if {first.split(".")[0], second.split(".")[0]} & {pattern}:
            model = state_of(build).model
            assert first in unstructured.targets(model, request_for(INPUTS))
            assert first not in unstructured.targets(model, request_for(INPUTS, exclude=(pattern,)))
            if pattern != "embedding":  # no layer whose weights are pruned
                assert unstructured.targets(model, request_for(INPUTS, include=(pattern,))) == [first]


def test_structured_pruning_takes_a_unit_from_all_layers_that_hold_its_weights_and_the_tie_stays(request_for):
    for build in (shared, twins, twice):
        state = state_of(build)
        before = structured.count(state.model, {}, request_for(INPUTS))["channels"]
        structured.prune(state.model, {}, request_for(INPUTS, 0.5))
        assert one(state.model, "second.weight", "third.weight")
        assert state.model.second.weight.shape == (4, 4, 3, 3)
        assert state.model.fourth.weight.shape[0] == 3
        assert params(state.model) < params(state_of(build).model)
        assert structured.count(state.model, {}, request_for(INPUTS))["channels"] * 2 == before
        assert state.model(INPUTS.example(2)).shape == (2, 3)


def test_costs_and_files_hold_it_once(tie, tmp_path):
    build, first, second = tie
    state = state_of(build)
    mask = torch.rand(state.model.get_parameter(first).shape) < 0.5
    state = replace(state, masks={first: mask})
    with torch.no_grad():
        state.model.get_parameter(first).mul_(mask)
    found = costs(state, INPUTS)
    checkpoint.save(state, tmp_path)
    assert found.checkpoint_bytes == (tmp_path / "model.safetensors").stat().st_size
    assert found.nonzero_params == params(state.model) - int((~mask).sum())
    assert found.effective_macs < found.macs
    eager = SimpleNamespace(needs=(), dtype="fp32")
    held = memory_of(state, lambda: None, Conditions(eager, torch.device("cpu"), eager, {}))
    assert held == sum(t.nbytes for t in (*state.model.parameters(), *state.model.buffers()))
    untied = state_of(Net if build is not Decoder else build)
    assert found.checkpoint_bytes <= costs(untied, INPUTS).checkpoint_bytes
    again = checkpoint.load(tmp_path, ModelEntry("tied", "", build))
    assert one(again.model, first, second)
    assert torch.equal(again.model.get_parameter(second), state.model.get_parameter(first))
    assert set(again.masks) == {first}


def test_a_checkpoint_of_an_earlier_version_is_read(tie, tmp_path):
    """It held the parameter by all of its names, and a mask for each, which could differ."""
    build, first, second = tie
    state = state_of(build)
    checkpoint.save(state, tmp_path)
    weight = state.model.get_parameter(first).detach()
    save_file(
        {name: tensor.clone() for name, tensor in state.model.state_dict().items()}, tmp_path / "model.safetensors"
    )
    masks = {first: weight > 0, second: weight < 1e-2}
    save_file(masks, tmp_path / "masks.safetensors")
    found = checkpoint.load(tmp_path, ModelEntry("tied", "", build))
    assert one(found.model, first, second)
    assert torch.equal(found.masks[first], masks[first] & masks[second])
    assert second not in found.masks


def test_what_an_earlier_version_parted_by_pruning_is_read_as_two(tmp_path):
    state = state_of(shared)
    checkpoint.save(state, tmp_path)
    tensors = {name: tensor.clone() for name, tensor in state.model.state_dict().items()}
    tensors["third.weight"] = torch.randn(8, 8, 3, 3)
    save_file(tensors, tmp_path / "model.safetensors")
    model = checkpoint.load(tmp_path, ModelEntry("tied", "", shared)).model
    assert all(torch.equal(tensor, tensors[name]) for name, tensor in model.state_dict().items())


def test_weights_from_elsewhere_may_have_it_by_any_of_its_names(tie):
    build, first, second = tie
    state = state_of(build)
    own = {name: torch.randn_like(tensor) for name, tensor in checkpoint.weights_of(state.model).items()}
    tensors = {name: own[one] for name, one in first_names(state.model).items()}
    for missing in (first, second):
        found = fitted(state.model, WeightFile({n: t for n, t in tensors.items() if n != missing}), 3)
        assert torch.equal(found.tensors[missing], tensors[first])
    about = {n: t for n, t in tensors.items() if n not in (first, second)}
    mask = (torch.rand(tensors[first].shape) < 0.5).float()
    about |= {f"{second}_orig": tensors[first], f"{second}_mask": mask}
    found = fitted(state.model, WeightFile(about), 3)
    assert set(found.masks) == {first}
    assert torch.equal(found.masks[first], mask.bool())


def test_the_masked_variant_is_masked_in_every_layer_that_holds_it(request_for):
    original, pruned = state_of(shared), state_of(shared)
    masks = unstructured.prune(pruned.model, {}, request_for(INPUTS, 0.5, "l1")).masks
    pruned = replace(pruned, masks=masks)
    found = variants(original, TimedStep(1, 0.5, pruned))["masked"].model
    batch = INPUTS.example(2)
    with torch.no_grad():
        assert torch.equal(found(batch), pruned.model(batch))
    assert not {"second", "third"} & layers_as_they_were(original.model, pruned)


# Memory


class Odd(nn.Module):
    """Parameters and buffers whose memory is not theirs alone."""

    def __init__(self, classes):
        super().__init__()
        self.layer = nn.Linear(3 * 144, classes)
        self.scale = nn.Parameter(torch.ones(1, 1).expand(1, classes))
        self.window = nn.Parameter(torch.arange(5.0).as_strided((3, 3), (1, 1)))
        self.base = nn.Parameter(torch.randn(4, 3))
        self.turned = nn.Parameter(self.base.T)
        self.rest = nn.Parameter(self.base[1:])
        self.columns = nn.Parameter(torch.randn(4, 4)[:, :2])
        self.register_buffer("ones", torch.ones(1).expand(classes))
        self.register_buffer("few", torch.eye(3).to_sparse(), persistent=False)
        self.register_parameter("none", None)
        self.empty = nn.Parameter(torch.empty(0, 3))

    def forward(self, images):
        return self.layer(images.flatten(1)) * self.scale * self.ones + self.base.sum()


def test_every_parameter_gets_memory_of_its_own_and_keeps_its_values():
    torch.manual_seed(0)
    before, model = Odd(3), state_of(Odd).model
    for (name, old), new in zip(before.named_parameters(), model.parameters(), strict=True):
        assert new.shape == old.shape, name
        assert new.is_contiguous() or name == "turned"
        if name in ("scale", "window"):
            assert torch.equal(new, old)
    pieces = sorted((p.data_ptr(), p.data_ptr() + p.nbytes) for p in model.parameters())
    assert all(end <= start for (_, end), (start, _) in pairwise(pieces))
    assert torch.equal(model.turned, model.base.T)
    assert torch.equal(model.rest, model.base[1:])
    assert model.ones.is_contiguous()


@pytest.mark.parametrize("method", ["unstructured", "none"])
def test_a_model_of_expanded_parameters_is_trained_masked_stored_and_verified(method, tiny_config):
    about = {"targets": "all"} if method == "unstructured" else {}
    config = tiny_config(model=Odd, method=method, epochs=1, iterations=1, **about)
    experiment, run = resolve(config), pruning_run(config)
    records = list(prune(experiment, run))
    assert len(records) == 2
    assert [found.differences for found in verify(run, experiment)] == [(), ()]
    state = checkpoint.load(run.checkpoint(1), experiment.model)
    assert costs(state, INPUTS).nonzero_params == records[1].nonzero_params


@pytest.mark.parametrize("name", models.names())
def test_ordinary_models_are_left_as_they_are(name, architecture_of):
    model = architecture_of(name).build()

    def places():
        return [(id(p), p.data_ptr()) for p in (*model.parameters(), *model.buffers())]

    before = places()
    settle(model)
    assert places() == before
    assert set(first_names(model)) == {name for name, _ in model.named_parameters()}


def test_recurrent_layers_know_the_parameter_that_they_share():
    model = nn.ModuleDict({"a": nn.LSTM(4, 4), "b": nn.LSTM(4, 4)})
    model["b"].weight_hh_l0 = nn.Parameter(model["a"].weight_hh_l0)
    settle(model)
    assert one(model, "a.weight_hh_l0", "b.weight_hh_l0")
    assert any(weight is model["a"].weight_hh_l0 for weight in model["b"]._flat_weights)
    assert F.mse_loss(model["b"](torch.zeros(2, 1, 4))[0], torch.zeros(2, 1, 4)).isfinite()
