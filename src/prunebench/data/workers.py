"""Worker processes that read files: in order, kept from one pass to the next, and what ends them is one error."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import torch

from prunebench.errors import DataError

Read = TypeVar("Read")


class Workers:
    """Processes that read the items of a dataset. They start with the first pass, and end with this object.

    Args:
        count: how many; where 0, this process reads.
        dataset: key → item.
        collate: what a batch is made of its items; None stacks them.
    """

    def __init__(
        self,
        count: int,
        dataset: torch.utils.data.Dataset[Any],
        collate: Callable[[list[Any]], Any] | None = None,
    ) -> None:
        self._count, self._dataset, self._collate = count, dataset, collate
        self._loader: _Loader | None = None
        self._passes = 0

    def read(self, batches: Sequence[Sequence[Any]]) -> Iterator[Any]:
        """Batches of the items that have these keys. Where another pass begins before this one ends, this one goes on
        with what it has not read yet.

        Raises:
            DataError: an item cannot be read, or a process died.
        """
        done = 0
        try:
            while done < len(batches):
                self._passes += 1
                mine = self._passes
                for read in self._begun(batches[done:]):
                    done += 1
                    yield read
                    if self._passes != mine:
                        break
        except DataError as error:  # from another process it comes with that process's traceback
            self.end()
            last = str(error).rstrip().splitlines()[-1]
            raise DataError(last.removeprefix(f"{DataError.__module__}.DataError: ")) from None
        except RuntimeError as error:
            self.end()
            if "DataLoader worker" not in str(error):
                raise
            reason = str(error).splitlines()[0].rstrip(".")
            raise DataError(
                f"A process that reads images died: {reason}. Give the command again; --workers 0 reads without them."
            ) from error

    def end(self) -> None:
        """End the processes; the next pass starts them anew."""
        self._passes += 1
        self._loader = None

    def _begun(self, batches: Sequence[Sequence[Any]]) -> Iterator[Any]:
        if self._loader is None:
            self._loader = _Loader(
                self._dataset,
                batch_sampler=_Batches(),
                num_workers=self._count,
                persistent_workers=self._count > 0,
                collate_fn=self._collate,
                worker_init_fn=_set_signals,
                generator=torch.Generator().manual_seed(0),  # without it the loader draws from the global generator
            )
        self._loader.batch_sampler.asked = list(map(list, batches))
        return iter(self._loader)


def read_by(
    workers: int,
    dataset: torch.utils.data.Dataset[Any],
    batches: Sequence[list[int]],
    collate: Callable[[list[Any]], Read] | None = None,
) -> Iterator[Read]:
    """The batches of a dataset, once, read by so many processes, or by this one where `workers` is 0.

    Raises:
        DataError: as `Workers.read`.
    """
    yield from Workers(workers, dataset, collate).read(batches)


class _Batches:
    """The keys of the pass that comes next, batch by batch."""

    asked: Sequence[list[Any]] = ()

    def __iter__(self) -> Iterator[list[Any]]:
        return iter(self.asked)


class _Loader(torch.utils.data.DataLoader[Any]):
    """One that does as it is told, without a word on how many processes are wise."""

    batch_sampler: Any

    def check_worker_number_rationality(self) -> None:
        pass


def _set_signals(worker: int) -> None:
    """Ctrl-C reaches every process of a terminal; the one that reads from the workers ends them when it is done."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
