"""N:M: of every M inputs of an output that stand side by side N stay, those that score highest (Zhou et al. 2021, arXiv
2102.04010; Mishra et al. 2021, arXiv 2104.08378). Layers whose inputs M does not divide are spared."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from prunebench.errors import ConfigError
from prunebench.pruning.granularity import Kind, Pattern, patterns

if TYPE_CHECKING:
    import torch


def read(text: str) -> Pattern | None:
    """`2:4` as a pattern.

    Raises:
        ConfigError: N is not below M.
    """
    found = re.fullmatch(r"(\d{1,4}):(\d{1,4})", text)
    if found is None:
        return None
    stay, of = map(int, found.groups())
    if not 0 < stay < of:
        raise ConfigError(f"--pattern {text}: of M weights N stay, so N is from 1 to below M, such as 2:4.")

    def stays(scores: torch.Tensor) -> torch.Tensor:
        import torch

        groups = scores.reshape(-1, of)
        going = groups.sort(dim=1, stable=True).indices[:, : of - stay]
        return torch.ones_like(groups, dtype=torch.bool).scatter_(1, going, False).view(scores.shape)

    return Pattern(text, stays=stays, left=stay / of, of=of, fits=lambda inputs: inputs % of == 0)


patterns.add("N:M", Kind("N:M", "of M inputs side by side N stay, such as 2:4 (Zhou et al. 2021)", read))
