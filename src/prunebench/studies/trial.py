"""A trial: a few batches of what a study is made of, on this machine, to tell how long it takes before anything ran.

In a process of its own, so that the one that hands out jobs has no need of torch.
"""

from __future__ import annotations

import logging
import multiprocessing
import signal
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from prunebench.config import Settings, deciding
from prunebench.data.dataset import no_downloads
from prunebench.experiment.elsewhere import anywhere
from prunebench.experiment.experiment import Experiment
from prunebench.runs.digests import nothing_kept

if TYPE_CHECKING:
    from prunebench.experiment.pace import Pace


def try_out(planned: Sequence[Experiment]) -> dict[str, Pace]:
    """What a trial tells of planned runs, by their key; nothing of those that cannot be tried, whatever the reason."""
    kinds = {_kind(each): each for each in planned}
    context = multiprocessing.get_context("spawn")
    mine, theirs = context.Pipe()
    process = context.Process(target=_work, args=(theirs, [anywhere(each) for each in kinds.values()]), daemon=True)
    process.start()
    theirs.close()
    try:
        found: list[Pace | None] = mine.recv()
    except EOFError:  # it has died
        found = [None] * len(kinds)
    finally:
        mine.close()
        process.kill()  # where it was interrupted; else it has ended
        process.join()
    told = dict(zip(kinds, found, strict=True))
    return {each.run.key: tried for each in planned if (tried := told[_kind(each)]) is not None}


def _kind(experiment: Experiment) -> tuple[str, ...]:
    """The same for runs whose steps take as long."""
    names = [*deciding("training", "pruning"), "iterations", "data_dir", "threads"]
    return tuple(repr(getattr(experiment.settings, name)) for name in names if name != "seed")


def _work(pipe: Any, configs: Sequence[Settings]) -> None:
    """Try every config, and send what was found through the pipe."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # who began this process ends it
    logging.getLogger("prunebench").setLevel(logging.CRITICAL)
    from prunebench.experiment.pace import paces

    with no_downloads(), nothing_kept():
        pipe.send(list(paces(configs)))
