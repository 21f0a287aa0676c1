"""`prunebench runs`."""

from __future__ import annotations

import time
from pathlib import Path

import click

from prunebench.cli.console import Console


@click.command("runs")
@click.option("--runs-dir", default="runs", show_default=True, metavar="DIR", help="Where runs are kept.")
@click.option("--delete", metavar="RUN", help="Remove this run, named by its key, its beginning, or its folder.")
@click.option("--yes", is_flag=True, help="With --delete: do not ask.")
@click.option("--json", "as_json", is_flag=True, help="Print runs, one JSON object per line.")
@click.option("--debug", is_flag=True, help="Show a traceback on errors.")
def command(runs_dir: str, delete: str | None, yes: bool, as_json: bool, debug: bool) -> None:
    """List runs, the newest first: state, progress, size, age, and the settings in which they differ."""
    console = Console(as_json)
    from prunebench.errors import ConfigError
    from prunebench.results.tables import align
    from prunebench.runs.index import all_runs, find, studies_in
    from prunebench.runs.overview import overview
    from prunebench.runs.run import ASIDE

    root = Path(runs_dir)
    if delete is not None:
        run = find(root, delete, begun=True)
        if run.folder.is_symlink():
            raise ConfigError(f"{run.folder} is a link: remove it yourself, or delete the run where that lies.")
        if run.folder.resolve().parent not in (root.resolve(), root.resolve() / ASIDE):  # links lead elsewhere
            raise ConfigError(f"{run.folder} is not in {root}; say where it is with --runs-dir.")
        row = overview([run])[0]
        if not yes and not _agreed(f"{run.folder} ({row.state}, {row.progress}, {_bytes(row.bytes)})"):
            console.note("nothing was deleted")
            raise click.exceptions.Exit(1)
        run.delete()
        console.result(f"deleted {run.folder}")
        return
    rows = overview(all_runs(root, begun=True) + all_runs(root / ASIDE, begun=True))
    console.records(rows)
    for place in studies_in(root):
        console.result(f"{place} is a study. Its runs:  prunebench runs --runs-dir {place}")
    if not rows:
        console.result(f"There are no runs in {root} yet. Make one:  prunebench prune --model resnet18")
        return
    cells = [[row.name, row.state, row.progress, _bytes(row.bytes), _age(time.time() - row.changed)] for row in rows]
    lines = align([["run", "state", "progress", "size", "age"], *cells], left=3).splitlines()
    shown = [lines[0]]
    for line, row in zip(lines[1:], rows, strict=True):
        shown += [line] + [f"    {row.differs}"] * bool(row.differs)
    console.result("\n".join(shown))
    console.result(f"{len(rows)} run(s), {_bytes(sum(row.bytes for row in rows))} in {root}")


def _agreed(what: str) -> bool:
    """Ask whether to delete something."""
    from prunebench.errors import ConfigError, plain

    try:
        return click.confirm(plain(f"Delete {what} for good?"), err=True)
    except click.Abort as stop:
        if isinstance(stop.__context__, EOFError):
            click.echo(err=True)
            raise ConfigError("--delete asks first, and there is nobody to answer: give --yes.") from None
        raise


def _bytes(count: int) -> str:
    from prunebench.results.tables import short

    return f"{short(count)}B"


def _age(seconds: float) -> str:
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(seconds, 0):.0f} s"
