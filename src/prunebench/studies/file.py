"""The file of a study, as TOML:

    controls = true             # random pruning, and the dense model trained for as many epochs; or a list of models

    [base]                      # settings of every run
    epochs = 10

    [[experiments]]             # what the grid is laid over; every combination of lists is one
    model = ["alexnet", "resnet18"]
    method = "unstructured"

    [grid]                      # every combination is a run
    fraction = [0.1, 0.5]
    seed = [0, 1, 2]

    [[exclude]]                 # but for those that have all these settings
    model = "alexnet"
    fraction = 0.1

    [efficiency]                # how runs are timed once all are there: fields of EfficiencyConfig,
    backends = ["eager"]        # and lists of backends and dtypes
    batch_sizes = [1, 16]

    [comparisons]               # which are made, and corrected together, and no others (families.py)
    against = ["l1", "random"]

Instead of tables, `experiments` may list configs, as files beside the study's own. Nothing but `[grid]` or
`experiments` is needed. What an experiment sets wins over `[base]`, and the grid over both.
"""

from __future__ import annotations

import difflib
import itertools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from prunebench.config import (
    RunConfig,
    beside,
    deciding,
    field_types,
    merge,
    read_toml,
    settings_text,
    toml_tables,
)
from prunebench.errors import ConfigError
from prunebench.latency.backends import backends
from prunebench.latency.config import EfficiencyConfig
from prunebench.studies.families import comparisons
from prunebench.studies.parts import config_of, parts_of, suffix
from prunebench.studies.study import Study

TABLES = ("controls", "experiments", "base", "grid", "exclude", "efficiency", "comparisons")

LISTS = ("include", "exclude", "prune", "layer_fraction", "until", "text_column", "track")
"""Settings whose values are lists themselves."""


def read_study(path: str | Path, sets: Sequence[str] = (), only: Sequence[str] = ()) -> Study:
    """Read a study.

    Args:
        path: of its file.
        sets: `NAME=VALUE` for settings of every run, whatever the file says of them; the study's name tells of them.
        only: `NAME=VALUE` for runs that are meant, of one name any, of several names all.

    Raises:
        ConfigError: the file or one that it names is missing or malformed, or a setting is not one.
    """
    path = Path(path)
    source = settings_text(path)
    tables = toml_tables(path, source)
    for name in tables:
        if name not in TABLES:
            near = difflib.get_close_matches(name, TABLES, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else f" There are: {', '.join(TABLES)}."
            raise ConfigError(f"{path}: a study has no {name!r}.{hint} A setting of every run belongs into [base].")
    for name in ("base", "grid", "efficiency"):
        _check_kind(path, tables, name, dict, f"a table, [{name}]")
    for name in ("experiments", "exclude"):
        _check_kind(path, tables, name, list, f"a list: [[{name}]]")
    grid = tables.get("grid", {})
    for name, values in grid.items():
        _check_name(path, "grid", name, deciding("training", "pruning"))
        if not isinstance(values, list) or not values:
            raise ConfigError(f"{path}: [grid] {name}: expected a list of values, such as {name} = [{values!r}].")
        grid[name] = [{name: value, **beside(path, {name: value})}[name] for value in values]
    for combination in tables.get("exclude", []):
        if not isinstance(combination, dict):
            raise ConfigError(f"{path}: exclude: {combination!r} is no table; it is a list of them: [[exclude]].")
        for name in combination:
            _check_name(path, "exclude", name, deciding("training", "pruning"))
        _config(path, "exclude", combination)
    base = _config(path, "base", tables.get("base", {}))
    over = config_of(sets)
    found = [config for each in tables.get("experiments", [{}]) for config in _experiment(path, each)]
    return Study(
        name=path.stem + suffix(over),
        file=str(path.resolve()),
        source=source,
        bases=tuple(merge(config, base) for config in found),
        grid=grid,
        exclude=tuple({**combination, **beside(path, combination)} for combination in tables.get("exclude", [])),
        controls=_controlled(path, tables.get("controls", False)),
        timings=_timings(path, tables.get("efficiency")),
        comparisons=comparisons(path, tables.get("comparisons")),
        sets=tuple(sets),
        over=over,
        only=parts_of(only),
    )


def _experiment(path: Path, given: Any) -> Iterator[RunConfig]:
    """The configs of an entry of `experiments`: of a file, or of every combination of a table's lists."""
    if isinstance(given, str):
        yield read_toml(path.parent / given)
        return
    if not isinstance(given, dict):
        raise ConfigError(f"{path}: experiments: {given!r} is neither the name of a config nor a table.")
    lists = [value if isinstance(value, list) and name not in LISTS else [value] for name, value in given.items()]
    for values in itertools.product(*lists):
        yield _config(path, "experiments", dict(zip(given, values, strict=True)))


def _controlled(path: Path, given: Any) -> tuple[str, ...] | None:
    if isinstance(given, bool):
        return None if given else ()
    if isinstance(given, list) and all(isinstance(name, str) for name in given):
        return tuple(given)
    raise ConfigError(f"{path}: controls: expected true, false, or a list of models.")


def _config(path: Path, table: str, values: Mapping[str, Any]) -> RunConfig:
    for name in values:
        _check_name(path, table, name, list(field_types()))
    try:
        return RunConfig(**{**values, **beside(path, values)})
    except ConfigError as error:
        raise ConfigError(f"{path}, [{table}]: {error}") from None


def _timings(path: Path, values: Mapping[str, Any] | None) -> tuple[EfficiencyConfig, ...]:
    if values is None:
        return ()
    names = [*field_types(EfficiencyConfig), "backends", "dtypes"]
    for name in values:
        _check_name(path, "efficiency", name, names)
    rest = dict(values)
    chosen, dtypes = _several(path, rest, "backend", "eager"), _several(path, rest, "dtype", "fp32")
    try:
        for backend in chosen:
            backends.get(backend)
        return tuple(
            EfficiencyConfig(backend=backend, dtype=dtype, **rest)
            for backend, dtype in itertools.product(chosen, dtypes)
        )
    except ConfigError as error:
        raise ConfigError(f"{path}, [efficiency]: {error}") from None


def _several(path: Path, values: dict[str, Any], name: str, usual: str) -> list[Any]:
    """Take the values of a setting of which there may be one, or a list under its plural.

    Raises:
        ConfigError: both are there, or the list is none.
    """
    one, several = values.pop(name, None), values.pop(f"{name}s", None)
    if one is not None and several is not None:
        raise ConfigError(f"{path}: [efficiency] has both {name} and {name}s; leave one out.")
    if several is None:
        return [usual if one is None else one]
    if not isinstance(several, list) or not several:
        raise ConfigError(f'{path}: [efficiency] {name}s: expected a list, such as {name}s = ["{usual}"].')
    return several


def _check_name(path: Path, table: str, name: str, names: Sequence[str]) -> None:
    if name in names:
        return
    if name in field_types() and table in ("grid", "exclude"):
        raise ConfigError(f"{path}: [{table}] {name}: it decides no result; put it into [base].")
    near = difflib.get_close_matches(name, names, n=1)
    command = "efficiency" if table == "efficiency" else "prune"
    hint = f" Did you mean {near[0]!r}?" if near else f" `prunebench {command} --help` lists them."
    raise ConfigError(f"{path}: [{table}] has no setting {name!r}.{hint}")


def _check_kind(path: Path, tables: Mapping[str, Any], name: str, kind: type, wanted: str) -> None:
    if not isinstance(tables.get(name, kind()), kind):
        raise ConfigError(f"{path}: {name}: expected {wanted}.")
