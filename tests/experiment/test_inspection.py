"""What of a model can be pruned is told without data or training, and proved."""

from __future__ import annotations

import pytest
from torch import nn

from prunebench.config import RunConfig
from prunebench.errors import ConfigError
from prunebench.experiment.inspection import inspect


class Gated(nn.Module):
    """Channels that are gated by others, and a head that is norm and linear."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.first, self.gate, self.second = nn.Conv2d(3, 8, 3), nn.Conv2d(3, 8, 3), nn.Conv2d(8, 6, 3)
        self.norm, self.output = nn.LayerNorm(6), nn.Linear(6, classes)

    def forward(self, images):
        return self.output(self.norm(self.second(self.first(images) * self.gate(images).sigmoid()).mean((2, 3))))


def test_groups_shares_what_is_spared_and_the_proof_are_told():
    found = inspect(RunConfig(model=Gated, image_size=12, fraction=0.5), classes=4)
    (group,) = found.groups
    assert (group.kind, group.units, set(group.modules)) == ("channels", 8, {"first", "gate"})
    assert set(found.spared) == {"second", "output"}
    assert found.proof.groups == 1
    assert found.proof.difference < 1e-9
    assert not found.proof.problem
    assert found.reached_params == 2 * 8 * 27 + 6 * 8 * 9
    assert found.params - found.params_after == 2 * 4 * (27 + 1) + 4 * 6 * 9
    assert {layer.name: layer.shape[:2] for layer in found.layers} == {
        "first": (4, 3),
        "gate": (4, 3),
        "second": (6, 4),
        "output": (4, 6),
    }


KEPT = {
    "alexnet": {"classifier.1", "classifier.4"},
    "bert": {"bert.pooler.dense"},
}


@pytest.mark.parametrize("model", ["alexnet", "resnet18", "bert"])
def test_what_a_known_model_keeps_whole_is_told_as_such_and_goes_where_it_is_named(model):
    found = inspect(RunConfig(model=model))
    kept = KEPT.get(model, set())
    assert {name for name, why in found.spared.items() if "--include" in why} == kept
    if kept:
        named = inspect(RunConfig(model=model, include=("*",)))
        assert kept <= {name for group in named.groups for name in group.modules}


def test_a_method_that_removes_no_units_is_refused():
    with pytest.raises(ConfigError, match="leave out --method"):
        inspect(RunConfig(model="resnet18", method="unstructured"))


def test_blocks_are_told_with_what_they_cost_and_a_step_takes_the_first():
    found = inspect(RunConfig(model="resnet18", method="depth", fraction=0.3))
    assert [block.name for block in found.blocks] == ["layer1.0", "layer1.1", "layer2.1", "layer3.1", "layer4.1"]
    assert {(block.kind, block.exact) for block in found.blocks} == {("BasicBlock", True)}
    assert found.blocks[0].params == 2 * (64 * 64 * 9 + 2 * 64)
    assert found.blocks[0].macs == 2 * 64 * 64 * 9 * 8 * 8
    assert (found.groups, found.proof.groups, found.proof.blocks, found.proof.problem) == ((), 0, 5, "")
    assert found.params - found.params_after == sum(block.params for block in found.blocks[:2])
    assert found.macs - found.macs_after == sum(block.macs for block in found.blocks[:2])
    assert found.reached_macs == sum(block.macs for block in found.blocks)
    assert found.spared == {
        **dict.fromkeys(("layer2.0", "layer3.0", "layer4.0"), "it gives another shape than it is given"),
        **dict.fromkeys(("conv1", "fc"), "in no block"),
    }
    assert {layer.name for layer in found.layers if not layer.weights_left} == {
        f"layer1.{block}.conv{conv}" for block in (0, 1) for conv in (1, 2)
    }


def test_blocks_that_take_a_norm_along_and_a_model_without_blocks_are_told():
    bert = inspect(RunConfig(model="bert", method="depth"))
    assert {block.exact for block in bert.blocks} == {False}
    assert bert.proof.normed == len(bert.blocks)
    alexnet = inspect(RunConfig(model="alexnet", method="depth"))
    assert (alexnet.blocks, alexnet.params_after) == ((), alexnet.params)
