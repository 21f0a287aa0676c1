"""Small images are evaluated several batches at once, to the bits of one batch after the other."""

from __future__ import annotations

import pytest
import torch

from prunebench.records import Scores
from prunebench.training import grouping
from prunebench.training.fit import evaluate
from prunebench.training.grouping import grouped, largest_output, together

CPU = torch.device("cpu")


def sizes(model, task, batch_size):
    """Of the batches that a model is called with."""
    found = []
    for images, _ in grouped(model, task, "train", torch.arange(61), size=batch_size, device=CPU):
        model(images)
        found.append(len(images))
    return found


@pytest.mark.parametrize("batch_size", [4, 10])
def test_counts_are_the_same_to_the_bit_whether_batches_are_computed_together(batch_size, tiny_state, tiny_task):
    model, samples, sums = tiny_state().model.eval(), torch.arange(61), {"top1": 0.0, "loss": 0.0}
    with torch.inference_mode():
        for images, labels in tiny_task.batches("train", samples.split(batch_size), CPU):
            for name, counted in tiny_task.objective.count(model(images), labels).items():
                sums[name] += float(counted)
    found = evaluate(model, tiny_task, "train", samples, batch_size=batch_size, device=CPU, dtype="fp32")
    assert found == Scores.of(**{name: (total, 61) for name, total in sums.items()})


@pytest.mark.parametrize(
    ("count", "batch_size", "several", "expected"),
    [(936, 64, 4, [256, 256, 256, 128, 40]), (236, 64, 1, [64, 64, 64, 44]), (65, 64, 2, [64, 1]), (5, 10, 9, [5])],
)
def test_what_is_left_over_stays_apart(count, batch_size, several, expected):
    batches = together(torch.arange(count), batch_size, several)
    assert [len(batch) for batch in batches] == expected
    assert torch.equal(torch.cat(batches), torch.arange(count))


def test_as_many_images_are_computed_at_once_as_the_largest_output_of_a_layer_allows(
    tiny_state, tiny_task, monkeypatch
):
    model = tiny_state().model.eval()
    assert sizes(model, tiny_task, 10) == [10, 50, 1]
    with largest_output(model) as found:
        model(next(tiny_task.batches("train", [torch.arange(10)], CPU))[0])
    monkeypatch.setattr(grouping, "CACHED", 2 * max(found))
    assert sizes(model, tiny_task, 10) == [10, 20, 20, 10, 1]
    monkeypatch.setattr(grouping, "CACHED", max(found) // 2)
    assert sizes(model, tiny_task, 10) == [10] * 6 + [1]
    assert sizes(model, tiny_task, 3) == [3] * 20 + [1]
    assert not any(module._forward_hooks for module in model.modules())
