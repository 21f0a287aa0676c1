"""Channels of convolutions that hang together, by torch-pruning's dependency graph (Fang et al. 2023, DepGraph)."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from prunebench.errors import ConfigError
from prunebench.models.input_spec import InputSpec, output_of, to
from prunebench.pruning.groups import Group, Slice


def groups_of(model: nn.Module, inputs: InputSpec) -> tuple[list[Group], tuple[str, ...]]:
    """One group per set of conv layers whose channels go together; in a model without conv layers, linear ones.

    The output layer is spared, since its units are the classes. Convolutions with several groups that are not
    depthwise, and group norms with several, are spared as well; the second value says so.
    """
    import torch_pruning

    example = _on_device(inputs, model)
    spared = output_layer(model, inputs)
    roots = [kind for kind in (nn.Conv2d, nn.Linear) if any(isinstance(m, kind) for m in model.modules())][:1]
    names = {module: name for name, module in model.named_modules()}
    training = {module: module.training for module in model.modules()}
    with torch.enable_grad():
        graph = torch_pruning.DependencyGraph().build_dependency(model, example_inputs=example)
    groups, notes = [], []
    for found in graph.get_all_groups(ignored_layers=[spared], root_module_types=roots):
        if grouped := [names[item.dep.layer] for item in found if _is_grouped(item.dep.layer)]:
            notes += [f"spared {name}: its channels are in groups" for name in dict.fromkeys(grouped)]
            continue
        groups.append(_group(graph, found, names))
    for module, mode in training.items():  # tracing leaves the model in eval mode
        module.training = mode
    return groups, tuple(dict.fromkeys(notes))


def _group(graph: Any, found: Any, names: dict[nn.Module, str]) -> Group:
    root, handler, units = found[0].dep.target.module, found[0].dep.handler, len(found[0].idxs)
    slices, modules = [], []
    for item in found:
        layer = item.dep.layer
        if layer not in names:
            continue  # an operation without parameters
        output = graph.is_out_channel_pruning_fn(item.dep.pruning_fn)
        if output and isinstance(layer, (nn.Conv2d, nn.Linear)):
            modules.append(names[layer])
        for key, parameter in layer.named_parameters(recurse=False):
            if parameter.ndim > 1 or output or not isinstance(layer, (nn.Conv2d, nn.Linear)):
                slices.append(
                    Slice(
                        f"{names[layer]}.{key}",
                        0 if output or parameter.ndim == 1 else 1,
                        torch.tensor(item.idxs),
                        torch.tensor(item.root_idxs),
                    )
                )

    def remove(doomed: list[int]) -> None:
        graph.get_pruning_group(root, handler, doomed).prune()

    return Group("channels" if isinstance(root, nn.Conv2d) else "neurons", units, tuple(modules), tuple(slices), remove)


def _is_grouped(layer: Any) -> bool:
    if isinstance(layer, nn.GroupNorm):
        return layer.num_groups > 1  # what is left of its channels would be grouped otherwise, or not at all
    return isinstance(layer, nn.Conv2d) and 1 < layer.groups < layer.out_channels


def output_layer(model: nn.Module, inputs: InputSpec) -> nn.Module:
    """The conv or linear layer that runs last: its units are the classes."""
    last: list[nn.Module] = []
    hooks = [
        module.register_forward_hook(lambda layer, args, out: last.append(layer))
        for module in model.modules()
        if isinstance(module, (nn.Conv2d, nn.Linear))
    ]
    try:
        with torch.no_grad():
            was = model.training
            output_of(model.eval(), _on_device(inputs, model))
            model.train(was)
    finally:
        for hook in hooks:
            hook.remove()
    if not last:
        raise ConfigError("There is nothing to prune: the model has no conv or linear layer.")
    return last[-1]


def prunable(model: nn.Module) -> list[str]:
    """Names of the conv weights, or of all linear ones in a model without conv layers."""
    for kind in (nn.Conv2d, nn.Linear):
        names = [f"{name}.weight" for name, module in model.named_modules() if isinstance(module, kind)]
        if names:
            return names
    return []


def _on_device(inputs: InputSpec, model: nn.Module) -> Any:
    return to(inputs.example(), device=next((parameter.device for parameter in model.parameters()), None))
