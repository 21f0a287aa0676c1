"""`prunebench plot`."""

from __future__ import annotations

from pathlib import Path

import click
import msgspec

from prunebench.cli.console import Console
from prunebench.cli.pictures import theme_option
from prunebench.plots.themes import THEMES


class Written(msgspec.Struct, frozen=True):
    """A picture that was written: the figure, and its files."""

    figure: str
    png: str
    svg: str


@click.command("plot")
@click.argument("paths", nargs=-1, metavar="[PATH]...")
@click.option("--figure", "names", multiple=True, metavar="NAME", help="Draw this figure; repeatable.  [default: all]")
@click.option(
    "-x",
    "--axis",
    default="left",
    show_default=True,
    metavar="AXIS",
    help="What accuracy is drawn over: left (nominal), units, params, macs, or latency@BATCH.",
)
@click.option(
    "--metric",
    metavar="NAME",
    help="What is drawn of each run: top1, top5, loss, exact, f1, lrap, bce or own_loss.  [default: the main one]",
)
@theme_option("both")
@click.option("-o", "--output", default="plots", show_default=True, metavar="DIR", help="Where pictures are written.")
@click.option("--json", "as_json", is_flag=True, help="Print pictures, one JSON object per line.")
@click.option("--debug", is_flag=True, help="Show a traceback on errors.")
def command(
    *,
    paths: tuple[str, ...],
    names: tuple[str, ...],
    axis: str,
    metric: str | None,
    theme: str,
    output: str,
    as_json: bool,
    debug: bool,
) -> None:
    """Draw the figures of PATHs as PNG and SVG: text matrices, folders of them, runs, studies, folders of runs.

    Without a PATH the matrices in performance are drawn.

    Those for dark paper are called so: accuracy-resnet18-digits-structured-dark.png.

    \b
    Figures: accuracy, criteria, fractions, models, layers, parameters,
    latency-by-batch, latency-by-parameters, pareto.
    """
    console = Console(as_json)
    from prunebench.plots.drawing import draw
    from prunebench.plots.sources import gather
    from prunebench.runs.files import check_output, write_atomically, writing

    folder = Path(output)
    check_output(folder, folder=True)
    themes = tuple(THEMES) if theme == "both" else (theme,)
    for drawn in draw(gather(paths or ("performance",), metric), names, axis, metric, themes):
        places = {kind: folder / f"{drawn.name}.{kind}" for kind in drawn.files}
        with writing(drawn.name, folder):
            for kind, content in drawn.files.items():
                write_atomically(places[kind], content)
        console.records([Written(drawn.figure, str(places["png"]), str(places["svg"]))])
        console.result(f"written {places['png']} and .svg")
