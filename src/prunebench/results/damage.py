"""What a pruned model lost against its dense model: by class, by kind of sample, by sample, and in calibration."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
import numpy as np

from prunebench.errors import RunError
from prunebench.experiment.damages import ANSWERS, FIGURES, lost_counts, most_lost
from prunebench.records import DamageRecord, Scores
from prunebench.results.calibration import Calibration, calibration
from prunebench.results.settings import settings_of
from prunebench.runs.run import Run
from prunebench.runs.selection import pruning_runs
from prunebench.statistics import holm, mcnemar, mean_interval, paired_change, wilson

ALPHA = 0.05
QUARTERS = (0.25, 0.5, 0.75)
CONFIDENCE = "the dense model's confidence"


class Interval(msgspec.Struct, frozen=True, array_like=True):
    """A figure and its 95 % interval."""

    figure: float
    low: float
    high: float


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """What some of the test samples lost: those of a class, or of a kind.

    Attributes:
        of: what tells them apart, "class" or a kind; `name` is which of them they are.
        samples: how many they are.
        lost: answered rightly by the dense model and wrongly by the pruned one; `gained` the other way round.
        dense, pruned: accuracies, with Wilson's interval.
        change: of accuracy, with an interval (Tango 1998) that holds together with those of all others that are told
            apart by the same (Bonferroni).
        p: exact (McNemar 1947), corrected for the number of all these (Holm 1979).
    """

    of: str
    name: str
    samples: int
    lost: int
    gained: int
    dense: Interval
    pruned: Interval
    change: Interval
    p: float

    @property
    def told(self) -> bool:
        """Whether it is more than chance, however many were looked at."""
        return self.p < ALPHA


class Churn(msgspec.Struct, frozen=True, kw_only=True):
    """Answers that changed ("prediction churn", Milani Fard et al. 2016), as shares of all test samples.

    Attributes:
        churn: that are others than the dense model's, with Wilson's interval; agreement is the rest.
        lost: right → wrong; `gained` wrong → right; `moved` wrong → another wrong one.
        needless: of the churn what no change of accuracy needed: churn − |change of accuracy|.
    """

    churn: Interval
    lost: float
    gained: float
    moved: float
    needless: float


class Lost(msgspec.Struct, frozen=True, kw_only=True):
    """A sample that was lost: in `times` of the trials; its class, and what both models answer, with confidence."""

    sample: int
    times: int
    label: str
    dense: str
    pruned: str
    dense_confidence: float
    pruned_confidence: float


class Damage(msgspec.Struct, frozen=True, kw_only=True):
    """What a step of pruning lost on test data.

    Attributes:
        whole: of all samples.
        classes: of each class that has test samples.
        kinds: of each kind of sample.
        calibration: expected calibration errors; None where a model has no finite confidence.
        overconfidence: mean confidence − accuracy of the dense model, of the pruned one, and the change of that, with
            intervals by Student's t.
        trials: that `lost` is counted over, which differ in `over`; 0: this step alone.
        lost_samples: that were lost in any, the number of them; `lost` are the first.
        otherwise: answers computed here that are others than the run has kept.
    """

    run: str
    step: int
    whole: Change
    classes: tuple[Change, ...]
    kinds: tuple[Change, ...]
    churn: Churn
    calibration: Calibration | None
    overconfidence: tuple[Interval, Interval, Interval] | None
    over: str
    trials: int
    lost_samples: int
    lost: tuple[Lost, ...]
    otherwise: tuple[int | None, int | None]


def damage_of(record: DamageRecord, most: int = 24) -> Damage:
    """The figures of what was kept; `most` samples are named that were lost most often."""
    labels, dense, pruned = (
        np.frombuffer(of, ANSWERS) for of in (record.labels, record.dense.answer, record.pruned.answer)
    )
    sure = tuple(np.frombuffer(of.confidence, FIGURES) for of in (record.dense, record.pruned))
    right, still = dense == labels, pruned == labels
    everything = np.ones(len(labels), bool)
    by_class = [(name, labels == i) for i, name in enumerate(record.classes)]
    kinds = {CONFIDENCE: sure[0], **{name: np.frombuffer(of, FIGURES) for name, of in record.kinds.items()}}
    finite = all(np.isfinite(of).all() for of in sure)
    return Damage(
        run=record.run,
        step=record.step,
        whole=_changes("all", [("all", everything)], right, still)[0],
        classes=tuple(_changes("class", by_class, right, still)),
        kinds=tuple(row for name, of in kinds.items() for row in _changes(name, _quarters(of), right, still)),
        churn=_churn(dense, pruned, right, still),
        calibration=calibration((sure[0], right), (sure[1], still)) if finite else None,
        overconfidence=_overconfidence(sure[0] - right, sure[1] - still) if finite else None,
        over=record.over,
        trials=len(record.trials),
        lost_samples=int((lost_counts(record, record.trials) > 0).sum()),
        lost=tuple(_lost(record, labels, (dense, pruned), sure, most)),
        otherwise=record.otherwise,
    )


def seeds_of(run: Run) -> list[Run]:
    """Pruning runs beside a run that differ from it in their seed alone, newest first; itself is not among them."""
    others = [other for other in pruning_runs(run.folder.parent) if other.key != run.key]
    mine, *theirs = settings_of([run, *others])
    same = [other for other, settings in zip(others, theirs, strict=True) if settings == mine]
    return [other for other in same if _contents(other) == _contents(run)]


def step_of(run: Run, step: int | None, ended: bool) -> int:
    """The pruned step that is meant: the last one of a run that has `ended`, unless another is named.

    Raises:
        RunError: there is none, or not that one.
    """
    pruned = [of for of in run.steps() if of]
    if not pruned:
        raise RunError(f"Run {run.key} has pruned nothing yet, so nothing is lost; give its command again.")
    if step is None and not ended:
        asked = run.manifest.config.get("iterations")
        raise RunError(
            f"Run {run.key} has stopped at step {pruned[-1]} of {asked}. Its command goes on; or look at what is there:"
            f" --step {pruned[-1]}."
        )
    if step is not None and step not in pruned:
        why = "Step 0 is the dense model itself" if step == 0 else f"Run {run.key} has no step {step}"
        raise RunError(f"{why}; steps that pruned: {', '.join(map(str, pruned))}.")
    return pruned[-1] if step is None else step


def fewest_and_most(dense: Scores, pruned: Scores) -> tuple[tuple[int, int], tuple[int, int]]:
    """How many samples were lost, and gained, at least and at most, where it is known alone how many are right."""
    count, before, after = dense.total, *(round(of.counted[of.main.name].sum) for of in (dense, pruned))
    most_lost, most_gained = min(before, count - after), min(after, count - before)
    return (max(0, before - after), most_lost), (max(0, after - before), most_gained)


def _changes(of: str, groups: Sequence[tuple[str, np.ndarray]], right: np.ndarray, still: np.ndarray) -> list[Change]:
    """A row per group that has samples; intervals and p-values are corrected for their number."""
    groups = [(name, which) for name, which in groups if which.any()]
    counts = [
        (int(which.sum()), int((right & ~still)[which].sum()), int((~right & still)[which].sum()))
        for _, which in groups
    ]
    ps = holm([mcnemar(lost, gained) for _, lost, gained in counts])
    rows = []
    for (name, which), (count, lost, gained), p in zip(groups, counts, ps, strict=True):
        before, after = float(right[which].mean()), float(still[which].mean())
        rows.append(
            Change(
                of=of,
                name=name,
                samples=count,
                lost=lost,
                gained=gained,
                dense=Interval(before, *wilson(before, count)),
                pruned=Interval(after, *wilson(after, count)),
                change=Interval((gained - lost) / count, *paired_change(lost, gained, count, len(groups))),
                p=p,
            )
        )
    return rows


def _quarters(values: np.ndarray) -> list[tuple[str, np.ndarray]]:
    """A quarter of the samples each by a figure, from the least; equal figures stay together. None where all are equal,
    or one is no number."""
    if not np.isfinite(values).all():
        return []
    place = np.searchsorted(np.quantile(values, QUARTERS), values)
    found = [place == i for i in np.unique(place)]
    if len(found) < 2:
        return []
    return [(f"{values[which].min():.3g} to {values[which].max():.3g}", which) for which in found]


def _churn(dense: np.ndarray, pruned: np.ndarray, right: np.ndarray, still: np.ndarray) -> Churn:
    changed, count = dense != pruned, len(dense)
    lost, gained = int((right & ~still).sum()), int((~right & still).sum())
    churn = int(changed.sum())
    return Churn(
        churn=Interval(churn / count, *wilson(churn / count, count)),
        lost=lost / count,
        gained=gained / count,
        moved=(churn - lost - gained) / count,
        needless=(churn - abs(gained - lost)) / count,
    )


def _overconfidence(dense: np.ndarray, pruned: np.ndarray) -> tuple[Interval, Interval, Interval] | None:
    if len(dense) < 2:
        return None
    one, other, change = (_mean(of.astype(np.float64)) for of in (dense, pruned, pruned - dense))
    return one, other, change


def _mean(values: np.ndarray) -> Interval:
    found = mean_interval(values.tolist())
    return Interval(found.mean, found.low, found.high)


def _lost(record: DamageRecord, labels: np.ndarray, answers: Any, sure: Any, most: int) -> Iterator[Lost]:
    times = lost_counts(record, record.trials)
    for i in most_lost(record, record.trials)[:most]:
        label, dense, pruned = (record.classes[of[i]] for of in (labels, *answers))
        confidences = {"dense_confidence": float(sure[0][i]), "pruned_confidence": float(sure[1][i])}
        yield Lost(sample=i, times=int(times[i]), label=label, dense=dense, pruned=pruned, **confidences)


def _contents(run: Run) -> dict[str, str]:
    """Digests of the user's files; weights may be others for each seed."""
    return {name: digest for name, digest in run.manifest.contents.items() if name != "weights"}
