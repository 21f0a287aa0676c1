"""torch.compile, each model and batch size compiled by itself."""

from __future__ import annotations

import logging
import types
from typing import TYPE_CHECKING, Any

from prunebench.efficiency.backends import Backend, Loaded, backends, eager
from prunebench.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch

    from prunebench.checkpoint import Checkpoint


def load(state: Checkpoint, device: torch.device, dtype: str) -> Loaded:
    """The model, compiled anew for every batch size.

    Dynamo keeps what it compiled per code object, and after eight makes for one it silently runs the ninth in eager
    mode. So each model and batch size gets a code object of its own, which is the same as resetting Dynamo for each
    and yet lets them be called in alternation; to be made twice is an error.
    """
    loaded = eager.load(state, device, dtype)

    def runner(batch_size: int) -> Callable[[Any], Any]:
        import torch
        from torch._dynamo import config

        logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)  # it warns where there is no GPU
        eagerly = loaded.runner(batch_size)

        def forward(inputs: Any) -> Any:
            return eagerly(inputs)

        alone = types.FunctionType(
            forward.__code__.replace(co_name=f"forward_{batch_size}"), globals(), None, None, forward.__closure__
        )
        compiled = torch.compile(alone, dynamic=False)
        limits = {"recompile_limit": 1, "fail_on_recompile_limit_hit": True}

        def run(inputs: Any) -> Any:
            with config.patch(limits):
                try:
                    return compiled(inputs)
                except torch._inductor.exc.InvalidCxxCompiler as error:
                    raise ConfigError(_NO_COMPILER) from error

        return run

    return Loaded(loaded.place, runner)


_NO_COMPILER = "--backend compile needs a C++ compiler, and none was found: install g++ or clang, or set CXX."

backends.add("compile", Backend("compile", "torch.compile", load, few_steps=True))
