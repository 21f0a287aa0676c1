"""Grouping: several batches of small images are evaluated at once, to the same bits.

Weights are laid out anew, and for bf16 converted, for every batch, which takes as long as many small images do. What
comes out for an image is the same to the bit on a CPU but in batches of one or two, so what is left over in the end
stays apart. Texts are padded to the longest of their batch, which decides the last bits.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from prunebench.data.dataset import Part
from prunebench.data.task import Task

LARGEST = 256
"""Images that are evaluated at once at most unless a batch has more. 256 and not 64 take, on a core with AVX-512:
ResNet18 at 32 px 0.90 of the time in fp32, 0.70 in bf16; AlexNet at 64 px 0.84 and 0.52."""

FEWEST = 4
"""Images of a batch that is computed with others."""

CACHED = 2**24
"""Bytes of a layer's output up to which it stays in a processor's cache until the next one reads it: with 67 MB, as of
256 images at 32 px, VGG16 takes 1.15 × the time of batches of 64."""


def grouped(
    model: nn.Module, task: Task, part: Part, samples: torch.Tensor, *, size: int, device: torch.device
) -> Generator[tuple[Any, torch.Tensor], None, None]:
    """Inputs and targets of these samples, in batches of a size or several such, for a model that is
    called with each before the next is asked for.

    The first batch is as large as it was asked for: what the model's layers put out for it tells how many more are
    computed at once.
    """
    batches = list(samples.split(size)) if len(samples) else []
    if task.inputs.kind != "images" or size < FEWEST or len(batches) < 3:
        yield from task.batches(part, batches, device)
        return
    with largest_output(model) as found:
        yield from task.batches(part, batches[:1], device)
    several = max(1, min(LARGEST, size * CACHED // max(found)) // size)
    yield from task.batches(part, together(samples[size:], size, several), device)


def together(samples: torch.Tensor, batch_size: int, several: int) -> list[torch.Tensor]:
    """Batches, so many as one; a smaller last one stays apart."""
    whole = len(samples) - len(samples) % batch_size
    parts = samples[:whole], samples[whole:]
    return [batch for part in parts for batch in part.split(several * batch_size) if len(batch)]


@contextmanager
def largest_output(model: nn.Module) -> Iterator[list[int]]:
    """Within it, bytes that every layer puts out are collected, from 1 on."""
    found = [1]

    def see(layer: nn.Module, inputs: Any, output: Any) -> None:
        if isinstance(output, torch.Tensor):
            found.append(output.nbytes)

    handles = [layer.register_forward_hook(see) for layer in model.modules()]
    try:
        yield found
    finally:
        for handle in handles:
            handle.remove()
