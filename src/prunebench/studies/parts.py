"""Parts: what of a study is computed, and what of its settings is another (`--only`, `--set`)."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from prunebench.config import RunConfig, deciding, field_types, given
from prunebench.errors import ConfigError
from prunebench.results.settings import called


def config_of(texts: Iterable[str]) -> RunConfig:
    """The config that `NAME=VALUE` texts make, the last one of a name.

    Raises:
        ConfigError: one is none, or names no setting, or has a value that this cannot have.
    """
    return RunConfig(**dict(_parsed("--set", text, field_types()) for text in texts))


def parts_of(texts: Iterable[str]) -> dict[str, list[Any]]:
    """Setting → the values that runs have which are meant; of one setting any of them.

    Raises:
        ConfigError: as `config_of`; or a setting decides no result, so that it tells no runs apart.
    """
    found: dict[str, list[Any]] = {}
    for text in texts:
        name, value = _parsed("--only", text, deciding("training", "pruning"))
        found.setdefault(name, []).append(value)
    return found


def suffix(over: RunConfig) -> str:
    """`-fashion-mnist`: what the name of a study ends with of which some settings are others; empty where none is that
    decides a result."""
    own = {name: value for name, value in given(over).items() if name in deciding("training", "pruning")}
    told = [called(value) if name in ("model", "dataset") else f"{name}-{called(value)}" for name, value in own.items()]
    return "".join(f"-{each}" for each in told)


def outside(asked: RunConfig, only: Mapping[str, Collection[Any]]) -> bool:
    """Whether a config, which need not be complete, is certainly none of those that are meant."""
    told = given(asked)
    return any(name in told and told[name] not in values for name, values in only.items())


def _parsed(option: str, text: str, names: Collection[str]) -> tuple[str, Any]:
    name, equals, value = (part.strip() for part in text.partition("="))
    name = name.removeprefix("--").replace("-", "_")
    if not equals:
        raise ConfigError(f"{option} {text}: expected NAME=VALUE, such as dataset=fashion-mnist.")
    if name not in names:
        near = difflib.get_close_matches(name, names, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else " `prunebench prune --help` lists them."
        apart = " that tells runs apart" if option == "--only" else ""
        raise ConfigError(f"{option} {text}: {name!r} is no setting{apart}.{hint}")
    try:
        found: Any = tomllib.loads(f"x = {value}")["x"]
    except (ValueError, RecursionError):
        found = value
    try:
        config = RunConfig(**{name: found})
    except ConfigError as error:
        raise ConfigError(f"{option}: {error}") from None
    return name, getattr(config, name)
