"""Goals: bounds on what a pruned model costs and on its scores, at which pruning stops.

macs<=0.5            share of the unpruned model's multiply-accumulates; or a number, such as 200M
params<=0.25         share of its parameters; or a number, such as 2M
latency@1<=0.6       share of its latency at batch 1
latency@1<=20ms      milliseconds of the pruned model at batch 1
top1>=dense-0.01     accuracy on held-out data, below that of the unpruned model by so much; or a number
loss<=dense+0.05     any other metric as well: cross-entropy on held-out data, above that of the unpruned model
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence

import msgspec

from prunebench.errors import ConfigError
from prunebench.pruning.registry import Method
from prunebench.records import METRICS, StepRecord

FORMS = ("macs<=0.5", "params<=0.25", "latency@1<=0.6", "latency@1<=20ms", "top1>=dense-0.01", "loss<=dense+0.05")
MEASURES = ("macs", "params", "latency", *METRICS)
PREFIXES = {"": 1.0, "k": 1e3, "M": 1e6, "G": 1e9}

_GOAL = re.compile(
    r"(?P<measure>[a-z0-9]+)(?:@(?P<batch>[1-9]\d*))?\s*(?P<sign><=|>=|<|>|=+)\s*"
    r"(?:dense\s*(?P<dense>[-+])\s*)?(?P<number>\d+(?:\.\d*)?|\.\d+)\s*(?P<unit>ms|[kMG])?"
)


class Goal(msgspec.Struct, frozen=True):
    """One bound.

    Attributes:
        text: as the user wrote it.
        measure: macs, params, latency, or a metric.
        bound: in `unit`.
        unit: "share" of the unpruned model's, "count", "ms", "points" by which the metric is worse than the unpruned
            model's, or the metric's own name.
        batch: the batch size of a latency; else 0.
    """

    text: str
    measure: str
    bound: float
    unit: str
    batch: int = 0

    @property
    def of_score(self) -> bool:
        """Whether it bounds how well the model does, and not what it costs."""
        return self.measure in METRICS


class Reading(msgspec.Struct, frozen=True):
    """What a step has of a goal: the figure in the goal's unit, whether that meets the bound, and how sure it is."""

    goal: str
    bound: float
    figure: float
    holds: bool
    low: float | None = None
    high: float | None = None


class GoalRecord(msgspec.Struct, frozen=True):
    """How a search ended: the step that is the answer (None: there is none), whether it meets all, its readings."""

    step: int | None
    reached: bool
    readings: tuple[Reading, ...]


def parse(text: str) -> Goal:
    """Read a goal as a user writes it.

    Raises:
        ConfigError: it is none; the message lists the forms.
    """
    found = _GOAL.fullmatch(text.strip())
    if found is None:
        raise _no_goal(text)
    measure, sign, unit = found["measure"], found["sign"], found["unit"] or ""
    if measure not in MEASURES:
        near = difflib.get_close_matches(measure, MEASURES, n=1)
        raise _no_goal(text, f"There is no measure {measure!r}." + (f" Did you mean {near[0]!r}?" if near else ""))
    metric = METRICS.get(measure)
    wanted = ">=" if metric and metric.higher_is_better else "<="
    if sign != wanted:
        raise _no_goal(text, f"{measure} is bounded by {wanted}.")
    if (found["batch"] is None) == (measure == "latency"):
        wrong = "latency needs a batch size" if measure == "latency" else f"{measure} has no batch size"
        raise _no_goal(text, f"{wrong}.")
    number = float(found["number"])
    if metric:
        worse = "-" if metric.higher_is_better else "+"
        if found["dense"] not in (None, worse):
            raise _no_goal(text, f"A pruned model's {measure} is bounded by dense{worse}.")
        if unit or (metric.unit == "share" and number >= 1):
            raise _no_goal(text, f"{metric.title.capitalize()} is between 0 and 1." if metric.unit == "share" else "")
        return Goal(text, measure, number, "points" if found["dense"] else measure)
    if found["dense"] or (unit == "ms") > (measure == "latency") or (unit in ("k", "M", "G") and measure == "latency"):
        raise _no_goal(text)
    batch = int(found["batch"] or 0)
    if unit == "ms":
        return Goal(text, measure, number, "ms", batch)
    if unit or (number > 1 and measure != "latency"):
        return Goal(text, measure, number * PREFIXES[unit], "count", batch)
    if not 0 < number < 1:
        raise _no_goal(text, "A share of the unpruned model is between 0 and 1.")
    return Goal(text, measure, number, "share", batch)


def _no_goal(text: str, reason: str = "That is no goal.") -> ConfigError:
    return ConfigError(f"--until {text!r}: {reason} Goals look like: {', '.join(FORMS)}.")


def check_goals(goals: Sequence[Goal], method: Method, validation: float) -> None:
    """Raise ConfigError where a goal cannot be read or reached by a method, however far it goes."""
    for goal in goals:
        if goal.of_score and not validation:
            raise ConfigError(
                f"--until {goal.text!r} is read on held-out data, and --validation 0 holds none out; leave it out."
            )
        if goal.measure == "macs" and method.masks:
            raise ConfigError(
                f"--until {goal.text!r}: masks do not lower MACs. Bound params instead, or give --method structured."
            )
    if not method.removes and not all(goal.of_score for goal in goals):
        raise ConfigError(f"--until bounds costs, which --method {method.name} does not lower: it removes nothing.")


def check_counted(goals: Sequence[Goal], metrics: Sequence[str]) -> None:
    """Raise ConfigError where a goal bounds a metric that is not counted on this data."""
    for goal in goals:
        if goal.of_score and goal.measure not in metrics:
            raise ConfigError(f"--until {goal.text!r}: on this data are counted: {', '.join(metrics)}.")


def read(goal: Goal, record: StepRecord, first: StepRecord) -> Reading:
    """What a step has of a goal that its record decides: any but latency. `first` is the record of step 0."""
    if goal.of_score:
        assert record.validation is not None, "a goal of scores holds data out"
        assert first.validation is not None
        figure, higher = record.validation[goal.measure], METRICS[goal.measure].higher_is_better
        if goal.unit == "points":
            figure = (first.validation[goal.measure] - figure) * (1 if higher else -1)  # by how much it is worse
            return Reading(goal.text, goal.bound, figure, figure <= goal.bound + 1e-12)
        return Reading(goal.text, goal.bound, figure, figure >= goal.bound if higher else figure <= goal.bound)
    now, before = (r.macs if goal.measure == "macs" else r.nonzero_params for r in (record, first))
    figure = now / before if goal.unit == "share" else float(now)
    return Reading(goal.text, goal.bound, figure, figure <= goal.bound)
