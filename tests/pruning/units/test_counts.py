"""Pruned architectures have as many parameters and MACs as arithmetic says (Li et al. 2017; Luo et al. 2017)."""

from __future__ import annotations

import itertools

import pytest
import torch
import torch.nn.functional as F
import torchvision
from torch import nn
from transformers import BertConfig, BertForSequenceClassification

from prunebench.models.costs import params
from prunebench.models.input_spec import InputSpec
from prunebench.models.macs import total, uses
from prunebench.pruning.units.find import find
from prunebench.pruning.units.removal import remove
from prunebench.pruning.units.reshapes import Reshape
from prunebench.pruning.units.trying import candidates, spoken


def hollow(build):
    """A model of zeros, which costs little to make."""
    with torch.device("meta"):
        model = build()
    model = model.to_empty(device="cpu")
    for tensor in [*model.parameters(), *model.buffers()]:
        nn.init.constant_(tensor, float(tensor.is_floating_point() and tensor.ndim == 1))
    return model.eval()


def left(model, groups, keep, bindings=()):
    """Remove units so that each group keeps what `keep` says; its first ones."""
    doomed = {group.name: range(keep(group), group.units) for group in groups}
    remove(model, groups, doomed, bindings)
    return params(model)


IMAGENET = InputSpec(kind="images", size=224)


def test_resnet18_with_half_of_its_initial_width_in_multiples_of_eight():
    model = hollow(torchvision.models.resnet18)
    assert (params(model), total(uses(model, IMAGENET))) == (11_689_512, 1_814_073_344)
    groups = find(model, torch.zeros(1, 3, 32, 32)).groups
    assert left(model, groups, lambda group: group.units // 2 // 8 * 8) == 3_055_880
    assert total(uses(model, IMAGENET)) == 483_149_824


RESNET50 = (
    *(25557032, 22971234, 20627520, 18360204, 16271546, 14387742, 12464808, 10754914, 9136138, 7681300, 6405140),
    *(5143228, 4068996, 3098760, 2277742, 1609226, 1011202, 569766, 247660, 60872, 60872),
)
"""Parameters at 0, 5, … 100 % of the initial width, a multiple of two; outputs of the last layer as well."""


def test_resnet50_in_twenty_equal_steps_of_its_initial_width():
    model = hollow(torchvision.models.resnet50)
    groups = find(model, torch.zeros(1, 3, 32, 32)).groups
    width = {group.name: group.units for group in groups}
    outputs, found = 1000, []
    for step in range(21):
        share = 1 - step / 20
        kept = {name: int(units * share) // 2 * 2 or None for name, units in width.items()}
        now = {group.name: group.units for group in groups}
        doomed = {name: range(kept[name] or now[name], now[name]) for name in width}
        groups = remove(model, groups, doomed)
        outputs = int(1000 * share) // 2 * 2 or outputs
        found.append(params(model) - (1000 - outputs) * (model.fc.in_features + 1))
    assert tuple(found) == RESNET50


def test_vgg16_a():
    """Half of the first and of the last six convolutions; without biases, with batch norms, 32 pixels."""
    widths, parts, channels = [64, 64, "M", 128, 128, "M", *[256] * 3, "M", *[512] * 3, "M", *[512] * 3, "M"], [], 3
    for width in widths:
        if width == "M":
            parts.append(nn.MaxPool2d(2))
        else:
            parts += [nn.Conv2d(channels, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
            channels = width
    head = [nn.Flatten(), nn.Linear(512, 512), nn.BatchNorm1d(512), nn.ReLU(), nn.Linear(512, 10)]
    model, images = nn.Sequential(*parts, *head).eval(), InputSpec(kind="images", size=32)
    assert (params(model), total(uses(model, images))) == (14_987_722, 313_463_808)
    convolutions = [name for name, module in model.named_modules() if isinstance(module, nn.Conv2d)]
    halved = {convolutions[i] for i in (0, 7, 8, 9, 10, 11, 12)}
    groups = find(model, torch.zeros(1, 3, 32, 32)).groups
    assert left(model, groups, lambda g: g.units // 2 if g.modules[0] in halved else g.units) == 5_397_034
    assert total(uses(model, images)) == 206_279_680


class Block(nn.Module):
    def __init__(self, before: int, width: int) -> None:
        super().__init__()
        stride = 1 if before == width else 2
        self.conv1, self.bn1 = nn.Conv2d(before, width, 3, stride, 1, bias=False), nn.BatchNorm2d(width)
        self.conv2, self.bn2 = nn.Conv2d(width, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width)
        self.stride, self.more = stride, width - before

    def forward(self, x):
        short = F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, self.more // 2, self.more // 2))
        return F.relu(self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x))))) + short)


