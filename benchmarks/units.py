"""Finding the units of a model and proving their removal costs at most 150 of its passes, and 3 × its memory.

    python benchmarks/units.py

Each model of published size has a process of its own, on one thread: what finding and proving take of the processor's
time over a forward pass of one sample at the size asked for, and by how much the peak of resident memory rises over the
size of the parameters. Both depend on the machine; a pass more or less on what else runs.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time
import warnings
from typing import Any

MODELS = ("resnet50", "vit_b_16", "swin_t", "bert")
MOST_PASSES, MOST_MEMORY = 150, 3.0
WARM = 3
"""Passes that a pass is timed over."""


def built(name: str) -> tuple[Any, Any]:
    """A model with fresh weights, and what it reads."""
    from prunebench.models.input_spec import InputSpec

    if name == "bert":
        from transformers import BertConfig, BertForSequenceClassification

        return BertForSequenceClassification(BertConfig()), InputSpec(kind="text", vocabulary=30522, length=128)
    import torchvision

    return torchvision.models.get_model(name, weights=None), InputSpec(kind="images", size=224)


def cost_of(name: str) -> tuple[int, float, float]:
    """How many groups are found; the time in passes; the memory over that of the parameters."""
    import torch

    from prunebench.models.input_spec import output_of
    from prunebench.pruning.units.removable import find_removable

    torch.set_num_threads(1)
    warnings.simplefilter("ignore")  # of the models' own
    model, inputs = built(name)
    with torch.no_grad():
        output_of(model.eval(), inputs.example())
        started = time.process_time()
        for _ in range(WARM):
            output_of(model, inputs.example())
    one, before = (time.process_time() - started) / WARM, peak()
    started = time.process_time()
    found = find_removable(model, inputs, (0.3,))
    size = sum(parameter.numel() * parameter.element_size() for parameter in model.parameters())
    return len(found.groups), (time.process_time() - started) / one, (peak() - before) / size


def peak() -> int:
    """The largest resident memory of this process so far, bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main() -> None:
    """Measure one model where one is named, else each in a process of its own; exit with 1 where a bound is passed."""
    if len(sys.argv) > 1:
        print(*cost_of(sys.argv[1]))
        return
    missed = False
    print(f"{'model':10} groups  passes (≤ {MOST_PASSES})  memory (≤ {MOST_MEMORY:g} × the parameters)")
    for name in MODELS:
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        found = subprocess.run(
            [sys.executable, __file__, name], capture_output=True, text=True, check=True, env=environment
        )
        groups, passes, memory = found.stdout.split()[-3:]
        missed |= float(passes) > MOST_PASSES or float(memory) > MOST_MEMORY
        print(f"{name:10} {groups:>6}  {float(passes):14.0f}  {float(memory):.2f}")
    sys.exit(missed)


if __name__ == "__main__":
    main()
