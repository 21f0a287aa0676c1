"""Launchers such as torchrun, which begin several processes of one command: what they tell. Knows no torch."""

from __future__ import annotations

import os

VARIABLES = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")


def launched() -> int:
    """How many processes a launcher has begun, this one among them; 1 where none has."""
    return int(os.environ["WORLD_SIZE"]) if all(name in os.environ for name in VARIABLES) else 1


def leads() -> bool:
    """Whether this process is the first of them, or alone."""
    return launched() == 1 or os.environ["RANK"] == "0"


def command() -> list[str]:
    """What a command begins with that is given again as it was here: `prunebench`, or torchrun's on one machine."""
    if launched() == 1:
        return ["prunebench"]
    here = os.environ.get("LOCAL_WORLD_SIZE", os.environ["WORLD_SIZE"])
    return ["torchrun", "--nproc-per-node", here, "-m", "prunebench"]
