"""`prunebench compare`."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import click

from prunebench.cli.console import Console
from prunebench.cli.options import numbers

if TYPE_CHECKING:
    from prunebench.comparison.verdicts import Verdict
    from prunebench.runs.selection import Selected


@click.command("compare")
@click.argument("a", required=False)
@click.argument("b", required=False)
@click.option("--study", metavar="DIR", help="The folder of a study; without A and B, every two of its groups.")
@click.option("--runs-dir", metavar="DIR", help="Where the runs of A and B are.  [default: runs]")
@click.option("--steps", callback=numbers, metavar="N,N", help="Steps to compare.  [default: all; of a study the last]")
@click.option(
    "--metric",
    metavar="NAME",
    help="What is compared: top1, top5, loss, exact, f1, lrap, bce or own_loss.  [default: the main one]",
)
@click.option("--markdown", is_flag=True, help="Print the tables of a study that fixes its comparisons as Markdown.")
@click.option("--json", "as_json", is_flag=True, help="Print verdicts, or such tables, one JSON object per line.")
@click.option("--debug", is_flag=True, help="Show a traceback on errors.")
def command(
    *,
    a: str | None,
    b: str | None,
    study: str | None,
    runs_dir: str | None,
    steps: tuple[int, ...] | None,
    metric: str | None,
    markdown: bool,
    as_json: bool,
    debug: bool,
) -> None:
    """Say whether A is better than B, with intervals over seeds, and how many seeds would tell.

    A and B are each a run's key, a folder of runs, or a filter such as criterion=l1 or method=none,fraction=0.1; runs
    that differ in nothing else are compared, seed by seed.

    Of a study whose file has [comparisons] these are made, and no others: a table per model and budget.
    """
    console = Console(as_json)
    if markdown and (as_json or a is not None or study is None):
        raise click.UsageError(
            "--markdown prints the tables of a study: give --study DIR, and neither A, B nor --json."
        )
    if study is not None and runs_dir is not None:
        raise click.UsageError("--study and --runs-dir both say where the runs are; give one of them.")
    root = study or runs_dir or "runs"
    if (study or runs_dir) and not Path(root).is_dir():
        raise click.UsageError(f"There is no folder {root}.")
    if a is not None and b is not None:
        _compare_two(console, a, b, root, steps, metric)
    elif a is None and study is not None and _compare_fixed(console, root, steps, metric, markdown):
        pass
    elif a is None and study is not None:
        _compare_all(console, root, steps, metric)
    else:
        raise click.UsageError(
            "Name two to compare, such as criterion=l1 criterion=l2; or none, and a study: --study DIR."
        )


def _compare_two(  # noqa: PLR0917
    console: Console, a: str, b: str, root: str, steps: tuple[int, ...] | None, metric: str | None
) -> None:
    """Compare what two words name."""
    from prunebench.comparison.matching import matched, subject
    from prunebench.comparison.tables import apart, explained, other_data, verdicts
    from prunebench.comparison.verdicts import common_seeds, compare, corrected
    from prunebench.results.settings import NAMED
    from prunebench.runs.selection import select

    sides = select(a, root, NAMED), select(b, root, NAMED)
    matches = matched(*sides, metric)
    paired = [match for match in matches if common_seeds(match.a, match.b)]
    for match in matches if paired else ():
        if match not in paired:
            names = " and ".join(match.names)
            console.note(f"Not compared, for they have no seed in common: {subject(match.a)}, {names}.")
    if console.as_json and (other := other_data(paired or matches)):
        console.note(f"Warning: {other}")
    made = [verdict for match in paired or matches for verdict in compare(match.a, match.b, match.names)]
    _check(made, steps)
    made = corrected(_at(made, steps))
    console.records(made)
    console.result(f"{verdicts(made)}\n\n{apart(matches)}\n\n{explained(made)}")
    if any(verdict.n == 1 for verdict in made) and any(len(side.runs) == 1 for side in sides):
        words = [_of_all_seeds(side, root) for side in sides]
        where = [] if root == "runs" else ["--runs-dir", root]
        if words[0] != words[1] and words != [a, b]:
            console.result(f"To compare all seeds:  prunebench compare {shlex.join([*words, *where])}")


def _compare_fixed(
    console: Console, root: str, steps: tuple[int, ...] | None, metric: str | None, markdown: bool
) -> bool:
    """Make the comparisons that the file of a study fixes; returns whether it fixes any."""
    from prunebench.comparison import board_tables
    from prunebench.comparison.board import board
    from prunebench.errors import ConfigError
    from prunebench.results.curves import curves_of, readable
    from prunebench.runs.selection import pruning_runs
    from prunebench.studies.record import read_record

    record = read_record(Path(root))
    if record is None or record.family is None:
        if markdown:
            raise ConfigError(f"--markdown: the study of {root} fixes no comparisons; a table [comparisons] does.")
        return False
    if steps is not None:
        raise ConfigError(f"--steps: the study of {root} has fixed what is compared, which is its last step.")
    runs = readable(pruning_runs(root), metric)
    found = board(record.family, curves_of(runs, (), metric), record.fixed, Path(record.file).name)
    console.records(found.tables)
    console.result((board_tables.markdown if markdown else board_tables.text)(found))
    return True


def _compare_all(console: Console, root: str, steps: tuple[int, ...] | None, metric: str | None) -> None:
    """Compare every two groups of a study, a table per model."""
    from prunebench.comparison.matching import of_study, subject
    from prunebench.comparison.tables import explained, verdicts
    from prunebench.comparison.verdicts import common_seeds, compare, corrected, telling
    from prunebench.errors import RunError
    from prunebench.results.curves import curves_of, readable, sparing
    from prunebench.runs.selection import pruning_runs

    tables: dict[str, list[Verdict]] = {}
    runs = readable(pruning_runs(root), metric)
    for match in of_study(sparing(curves_of(runs, (), metric))):
        if not common_seeds(match.a, match.b):
            console.note(f"Not compared, for they have no seed in common: {match.names[0]}; {match.names[1]}.")
            continue
        made = compare(match.a, match.b, match.names)
        last = telling(made)
        shown = made if steps else [verdict for verdict in made if verdict.step is None or verdict is last]
        tables.setdefault(subject(match.a), []).extend(shown)
    if not tables:
        raise RunError(f"{root} holds no two groups of pruning runs that compare: of one model, with a seed in common.")
    _check([verdict for table in tables.values() for verdict in table], steps)
    tables = {title: _at(table, steps) for title, table in tables.items()}
    for title in [title for title, table in tables.items() if not table]:
        console.note(f"{title} has no such step to compare.")
        del tables[title]
    made = corrected([verdict for table in tables.values() for verdict in table])
    console.records(made)
    rest = iter(made)
    for title, table in tables.items():
        console.result(f"{title}\n{verdicts(list(islice(rest, len(table))))}\n")
    if steps is None:
        console.result("Figures are those of the last step that most seeds share; --steps names others.")
    console.result(explained(made))


def _at(found: Sequence[Verdict], steps: tuple[int, ...] | None) -> list[Verdict]:
    """Verdicts on these steps, and those on whole runs."""
    return [verdict for verdict in found if steps is None or verdict.step is None or verdict.step in steps]


def _check(found: Sequence[Verdict], steps: tuple[int, ...] | None) -> None:
    """Raise RunError where there is nothing to show, or not what was asked for."""
    from prunebench.errors import RunError

    if not found:
        raise RunError(
            "They share no step with as much left, and no curve that both have. Give both the same --fraction, or "
            "target, and a control (--method none) the same --finetune-epochs."
        )
    have = {verdict.step for verdict in found if verdict.step is not None}
    if missing := set(steps or ()) - have:
        raise RunError(
            f"There is no step {', '.join(map(str, sorted(missing)))} to compare; there are: "
            f"{', '.join(map(str, sorted(have))) or 'none'}."
        )


def _of_all_seeds(side: Selected, root: str) -> str:
    """What a side is called with all of its seeds."""
    from prunebench.comparison.matching import all_seeds
    from prunebench.results.curves import readable
    from prunebench.results.settings import settings_of
    from prunebench.runs.selection import pruning_runs

    if side.filter or len(side.runs) > 1:
        return side.text
    first, *others = settings_of([side.runs[0], *readable(pruning_runs(root))])
    return all_seeds(first, others)
