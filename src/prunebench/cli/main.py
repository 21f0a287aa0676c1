"""`prunebench`: the group of commands, loaded one by one as they are called, and what happens to errors."""

from __future__ import annotations

import difflib
import importlib
import signal
import sys
from contextlib import nullcontext
from typing import TYPE_CHECKING

import click

from prunebench.cli.launched import check_together
from prunebench.cli.stopping import Terminated, resuming, terminate
from prunebench.cli.streams import Streams
from prunebench.cli.warned import warned
from prunebench.errors import PrunebenchError, legible

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

COMMANDS = {
    "train": "Train a model that pruning starts from.",
    "prune": "Prune a model and fine-tune it, again and again.",
    "evaluate": "Compute anew what a step of a run scores.",
    "verify": "Compute a whole run anew from its files and compare.",
    "efficiency": "Time a pruned model against the original.",
    "export": "Write a pruned model for use elsewhere.",
    "inspect": "Show what of a model can be pruned, and prove it.",
    "sensitivity": "Prune each layer alone, and show what is lost.",
    "damage": "Say what a pruned model lost, by class and by sample.",
    "runs": "List runs, or delete one.",
    "study": "Run a grid of pruning runs, on this machine or on a cluster.",
    "compare": "Say which of two is better, and how sure that is.",
    "plot": "Draw the figures of runs, studies and result matrices.",
    "report": "Write one interactive page about a run or a study.",
    "list": "Models, datasets, methods, criteria and backends.",
    "completion": "Have a shell complete commands, options, names and runs.",
    "demo": "Prune ResNet18 on digits and time it: five minutes.",
}


class LazyGroup(click.Group):
    """Commands are imported when they are called, so that `--help` answers at once."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        completing = ctx is not None and ctx.resilient_parsing
        if completing and cmd_name not in COMMANDS:
            return None
        check_together(cmd_name)
        if cmd_name not in COMMANDS:
            near = difflib.get_close_matches(cmd_name, COMMANDS, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise click.UsageError(f"There is no command {cmd_name!r}.{hint} There are: {', '.join(COMMANDS)}.")
        command: click.Command = importlib.import_module(f"prunebench.cli.commands.{cmd_name}").command
        if completing:
            from prunebench.cli.completing import with_values

            return with_values(command)
        return command

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Commands by what is said of them here, so that none is imported; or options of the program itself."""
        from click.shell_completion import CompletionItem

        if incomplete.startswith("-"):
            return click.Command.shell_complete(self, ctx, incomplete)
        return [CompletionItem(name, help=about) for name, about in COMMANDS.items() if name.startswith(incomplete)]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="prunebench")
def cli() -> None:
    """Prune neural networks, and measure what is lost and what is gained.

    `prunebench COMMAND --help` tells more; `prunebench demo` shows it at work.
    """


def main() -> None:
    """Run the command line; the console script."""
    with Streams() as streams:
        status = streams.status(_run())
    sys.exit(status)


def _run() -> int:
    """Run the command that was given, and tell what goes wrong; returns the exit status."""
    before = signal.signal(signal.SIGTERM, terminate)
    debug = "--debug" in sys.argv
    try:
        with nullcontext() if debug else warned():
            status = cli.main(standalone_mode=False)
        return status if isinstance(status, int) else 0
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except (click.Abort, KeyboardInterrupt) as stop:
        return interrupted(isinstance(stop, Terminated) or isinstance(stop.__cause__, Terminated))
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return error.exit_code
    except click.ClickException as error:
        click.echo(f"Error: {legible(error.format_message())}", err=True)
        return error.exit_code
    except Exception as error:
        return failed(error, debug)
    finally:
        signal.signal(signal.SIGTERM, before)


def interrupted(terminated: bool) -> int:
    """Say that nothing is lost; the status is that of SIGTERM or SIGINT."""
    click.echo(
        f"\nInterrupted. What is finished is kept: the same command goes on from there.\n    {resuming()}", err=True
    )
    return 143 if terminated else 130


def failed(error: Exception, debug: bool) -> int:
    """Tell an error that the user can mend in a line or two; anything else, or with --debug, with its traceback."""
    if debug or not isinstance(error, (PrunebenchError, OSError)):
        import traceback

        traceback.print_exception(error)
        return 2 if isinstance(error, PrunebenchError) else 1
    click.echo(f"Error: {legible(str(error))}", err=True)
    return 2
