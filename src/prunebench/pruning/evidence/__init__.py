"""Evidence: what criteria ask for by name beyond a weight's own value.

What is asked for in a step is gathered in one pass over the calibration samples, in fp32 and evaluation mode, and so a
function of the step's model and these samples alone: batches are as large as they are whatever the settings say. Two
kinds take other things: synaptic flow no data, and movement an epoch of fine-tuning of a copy, seeded by its position.

Doors:
    losses     the samples' mean loss, in parts
    curvature  second derivatives of it
    movement   how weights move while a copy is fine-tuned
    flow       what passes through layers by the sizes of their weights alone
    inputs     what weights are multiplied with
    gram       how that goes together, of one parameter
    gather     the pass over the calibration samples
    of_units   the same by units: matrices of a group's weights, a row per unit
    reader_errors  what the layers that read units put out changes without them
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

Evidence = Mapping[str, Mapping[str, "torch.Tensor"]]
"""Kind of evidence → parameter by its first name → a tensor of its shape."""

OF_WEIGHTS = (
    "gradient",
    "squared_gradient",
    "hessian_diagonal",
    "hessian_gradient",
    "movement",
    "synaptic_flow",
    "input_norm",
    "input_size",
    "input_variance",
    "input_zeros",
)
"""What is gathered of each weight."""

NOT_OF_SAMPLES = ("movement", "synaptic_flow")
"""What is not gathered of the calibration samples."""

OF_INPUTS = ("input_norm", "input_size", "input_variance", "input_zeros")
"""What of that tells of what the weight reads."""

GRAM = "gram"
"""What it tells of a parameter by itself, for criteria that solve, or of what reads units: gathered when its turn
comes, one at a time."""

COSTS = {
    "squared_gradient": "about 10 times a forward and backward pass over {samples:,} samples, which pass one by one",
    "hessian_diagonal": "about 13 times a forward and backward pass over {samples:,} samples",
    "hessian_gradient": "about 5 times a forward and backward pass over {samples:,} samples",
    "gram": "about a forward and backward pass over {samples:,} samples for each layer",
    "movement": "an epoch of fine-tuning",
    "synaptic_flow": "{rounds} times a forward and backward pass of one sample, in double precision",
}
"""What a step takes for what is not gathered in about one forward and backward pass over the calibration samples, as
measured on ResNet18 at 32 px on a CPU; second derivatives take 3 to 4 times the memory of such a pass."""

BY_UNITS: Mapping[str, tuple[str, ...]] = {
    "weights": (),
    "filters": (),
    "scales": (),
    "gradients": ("gradient",),
    "input_norms": ("input_norm",),
    "activations": ("input_size",),
    "activation_variances": ("input_variance",),
    "activation_zeros": ("input_zeros",),
    "reader_errors": (GRAM,),
}
"""What tells of whole units → what of training data is asked for it."""


def untold(name: str, kind: str, excluding: str | None = None) -> str:
    """What to say where this kind of evidence tells nothing of a parameter; the layer to exclude is its own if None."""
    layer = excluding or name.rpartition(".")[0] or name
    if kind == "movement":
        why = f"{name} is not trained, so it does not move"
    else:
        why = f"What {name} is multiplied with cannot be told, as of recurrent layers and of weights that are computed"
    return f"{why}: --exclude '{layer}', or give another criterion."
