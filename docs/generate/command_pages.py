"""A page for every command, made of what click knows of it. Settings of a run are told of on a page of their own."""

from __future__ import annotations

import inspect
import re

import click

from prunebench.cli.main import COMMANDS, cli
from prunebench.cli.options import SECTIONS
from prunebench.config import field_types, meta, option_name
from words import definitions, prose


def commands() -> dict[str, click.Command]:
    """Every command, by its name."""
    context = click.Context(cli, info_name="prunebench")
    found = {name: cli.get_command(context, name) for name in COMMANDS}
    return {name: command for name, command in found.items() if command is not None}


def overview() -> str:
    """The page that lists the commands."""
    lines = definitions((f"[`{name}`]({name}.md)", prose(what)) for name, what in COMMANDS.items())
    common = "Every command has `--help`, which says what is on these pages, and `--debug`, which shows a traceback."
    return f"# Every command\n\n{common}\n\n{lines}"


def page(name: str, command: click.Command) -> str:
    """The page of one command: usage, what it does, its own options, and which settings it takes."""
    context = click.Context(command, info_name=f"prunebench {name}", max_content_width=100)
    usage = " ".join(["prunebench", name, *command.collect_usage_pieces(context)])
    help = re.sub(r"\n\n\x08\n(.*?)(?=\n\n|\Z)", _verbatim, inspect.cleandoc(command.help or ""), flags=re.DOTALL)
    told = "\n\n".join(part if part.startswith("    ") else prose(part) for part in help.split("\n\n"))
    return f"# prunebench {name}\n\n    {usage}\n\n{told}\n\n{_own(command, context)}{_settings(command)}"


def _verbatim(found: re.Match[str]) -> str:
    """A paragraph that click is not to wrap, as a block."""
    return "\n\n" + "\n".join(f"    {line}" for line in found[1].split("\n"))


def _own(command: click.Command, context: click.Context) -> str:
    options = [each for each in command.get_params(context) if isinstance(each, click.Option) and not setting(each)]
    records = [record for each in options if (record := each.get_help_record(context)) is not None]
    return "## Options\n\n" + definitions((f"`{names}`", prose(help)) for names, help in records)


def setting(option: click.Parameter) -> str:
    """The field of RunConfig that an option is made of; empty where it is the command's own, whatever it is called."""
    name = str(option.name)
    made = isinstance(option, click.Option) and name in field_types()
    return name if made and str(option.help).startswith(meta(name).description or "-") else ""


def _settings(command: click.Command) -> str:
    """Links to the settings that a command takes, in the sections of its --help."""
    titles = {field: title for title, field in SECTIONS}
    sections: dict[str, list[str]] = {}
    for name in field_types():
        title = titles.get(name) or list(sections)[-1]
        own = sections.setdefault(title, [])
        if any(setting(each) == name for each in command.params):
            own.append(f"[`{option_name(name)}`](../settings.md#{name})")
    there = [f"**{title}**: {' '.join(links)}" for title, links in sections.items() if links]
    return "\n## Settings\n\n" + "\n\n".join(there) + "\n" if there else ""
