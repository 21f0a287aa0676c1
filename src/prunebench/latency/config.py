"""EfficiencyConfig: how to time. What to time is a RunConfig or a run."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from prunebench.config import check_fields

Positive = Annotated[int, msgspec.Meta(ge=1)]


class EfficiencyConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """On which backend, at which batch sizes, how exactly and how long to time.

    Raises:
        ConfigError: a value has the wrong type or is out of bounds.
    """

    backend: Annotated[str, msgspec.Meta(description="Backend to time on.")] = "eager"
    dtype: Annotated[
        Literal["fp32", "tf32", "bf16", "fp16", "int8"],
        msgspec.Meta(description="Arithmetic of weights and images; tf32 is that of products of fp32 on a GPU."),
    ] = "fp32"
    batch_sizes: Annotated[tuple[Positive, ...], msgspec.Meta(description="Batch sizes.", min_length=1)] = (
        1,
        4,
        16,
        64,
        256,
    )
    int8_samples: Annotated[
        Positive, msgspec.Meta(description="Training samples that int8 finds the ranges of activations on.")
    ] = 256
    steps: Annotated[
        tuple[Annotated[int, msgspec.Meta(ge=0)], ...] | None,
        msgspec.Meta(description="Steps to time.  [default: all pruned ones; compile: first, middle and last]"),
    ] = None
    image_size: Annotated[Positive | None, msgspec.Meta(description="Pixels.  [default: as trained]")] = None
    sequence_length: Annotated[Positive | None, msgspec.Meta(description="Tokens.  [default: as trained]")] = None
    ci_width: Annotated[
        float,
        msgspec.Meta(gt=0, description="Time until the 95 % interval of every speed-up is within ± this share."),
    ] = 0.03
    time_budget: Annotated[
        float,
        msgspec.Meta(gt=0, description="Seconds of timing on each backend; every figure gets one round at least."),
    ] = 60.0

    def __post_init__(self) -> None:
        check_fields(self)

    def settings(self) -> dict[str, Any]:
        """What decides a timing: all but which steps are timed, and what other dtypes do not use."""
        without = {"steps"} if self.dtype == "int8" else {"steps", "int8_samples"}
        return {name: value for name, value in msgspec.structs.asdict(self).items() if name not in without}
