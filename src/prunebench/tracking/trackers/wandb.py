"""Weights & Biases: runs of the project WANDB_PROJECT, else `prunebench`; with WANDB_MODE=offline in `RUNS/wandb`."""

from __future__ import annotations

import hashlib
import os
from typing import Any

from prunebench.tracking.lines import Figures
from prunebench.tracking.trackers import State, Told, Tracker, trackers

PATIENCE = 60.0
"""Seconds that what is left is waited for at the end; it is in `RUNS/wandb` as well, for `wandb sync`."""


class Live:
    """One run at the server, or in a folder until `wandb sync`.

    The server takes lines in their order alone, and of a run that goes on those after its last: `step` says which.
    """

    def __init__(self, told: Told) -> None:
        import wandb

        self._run: Any = wandb.init(
            project=os.environ.get("WANDB_PROJECT") or "prunebench",
            id=id_of(told),
            name=told.run,
            dir=str(told.root),
            resume=None if _offline() else "allow",  # offline the same id alone makes it the same run
            reinit="create_new",  # a run, and the dense run inside it, side by side
            config={**told.settings, **{f"prunebench.{name}": value for name, value in told.tags.items()}},
            tags=[told.tags["kind"], told.run[:64]],
            settings=wandb.Settings(console="off", silent=True, disable_git=True, finish_timeout=PATIENCE),
        )
        self.last = max(told.last, self._run.step - 1)

    def tell(self, line: int, figures: Figures) -> None:
        """Log a line."""
        self._run.log(dict(figures), step=line, commit=True)

    def close(self, state: State) -> None:
        """Hand over what is left."""
        self._run.finish(exit_code=int(state == "failed"))


def id_of(told: Told) -> str:
    """The id of a run, whichever process opens it: that of its key and of when it was begun."""
    return hashlib.sha256(f"{told.run} {told.created}".encode()).hexdigest()[:16]


def _offline() -> bool:
    return os.environ.get("WANDB_MODE", "").lower() in ("offline", "dryrun")


trackers.add("wandb", Tracker("wandb", "Weights & Biases; offline with WANDB_MODE=offline", Live, ("wandb",), "wandb"))
