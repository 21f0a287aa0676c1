"""What goes is proved: the model without blocks equals the one whose branches are at zero."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from prunebench.errors import ConfigError
from prunebench.models.input_spec import InputSpec
from prunebench.models.passing import passing_of
from prunebench.pruning.blocks.find import Block
from prunebench.pruning.blocks.proof import find_removable_blocks, take, without_branches

IMAGES = InputSpec(kind="images", size=8)


@pytest.fixture
def built(residual):
    def build(*blocks):
        model = residual.model_of(*blocks)
        model(IMAGES.example(2))
        return model.eval()

    return build


def test_all_blocks_are_proved_at_once_and_the_model_is_left_as_it_was(residual):
    model = residual.net(3)
    model(IMAGES.example(2))
    before = copy.deepcopy(model.state_dict())
    found = find_removable_blocks(model, IMAGES)
    assert [block.name for block in found.blocks] == ["2", "3", "5"]
    assert (found.problem, [each.modules for each in found.spared]) == ("", [("4",)])
    assert found.largest < 1e-9
    assert model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_a_model_without_blocks_equals_the_one_whose_parameters_in_them_are_zero(fresh):
    state = fresh("resnet18", 32)
    model, inputs = state.model, state.architecture.inputs
    found = find_removable_blocks(model, inputs)
    masked = copy.deepcopy(model)
    doomed = found.blocks[1:4]
    with torch.no_grad():
        for block in doomed:
            for parameter in masked.get_submodule(block.name).parameters():
                parameter.zero_()
    take(model, inputs, doomed)
    images = inputs.example(3)
    assert torch.equal(model.eval()(images), masked.eval()(images))
    assert set(passing_of(model)) == {block.name for block in doomed}


def test_a_block_that_tells_others_something_is_spared_with_the_reason(residual):
    found = find_removable_blocks(residual.Chain(), IMAGES)
    assert [block.name for block in found.blocks] == ["layers.2"]  # the others hand on what the first has told
    assert [each.modules for each in found.spared] == [("layers.0",), ("layers.1",)]
    assert all("differ by" in each.reason for each in found.spared)


def test_a_block_that_changes_nothing_proves_nothing(residual, built):
    class Idle(residual.Residual):
        def forward(self, images):
            return images + 0.0 * self.conv(images)

    found = find_removable_blocks(built(Idle(), residual.Residual()), IMAGES)
    assert [block.name for block in found.blocks] == ["3"]
    assert "nothing is proved" in found.spared[0].reason


def test_blocks_that_do_not_come_back_are_spared(residual, built):
    other = built(residual.Residual(), residual.Residual())
    model = built(residual.Residual(), residual.Residual(), residual.Residual())
    found = find_removable_blocks(model, IMAGES, build=lambda: other)
    assert (found.blocks, found.problem) == ((), "")
    assert [each.modules for each in found.spared] == [("2",), ("3",), ("4",)]
    assert all("it cannot be restored without them" in each.reason for each in found.spared)


def test_a_block_without_which_nothing_trains_is_spared(residual, built):
    class Doubled(nn.Module):
        def forward(self, images):
            return images.mul_(2)

    model = built(residual.Residual(), residual.Residual(), Doubled(), nn.Conv2d(8, 8, 1), residual.Residual())
    model = nn.Sequential(*model[:3], nn.Sigmoid(), *model[3:])  # whose output is kept to be trained
    found = find_removable_blocks(model, IMAGES)
    assert [block.name for block in found.blocks] == ["2", "7"]
    ((spared,), reason) = found.spared[0].modules, found.spared[0].reason
    assert spared == "4"
    assert "it cannot be trained without them" in reason
    assert found.problem == ""


def test_what_is_taken_is_proved_once_more(residual):
    model = residual.Chain()
    with pytest.raises(ConfigError, match=r"layers\.0\. Spare them: --exclude layers\.0\."):
        take(model, IMAGES, [Block("layers.0", "Telling", 2, True)])
    assert passing_of(model) == {}


def test_without_its_branches_a_block_gives_what_it_is_given_and_later_what_it_did(residual, built):
    model, images = built(residual.Residual(nn.BatchNorm2d(8))), torch.randn(2, 8, 8, 8)
    before = model[2](images)
    for exact, same in ((False, True), (True, False)):  # with its norm at zero, too, it gives zero
        with without_branches(model, [Block("2", "Residual", 0, exact)]), torch.no_grad():
            assert torch.equal(model[2](images), images) == same
    assert torch.equal(model[2](images), before)
