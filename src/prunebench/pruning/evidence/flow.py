"""Synaptic flow: what passes from the inputs to the outputs of a network by the sizes of its weights alone (Tanaka et
al. 2020, arXiv 2006.05467)."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from prunebench.errors import ConfigError
from prunebench.models.input_spec import InputSpec, output_of
from prunebench.models.macs import Operators, taken_apart
from prunebench.models.taken_over import copied
from prunebench.models.wide import widest
from prunebench.pruning.units.copies import doubles

UNFIT = {
    **{name: name.replace("_", " ") for name in ("softmax", "attention", "layer_norm", "group_norm", "rms_norm")},
    **dict.fromkeys(("lstm", "rnn", "gru"), "recurrent layers"),
    **{"hardtanh": "ReLU6", "sigmoid": "sigmoid", "tanh": "tanh"},
}
"""What is in the names of operators whose outputs do not grow with what flows in → what they are called. What flows is
so much that no gradient passes a ReLU6, and all before it would score 0."""

REFUSED = "The criterion asks for synaptic flow, {}: give another, such as grasp or snip."


def synaptic_flow(model: nn.Module, inputs: InputSpec) -> dict[str, torch.Tensor]:
    """∂R/∂|w| / R by parameter, float64 where the device has it: R is the sum of the outputs for an input of
    ones, in evaluation mode and double precision, where parameters and buffers are replaced by their absolute values,
    as in the paper's code. Of a network of linear and convolutional layers, pooling and ReLU without biases,
    R = 1ᵀ Π|W| 1, and the sum of |w|·∂R/∂|w| / R over each layer is 1.

    Raises:
        ConfigError: the model reads text, or holds what bounds or norms the flow, or nothing passes.
    """
    if inputs.kind == "text":
        raise ConfigError(REFUSED.format("which is that of an input of ones, and text has none"))
    device = next(model.parameters()).device
    net = copied(model).eval().to("cpu" if device.type == "mps" else device)
    net.double()
    with torch.no_grad():
        for tensor in [*net.parameters(), *net.buffers()]:
            if tensor.is_floating_point():
                tensor.abs_()
    parameters = {name: p.requires_grad_() for name, p in net.named_parameters()}
    ones = torch.ones_like(inputs.example(1), dtype=torch.float64, device=next(net.parameters()).device)
    with torch.enable_grad(), doubles(), taken_apart(net):
        with _Fit():
            flow = output_of(net, ones).sum()
        found = torch.autograd.grad(flow, list(parameters.values()), allow_unused=True)
    if not torch.isfinite(flow) or flow == 0:
        how = "nothing" if flow == 0 else "more than double precision holds"
        raise ConfigError(REFUSED.format(f"of which {how} reaches this model's outputs"))
    given, wide = zip(parameters.items(), found, strict=True), widest(device)
    return {name: (torch.zeros_like(p) if g is None else g / flow).detach().to(device, wide) for (name, p), g in given}


class _Fit(Operators):
    """Refuses operators behind which flow says nothing."""

    def seen(self, func: Any, args: Any, kwargs: Any, out: Any) -> None:
        if not isinstance(func, torch._ops.OpOverload):
            return
        found = next((what for name, what in UNFIT.items() if name in func.name()), "")
        given = {argument.name: value for argument, value in zip(func._schema.arguments, args, strict=False)}
        if "batch_norm" in func.name() and given.get("training"):
            found = "norms over what passes"
        if found:
            raise ConfigError(REFUSED.format(f"which says nothing behind {found}, as in this model"))
