"""torch.compile, each model and batch size compiled by itself."""

from __future__ import annotations

import types
from functools import cache
from typing import TYPE_CHECKING, Any

from prunebench.errors import ConfigError, ModelError, PrunebenchError
from prunebench.latency.backends import Backend, Loaded, backends, eager
from prunebench.models.quiet import silence

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch

    from prunebench.models.checkpoint import Checkpoint


def load(state: Checkpoint, device: torch.device, dtype: str) -> Loaded:
    """The model, compiled by the first call at every batch size; to be compiled again after that is a ModelError."""
    loaded = eager.load(state, device, dtype)

    def place(batch: Any) -> Any:
        placed = loaded.place(batch)
        return placed if isinstance(placed, dict) else placed.contiguous()  # other strides would be compiled anew

    @cache
    def runner(batch_size: int) -> Callable[[Any], Any]:
        import torch

        compiled = torch.compile(_with_code_of_its_own(loaded.runner(batch_size)), dynamic=False)
        again = torch.compiler.set_stance("fail_on_recompile")(compiled)
        first = True

        def run(inputs: Any) -> Any:
            nonlocal first
            if first:
                answer = _compiling(compiled, inputs)
                first = False
                return answer
            try:
                return again(inputs)
            except RuntimeError as error:
                if "fail_on_recompile" not in str(error):
                    raise
                reason = str(error).splitlines()[-1].strip(" -")
                raise ModelError(
                    f"--backend compile would have to compile {state.architecture.model} again at batch size "
                    f"{batch_size}, and cannot time it: {reason}"
                ) from error

        return run

    return Loaded(place, runner)


def _with_code_of_its_own(call: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """The same function with a new code object.

    Dynamo keeps what it compiled per code object, and after eight makes for one it silently runs the ninth in eager
    mode. A code object for each model and batch size is the same as resetting Dynamo for each, and yet they can be
    called in alternation.
    """

    def forward(inputs: Any) -> Any:
        return call(inputs)

    return types.FunctionType(forward.__code__.replace(), globals(), closure=forward.__closure__)


def _compiling(compiled: Callable[[Any], Any], inputs: Any) -> Any:
    """Make the call that compiles."""
    from torch._dynamo import config, exc

    # Where a model's graph breaks, what follows has the code objects of the model's class, which all variants share.
    shared = {"recompile_limit": config.accumulated_recompile_limit, "fail_on_recompile_limit_hit": True}
    try:
        with silence(), config.patch(shared):
            return compiled(inputs)
    except exc.BackendCompilerFailed as error:
        raise _told(error.inner_exception) from error


def _told(error: Exception) -> PrunebenchError:
    """What the compiler said, in one line."""
    from torch._inductor.exc import InvalidCxxCompiler

    if isinstance(error, InvalidCxxCompiler):
        return ConfigError(
            "--backend compile needs a C++ compiler, and none was found: install g++ or clang, or set CXX."
        )
    lines = str(error).strip().splitlines() or ["no reason is given"]
    reason = next((line for line in lines if "error:" in line), lines[0])
    return ModelError(f"--backend compile cannot compile the model: {type(error).__name__}: {reason}")


backends.add("compile", Backend("compile", "PyTorch compiled by torch.compile", load, few_steps=True))
