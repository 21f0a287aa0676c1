"""Comparing: which of two groups of runs is better, how sure that is, and how many seeds would tell.

Runs are paired by seed: of one seed both start from the same model and see the data in the same order, so what they
share drops out of the difference. Of verdicts at 95 % one in twenty finds a difference where there is none; so every
verdict holds its p-value corrected for the number of verdicts beside it (Holm 1979).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations, product
from math import inf, isclose, isnan, nan
from typing import Literal

import msgspec

from prunebench.comparison.measures import AFTER, Measure, by_seed, measures, span_of
from prunebench.config import deciding
from prunebench.errors import RunError
from prunebench.results.amounts import asked
from prunebench.results.curves import Curve, Replicates, labels
from prunebench.results.settings import Settings
from prunebench.statistics import POWER, holm, interval_of, mean_difference, mean_interval, seeds_needed

AS_MUCH = 1e-3
"""Shares left that differ by less, relative to them, are the same: fractions are given with few digits."""


BUDGET = ("finetune_epochs", "finetune_updates", "retrain", "rewind_epoch")
"""Settings that say how long each step is trained, beside those of the dense training."""


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """One measure of a group: its mean over seeds, their standard deviation, and the 95 % interval of the mean.

    Accuracies and shares are 0 to 1, and intervals end there; NaN where one seed tells no spread. `wilson_low` and
    `wilson_high` are of an accuracy, and say how well the test samples of one run tell it: all runs share one test
    set, so seeds do not narrow it. `down_to` is the smallest share that an area is taken down to. `upper_bounds`
    counts runs that ended before they lost a point, whose share left could be smaller.
    """

    measure: str
    step: int | None
    n: int
    mean: float
    sd: float
    low: float
    high: float
    wilson_low: float | None = None
    wilson_high: float | None = None
    down_to: float | None = None
    upper_bounds: int = 0


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """Whether A is better than B in one measure, over the seeds that both have.

    `difference` is the mean of A − B with its 95 % interval, `verdict` that of A: better or worse where the interval
    leaves zero. `step` is A's; B's is that of `of_b`. With `seeds_needed` seeds, such a difference would be told in a
    share `power` of repetitions (see statistics); None where no number of seeds would tell. `p` is two-sided, and
    `p_holm` corrected for all verdicts that were made together; NaN where nothing was tested.
    """

    measure: str
    step: int | None
    a: str
    b: str
    n: int
    seeds: tuple[int, ...]
    mean_a: float
    mean_b: float
    difference: float
    low: float
    high: float
    verdict: Literal["better", "worse", "indistinguishable"]
    seeds_needed: int | None
    power: float = POWER
    higher_is_better: bool
    p: float
    p_holm: float
    of_a: Summary
    of_b: Summary

    @property
    def bounded(self) -> bool:
        """Whether runs ended before they lost a point, so that the difference is known in no seed of theirs."""
        return bool(self.of_a.upper_bounds or self.of_b.upper_bounds)

    @property
    def steps(self) -> str:
        """`4`; `4 | 1` where as much is left after other steps of A than of B; empty for whole runs."""
        return " | ".join(dict.fromkeys(str(of.step) for of in (self.of_a, self.of_b) if of.step is not None))


def summarise(group: Replicates) -> list[Summary]:
    """Every measure of runs that differ in their seed alone.

    Raises:
        RunError: two of the runs have the same seed.
    """
    return [_summary(measure, sorted(measure.values)) for measure in measures(group, span_of(group))]


def compare(a: Replicates, b: Replicates, names: tuple[str, str] | None = None) -> list[Verdict]:
    """A verdict per measure that both groups have, paired by seed; empty where they share none.

    Accuracies are compared after steps that leave the same nominal share, whatever their numbers; with a control, after
    as many steps that were fine-tuned for as many epochs; those of step 0 only where the two were trained otherwise,
    since all that is pruned after one training starts from the same model.

    Args:
        a: runs that differ in their seed alone.
        b: the runs that they are compared with.
        names: what the two are called; else by the settings in which they differ.

    Raises:
        RunError: they have no seed in common, or one has a seed twice.
    """
    seeds = common_seeds(a, b)
    if not seeds:
        raise RunError(
            f"Runs are compared seed by seed, and these have none in common: A has {_seeds(a)}; B has {_seeds(b)}. "
            "Run one with the other's --seed."
        )
    one, other = ([curve for curve in side if curve.seed in seeds] for side in (a, b))
    called = names or tuple(labels([one[0].settings, other[0].settings]))
    span = span_of([*one, *other])
    found = [
        _verdict(mine, theirs, called[0], called[1])
        for mine, theirs in product(measures(one, span), measures(other, span))
        if mine.name == theirs.name and _comparable(mine, theirs, one[0], other[0])
    ]
    return corrected([verdict for verdict in found if verdict is not None])


def telling(verdicts: Sequence[Verdict]) -> Verdict | None:
    """The verdict on accuracy after the last step that as many seeds have as any; None where there is none."""
    accuracies = [verdict for verdict in verdicts if verdict.measure.endswith(AFTER)]
    most = max((verdict.n for verdict in accuracies), default=0)
    return next((verdict for verdict in reversed(accuracies) if verdict.n == most), None)


def corrected(verdicts: Sequence[Verdict]) -> list[Verdict]:
    """Verdicts with their p-values corrected for being made together."""
    return [
        msgspec.structs.replace(verdict, p_holm=p)
        for verdict, p in zip(verdicts, holm([verdict.p for verdict in verdicts]), strict=True)
    ]


def common_seeds(a: Replicates, b: Replicates) -> list[int]:
    """The seeds that both groups have, in order.

    Raises:
        RunError: one has a seed twice.
    """
    return sorted(by_seed(a).keys() & by_seed(b).keys())


def pairs(groups: Sequence[Replicates]) -> list[tuple[Replicates, Replicates]]:
    """What in a study is worth comparing: every two groups of one model and dataset, in an order that stays.

    Controls come last, so they stand on the right.
    """
    ordered = sorted(groups, key=lambda group: _order(group[0].settings, group[0].is_control))
    return [(a, b) for a, b in combinations(ordered, 2) if _subject(a[0].settings) == _subject(b[0].settings)]


def _subject(settings: Settings) -> tuple[str, ...]:
    return tuple(str(settings.get(name)) for name in ("model", "dataset", "data"))


def _order(settings: Settings, control: bool) -> tuple[object, ...]:
    named = [str(settings.get("method")), str(settings.get("criterion")), asked(settings)]
    return (*_subject(settings), control, *named, repr(sorted(settings.items())))


def _seeds(group: Replicates) -> str:
    return ", ".join(str(curve.seed) for curve in group)


def _comparable(mine: Measure, theirs: Measure, a: Curve, b: Curve) -> bool:
    if not mine.of_step:
        return True
    if 0 in (mine.step, theirs.step):
        trained = [*(name for name in deciding("training") if name != "seed"), "data"]
        return mine.step == theirs.step and any(a.settings.get(name) != b.settings.get(name) for name in trained)
    if a.is_control or b.is_control:
        as_long = all(a.settings.get(name) == b.settings.get(name) for name in BUDGET)
        return mine.step == theirs.step and (as_long or isclose(mine.left, theirs.left))
    return isclose(mine.left, theirs.left, rel_tol=AS_MUCH)


def _verdict(mine: Measure, theirs: Measure, a: str, b: str) -> Verdict | None:
    """None where no seed has the step on both sides."""
    seeds = sorted(mine.values.keys() & theirs.values.keys())
    if not seeds:
        return None
    # rounded, so that as many samples more are as large a difference wherever they are
    differences = [round(mine.values[seed] - theirs.values[seed], 12) for seed in seeds]
    found, p = mean_difference(differences)
    needed, verdict = seeds_needed(differences), _word(found.low, found.high, mine.higher_is_better)
    low, high = found.low, found.high
    if not mine.bounds.union(theirs.bounds).isdisjoint(seeds):  # bounds have no spread that tells anything
        needed, verdict, low, high, p = None, "indistinguishable", nan, nan, nan
    of_a, of_b = _summary(mine, seeds), _summary(theirs, seeds)
    return Verdict(
        measure=mine.name,
        step=mine.step,
        a=a,
        b=b,
        n=len(seeds),
        seeds=tuple(seeds),
        mean_a=of_a.mean,
        mean_b=of_b.mean,
        difference=found.mean,
        low=low,
        high=high,
        verdict=verdict,
        seeds_needed=needed,
        higher_is_better=mine.higher_is_better,
        p=p,
        p_holm=p,
        of_a=of_a,
        of_b=of_b,
    )


def _word(low: float, high: float, higher_is_better: bool) -> Literal["better", "worse", "indistinguishable"]:
    if low > 0:
        return "better" if higher_is_better else "worse"
    if high < 0:
        return "worse" if higher_is_better else "better"
    return "indistinguishable"


def _summary(measure: Measure, seeds: Sequence[int]) -> Summary:
    found = mean_interval([measure.values[seed] for seed in seeds])
    bounds = len(measure.bounds.intersection(seeds))
    if bounds:
        found = found._replace(sd=nan, low=nan, high=nan)
    known = None if measure.samples is None else interval_of(measure.metric.name, found.mean, measure.samples)
    low, high = known or (None, None)
    most = 1.0 if measure.metric.unit == "share" else inf
    return Summary(
        measure=measure.name,
        step=measure.step,
        n=found.n,
        mean=found.mean,
        sd=found.sd,
        low=found.low if found.low > 0 or isnan(found.low) else 0.0,
        high=found.high if found.high < most or isnan(found.high) else most,
        wilson_low=low,
        wilson_high=high,
        down_to=measure.down_to,
        upper_bounds=bounds,
    )
