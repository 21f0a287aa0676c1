"""`prunebench report`."""

from __future__ import annotations

from pathlib import Path

import click

from prunebench.cli.console import Console


@click.command("report")
@click.argument("path", default="runs", metavar="[PATH]")
@click.option("-o", "--output", default="report.html", show_default=True, metavar="FILE", help="Where to write it.")
@click.option("--title", metavar="TEXT", help="The page's title.  [default: the study's name, or what was pruned]")
@click.option("--debug", is_flag=True, help="Show a traceback on errors.")
def command(path: str, output: str, title: str | None, debug: bool) -> None:
    """Write one interactive page about PATH: a run, a study, or a folder of runs (runs, unless one is given).

    The page needs no network and no other file: curves, tables, verdicts, the machines, and the commands that repeat
    it.
    """
    console = Console()
    from prunebench.report.document import document
    from prunebench.report.page import page
    from prunebench.report.sources import gather
    from prunebench.results.tables import short
    from prunebench.runs.files import check_output, write_atomically, writing

    place = Path(output)
    check_output(place)
    shown = title and title.encode("utf-8", "replace").decode()  # bytes of another encoding are no text
    sources = gather(path)
    content = page(document(sources, shown))
    with writing(place.name, place.parent):
        write_atomically(place, content)
    for line in sources.unfinished:
        console.note(line)
    console.result(f"written {place} ({short(len(content))}B)")
