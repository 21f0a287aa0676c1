"""Tables for the terminal, made from records."""

from __future__ import annotations

from collections.abc import Sequence

from prunebench.errors import on_a_line
from prunebench.experiment.goals import GoalRecord, Reading, parse
from prunebench.records import METRICS, Scores, StepRecord
from prunebench.statistics import interval_of

NAMED = 3
"""Collapsed layers that a warning names; the others are counted."""


def steps(records: Sequence[StepRecord]) -> str:
    """A row per step: what is left, and the scores on test data before and after fine-tuning with a 95 % interval."""
    return "\n".join([align(step_rows(records)), *step_notes(records)])


def step_rows(records: Sequence[StepRecord]) -> list[list[str]]:
    """The head and the cells of a table of steps."""
    kinds = [unit.kind for unit in records[0].units]
    held_out = records[0].validation is not None
    main, *others = records[0].test_after.counted
    masked = _is_masked(records)
    head = ["step", *kinds, "params", "MACs", *["effective"] * masked, "before", "after", "95 % interval"]
    head += [*["validation"] * held_out, *others]
    rows = []
    for record in records:
        shares = [share(unit.left, unit.original) for unit in record.units]
        before = f"{record.test_before[main]:.3f}" if record.step else ""
        scores = [before, f"{record.test_after[main]:.3f}", interval(record.test_after)]
        scores += [f"{record.validation[main]:.3f}" if record.validation else ""] * held_out
        scores += [f"{record.test_after[name]:.3f}" for name in others]
        costs = [short(record.nonzero_params), short(record.macs)]
        costs += ["" if record.effective_macs is None else short(record.effective_macs)] * masked
        rows.append([str(record.step), *shares, *costs, *scores])
    return [head, *rows]


def _is_masked(records: Sequence[StepRecord]) -> bool:
    """Whether masks leave fewer multiply-accumulates than are computed."""
    return any(record.effective_macs not in (None, record.macs) for record in records)


def step_notes(records: Sequence[StepRecord]) -> list[str]:
    """What is said below a table of steps, in lines."""
    kinds = [unit.kind for unit in records[0].units]
    main, *others = records[0].test_after.counted
    scored = f"Test {METRICS[main].title} over {records[-1].test_after.total:,} samples{_after(others)}"
    lines = [f"{scored}; {', '.join(kinds)} in % of the original."]
    if _is_masked(records):
        lines.append(
            "Effective: MACs that are left where those of masked weights are skipped, as most hardware cannot."
        )
    for record in records:
        if record.removed:
            named = ", ".join(f"{block.name} ({block.score:.3g})" for block in record.removed)
            lines.append(f"Step {record.step} removed {named}: in brackets {record.criterion}.")
        lines += [f"Step {record.step}: {note}." for note in (*record.notes, *_warnings(record))]
    return lines


def _after(metrics: Sequence[str]) -> str:
    """`, and cross-entropy (loss) after fine-tuning`: what further columns are."""
    told = ", ".join(f"{METRICS[name].title} ({name})" for name in metrics)
    return f", and {told} after fine-tuning" if told else ""


def layers(record: StepRecord) -> str:
    """A row per weight, by its layer: its weights in the unpruned model, those left, the share, and a collapse."""
    head = ["layer", "kind", "weights", "left", "share"]
    rows = [
        [
            layer.name,
            layer.kind,
            f"{layer.weights:,}",
            f"{layer.weights_left:,}",
            share(layer.weights_left, layer.weights),
        ]
        for layer in record.layers
    ]
    if any(layer.collapsed for layer in record.layers):
        head = [*head, "collapsed"]
        rows = [[*row, layer.collapsed] for row, layer in zip(rows, record.layers, strict=True)]
    return align([head, *rows], left=2)


def goal_lines(found: GoalRecord, iterations: int) -> str:
    """`Step 4 is the answer: it meets every goal.`, or that none does; and a line per goal with its figure."""
    if found.step is None:
        head = "Not reached: the unpruned model breaks a bound already."
    elif found.reached:
        head = f"Step {found.step} is the answer: it meets every goal."
    else:
        more = f" Try more than --iterations {iterations}." if found.step == iterations else ""
        scored = any(parse(reading.goal).of_score for reading in found.readings)
        last = ". The last step that keeps the bounds of scores is" if scored else " by"
        head = f"Not reached{last} step {found.step}.{more}"
    rows = [[f"  {r.goal}", _figure(r), "holds" if r.holds else "does not hold"] for r in found.readings]
    return "\n".join([head, align(rows, left=3)])


def _figure(reading: Reading) -> str:
    """`0.432`; of a latency with its interval; of `dense-0.01` the points lost."""
    if "dense" in reading.goal:
        worse = 1 if "+" in reading.goal else -1
        return f"dense{worse * reading.figure:+.4f}"
    between = "" if reading.low is None else f" ({reading.low:.3g}–{reading.high:.3g})"
    figure = short(round(reading.figure)) if reading.figure >= 1000 else f"{reading.figure:.3g}"
    return figure + between + (" ms" if reading.goal.endswith("ms") else "")


def _warnings(record: StepRecord) -> list[str]:
    """`Warning: conv1, conv2, fc1 and 2 more collapsed (all weights are zero, or outputs are constant)`."""
    found = [layer for layer in record.layers if layer.collapsed]
    if not found:
        return []
    names = ", ".join(layer.name for layer in found[:NAMED])
    names += f" and {len(found) - NAMED} more" if len(found) > NAMED else ""
    return [f"Warning: {names} collapsed ({', or '.join(dict.fromkeys(layer.collapsed for layer in found))})"]


def interval(scores: Scores) -> str:
    """`0.943–0.981`: the interval of the main metric that the number of samples allows; empty where there is none."""
    main = scores.main.name
    ends = interval_of(main, scores[main], scores.total)
    return "" if ends is None else f"{ends[0]:.3f}–{ends[1]:.3f}"


def share(part: int, whole: int) -> str:
    """`34.9 %`; small shares keep two significant digits."""
    percent = 100 * part / whole if whole else 0.0
    return f"{percent:.1f} %" if percent >= 10 else f"{percent:.2g} %"


def short(number: int) -> str:
    """`11.2 M`: three significant digits with a decimal prefix."""
    for size, prefix in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= 0.9995 * size:  # what rounds to the next prefix gets it
            return f"{number / size:.3g} {prefix}"
    return str(number)


def align(rows: Sequence[Sequence[str]], left: int = 0) -> str:
    """Columns padded to their widest cell: the first `left` to the left, the others to the right. A row is a line."""
    rows = [[on_a_line(cell) for cell in row] for row in rows]
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [
            cell.ljust(width) if i < left else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)
