"""Costs agree with sums by hand, and with an independent counter."""

from __future__ import annotations

import copy
import warnings
from dataclasses import replace

import pytest
import torch
import zstandard
from torch import nn

from prunebench.models.architecture import Architecture, models
from prunebench.models.checkpoint import Checkpoint, save
from prunebench.models.costs import activation_bytes, costs, macs, masked, params
from prunebench.models.input_spec import InputSpec
from prunebench.pruning.methods import structured, unstructured


def test_macs_of_convolutions_count_strides_and_groups_and_no_batch():
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2, padding=1),
        nn.Conv2d(8, 8, 3, padding=1, groups=4),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, 5),
    )
    by_hand = 6 * 6 * 8 * 3 * 9 + 6 * 6 * 8 * 2 * 9 + 8 * 5
    assert macs(model, InputSpec(kind="images", size=12)) == by_hand


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_macs_of_bert_count_attention_however_it_is_computed(attention, fresh):
    state = fresh("bert")
    state.model.set_attn_implementation(attention)
    tokens, width, inner, layers, classes = 12, 32, 48, 2, 7
    projections = tokens * width * width * 4
    products = 2 * tokens * tokens * width
    by_hand = layers * (projections + products + 2 * tokens * width * inner) + width * width + width * classes
    assert macs(state.model, state.architecture.inputs) == by_hand
    assert state.model.config._attn_implementation == attention


def test_pruning_saves_macs_and_parameters(fresh, request_for):
    state = fresh("resnet18")
    before = macs(state.model, state.architecture.inputs), params(state.model)
    structured.prune(state.model, {}, request_for(state.architecture.inputs, 0.5))
    after = macs(state.model, state.architecture.inputs), params(state.model)
    assert all(0.2 < small / large < 0.3 for small, large in zip(after, before, strict=True))


@pytest.mark.parametrize("training", [True, False])
def test_counting_leaves_a_model_as_it_was(training, tiny_state):
    state = tiny_state()
    state.model.train(training)
    mean = state.model.features[1].running_mean.clone()
    macs(state.model, state.architecture.inputs)
    assert state.model.training is training
    assert torch.equal(state.model.features[1].running_mean, mean)


def test_masked_parameters_are_those_that_masks_remove():
    masks = {"a": torch.tensor([True, False, False]), "b": torch.ones(2, 2, dtype=torch.bool)}
    assert masked(masks) == 2
    assert masked({}) == 0


SHAPES = {"hidden_size": 768, "num_hidden_layers": 2, "num_attention_heads": 12, "intermediate_size": 3072}


def realistic(name):
    """A registered model in the size that it is published in; BERT-base with two layers."""
    if models.get(name).reads == "text":
        inputs = InputSpec(kind="text", vocabulary=30_522, length=128)
        arguments = {"classes": 2, "config": {**SHAPES, "vocab_size": 30_522, "max_position_embeddings": 512}}
    else:
        inputs = InputSpec(kind="images", size=224)
        arguments = {"classes": 1000, "channels": 3, "image_size": 224, "adapt": False}
    architecture = Architecture(name, arguments, inputs)
    return Checkpoint(architecture, architecture.build().eval(), {})


def counted(model, inputs):
    """MACs by fvcore, which follows a traced graph: of matrix products and convolutions alone."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it scripts a function with torch.jit
        from fvcore.nn import FlopCountAnalysis, parameter_count

    class Positional(nn.Module):
        def __init__(self):
            super().__init__()
            self.model = model

        def forward(self, *parts):
            if inputs.kind == "images":
                return self.model(*parts)
            return self.model(input_ids=parts[0], attention_mask=parts[1]).logits

    if inputs.kind == "text":
        model.set_attn_implementation("eager")
    example = inputs.example()
    parts = tuple(example.values()) if inputs.kind == "text" else (example,)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of tracing
        found = FlopCountAnalysis(Positional().eval(), parts).unsupported_ops_warnings(False).tracer_warnings("none")
        by_operator = found.by_operator()
    return sum(by_operator[name] for name in ("conv", "linear", "matmul", "addmm", "bmm")), parameter_count(model)[""]


LARGE = ("alexnet", "resnet50", "vgg16")
"""Those of 26 to 138 million parameters take long; their layers are those of the others."""

EACH = [pytest.param(name, marks=pytest.mark.slow if name in LARGE else ()) for name in models.names()]


@pytest.mark.parametrize("name", EACH)
def test_macs_and_parameters_agree_with_an_independent_counter_before_and_after_pruning(name, request_for):
    state = realistic(name)
    for fraction in (0.0, 0.3):
        if fraction:
            structured.prune(state.model, {}, request_for(state.architecture.inputs, fraction))
        ours = macs(state.model, state.architecture.inputs), params(state.model)
        assert ours == pytest.approx(counted(state.model, state.architecture.inputs), rel=0.01)


def test_activations_are_the_most_that_is_held_at_once():
    model = nn.Sequential(nn.Flatten(), nn.Linear(3 * 16, 100), nn.ReLU(), nn.Linear(100, 1_000), nn.Linear(1_000, 10))
    held = activation_bytes(model, InputSpec(kind="images", size=4))
    assert 4 * (100 + 1_000) <= held < 4 * (100 + 100 + 1_000 + 10)  # a layer's input and output, not all of them


def test_a_checkpoint_is_counted_as_it_is_written(tiny_state, tmp_path):
    state = tiny_state()
    found = costs(state, state.architecture.inputs)
    save(state, tmp_path)
    written = (tmp_path / "model.safetensors").read_bytes()
    assert found.checkpoint_bytes == len(written)
    assert found.checkpoint_zstd_bytes == pytest.approx(len(zstandard.compress(written, 3)), rel=0.01)


@pytest.mark.parametrize("leftover", [0.5, -0.0])
def test_masked_weights_are_plain_zeros_in_what_is_compressed(leftover, tiny_state):
    masked_out, zeros = tiny_state(), tiny_state()
    name = "features.4.weight"
    weight = masked_out.model.get_parameter(name)
    masks = {name: torch.zeros_like(weight, dtype=torch.bool)}
    with torch.no_grad():
        weight.copy_(leftover * torch.randn(weight.shape))
        zeros.model.get_parameter(name).zero_()
    found = costs(replace(masked_out, masks=masks), zeros.architecture.inputs)
    expected = costs(zeros, zeros.architecture.inputs)
    assert found.checkpoint_bytes == expected.checkpoint_bytes
    assert found.checkpoint_zstd_bytes == expected.checkpoint_zstd_bytes


def test_masking_saves_compressed_bytes_alone(tiny_state, request_for):
    dense, state = tiny_state(), tiny_state()
    masks = unstructured.prune(state.model, {}, request_for(state.architecture.inputs, 0.9, "l1")).masks
    before, after = (costs(of, state.architecture.inputs) for of in (dense, replace(state, masks=masks)))
    assert after.checkpoint_zstd_bytes < 0.6 * before.checkpoint_zstd_bytes
    assert after.nonzero_params == before.params - masked(masks)
    for field in ("params", "macs", "activation_bytes", "checkpoint_bytes"):
        assert getattr(after, field) == getattr(before, field)


def test_costs_leave_a_model_as_it_was(tiny_state):
    state = tiny_state()
    state.model.train()
    before = copy.deepcopy(state.model.state_dict())
    costs(state, state.architecture.inputs)
    assert state.model.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in state.model.state_dict().items())
