"""Command-line options derived from the fields of RunConfig, and those that commands share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal, get_args, get_origin

import click
import msgspec

from prunebench.config import Decides, RunConfig, deciding, default, field_types, merge, meta, option_name, read_toml

SECTIONS: Sequence[tuple[str, str]] = (  # the first field of each section of --help
    ("What", "model"),
    ("Data", "image_size"),
    ("Training", "seed"),
    ("Pruning", "method"),
    ("Machine and files", "device"),
)


METAVARS = {
    "until": "GOAL",
    "layer_fraction": "GLOB=SHARE",
    "model_arg": "NAME=VALUE",
    "output": "KEY",
    "track": "TRACKER",
    "text_column": "COLUMN",
    "label_column": "COLUMN",
}
"""What the values of options are, where their type does not tell; of repeatable ones, unless patterns."""


class Command(click.Command):
    """A command whose --help shows options in sections."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        starts = {field: title for title, field in SECTIONS}
        sections: list[tuple[str, list[tuple[str, str]]]] = []
        for name in field_types():
            if name in starts:
                sections.append((starts[name], []))
            record = next((p.get_help_record(ctx) for p in self.params if p.name == name), None)
            if record is not None:
                sections[-1][1].append(record)
        options = [p for p in self.get_params(ctx) if isinstance(p, click.Option)]  # RUN is told of in the text
        others = [option.get_help_record(ctx) for option in options if option.name not in field_types()]
        sections.append(("This command", [record for record in others if record is not None]))
        for title, records in sections:
            if records:
                with formatter.section(title):
                    formatter.write_dl(records)


def config_options(*parts: Decides, without: Sequence[str] = ()) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Decorator: an option per field of RunConfig that decides the given parts; the values arrive by field name.

    Fields in `without` get none.
    """
    names = [name for name in deciding(*parts) if name not in without]

    def add(function: Callable[..., Any]) -> Callable[..., Any]:
        return click.option(
            "--config",
            "config_file",
            type=click.Path(),
            metavar="FILE",
            help="TOML file; options override it.",
        )(field_options(*names)(function))

    return add


def field_options(*names: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Decorator: an option for each of these fields of RunConfig; the values arrive by field name."""

    def add(function: Callable[..., Any]) -> Callable[..., Any]:
        for name in reversed(names):
            function = _option(name, field_types()[name], meta(name), default(name))(function)
        return function

    return add


def common_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Decorator: --json, --quiet and --debug."""
    function = click.option("--debug", is_flag=True, help="Show a traceback on errors.")(function)
    function = click.option("--quiet", is_flag=True, help="Print errors only.")(function)
    return click.option("--json", "as_json", is_flag=True, help="Print records, one JSON object per line.")(function)


def fresh_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """Decorator: --fresh."""
    return click.option("--fresh", is_flag=True, help="Start over; what there is of the run is kept in RUNS/aside.")(
        function
    )


def trust_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """Decorator: --trust."""
    help = "Import the code that the run names, though it was not given on this machine: it may do anything."
    return click.option("--trust", is_flag=True, help=help)(function)


def run_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """Decorator: --run."""
    return click.option(
        "--run",
        "run_name",
        metavar="RUN",
        help="A run's key, its beginning, or its folder.  [default: the newest that fits the options]",
    )(function)


def gather(values: dict[str, Any], config_file: str | None) -> RunConfig:
    """The RunConfig of the options that were given, over that of the file."""
    given = {name: value for name, value in values.items() if value not in (None, ())}
    config = RunConfig(**given)
    return config if config_file is None else merge(config, read_toml(config_file))


def numbers(context: click.Context, parameter: click.Parameter, value: str | None) -> tuple[int, ...] | None:
    """Callback of options such as `--steps 0,3,6`: whole numbers separated by commas."""
    if value is None:
        return None
    try:
        return tuple(int(part) for part in value.split(","))
    except ValueError:
        raise click.BadParameter(f"{value!r} is not a list of whole numbers such as 1,4,16") from None


def decimals(context: click.Context, parameter: click.Parameter, value: str | None) -> tuple[float, ...] | None:
    """Callback of options such as `--mean 0.49,0.48,0.45`: numbers separated by commas."""
    if value is None:
        return None
    try:
        return tuple(float(part) for part in value.split(","))
    except ValueError:
        raise click.BadParameter(f"{value!r} is not a list of numbers such as 0.49,0.48,0.45") from None


def _option(name: str, hint: Any, about: msgspec.Meta, value: Any) -> Callable[..., Any]:
    kind, help = _click_type(hint), about.description or ""
    own = "the model's, else " if (about.extra or {}).get("fitted") else ""
    shown = f"{help}  [default: {own}{value}]" if value not in (None, (), False) else help
    if kind is bool:
        return click.option(f"{option_name(name)}/--no-{name.replace('_', '-')}", default=None, help=shown)
    if kind is tuple and float in get_args(next(bare for bare in _bare(hint) if get_origin(bare) is tuple)):
        return click.option(option_name(name), callback=decimals, metavar="X,X,X", help=shown)
    if kind is tuple and (names := _members(hint)):
        return click.option(option_name(name), type=click.Choice(names), multiple=True, metavar="NAME", help=shown)
    if kind is tuple:
        return click.option(option_name(name), multiple=True, metavar=METAVARS.get(name, "GLOB"), help=shown)
    if isinstance(kind, click.Choice):
        return click.option(option_name(name), type=kind, help=shown)
    return click.option(option_name(name), type=kind, metavar=_metavar(name, kind), help=shown)


def _bare(hint: Any) -> list[Any]:
    """A type, and those that it is made of, without what is annotated to them."""
    return [
        getattr(part, "__origin__", part) if hasattr(part, "__metadata__") else part for part in (hint, *get_args(hint))
    ]


def _members(hint: Any) -> tuple[str, ...]:
    """The names that a tuple can hold; empty where it can hold any."""
    parts = [part for bare in _bare(hint) if get_origin(bare) is tuple for part in get_args(bare)]
    return next((get_args(part) for part in parts if get_origin(part) is Literal), ())


def _click_type(hint: Any) -> Any:
    for bare in _bare(hint):
        if get_origin(bare) is Literal:
            return click.Choice(get_args(bare))
        if get_origin(bare) is tuple:
            return tuple
        if bare in (bool, int, float):
            return bare
    return str


def _metavar(name: str, kind: Any) -> str:
    if name in METAVARS:
        return METAVARS[name]
    if kind in (int, float):
        return "N" if kind is int else "X"
    return "DIR" if name.endswith("_dir") else "NAME"
