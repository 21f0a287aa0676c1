"""Under bursts of other load, the speed-up that prunebench reports stays within 10 % of the quiet figure.

    python benchmarks/noise.py

ResNet18 at 32 pixels, untrained, against itself after six steps of structured pruning by a tenth, at batch 1 and 16.
In every repeat it is measured quietly, by prunebench's protocol for 8 seconds (at least 100 pairs, after warm-up);
then, while two processes burn CPU in random bursts, the same way, and as the quotient of two means of runs in sequence
that take as long. The quiet figure is the median of the quiet ones, which are taken in turn with the others since a
shared machine is not the same from one minute to the next. `--rounds` is the number of repeats.
"""

from __future__ import annotations

import multiprocessing
import random
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import islice
from statistics import mean, median

import torch

from pairing import Claim, options, report
from prunebench.alternation import alternate, on_the_clock
from prunebench.config import RunConfig
from prunebench.experiment.untrained import untrained
from prunebench.models.input_spec import output_of
from prunebench.statistics import paired_speedup

STEP, PAIRS, SECONDS, BURNERS, WITHIN = 6, 100, 8.0, 2, 0.10
BATCHES = (1, 16)

Call = Callable[[], object]


def models() -> dict[int, tuple[Call, Call]]:
    """Batch size → a call of the original and of the pruned model."""
    config = RunConfig(model="resnet18", fraction=0.1, iterations=STEP, device="cpu")
    states = {step: state for step, _, state in islice(untrained(config), STEP + 1) if step in (0, STEP)}
    found = {}
    for size in BATCHES:
        batch = states[0].architecture.inputs.example(size)
        found[size] = tuple(partial(output_of, states[step].model.eval(), batch) for step in (0, STEP))
    return found


def paired(original: Call, pruned: Call, seed: int) -> float:
    """The speed-up by prunebench's protocol."""
    calls = {"original": original, "pruned": pruned}
    timed = alternate(calls, [], seconds=SECONDS, ci_width=0.03, seed=seed, at_least=PAIRS)
    return paired_speedup(timed.samples_ms["original"], timed.samples_ms["pruned"]).median


def sequential(original: Call, pruned: Call) -> float:
    """The speed-up as a quotient of two means, one model timed after the other."""
    means = []
    for call in (original, pruned):
        for _ in range(10):
            call()
        samples, end = [], time.perf_counter() + SECONDS / 2
        while len(samples) < PAIRS or time.perf_counter() < end:
            samples.append(on_the_clock(call))
        means.append(mean(samples))
    return means[0] / means[1]


def burn(seed: int) -> None:
    """Use a core in bursts of 0.05 to 1 s, with pauses as long."""
    draw = random.Random(seed)
    while True:
        until = time.perf_counter() + draw.uniform(0.05, 1.0)
        while time.perf_counter() < until:
            pass
        time.sleep(draw.uniform(0.05, 1.0))


@contextmanager
def other_load() -> Iterator[None]:
    """Within it, BURNERS processes burn CPU."""
    burners = [multiprocessing.Process(target=burn, args=(seed,), daemon=True) for seed in range(BURNERS)]
    for process in burners:
        process.start()
    try:
        yield
    finally:
        for process in burners:
            process.kill()
            process.join()


def held(quiet: float, noisy: Sequence[float]) -> float:
    """How many of the figures are within 10 % of the quiet one."""
    return float(sum(abs(figure / quiet - 1) <= WITHIN for figure in noisy))


def main() -> int:
    """Run it."""
    given = options(__doc__ or "", rounds=10).parse_args()
    torch.set_num_threads(given.threads)
    claims, contenders = [], models()
    with torch.inference_mode():
        for size, calls in contenders.items():
            quiet, noisy, in_sequence = [], [], []
            for repeat in range(given.rounds):
                quiet.append(paired(*calls, seed=2 * repeat))
                with other_load():
                    noisy.append(paired(*calls, seed=2 * repeat + 1))
                    in_sequence.append(sequential(*calls))
            for name, figures, target in (("paired", noisy, given.rounds), ("sequential means", in_sequence, 0)):
                spread = f"quiet {median(quiet):.2f}, under load {min(figures):.2f} to {max(figures):.2f}"
                what = f"batch {size}, {name}: repeats within 10 %"
                claims.append(Claim(what, [held(median(quiet), figures)], "≥", target, unit="", note=spread))
    return report(claims, rounds=given.rounds, threads=given.threads)


if __name__ == "__main__":
    sys.exit(main())
