"""What pruning lost, as text: churn, calibration, classes, kinds of samples, and the samples lost most often."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence

from prunebench.records import DamageRecord, StepRecord
from prunebench.results.calibration import BINS
from prunebench.results.damage import Change, Damage, Interval, fewest_and_most
from prunebench.results.tables import align, interval

ROWS = 12
"""Samples that are listed."""

LETTERS = 60
"""Of a text in the list."""

WIDTH = 100
"""Columns of a terminal that sentences are broken to."""


def told(found: Damage, record: DamageRecord) -> str:
    """All of it, in blocks."""
    blocks = [
        "\n".join(textwrap.fill(line, WIDTH) for line in summary(found)),
        f"By class\n{_table(found.classes)}\n{verdict(found.classes, 'class')}",
    ]
    for kind in dict.fromkeys(row.of for row in found.kinds):
        rows = [row for row in found.kinds if row.of == kind]
        blocks.append(f"By {kind}, quarters\n{_table(rows)}\n{verdict(rows, 'quarter')}")
    if found.lost:
        blocks.append(_samples(found, record))
    return "\n\n".join(blocks)


def summary(found: Damage) -> Iterator[str]:
    """What is lost of the whole, in sentences."""
    whole, churn = found.whole, found.churn
    sure = "" if whole.told else ", which may be chance"
    yield (
        f"Accuracy {whole.dense.figure:.4f} → {whole.pruned.figure:.4f} on {whole.samples:,} test samples: "
        f"{_points(whole.change)} points{sure} (exact McNemar p = {whole.p:.2g})."
    )
    yield (
        f"Agreement with the dense model {_percent(1 - churn.churn.figure)}; churn {_shares(churn.churn)}: right → "
        f"wrong {_percent(churn.lost)}, wrong → right {_percent(churn.gained)}, wrong → another wrong "
        f"{_percent(churn.moved)}. {_percent(churn.needless)} changed though accuracy did not."
    )
    if found.calibration is None or found.overconfidence is None:
        yield "Calibration is not told: confidences are not finite, or of a single sample."
    else:
        error = found.calibration
        yield (
            f"Expected calibration error ({BINS} bins) {_error(error.dense)} → {_error(error.pruned)}, change "
            f"{_signed(error.change)}; mean confidence − accuracy {_signed(found.overconfidence[0])} → "
            f"{_signed(found.overconfidence[1])}, change {_signed(found.overconfidence[2])}."
        )
    for name, count in zip(("dense", "pruned"), found.otherwise, strict=True):
        if count:
            yield f"Warning: {count:,} answers of the {name} model are others here than the run has kept: see verify."


def verdict(rows: Sequence[Change], what: str) -> str:
    """Which of them really lost, or gained."""
    worse = [row.name for row in rows if row.told and row.change.figure < 0]
    better = [row.name for row in rows if row.told and row.change.figure > 0]
    said = [f"Really lost: {', '.join(worse)}."] if worse else [f"Of no {what} it is sure that it lost."]
    said += [f"Really gained: {', '.join(better)}."] * bool(better)
    said.append(f"p: exact McNemar, corrected for {len(rows)} (Holm); changes hold together (Bonferroni).")
    return textwrap.fill(" ".join(said), WIDTH)


def of_counts(dense: StepRecord, pruned: StepRecord) -> str:
    """What can be said where answers are gone, and of both models it is known alone how many are right."""
    before, after = dense.test_after, pruned.test_after
    lost, gained = fewest_and_most(before, after)
    main = before.main.name
    return (
        f"Accuracy {before[main]:.4f} (95 % interval {interval(before)}) → {after[main]:.4f} ({interval(after)}) on "
        f"{before.total:,} test samples: {lost[0]:,} to {lost[1]:,} of them went from right to wrong, and "
        f"{gained[0]:,} to {gained[1]:,} from wrong to right."
    )


def _table(rows: Sequence[Change]) -> str:
    head = [
        "class" if rows[0].of == "class" else "quarter",
        "samples",
        "dense",
        "pruned",
        "change",
        "lost",
        "gained",
        "p",
        "",
    ]
    cells = [
        [
            row.name,
            f"{row.samples:,}",
            _score(row.dense),
            _score(row.pruned),
            _points(row.change),
            f"{row.lost:,}",
            f"{row.gained:,}",
            f"{row.p:.2g}",
            "lost" if row.told and row.change.figure < 0 else "gained" if row.told else "",
        ]
        for row in rows
    ]
    return align([head, *cells], left=1)


def _samples(found: Damage, record: DamageRecord) -> str:
    """The samples lost most often, with what is to be seen of texts."""
    texts = {shown.sample: shown.text for shown in record.shown}
    head = ["sample", "lost", "class", "dense says", "sure", "pruned says", "sure", "text"]
    rows = [
        [
            str(of.sample),
            f"{of.times} of {max(1, found.trials)}",
            of.label,
            of.dense,
            f"{of.dense_confidence:.2f}",
            of.pruned,
            f"{of.pruned_confidence:.2f}",
            texts.get(of.sample, "")[:LETTERS],
        ]
        for of in found.lost[:ROWS]
    ]
    if not any(row[-1] for row in rows):
        head, rows = head[:-1], [row[:-1] for row in rows]
    over = "this step alone" if found.trials < 2 else f"{found.trials} {found.over}"
    title = f"Lost most often, over {over}"
    return f"{title} ({found.lost_samples:,} samples were lost in any)\n{align([head, *rows])}"


def _score(of: Interval) -> str:
    return f"{of.figure:.3f} ({of.low:.3f}–{of.high:.3f})"


def _points(of: Interval) -> str:
    """`−1.25 (−3.10 to 0.40)`: in points, hundredths."""
    return _minus(f"{100 * of.figure:.2f} ({100 * of.low:.2f} to {100 * of.high:.2f})")


def _shares(of: Interval) -> str:
    return f"{_percent(of.figure)} ({100 * of.low:.1f}–{100 * of.high:.1f})"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _error(of: tuple[float, float, float]) -> str:
    return f"{of[0]:.3f} ({of[1]:.3f}–{of[2]:.3f})"


def _signed(of: Interval | tuple[float, float, float]) -> str:
    figure, low, high = (of.figure, of.low, of.high) if isinstance(of, Interval) else of
    return _minus(f"{figure:.3f} ({low:.3f} to {high:.3f})")


def _minus(text: str) -> str:
    return text.replace("-", "−")