class ResNet56(nn.Module):
    """Of CIFAR, with zero-padded shortcuts."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.bn = nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16)
        widths = [16] * 10 + [32] * 9 + [64] * 9
        self.blocks = nn.ModuleList(Block(a, b) for a, b in itertools.pairwise(widths))
        self.fc = nn.Linear(64, 10)

    def forward(self, x):
        x = F.relu(self.bn(self.conv(x)))
        for block in self.blocks:
            x = block(x)
        return self.fc(x.mean((2, 3)))


@pytest.mark.parametrize(
    ("shares", "spared", "parameters", "macs"),
    [
        ((0.1, 0.1, 0.1), (16, 20, 38, 54), 773_336, 112_435_840),
        ((0.6, 0.3, 0.1), (16, 18, 20, 34, 38, 54), 735_712, 90_907_264),
    ],
)
def test_resnet56(shares, spared, parameters, macs):
    """The first convolution of each block, but of those that are spared; layers count from 1, the first one is none."""
    model, images = ResNet56().eval(), InputSpec(kind="images", size=32)
    assert (params(model), total(uses(model, images))) == (853_018, 125_485_696)
    share = {f"blocks.{i}.conv1": 0.0 if 2 * i + 2 in spared else shares[i // 9] for i in range(27)}
    groups = find(model, torch.zeros(1, 3, 32, 32)).groups
    assert left(model, groups, lambda g: int(g.units * (1 - share.get(g.modules[0], 0)))) == parameters
    assert total(uses(model, images)) == macs


def test_thinet_resnet50():
    """The two inner convolutions of every block keep 0.7."""
    model = hollow(torchvision.models.resnet50)
    groups = find(model, torch.zeros(1, 3, 32, 32)).groups
    inner = {f"layer{i}.{j}.conv{k}" for i in range(1, 5) for j in range(6) for k in (1, 2)}
    keep = left(model, groups, lambda g: int(g.units * 0.7) if g.modules[0] in inner else g.units)
    assert keep == 16_945_246


def halved(model, inputs, spared=()):
    """Half of everything, through norms."""
    groups = find(model, inputs, through_norms=True).groups
    bindings = [b for group in groups for b in (*spoken(model, group), *candidates(model, group))]
    bindings = [b for b in bindings if not isinstance(b, Reshape) and b.attribute in ("hidden_dim", *HEADS)]
    return left(model, groups, lambda g: g.units if g.modules[0] in spared else g.units // 2, bindings)


HEADS = ("num_attention_heads", "all_head_size")


def test_bert_base_with_half_of_its_widths_neurons_and_heads():
    model = hollow(lambda: BertForSequenceClassification(BertConfig(num_labels=2)).bert)
    assert params(model) == 109_482_240
    head = nn.Linear(768, 2)
    wrapped = Pooled(model, head).eval()
    ids = {"input_ids": torch.ones(1, 6, dtype=torch.int64), "attention_mask": torch.ones(1, 6, dtype=torch.int64)}
    halved(wrapped, ids, spared=("bert.pooler.dense",))
    assert params(model) == 33_507_840


class Pooled(nn.Module):
    """An encoder with a head on what it pools."""

    def __init__(self, bert: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.bert, self.head = bert, head

    def forward(self, input_ids, attention_mask):
        return self.head(self.bert(input_ids, attention_mask).pooler_output)


def test_vit_b_16_with_half_of_everything():
    model = hollow(torchvision.models.vit_b_16)
    multiplied = uses(model, IMAGENET)
    assert (params(model), total(multiplied)) == (86_567_656, 17_563_828_224)
    assert halved(model, torch.zeros(1, 3, 224, 224)) == 22_050_664
    assert total(uses(model, IMAGENET)) == 4_598_882_304
