"""Tables of verdicts: the two groups over their seeds, the difference with its interval, and what that says."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from math import isnan

from prunebench.comparison.matching import Match
from prunebench.comparison.measures import AFTER, AREA, LEFT
from prunebench.comparison.verdicts import Summary, Verdict
from prunebench.records import METRICS
from prunebench.results.amounts import counted
from prunebench.results.curves import differing
from prunebench.results.settings import on_data
from prunebench.results.tables import align
from prunebench.statistics import MOST_SEEDS, POWER

SHORT = {
    AREA["macs"]: "area (MACs)",
    AREA["params"]: "area (params)",
    LEFT["params"]: "params left",
    LEFT["macs"]: "MACs left",
}
"""What the measures of a whole run are called in tables."""

ALPHA = 0.05

WIDTH = 100
"""Columns of a terminal that sentences are broken to."""


def verdicts(found: Sequence[Verdict]) -> str:
    """Two blocks each for accuracies after steps and for whole runs; groups get letters, which the head explains.

    Where more than two groups are compared, a column says which two.
    """
    names = list(dict.fromkeys([*(verdict.a for verdict in found), *(verdict.b for verdict in found)]))
    letters = {name: _letter(i) for i, name in enumerate(names)}
    head = [f"{letters[name]}: {name}" for name in names]
    blocks = ["\n".join([*head, _paired(found)])]
    accuracies = [verdict for verdict in found if verdict.measure.endswith(AFTER)]
    wholes = [verdict for verdict in found if not verdict.measure.endswith(AFTER)]
    if accuracies:
        title = METRICS[accuracies[0].measure.removesuffix(AFTER)].title
        blocks.append(f"Test {title}{AFTER}\n" + _means(accuracies, letters, "step"))
        blocks.append(_differences(accuracies, letters, "step"))
    if wholes:
        blocks.append("Whole runs\n" + _means(wholes, letters, "measure"))
        blocks.append(_differences(wholes, letters, "measure"))
    return "\n\n".join(blocks)


def apart(matches: Sequence[Match]) -> str:
    """In which settings those that are compared differ, and what follows from differing methods."""
    names = differing([group[0].settings for match in matches for group in (match.a, match.b)])
    if not names:
        return "They have the same settings."
    text = f"They differ in {', '.join(names)}."
    if other := other_data(matches):
        text += f" {other}"
    groups = [group for match in matches for group in (match.a, match.b) if not group[0].is_control]
    if len({(group[0].settings.get("method"), counted(group[0].settings)) for group in groups}) > 1:
        text += " A step leaves as large a share in each, but not of the same: of channels or of weights, say."
    return textwrap.fill(text, WIDTH)


def other_data(matches: Sequence[Match]) -> str:
    """That some are of other data than what they are compared with; empty where none is."""
    both = [tuple(on_data(group[0].settings) for group in (match.a, match.b)) for match in matches]
    told = [f"{a} against {b}" for a, b in dict.fromkeys(both) if a != b]
    what = "it may be the data that makes the difference, and not the model"
    return f"Their data is not the same ({'; '.join(told)}): {what}." if told else ""


def explained(found: Sequence[Verdict]) -> str:
    """What the columns of these tables mean, in plain sentences; only of those that are there."""
    shown = {verdict.measure for verdict in found}
    notes = []
    if any(verdict.n > 1 for verdict in found):
        notes += [
            "Groups: mean ± standard deviation over seeds (95 % interval of the mean, Student's t). Differences: their "
            "mean within a seed, with the same interval; better or worse where that leaves zero. n: seeds of both.",
            f"Seeds that would tell ({100 * POWER:.0f} %): with so many, so large a share of repetitions would find "
            "such a difference with such a spread (power of the paired t test); both are seen through few seeds, so "
            "take it as a guide.",
        ]
    if any(verdict.of_a.wilson_low is not None for verdict in found):
        notes.append(
            "test samples: 95 % Wilson interval of the mean accuracy, by the number of test samples. Seeds share one "
            "test set, so they do not narrow it: other test samples could move both."
        )
    if any("|" in verdict.steps for verdict in found):
        notes.append(
            "step 4 | 1, say: step 4 of the first leaves as large a share as step 1 of the second. The one with more "
            "steps was fine-tuned more often."
        )
    if shown & set(AREA.values()):
        notes.append(
            "area: under the curve of accuracy over the share left, from 1 down to what both reach (down to), divided "
            "by that width: a mean accuracy. Over parameters where not all remove MACs."
        )
    if shown & set(LEFT.values()):
        notes.append(
            "left: the smallest share left before accuracy first falls 1 point below the unpruned model's; smaller is "
            "better. ≤: some runs end before that, so theirs could be smaller with more --iterations; how much the "
            "differences vary is not known then, so there is no interval, and they stay indistinguishable."
        )
    if any(verdict.n == 1 for verdict in found):
        notes.append("One seed tells no spread, so there is no interval and no verdict: run others too (--seed).")
    if any(verdict.n > 1 and _all_equal(verdict) for verdict in found):
        notes.append(
            "=: the difference is the same in every seed: its spread is too small to be measured here, which does not "
            "mean that there is none; six such seeds are needed for an interval (order statistics, sign test)."
        )
    return "\n".join(textwrap.fill(note, WIDTH) for note in notes + _count(found))


def _count(found: Sequence[Verdict]) -> list[str]:
    """How many verdicts there are, and which of them hold for all together."""
    tested = sum(not isnan(verdict.p) for verdict in found)
    sure = [verdict for verdict in found if verdict.verdict != "indistinguishable"]
    if tested < 2:
        return []
    lines = [
        f"{tested} verdicts at 95 %: were there no differences at all, {tested / 20:.2g} of them would still see one."
    ]
    if doubtful := sum(_doubtful(verdict) for verdict in sure):
        return [*lines, f"*: does not hold once corrected for their number (Holm): {doubtful} of {len(sure)}."]
    return lines + ["Corrected for their number (Holm), every better and worse holds."] * bool(sure)


def _paired(found: Sequence[Verdict]) -> str:
    """`Paired by seed: 0, 1, 2 (n = 3).`"""
    seeds = sorted({seed for verdict in found for seed in verdict.seeds})
    counts = sorted({verdict.n for verdict in found})
    n = str(counts[0]) if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    return f"Paired by seed: {', '.join(map(str, seeds))} (n = {n})."


def _means(found: Sequence[Verdict], letters: dict[str, str], by: str) -> str:
    """A row per verdict: what the two groups have, each alone."""
    several = len(letters) > 2
    a, b = ("first", "second") if several else ("A", "B")
    title, told = ("test samples", _samples) if by == "step" else ("down to", _down_to)
    last = [title, *map(told, found)] if any(map(told, found)) else [""] * (len(found) + 1)
    rows = [[*["pair"] * several, by, a, b]]
    for verdict in found:
        cells = [_pair(verdict, letters)] * several
        rows.append([*cells, _what(verdict), _mean(verdict.of_a), _mean(verdict.of_b)])
    return align([[*row, cell] for row, cell in zip(rows, last, strict=True)], left=4 + several)


def _differences(found: Sequence[Verdict], letters: dict[str, str], by: str) -> str:
    """A row per verdict: the difference and what it says."""
    several = len(letters) > 2
    minus, which = ("first − second", "first is") if several else ("A − B", "A is")
    rows = [[*["pair"] * several, by, minus, which]]
    for verdict in found:
        cells = [_pair(verdict, letters)] * several + [_what(verdict)]
        rows.append([*cells, _difference(verdict), word(verdict)])
    return align(rows, left=3 + several)


def word(verdict: Verdict) -> str:
    """`better at n=3`, with `*` where Holm's correction undoes it; `indistinguishable at n=3; about 12 seeds would tell
    (80 %)`."""
    text = f"{verdict.verdict} at n={verdict.n}"
    if verdict.verdict != "indistinguishable":
        return text + "*" * _doubtful(verdict)
    if verdict.n == 1:
        return f"{text}; one seed cannot tell"
    if isnan(verdict.p):
        return f"{text}; more iterations would tell"
    if verdict.seeds_needed is None:
        return text
    if verdict.seeds_needed > MOST_SEEDS:
        return f"{text}; over {MOST_SEEDS} seeds would tell ({100 * POWER:.0f} %)"
    return f"{text}; about {verdict.seeds_needed} seeds would tell ({100 * POWER:.0f} %)"


def _doubtful(verdict: Verdict) -> bool:
    return verdict.verdict != "indistinguishable" and verdict.p_holm > ALPHA


def _all_equal(verdict: Verdict) -> bool:
    """Whether the difference is the same in every seed, and not zero."""
    alike = isnan(verdict.low) or verdict.low == verdict.high
    return verdict.difference != 0 and alike and not verdict.bounded


def _mean(of: Summary) -> str:
    """`0.950 ± 0.006 (0.934–0.966)`; `0.729 (one seed)`; `≤ 0.729`, whose spread nobody knows."""
    if of.upper_bounds:
        return f"≤ {of.mean:.3f}"
    text = f"{of.mean:.3f}"
    if isnan(of.low):
        return f"{text} (one seed)"
    return f"{text} ± {of.sd:.3f} ({of.low:.3f}–{of.high:.3f})"


def _difference(verdict: Verdict) -> str:
    """`+0.0100 (-0.0130 to +0.0330)`; `=` where it is the same in every seed."""
    text = f"{verdict.difference:+.4f}"
    if isnan(verdict.low):
        return text if verdict.n == 1 or verdict.bounded else f"{text} (=)"
    return f"{text} ({verdict.low:+.4f} to {verdict.high:+.4f})" + " =" * _all_equal(verdict)


def _samples(verdict: Verdict) -> str:
    """`0.912–0.968 | 0.900–0.960`: Wilson intervals of both; empty where the metric has none."""
    both = (verdict.of_a, verdict.of_b)
    shown = ["" if of.wilson_low is None else f"{of.wilson_low:.3f}–{of.wilson_high:.3f}" for of in both]
    return " | ".join(shown) if any(shown) else ""


def _down_to(verdict: Verdict) -> str:
    return "" if verdict.of_a.down_to is None else f"{verdict.of_a.down_to:.3f}"


def _what(verdict: Verdict) -> str:
    return verdict.steps if verdict.measure.endswith(AFTER) else SHORT[verdict.measure]


def _pair(verdict: Verdict, letters: dict[str, str]) -> str:
    return f"{letters[verdict.a]} − {letters[verdict.b]}"


def _letter(i: int) -> str:
    """A to Z, then A1 to Z1."""
    return chr(ord("A") + i % 26) + (str(i // 26) if i >= 26 else "")
