"""Blocks are found by watching the model run: whatever adds its input to what it makes of it."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from transformers import AlbertConfig, AlbertForSequenceClassification, LlamaConfig, LlamaForSequenceClassification

from prunebench.models.architecture import models
from prunebench.models.input_spec import InputSpec
from prunebench.pruning.blocks.find import find_blocks

IMAGES = torch.randn(1, 3, 8, 8)


def found(model, inputs=IMAGES):
    with torch.no_grad():
        model.eval()(**inputs) if isinstance(inputs, dict) else model.eval()(inputs)  # lazy layers get their sizes
    blocks, spared = find_blocks(model, inputs)
    return {block.name: block for block in blocks}, {name: each.reason for each in spared for name in each.modules}


def test_residual_blocks_are_found_and_what_only_keeps_the_shape_is_none(residual):
    blocks, _ = found(residual.model_of(residual.Residual(), residual.Plain(), residual.Residual()))
    assert set(blocks) == {"2", "4"}
    assert all(block.exact and block.outputs == 0 for block in blocks.values())


def test_a_block_that_gives_another_shape_is_named(residual):
    blocks, spared = found(residual.model_of(residual.Residual(), residual.Residual(stride=2), residual.Residual()))
    assert set(blocks) == {"2", "4"}
    assert spared == {"3": "it gives another shape than it is given"}


def test_relu_after_the_sum_keeps_what_is_not_negative(residual):
    blocks, _ = found(residual.model_of(residual.Residual(nn.ReLU()), residual.Residual(nn.ReLU())))
    assert [block.exact for block in blocks.values()] == [True, True]


@pytest.mark.parametrize("after", [nn.BatchNorm2d(8), nn.GroupNorm(1, 8), nn.Tanh()])
def test_where_something_follows_the_sum_more_than_a_branch_goes(after, residual):
    blocks, _ = found(residual.model_of(residual.Residual(after), residual.Residual()))
    assert {name: block.exact for name, block in blocks.items()} == {"2": False, "3": True}


def test_what_multiplies_after_the_sum_is_no_part_of_a_block(residual):
    mixing = nn.Sequential(residual.Residual(), nn.Conv2d(8, 8, 1))
    blocks, _ = found(residual.model_of(mixing, nn.Sequential(residual.Residual(), nn.Conv2d(8, 8, 1))))
    assert set(blocks) == {"2.0", "3.0"}


def test_a_stage_of_several_blocks_is_none_and_one_of_a_single_block_is(residual):
    blocks, _ = found(
        residual.model_of(nn.Sequential(residual.Residual(), residual.Residual()), nn.Sequential(residual.Residual()))
    )
    assert set(blocks) == {"2.0", "2.1", "3"}


def test_what_runs_twice_or_is_shared_is_no_block(residual):
    model = nn.Sequential(nn.Conv2d(3, 8, 3), residual.Twice())
    blocks, spared = found(model)
    assert (blocks, spared) == ({}, {"1.block": "it runs 2 times in a pass"})
    tied = residual.model_of(residual.Residual(), residual.Residual(), residual.Residual())
    tied[3].conv.weight = tied[2].conv.weight
    blocks, spared = found(tied)
    assert set(blocks) == {"4"}
    assert spared == dict.fromkeys(("2", "3"), "it shares parameters with others")


def test_an_input_that_is_changed_in_place_before_it_is_added_does_not_pass_through(residual):
    class Changed(residual.Residual):
        def forward(self, images):
            return super().forward(images.relu_())

    model = residual.model_of(nn.Conv2d(8, 8, 1), Changed(), residual.Residual())
    assert set(found(model)[0]) == {"4"}


@pytest.mark.parametrize(
    ("name", "size", "count", "exact"),
    [
        ("resnet18", 32, 5, True),
        ("resnet50", 32, 12, True),
        ("alexnet", 64, 0, True),
        ("vgg16", 32, 0, True),
        ("bert", 0, 2, False),
    ],
)
def test_blocks_of_registered_models(name, size, count, exact, fresh):
    state = fresh(name, size)
    blocks, _ = found(state.model, state.architecture.inputs.example())
    assert len(blocks) == count
    assert all(block.exact == exact for block in blocks.values())
    assert models.known(name) is not None


TEXT = InputSpec(kind="text", vocabulary=50, length=8).example()
TINY = {"vocab_size": 50, "hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 24}


def test_layers_of_transformers_are_blocks_unless_one_runs_for_all():
    llama = LlamaForSequenceClassification(LlamaConfig(**TINY, pad_token_id=0))
    assert set(found(llama, TEXT)[0]) == {f"model.layers.{i}" for i in range(3)}
    albert = AlbertForSequenceClassification(AlbertConfig(**TINY, embedding_size=8, pad_token_id=0))
    blocks, spared = found(albert, TEXT)
    assert blocks == {}
    assert set(spared.values()) == {"it runs 3 times in a pass"}
