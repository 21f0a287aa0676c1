"""Worker processes that read files: in order, and what ends them is one error."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import torch

from prunebench.errors import DataError

Read = TypeVar("Read")


def read_by(
    workers: int,
    dataset: torch.utils.data.Dataset[Any],
    batches: Sequence[list[int]],
    collate: Callable[[list[Any]], Read] | None = None,
) -> Iterator[Read]:
    """The batches of a dataset, read by so many processes, or by this one where `workers` is 0.

    Raises:
        DataError: an item cannot be read, or a process died.
    """
    loader: Any = _Loader(
        dataset,
        batch_sampler=batches,
        num_workers=workers,
        collate_fn=collate,
        worker_init_fn=_set_signals,
        generator=torch.Generator().manual_seed(0),  # without it the loader draws from the global generator
    )
    try:
        yield from loader
    except DataError as error:  # from another process it comes with that process's traceback
        last = str(error).rstrip().splitlines()[-1]
        raise DataError(last.removeprefix(f"{DataError.__module__}.DataError: ")) from None
    except RuntimeError as error:
        if "DataLoader worker" not in str(error):
            raise
        reason = str(error).splitlines()[0].rstrip(".")
        raise DataError(
            f"A process that reads images died: {reason}. Give the command again; --workers 0 reads without them."
        ) from error


class _Loader(torch.utils.data.DataLoader[Any]):
    """One that does as it is told, without a word on how many processes are wise."""

    def check_worker_number_rationality(self) -> None:
        pass


def _set_signals(worker: int) -> None:
    """Ctrl-C reaches every process of a terminal; the one that reads from the workers ends them when it is done."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
