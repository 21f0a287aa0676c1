"""Tables of what was timed: times and speed-ups, costs, and where the promised speed-up went."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median

from prunebench.records import Breakdown, LatencyRecord, TimingRecord
from prunebench.results.sparsity import sentences
from prunebench.results.tables import align, short
from prunebench.statistics import MedianInterval, interval_of, median_interval, paired_speedup, percentile

OfVariant = Mapping[str, LatencyRecord]

FOR_P95, FOR_P99 = 20, 100
"""Rounds from which on one lies beyond the 95th and the 99th percentile."""


def times(timings: Sequence[TimingRecord]) -> str:
    """A row per step and batch size: medians, percentiles and throughput of the pruned model, and its speed-up."""
    extra = [name for name in ("sparse",) if any(name in of for _, _, of in _cells(timings))]
    scored = any(r.scores for timing in timings for r in timing.latencies)
    head = ["step", "left", "batch", "original", "masked", "pruned", "p5", "p95", "p99", "samples/s"]
    head += [*extra, "speed-up", "95 % interval", "rounds", *["top-1"] * scored]
    rows = [head]
    for timing, size, of in _cells(timings):
        pruned, fastest = of["pruned"], of["sparse"] if "sparse" in of else of["pruned"]
        gain = paired_speedup(of["original"].samples_ms, fastest.samples_ms)
        row = [str(timing.step), f"{100 * pruned.nominal_left:.1f} %", str(size)]
        row += [_ms(median(of[name].samples_ms)) for name in ("original", "masked", "pruned")]
        row += _tails(pruned.samples_ms)
        row += [f"{1e3 * size / median(pruned.samples_ms):.0f}"]
        row += [_ms(median(of[name].samples_ms)) if name in of else "" for name in extra]
        row += [f"{gain.median:.2f} ×", interval(gain), f"{len(pruned.samples_ms)}{_cut(pruned)}"]
        row += [f"{pruned.scores[pruned.scores.main.name]:.3f}" if pruned.scores else ""] * scored
        rows.append(row)
    notes = [
        "Milliseconds; percentiles and samples/s are those of the pruned model. Masked: no speed-up expected.",
        "The speed-up is the median of original / pruned within a round.",
        *_masked([of for _, _, of in _cells(timings)]),
    ]
    notes += _few([of["pruned"] for _, _, of in _cells(timings)])
    if extra:
        notes.append("Sparse: linear layers stored compressed where that paid; its speed-up where it is shown.")
    if any(_cut(r) for timing in timings for r in timing.latencies):
        notes.append("*: the time was used up before the interval was as narrow as --ci-width asks.")
    told = [*sentences([s for timing in timings for s in timing.sparse_layers]), *pattern_notes(timings)]
    return "\n".join([align(rows), *notes, *told])


def pattern_notes(timings: Sequence[TimingRecord]) -> list[str]:
    """What the pattern of pruning gains, each sentence once; with the steps that it holds of where not of all."""
    found: dict[str, list[int]] = {}
    for timing in timings:
        for note in timing.notes:
            found.setdefault(note, []).append(timing.step)
    return [
        note if len(steps) == len(timings) else f"step {', '.join(map(str, steps))}: {note}"
        for note, steps in found.items()
    ]


def int8(timings: Sequence[TimingRecord]) -> str:
    """A row per step, batch size and model: unpruned or pruned, in fp32 or int8; empty where nothing is in int8."""
    cells = [(timing, size, of) for timing, size, of in _cells(timings) if "original-fp32" in of]
    head = ["step", "batch", "model", "dtype", "median", "speed-up", "95 % interval", "file", "top-1", "95 % interval"]
    rows = [[*head, "as in fp32"]]
    for timing, size, of in cells:
        for variant in ("original-fp32", "original", "pruned-fp32", "pruned"):
            record = of[variant]
            gain = paired_speedup(of["original-fp32"].samples_ms, record.samples_ms)
            model = "pruned" if variant.startswith("pruned") else "unpruned"
            row = [str(timing.step), str(size), model, record.dtype, _ms(median(record.samples_ms))]
            row += [f"{gain.median:.2f} ×", interval(gain) if variant != "original-fp32" else ""]
            rows.append([*row, _bytes(record.file_bytes or 0), *_answers(record)])
    if not cells:
        return ""
    told = [
        "All in the same rounds; milliseconds. The speed-up is the median of unpruned fp32 / this one within a round.",
        "as in fp32: test samples that are answered as the same model in fp32 answers them.",
        *dict.fromkeys(
            line
            for timing, _, of in cells
            for name in ("original", "pruned")
            for line in _quantised(of[name], f"step {timing.step}" if name == "pruned" else "unpruned")
        ),
    ]
    return "\n".join([align(rows), *told])


def _answers(record: LatencyRecord) -> list[str]:
    """Accuracy with its interval, and the share of answers that are those in fp32."""
    same = "" if record.agreement is None else f"{100 * record.agreement.mean:.1f} %"
    if record.scores is None:
        return ["", "", same]
    score = record.scores.counted[record.scores.main.name]
    ends = interval_of(record.scores.main.name, score.mean, score.count)
    return [f"{score.mean:.3f}", "" if ends is None else f"{ends[0]:.3f}–{ends[1]:.3f}", same]


def _quantised(record: LatencyRecord, which: str) -> list[str]:
    """How a model was made int8, and what of it was left in fp32."""
    if (how := record.quantised) is None:
        return []
    on = f" on {how.samples} samples of {how.calibrated_on}" if how.samples else ""
    done, left = sum(how.int8.values()), sum(how.fp32.values())
    kinds = ", ".join(f"{count} {kind}" for kind, count in how.fp32.items())
    rest = f"; in fp32 stay {kinds}" if left else ""
    return [
        f"{which}: {how.scheme}{on}, weights of {how.weight_bits} bits, {done} of {done + left} products in int8{rest}."
    ]


def costs(timings: Sequence[TimingRecord]) -> str:
    """A row per step: parameters, MACs, memory of activations, bytes of the checkpoint; the unpruned model first."""
    first = timings[0].original
    every = [(0, first), *((timing.step, timing.pruned) for timing in timings if timing.step)]
    masked = any(of is not None and of.effective_macs not in (None, of.macs) for _, of in every)
    head = ["step", "params", "non-zero", "MACs", "theoretical", *["effective"] * masked]
    rows = [[*head, "activations", "checkpoint", "with zstd"]]
    for step, of in every:
        if of is None or first is None:
            continue
        rows.append(
            [
                str(step),
                short(of.params),
                short(of.nonzero_params),
                short(of.macs),
                f"{first.macs / of.macs:.2f} ×",
                *["" if of.effective_macs is None else short(of.effective_macs)] * masked,
                _bytes(of.activation_bytes),
                _bytes(of.checkpoint_bytes),
                _bytes(of.checkpoint_zstd_bytes),
            ]
        )
    told = "\nMACs and activations (the most at once, fp32) are those of one sample."
    return align(rows) + told + " Effective: without the MACs of masked weights." * masked


def breakdown(timings: Sequence[TimingRecord]) -> str:
    """A row per step and batch size: the promised and the measured speed-up, and figures on where the rest went."""
    with_memory = any(r.peak_bytes for timing in timings for r in timing.latencies)
    rounding = any("rounded" in of for _, _, of in _cells(timings))
    head = ["step", "batch", "promised", "measured", "of it", "batch 4 / 1", *["rounded to 8"] * rounding, "unpruned"]
    rows = [head + ["peak"] * with_memory]
    for timing, size, of in _cells(timings):
        if timing.original is None or timing.pruned is None or timing.breakdown is None:
            continue
        theory = timing.original.macs / timing.pruned.macs
        gain = paired_speedup(of["original"].samples_ms, of["pruned"].samples_ms)
        fixed = paired_speedup(timing.breakdown.batch4_ms, timing.breakdown.batch1_ms)
        row = [str(timing.step), str(size), f"{theory:.2f} ×", _ratio(gain)]
        row += [_percent(MedianInterval(*(100 * value / theory for value in gain))), _ratio(fixed)]
        if rounding:
            rounded = of.get("rounded")
            row += [_ratio(paired_speedup(rounded.samples_ms, of["pruned"].samples_ms)) if rounded else ""]
        row += [_unpruned(timing.breakdown, size)]
        row += [_bytes(peak) if (peak := of["pruned"].peak_bytes) else ""] * with_memory
        rows.append(row)
    lines = [
        align(rows),
        "promised: MACs of the original / MACs of the pruned model. of it: measured / promised.",
        "batch 4 / 1: the pruned model's time at batch 4 over that at batch 1; under 1.5 × means a fixed cost a call.",
        "unpruned: share of the original's time in layers that were not pruned (eager PyTorch, fp32).",
    ]
    if rounding:
        lines.append("rounded to 8: time with channels rounded up to a multiple of 8 over that of the pruned model.")
    lines.append("In brackets: the 95 % interval of the median, by rounds.")
    lines += ["peak: the most memory that weights and one pass take."] * with_memory
    return "\n".join(lines)


def of_files(records: Sequence[LatencyRecord]) -> str:
    """A row per file and batch size; speed-ups are against the first file."""
    rows = [["file", "batch", "median", "p5", "p95", "p99", "samples/s", "speed-up", "95 % interval", "rounds"]]
    first = {r.batch_size: r for r in records if r.step == 0}
    for record in sorted(records, key=lambda r: (r.batch_size, r.step)):
        samples, gain = record.samples_ms, paired_speedup(first[record.batch_size].samples_ms, record.samples_ms)
        row = [record.model, str(record.batch_size), _ms(median(samples))]
        row += _tails(samples)
        row += [f"{1e3 * record.batch_size / median(samples):.0f}"]
        row += [f"{gain.median:.2f} ×", interval(gain)] if record.step else ["", ""]
        rows.append([*row, f"{len(samples)}{_cut(record)}"])
    told = "Milliseconds. The speed-up is the median of the first file's time / this one's within a round."
    return "\n".join([align(rows, left=1), told, *_few(records)])


def interval(of: MedianInterval) -> str:
    """`1.07–1.11`; `unknown` where there were too few rounds."""
    return f"{of.low:.2f}–{of.high:.2f}" if of.known else "unknown"


def _ratio(of: MedianInterval) -> str:
    """`1.09 × (1.07–1.11)`."""
    return f"{of.median:.2f} × ({interval(of)})"


def _percent(of: MedianInterval) -> str:
    """`54 % (53–56)`."""
    return f"{of.median:.0f} % (" + (f"{of.low:.0f}–{of.high:.0f})" if of.known else "unknown)")


def _unpruned(of: Breakdown, size: int) -> str:
    """`25 % (23–26)`; earlier versions kept the median alone."""
    if size not in of.unpruned_shares:
        return f"{100 * of.unpruned_share[size]:.0f} %"
    return _percent(median_interval([100 * share for share in of.unpruned_shares[size]]))


def _tails(samples: Sequence[float]) -> list[str]:
    """5th, 95th and 99th percentile; of too few samples for these the least, nothing, and the most."""
    some, many = len(samples) >= FOR_P95, len(samples) >= FOR_P99
    return [
        _ms(percentile(samples, 0.05)) if some else f"min {_ms(min(samples))}",
        _ms(percentile(samples, 0.95)) if some else "",
        _ms(percentile(samples, 0.99)) if many else f"max {_ms(max(samples))}",
    ]


def _few(records: Sequence[LatencyRecord]) -> list[str]:
    """What to say where some have too few rounds for percentiles."""
    if all(len(record.samples_ms) >= FOR_P99 for record in records):
        return []
    return [f"min, max: fewer rounds than {FOR_P95} have no p5 and no p95, fewer than {FOR_P99} no p99."]


def _cells(timings: Sequence[TimingRecord]) -> list[tuple[TimingRecord, int, OfVariant]]:
    """Every step and batch size, with the records of its variants."""
    return [
        (timing, size, {r.variant: r for r in timing.latencies if r.batch_size == size})
        for timing in timings
        for size in sorted({r.batch_size for r in timing.latencies})
    ]


def _masked(cells: Sequence[OfVariant]) -> list[str]:
    """What masks gain, where the masked model was timed in the first rounds alone."""
    brief = [of for of in cells if len(of["masked"].samples_ms) < len(of["original"].samples_ms)]
    if not brief:
        return []
    gains = [
        paired_speedup(of["original"].samples_ms[: len(of["masked"].samples_ms)], of["masked"].samples_ms)
        for of in cells
    ]
    low, high = min(gain.median for gain in gains), max(gain.median for gain in gains)
    many = "" if len(gains) == 1 else f" to {high:.2f}"
    known = [gain for gain in gains if gain.known]
    above = sum(gain.low > 1 for gain in known)
    many_ends = f"; {above} of {len(known)} intervals are above 1" if known else "; too few for an interval"
    ends = f"; the 95 % interval is {interval(gains[0])}" if len(gains) == 1 else many_ends
    rounds = {len(of["masked"].samples_ms) for of in cells}
    first = f"{min(rounds)} to {max(rounds)}" if len(rounds) > 1 else str(*rounds)
    return [f"Masked: in the first {first} rounds alone; original / masked there: {low:.2f}{many} ×{ends}."]


def _cut(record: LatencyRecord) -> str:
    return "*" if record.ended == "budget" else ""


def _ms(value: float) -> str:
    return f"{value:.2f}" if value < 100 else f"{value:.0f}"


def _bytes(number: int) -> str:
    return f"{short(number)}B" if number >= 1000 else f"{number} B"
