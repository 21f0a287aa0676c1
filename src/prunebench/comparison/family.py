"""Family: the comparisons that a study's file has fixed, which are made and corrected together, and no others."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Literal

import msgspec

Together = Literal["budget", "study"]
"""What is corrected together: the pairs of one model and budget, or all pairs of a study."""


class Cell(msgspec.Struct, frozen=True, kw_only=True):
    """One model with one budget: runs that differ in their criterion and seed alone.

    Attributes:
        title: `resnet18 on digits, unstructured, to 90 % sparsity in 3 steps`.
        entries: criterion → the keys of its runs, a seed each.
        controls: the keys of runs that remove nothing, trained for as many epochs.
        against: the criteria that others are compared with.
        compared: the criteria that are.
        steps: after how many; 0, as studies of earlier versions have it: as many as any run has.
    """

    title: str
    entries: dict[str, tuple[str, ...]]
    against: tuple[str, ...]
    compared: tuple[str, ...]
    controls: tuple[str, ...] = ()
    steps: int = 0

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """Every comparison once, (criterion, against which)."""
        found: list[tuple[str, str]] = []
        for other in self.against:
            for one in self.compared:
                if one != other and (other, one) not in found:
                    found.append((one, other))
        return found


class Family(msgspec.Struct, frozen=True, kw_only=True):
    """Every comparison of a study, cell by cell, and which of them are corrected together."""

    together: Together
    cells: tuple[Cell, ...]

    @property
    def size(self) -> int:
        """How many comparisons there are."""
        return sum(len(cell.pairs) for cell in self.cells)

    @property
    def digest(self) -> str:
        """The same text for the same comparisons that are corrected alike, whatever runs they are of."""
        told = [self.together, *(f"{cell.title}: {pair}" for cell in self.cells for pair in cell.pairs)]
        return hashlib.sha256("\n".join(told).encode()).hexdigest()[:16]

    def corrected_with(self, cell: Cell) -> int:
        """How many comparisons are corrected together with those of a cell."""
        return self.size if self.together == "study" else len(cell.pairs)


class Fixed(msgspec.Struct, frozen=True, kw_only=True):
    """That a family was fixed: when, how many runs of the study were finished then, and what it was.

    `date` is that of the computer's clock, in UTC; `text` is how the study's file said it.
    """

    date: str
    finished: int
    runs: int
    pairs: int
    digest: str
    text: str


def history(fixed: Sequence[Fixed]) -> list[str]:
    """Sentences on when the family was fixed, and on every change to it since a run was finished."""
    if not fixed:
        return []
    first, *later = fixed
    when = "before any run was finished" if not first.finished else f"when {first.finished} runs were finished already"
    told = [f"The study's file fixed these comparisons on {first.date[:10]}, {when}."]
    for before, now in zip(fixed, later, strict=False):
        told.append(
            f"Warning: they were changed on {now.date[:10]}, when {now.finished} of {now.runs} runs were finished: "
            f"from {before.pairs} comparisons ({before.text}) to {now.pairs} ({now.text})."
        )
    return told
