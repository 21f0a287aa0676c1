"""Masks of a network that is pruned layer by layer are those of the algorithms as their papers list them, written here
anew.

What differs there, and not here: SparseGPT's published threshold takes one weight of each block more than its share,
and Wanda's rounds what goes of a row down, where ours are exact in all; the sizes below make both the same.
"""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from prunebench.models.input_spec import InputSpec
from prunebench.pruning.granularity import read_pattern
from prunebench.pruning.methods import unstructured
from prunebench.pruning.registry import Request, criteria, methods

SAMPLES = 60


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(256, 24), nn.ReLU(), nn.Linear(24, 20), nn.Tanh(), nn.Linear(20, 8))


def wanda(weight, inputs, pattern):
    """Algorithm 1 of Sun et al. 2024: by row, the half of the least |W|·‖X‖₂; of patterns N of M columns."""
    metric = weight.abs() * inputs.norm(p=2, dim=0)
    metric = metric.unflatten(1, (-1, pattern[1])) if pattern else metric[:, None]
    keep = pattern[0] if pattern else metric.shape[-1] // 2
    gone = metric.sort(dim=-1).indices[..., : metric.shape[-1] - keep]
    mask = torch.ones_like(metric, dtype=torch.bool).scatter(-1, gone, False).flatten(1)
    return mask, weight * mask


def sparsegpt(weight, inputs, pattern, block=128):
    """Algorithm 1 of Frantar and Alistarh 2023, with blocks of masks as long as blocks of updates; of patterns M."""
    weight, hessian = weight.double().clone(), (inputs.T @ inputs).double()
    rows, columns = weight.shape
    hessian += 0.01 * hessian.diagonal().mean() * torch.eye(columns).double()
    inverse = torch.linalg.cholesky(torch.linalg.inv(hessian)).T
    mask = torch.ones(rows, columns, dtype=torch.bool)
    for i in range(0, columns, block):
        end = min(i + block, columns)
        errors = torch.zeros(rows, end - i).double()
        for j in range(i, end):
            step = pattern[1] if pattern else block
            if j % step == 0:
                stop = min(j + step, end)
                scores = weight[:, j:stop] ** 2 / inverse.diagonal()[j:stop] ** 2
                scores = scores if pattern else scores.view(1, -1)
                keep = pattern[0] if pattern else scores.shape[1] // 2
                kept = scores.argsort(dim=1)[:, -keep:]
                mask[:, j:stop] = torch.zeros_like(scores).scatter(1, kept, 1).bool().view(rows, stop - j)
            errors[:, j - i] = ~mask[:, j] * weight[:, j] / inverse[j, j]
            weight[:, j:end] -= errors[:, j - i, None] * inverse[j, j:end]
        weight[:, end:] -= errors @ inverse[i:end, end:]
    return mask, (weight * mask).float()


@pytest.mark.parametrize("pattern", [None, (2, 4), (1, 4)], ids=str)
@pytest.mark.parametrize("published", [wanda, sparsegpt], ids=lambda function: function.__name__)
def test_layer_by_layer_masks_and_weights_are_the_published_ones(published, pattern):
    data = torch.randn(SAMPLES, 1, 16, 16, generator=torch.Generator().manual_seed(1)) @ torch.ones(16, 16).tril()
    targets = SimpleNamespace(some=lambda part, count: torch.arange(count))
    task = SimpleNamespace(
        inputs=InputSpec(kind="images", channels=1, size=16),
        targets=targets,
        batches=lambda part, chunks, device: ((data[chunk], None) for chunk in chunks),
    )
    entry = criteria.get(published.__name__)
    about = {"task": task, "scope": "layerwise" if pattern else entry.scope, "calibration": SAMPLES, "untrained": True}
    about["pattern"] = read_pattern(f"{pattern[0]}:{pattern[1]}") if pattern else None
    model, expected = network(), network()
    criterion = methods.get("unstructured").ranking(entry)
    masks = unstructured.prune(model, {}, Request(0.5, criterion, task.inputs, **about)).masks
    hidden = data
    with torch.no_grad():
        for name, layer in expected.named_children():
            if isinstance(layer, nn.Linear):
                mask, weight = published(layer.weight, hidden, pattern)
                assert torch.equal(masks[f"{name}.weight"], mask)
                assert torch.allclose(model.get_parameter(f"{name}.weight"), weight, rtol=1e-3, atol=1e-5)
                layer.weight.copy_(weight)
            hidden = layer(hidden)
