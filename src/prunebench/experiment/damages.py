"""Damages: what a dense and a pruned model answer sample by sample, kept beside the runs, so that it is computed once.

They are no run, and no run is changed for them: whoever deletes `RUNS/.damage` loses seconds. One that was computed of
other files than the run has now, or cannot be read, is none.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence

import msgspec
import numpy as np

from prunebench.errors import DiskError
from prunebench.reading import RECORD, read_plain
from prunebench.records import FORMAT, Bits, DamageRecord, Trial
from prunebench.runs.files import own, write_atomically
from prunebench.runs.run import Run

FOLDER = ".damage"

ANSWERS, FIGURES = "<i4", "<f4"
"""How classes and figures lie in bytes."""

log = logging.getLogger(__name__)


def kept(run: Run, step: int) -> DamageRecord | None:
    """What was found of a step of a pruning run; None where that is not there, or was computed of other files."""
    try:
        content = read_plain(own(run.folder.parent, FOLDER, _name(run, step)), RECORD)
        found = msgspec.json.decode(content, type=DamageRecord)
    except (OSError, DiskError, ValueError, RecursionError):  # none yet, or damaged
        return None
    mine = (found.format, found.run, found.step, found.files) == (FORMAT, run.key, step, files_of(run, step))
    return found if mine and _whole(found) else None


def keep(run: Run, record: DamageRecord) -> None:
    """Keep what was found; where it cannot be written it is said."""
    try:
        write_atomically(own(run.folder.parent, FOLDER, _name(run, record.step)), msgspec.json.encode(record))
    except (OSError, DiskError) as error:
        reason = getattr(error, "strerror", None) or error
        log.info("what is found cannot be kept in %s (%s)", run.folder.parent, reason)


def files_of(run: Run, step: int) -> dict[str, str]:
    """The records of step 0 and of a step → their SHA-256, which no two computations have in common."""
    names = [f"steps/{of:03d}/record.json" for of in (0, step)]
    return {name: checksum for name, checksum in run.files().items() if name in names}


def most_lost(record: DamageRecord, trials: Sequence[Trial]) -> list[int]:
    """Samples that were lost, those first that were most often; of these those that the dense model was surest of.

    Lost is what a dense model answers rightly and the pruned one wrongly. Hooker et al. (2019) count a sample where the
    answers that most dense and most pruned models give are others, whichever they are; here answers count as right or
    wrong, since that is what runs keep.
    """
    lost = lost_counts(record, trials)
    confidence = np.nan_to_num(np.frombuffer(record.dense.confidence, FIGURES))
    order = np.lexsort((np.arange(len(lost)), -confidence, -lost))
    return [int(i) for i in order if lost[i]]


def lost_counts(record: DamageRecord, trials: Sequence[Trial]) -> np.ndarray:
    """In how many trials each sample is lost, int64 of shape (samples,); without any, whether it is in this step."""
    if not trials:
        labels, dense, pruned = (
            np.frombuffer(of, ANSWERS) for of in (record.labels, record.dense.answer, record.pruned.answer)
        )
        found = [(dense == labels) & (pruned != labels)]
    else:
        found = [flags(trial.dense) & ~flags(trial.pruned) for trial in trials]
    counts: np.ndarray = np.stack(found).sum(0, dtype=np.int64)
    return counts


def flags(bits: Bits) -> np.ndarray:
    """Which samples are answered rightly, bool of shape (samples,)."""
    return np.unpackbits(np.frombuffer(bits.packed, np.uint8), count=bits.count).astype(bool)


def _whole(record: DamageRecord) -> bool:
    """Whether all of it is of as many samples, and of classes that there are."""
    count = len(record.labels) // 4
    answers = [record.labels, record.dense.answer, record.pruned.answer]
    figures = [record.dense.confidence, record.pruned.confidence, *record.kinds.values()]
    if not count or any(len(column) != 4 * count for column in (*answers, *figures)):
        return False
    found = np.stack([np.frombuffer(column, ANSWERS) for column in answers])
    bits = [bits for trial in record.trials for bits in (trial.dense, trial.pruned)]
    whole = all(of.count == count and len(of.packed) == -(-count // 8) for of in bits)
    return whole and bool(found.min() >= 0 and found.max() < len(record.classes))


def _name(run: Run, step: int) -> str:
    return f"{hashlib.sha256(f'{run.key} {step}'.encode()).hexdigest()[:32]}.json"
