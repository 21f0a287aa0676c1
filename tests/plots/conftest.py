"""Small results that every figure can be drawn of, made without running anything."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from prunebench.plots.style import styled
from prunebench.plots.themes import LEAST_OF_LINES, LEAST_OF_TEXT, contrast
from prunebench.records import LatencyRecord, LayerRecord, Scores, TimingRecord
from prunebench.results.curves import Curve
from prunebench.results.matrix_files import Counts, Results, Times

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LEFT = (1.0, 0.5, 0.25)
AFTER = (0.9, 0.8, 0.6)
BEFORE = (0.9, 0.5, 0.2)
MS = (8.0, 4.0, 2.0)


@pytest.fixture(scope="session")
def faint() -> Callable[[Figure], list[str]]:
    """Finds texts and lines of a figure that stand out too little from what is drawn behind them.

    What is meant to be faint says so by its opacity, and grids are decoration.
    """
    return _faint


def _faint(figure: Figure) -> list[str]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.colors import to_hex
    from matplotlib.text import Text

    agg = FigureCanvasAgg(figure)
    agg.draw()
    texts = [text for text in figure.findobj(Text) if text.get_text() and text.get_visible()]
    boxes = [text.get_window_extent(agg.get_renderer()) for text in texts]
    colours = [to_hex(text.get_color()) for text in texts]
    for text in texts:
        text.set_alpha(0)
    agg.draw()
    pixels = np.asarray(agg.buffer_rgba())[::-1]
    found = []
    for text, box, colour in zip(texts, boxes, colours, strict=True):
        behind = pixels[max(0, int(box.y0)) : int(box.y1) + 1, max(0, int(box.x0)) : int(box.x1) + 1, :3]
        if not behind.size:  # a tick beyond the axes, which is not drawn
            continue
        middle = to_hex(np.median(behind.reshape(-1, 3), axis=0) / 255)
        if contrast(colour, middle) < LEAST_OF_TEXT:
            found.append(f"{text.get_text()}: {colour} on {middle}")
    paper = to_hex(figure.get_facecolor())
    for axes in figure.axes:
        lines = [line for line in axes.get_lines() if line.get_alpha() is None]
        found += [colour for line in lines if contrast(colour := to_hex(line.get_color()), paper) < LEAST_OF_LINES]
    return found


@pytest.fixture
def in_style() -> Iterator[None]:
    """Figures are made within it."""
    with styled():
        yield


@pytest.fixture(scope="session")
def make_curve() -> Callable[..., Curve]:
    """Makes the curve of a run; `better` is added to its accuracies, other keywords replace settings."""

    def make(
        *, seed: int = 0, better: float = 0.0, left: tuple[float, ...] = LEFT, timed: bool = False, **settings: Any
    ) -> Curve:
        chosen = {"model": "net", "dataset": "digits", "method": "unstructured", "criterion": "l1", "fraction": 0.5}
        chosen |= settings
        after = tuple(value + better for value in AFTER[: len(left)])
        axes = {"left": left, "params": tuple(0.1 + 0.9 * share for share in left)}
        curve = Curve(
            name=f"{sorted(chosen.items())} {seed}",
            settings=chosen,
            seed=seed,
            steps=tuple(range(len(left))),
            before=tuple(value + better for value in BEFORE[: len(left)]),
            after=after,
            train_before=after,
            train_after=after,
            axes=axes,
        )
        if not timed:
            return curve
        latency = {"latency@1": tuple(ms / MS[0] for ms in MS), "latency@4": tuple(ms / MS[0] for ms in MS)}
        return replace(curve, axes={**axes, **latency}, timings={"eager": tuple(map(timing, (1, 2)))})

    return make


def timing(step: int) -> TimingRecord:
    """The times of a step."""
    return TimingRecord(
        step=step,
        latencies=tuple(
            LatencyRecord(
                run=None,
                model="net",
                method="structured",
                step=step,
                nominal_left=LEFT[step],
                variant=variant,
                batch_size=size,
                device="cpu",
                dtype="fp32",
                threads=1,
                samples_ms=(size * (MS[step] if variant == "pruned" else MS[0]),),
            )
            for variant in ("original", "masked", "pruned")
            for size in (1, 4)
        ),
    )


@pytest.fixture(scope="session")
def with_layers(make_record: Any) -> Callable[..., Curve]:
    """Gives a curve records with two layers, of which `kept` and half as much is left."""

    def give(curve: Curve, kept: tuple[float, ...] = LEFT) -> Curve:
        records = tuple(
            make_record(
                step,
                test_after=Scores.of(top1=(round(360 * curve.after[at]), 360)),
                layers=tuple(
                    LayerRecord(name, "Linear", (100, 100), (100, 100), 10_000, round(10_000 * share))
                    for name, share in (("fc1", kept[at]), ("fc2", kept[at] / 2 if step else 1))
                ),
            )
            for at, step in enumerate(curve.steps)
        )
        return replace(curve, records=records)

    return give


@pytest.fixture(scope="session")
def results(make_curve: Callable[..., Curve], with_layers: Callable[..., Curve]) -> Results:
    """Three seeds, a control, a second criterion, a second fraction and a second model; counts and times."""
    about = {"model": "net", "dataset": "digits", "method": "structured", "criterion": "l2", "fraction": 0.5}
    curves = [make_curve(seed=seed, better=seed / 100, timed=True) for seed in range(3)]
    curves += [
        with_layers(make_curve(**{"criterion": "random", "better": -0.1})),
        make_curve(fraction=0.75, left=(1.0, 0.25)),
        make_curve(model="other", better=0.05),
        make_curve(method="none", left=(1.0, 1.0, 1.0), better=0.02),
    ]
    return Results(
        curves=tuple(curves),
        counts=(Counts(about, LEFT, (1000.0, 500.0, 250.0), (1000.0, 250.0, 62.5)),),
        times=tuple(
            Times(about, left, "eager", (1, 4), {"original": (8, 32), "masked": (9, 33), "pruned": (ms, 4 * ms)})
            for left, ms in zip(LEFT[1:], MS[1:], strict=True)
        ),
    )
