"""Cells: what each layer's pruning was found to lose, kept beside the runs, so that the same command goes on.

They are no run: whoever deletes `RUNS/.sensitivity` loses minutes. A file that cannot be read is begun anew.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping
from pathlib import Path

import msgspec

from prunebench.errors import DiskError
from prunebench.reading import RECORD, read_plain
from prunebench.records import SensitivityRecord
from prunebench.runs.files import own, write_atomically

FOLDER = ".sensitivity"

log = logging.getLogger(__name__)


class Cells:
    """Cells that were computed with the same model, data, settings and versions.

    Args:
        runs_dir: the folder of runs that they are kept in.
        about: all that decides them, as JSON can hold it.
    """

    def __init__(self, runs_dir: str, about: Mapping[str, object]) -> None:
        text = msgspec.json.encode(about, order="deterministic")
        self._root, self._name = Path(runs_dir), f"{hashlib.sha256(text).hexdigest()[:32]}.json"
        self._kept = {(cell.layer, cell.share): cell for cell in self._read()}
        self._told = False

    def get(self, layer: str, share: float) -> SensitivityRecord | None:
        """What was found; None where it was not."""
        return self._kept.get((layer, share))

    def add(self, cell: SensitivityRecord) -> None:
        """Keep what was found; where it cannot be written it is said once."""
        self._kept[cell.layer, cell.share] = cell
        try:
            place = own(self._root, FOLDER, self._name)
            write_atomically(place, msgspec.json.encode(list(self._kept.values())))
        except (OSError, DiskError) as error:
            if not self._told:
                reason = getattr(error, "strerror", None) or error
                log.info("what is found cannot be kept in %s (%s)", self._root, reason)
            self._told = True

    def _read(self) -> list[SensitivityRecord]:
        try:
            content = read_plain(own(self._root, FOLDER, self._name), RECORD)
            return msgspec.json.decode(content, type=list[SensitivityRecord])
        except (OSError, DiskError, ValueError, RecursionError):  # none yet, or damaged
            return []
