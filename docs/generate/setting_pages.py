"""The page of all settings, made of the annotations of RunConfig and EfficiencyConfig."""

from __future__ import annotations

from typing import Any, Literal, get_args, get_origin

import msgspec

from prunebench.cli.options import SECTIONS
from prunebench.config import KINDS, RunConfig, field_types, meta, option_name
from prunebench.latency.config import EfficiencyConfig
from words import prose

DECIDES = {
    "training": "training",
    "pruning": "pruning",
    "nothing": "no result",
}
BOUNDS = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below"}

INTRODUCTION = """# Every setting

A setting is an option of the command line (`--finetune-lr 1e-4`), a key of a TOML file (`finetune_lr = 1e-4`, for
`--config`, `[base]` or `[grid]` of a study) and a field of `RunConfig`. One that decides training or pruning is part of
a run's key: another value is another run. What takes several values is given again and again on the command line
(`--exclude conv1 --exclude fc`), or with commas where it takes numbers, and as a list in a file.
"""


def page() -> str:
    """The page."""
    titles = {field: title for title, field in SECTIONS}
    lines = [INTRODUCTION]
    for name in field_types():
        if name in titles:
            lines.append(f"## {titles[name]}\n")
        lines.append(_setting(name, RunConfig))
    lines += [
        "## Timing\n",
        "Fields of `EfficiencyConfig`, options of [`efficiency`](commands/efficiency.md), and keys of",
    ]
    lines += ["a study's `[efficiency]`.\n"]
    lines += [_setting(name, EfficiencyConfig) for name in field_types(EfficiencyConfig)]
    return "\n".join(lines)


def _setting(name: str, kind: type[msgspec.Struct]) -> str:
    hint = field_types(kind)[name]
    help, _, told = next(about.description for about in metas(hint) if about.description).partition("  [")
    facts = [
        f"`{option_name(name)}`",
        _values(hint),
        _default(name, kind, told.removesuffix("]").replace("]  [", "; ")),
    ]
    if kind is RunConfig:
        facts.append(f"decides {DECIDES[(meta(name).extra or {})['decides']]}")
    anchor = name if kind is RunConfig else f"timing-{name}"
    return f"### `{name}` {{ #{anchor} }}\n\n{prose(help)}\n\n{' · '.join(filter(None, facts))}\n{{ .facts }}\n"


def metas(hint: Any) -> list[msgspec.Meta]:
    """What is annotated to a setting, but not to the parts of several values."""
    own = [each for each in getattr(hint, "__metadata__", ()) if isinstance(each, msgspec.Meta)]
    within = () if get_origin(hint) is tuple else get_args(hint)
    return own + [each for part in within if not isinstance(part, msgspec.Meta) for each in metas(part)]


def _default(name: str, kind: type[msgspec.Struct], told: str) -> str:
    """What it is where it is not given; empty where it then is nothing."""
    if told:
        return prose(told)
    if kind is not RunConfig:
        fields = {field.name: field.default for field in msgspec.structs.fields(kind)}
        value, own = fields[name], ""
    else:
        extra = meta(name).extra or {}
        value, own = extra["default"], "the model's or the data's, else " if extra["fitted"] else ""
    if value is None or value == ():
        return ""
    return f"default: {own}`{_written(value)}`"


def _written(value: Any) -> str:
    """A value as TOML has it, a text without its quotes."""
    if isinstance(value, tuple):
        return ", ".join(map(_written, value))
    return str(value).lower() if isinstance(value, bool) else str(value)


def _values(hint: Any) -> str:
    """What a setting may be: its choices, or its type and bounds."""
    if choices := _choices(hint):
        several = "several of " if _bare(hint, tuple) else ""
        return several + ", ".join(f"`{each}`" for each in choices)
    limits = [(word, getattr(about, each)) for about in metas(hint) for each, word in BOUNDS.items()]
    bounds = [f"{word} {limit:,}" for word, limit in limits if limit is not None]
    return " ".join([_kind(hint), *filter(None, [" and ".join(bounds)])]).strip()


def _parts(hint: Any) -> list[Any]:
    """A type and all that it is made of."""
    return [hint, *(part for each in get_args(hint) if not isinstance(each, msgspec.Meta) for part in _parts(each))]


def _bare(hint: Any, kind: type) -> bool:
    return any(part is kind or get_origin(part) is kind for part in _parts(hint))


def _choices(hint: Any) -> tuple[str, ...]:
    return next((get_args(part) for part in _parts(hint) if get_origin(part) is Literal), ())


def _kind(hint: Any) -> str:
    """The type of a value, as errors call it."""
    if _bare(hint, tuple):
        kind = next(part for part in (float, int, str) if _bare(hint, part))
        return f"{KINDS[kind.__name__].removeprefix('a ')}s"
    if any(part is Any for part in _parts(hint)):
        return "a name, or in Python a function"
    return next(KINDS[part.__name__] for part in (bool, int, float, str) if _bare(hint, part))
