"""EfficiencyConfig: how to time. What to time is a RunConfig or a run."""

from __future__ import annotations

from typing import Annotated

import msgspec

from prunebench.config import check_fields


class EfficiencyConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How long and at which batch sizes to time.

    Raises:
        ConfigError: a value has the wrong type or is out of bounds.
    """

    batch_sizes: Annotated[
        tuple[Annotated[int, msgspec.Meta(ge=1)], ...], msgspec.Meta(description="Batch sizes.", min_length=1)
    ] = (1, 4, 16, 64, 256)
    time_budget: Annotated[
        float,
        msgspec.Meta(gt=0, description="Seconds for the whole command; every figure gets one round at least."),
    ] = 60.0

    def __post_init__(self) -> None:
        check_fields(self)
