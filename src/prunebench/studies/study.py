"""Study: a grid of runs, read from one TOML file.

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
import logging
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from prunebench.comparison.family import Family, Fixed
from prunebench.config import (
    RunConfig,
    Settings,
    beside,
    deciding,
    default,
    field_types,
    given,
    merge,
    read_toml,
    settings_text,
    toml_tables,
)
from prunebench.errors import ConfigError, RunError
from prunebench.experiment.controls import without_removal
from prunebench.experiment.experiment import Experiment
from prunebench.experiment.identity import as_stored
from prunebench.experiment.resolve import resolve
from prunebench.latency.backends import backends
from prunebench.latency.config import EfficiencyConfig
from prunebench.pruning.registry import criteria, methods
from prunebench.pruning.shares import kept_as
from prunebench.reading import read_plain
from prunebench.records import FORMAT
from prunebench.registry import reference, without_folder
from prunebench.runs.files import holds, own, write_atomically, writing
from prunebench.studies.families import Comparisons, comparisons, family_of
from prunebench.studies.parts import config_of, outside, parts_of, suffix
from prunebench.studies.stopping import done

log = logging.getLogger(__name__)

TABLES = ("controls", "experiments", "base", "grid", "exclude", "efficiency", "comparisons")

THREADS = 1
"""CPU threads of each run, unless [base] says otherwise: results depend on them, and must not on who computes a run."""

FILE = "study.json"
"""In the study's folder: what it consists of."""

LISTS = ("include", "exclude", "prune", "layer_fraction", "until", "text_column", "track")
"""Settings whose values are lists themselves."""


class Study(msgspec.Struct, frozen=True, kw_only=True):
    """A study as its file has it.

    Attributes:
        name: the file's, without its ending.
        file: its path.
        source: its text.
        bases: the settings that the grid is laid over, one or several.
        grid: field → values.
        exclude: combinations that are left out: field → value.
        controls: the models beside whose runs controls are run; None: all.
        timings: how runs are timed: a config for every backend and dtype.
        comparisons: which comparisons are made; None: all, of whatever is there.
        sets: settings of every run, whatever the file says of them, as `NAME=VALUE`; `over` as a config.
        only: which runs are meant: field → values; what does not fit besides is left out.
    """

    name: str
    file: str
    source: str
    bases: tuple[RunConfig, ...]
    grid: dict[str, list[Any]]
    exclude: tuple[dict[str, Any], ...]
    controls: tuple[str, ...] | None
    timings: tuple[EfficiencyConfig, ...]
    comparisons: Comparisons | None = None
    sets: tuple[str, ...] = ()
    over: RunConfig = RunConfig()
    only: Mapping[str, list[Any]] = {}

    def has(self, settings: Settings) -> bool:
        """Whether a run is one that is meant."""
        return all(any(_has(settings, {name: value}) for value in values) for name, values in self.only.items())


class StudyRecord(msgspec.Struct, frozen=True, kw_only=True):
    """`study.json`: the study's file, by its text and its path from this one's folder, and the keys of its runs.

    `family` holds the comparisons that the file fixes, None where it fixes none; `fixed` when that was, and what was
    changed since. `set` holds settings of every run that are others than the file's, as `--set` takes them.
    """

    format: int = FORMAT
    name: str
    source: str
    runs: tuple[str, ...]
    file: str = ""
    set: tuple[str, ...] = ()
    family: Family | None = None
    fixed: tuple[Fixed, ...] = ()


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


def tracked_by(study: Study, names: Sequence[str]) -> Study:
    """A study whose runs these trackers are told of, where there are any, instead of those of its file."""
    told = {"track": tuple(names)} if names else {}
    return msgspec.structs.replace(study, bases=tuple(msgspec.structs.replace(base, **told) for base in study.bases))


def experiments_of(study: Study, runs_dir: str | None = None, *, fetch: bool = False) -> list[Experiment]:
    """Every experiment of a study, each run once, in a stable order; all in a folder of the study's own.

    Args:
        study: what to run.
        runs_dir: where the study's folder is, instead of what its file says.
        fetch: whether data that is not here yet is downloaded, so that its contents decide the runs.

    Raises:
        ConfigError: a combination is none that can run; the message names it.
    """
    found: dict[str, Experiment] = {}
    combinations = _combined(study, runs_dir)
    for experiment in combinations if fetch else ():
        experiment.fetch()
    _check_together(study, [experiment.settings for experiment in combinations])
    for experiment in combinations:
        controlled = study.controls is None or any(_is_of(experiment.settings, name) for name in study.controls)
        for each in [experiment, *(_controls(experiment) if controlled else ())]:
            other = found.setdefault(each.run.key, each)
            if other.settings.iterations < each.settings.iterations:
                found[each.run.key] = each
    if not found:
        raise ConfigError(f"The study {study.name} has no run: [[exclude]] leaves none of the grid.")
    return list(found.values())


def _check_together(study: Study, combinations: Sequence[Settings]) -> None:
    """Raise ConfigError where controls or timings do not go with the runs."""
    models = list(dict.fromkeys(str(config.model) for config in combinations))
    for name in study.controls or ():
        if not any(_is_of(config, name) for config in combinations):
            raise ConfigError(f"Study {study.name}, controls: it has no runs of {name!r}, but of {', '.join(models)}.")
    if study.controls != () and any(config.until for config in combinations):
        raise ConfigError(
            f"Study {study.name}: how many steps `until` takes is known at its end only, and controls take as many. "
            'Leave controls out; to compare with random pruning, give criterion = ["l2", "random"] in [grid].'
        )
    if study.timings and any(config.keep == "records" for config in combinations):
        raise ConfigError(
            f'Study {study.name}: keep = "records" leaves no checkpoints, and [efficiency] times them. Leave one out.'
        )


def part_of(study: Study, planned: Sequence[Experiment]) -> list[Experiment]:
    """Those of the planned runs that `--only` means; all where it says nothing.

    Raises:
        ConfigError: there is none.
    """
    found = [each for each in planned if study.has(each.settings)]
    if not found:
        told = ", ".join(f"{name}={value}" for name, values in study.only.items() for value in values)
        raise ConfigError(f"--only {told}: the study {study.name} has no such run.")
    return found


def folder_of(planned: Sequence[Experiment]) -> Path:
    """The study's folder."""
    return planned[0].run.root


def record_of(study: Study, planned: Sequence[Experiment]) -> StudyRecord:
    """What a study consists of.

    Raises:
        ConfigError: what it compares is no part of it.
    """
    keys, root = tuple(each.run.key for each in planned), folder_of(planned).resolve()
    try:
        file = os.path.relpath(study.file, root)
    except ValueError:  # on Windows, another drive
        file = study.file
    family = _family(study, planned)
    fixed = _fixed(study, planned, family) if family is not None and study.comparisons is not None else ()
    return StudyRecord(
        name=study.name, source=study.source, runs=keys, file=file, set=study.sets, family=family, fixed=fixed
    )


def _family(study: Study, planned: Sequence[Experiment]) -> Family | None:
    """The comparisons that the study's file fixes, of the runs that are planned."""
    if study.comparisons is None:
        return None
    keys = {each.run.key for each in _combined(study, str(folder_of(planned).parent))}
    grid = [each for each in planned if each.run.key in keys or not each.method.removes]
    in_bases = {name for name in field_types() if len({repr(getattr(base, name)) for base in study.bases}) > 1}
    return family_of(study.name, study.comparisons, grid, {*study.grid, *in_bases})


def _fixed(study: Study, planned: Sequence[Experiment], family: Family) -> tuple[Fixed, ...]:
    """When the comparisons were fixed, and every change to them since a run was finished."""
    try:
        there = read_record(folder_of(planned))
    except RunError:
        there = None
    before = there.fixed if there is not None else ()
    if before and before[-1].digest == family.digest:
        return before
    finished = sum(done(each.run, each) for each in planned)
    assert study.comparisons is not None
    now = Fixed(
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        finished=finished,
        runs=len(planned),
        pairs=family.size,
        digest=family.digest,
        text=study.comparisons.text,
    )
    return (*before, now) if finished else (now,)


def read_record(folder: Path) -> StudyRecord | None:
    """`study.json` of a study's folder; None where there is none.

    Raises:
        RunError: it cannot be read.
    """
    path = folder / FILE
    try:
        return msgspec.json.decode(read_plain(path), type=StudyRecord)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError) as error:
        raise RunError(f"{path} cannot be read: {error}. Give the `study` command again, which writes it.") from error


def check_name(study: Study, planned: Sequence[Experiment]) -> None:
    """Raise ConfigError where the study's folder is that of another file of the same name, which is still there."""
    try:
        there = read_record(folder_of(planned))
    except RunError:  # it is written anew
        return
    other = (folder_of(planned).resolve() / (there.file if there else "")).resolve()
    if there is not None and there.file and str(other) != study.file and other.is_file():
        raise ConfigError(
            f"{folder_of(planned)} holds the study of {other}, another file of this name. Rename one of the two, or "
            f"give --runs-dir."
        )


def write_study(study: Study, planned: Sequence[Experiment]) -> None:
    """Write `study.json` into the study's folder, and note that the user has given the code that it names."""
    for experiment in planned:
        experiment.note_code()
    record = record_of(study, planned)
    root = folder_of(planned)
    path = own(root.parent, root.name, FILE)
    content = msgspec.json.format(msgspec.json.encode(record), indent=1) + b"\n"
    with writing(f"The study {study.name}", path.parent):
        if not holds(path, content):
            write_atomically(path, content)


def _combined(study: Study, runs_dir: str | None) -> list[Experiment]:
    """What the grid is made of, each combination once for every way to write it."""
    return _left(study, list(_combinations(study, runs_dir)))


def _combinations(study: Study, runs_dir: str | None) -> Iterator[Experiment]:
    for base, values in itertools.product(study.bases, itertools.product(*study.grid.values())):
        chosen = dict(zip(study.grid, values, strict=True))
        asked = base
        try:
            asked = merge(study.over, merge(RunConfig(**chosen), base))
            folder = Path(runs_dir or asked.runs_dir or default("runs_dir")) / study.name
            threads = asked.threads or THREADS
            experiment = resolve(msgspec.structs.replace(asked, runs_dir=str(folder), threads=threads))
        except ConfigError as error:
            if outside(asked, study.only):
                log.warning("study %s: runs of %s are left out: %s", study.name, reference(asked.model), error)
                continue
            said = ", ".join(f"{name} = {value!r}" for name, value in chosen.items()) or "[base]"
            fits = " What it does not fit is left out with --only, such as --only model=resnet18." * bool(
                given(study.over)
            )
            raise ConfigError(f"Study {study.name}, {said}: {error}{fits}") from None
        yield experiment


def _left(study: Study, combinations: Sequence[Experiment]) -> list[Experiment]:
    """Combinations but for those that the study excludes; what excludes none is warned of."""
    for excluded in study.exclude:
        if not any(_has(experiment.settings, excluded) for experiment in combinations):
            told = ", ".join(f"{name} = {value!r}" for name, value in excluded.items())
            log.warning("study %s, [[exclude]] %s: no run has these settings; nothing is left out", study.name, told)
    return [
        experiment
        for experiment in combinations
        if not any(_has(experiment.settings, excluded) for excluded in study.exclude)
    ]


def _is_of(settings: Settings, name: str) -> bool:
    """Whether a run is of the model of this name; of a file of the user's its name alone tells, and its whole path."""
    model = reference(settings.model)
    return name == without_folder(model) or reference(name) == model


def _controls(experiment: Experiment) -> Iterable[Experiment]:
    """Random pruning, and the dense model trained for as many epochs, whatever the run removes."""
    if experiment.method.removes:
        control = RunConfig(**given(experiment.settings) | {"until": ()})
        yield resolve(msgspec.structs.replace(control, criterion="random"))
        yield without_removal(experiment)


def _has(settings: Settings, combination: Mapping[str, Any]) -> bool:
    """Whether an experiment has all these settings."""
    mine = as_stored(settings) | {"weights": settings.weights}
    asked = {name: criteria.named(value) if name == "criterion" else value for name, value in combination.items()}
    if "scope" in asked:
        asked["scope"] = kept_as(asked["scope"], methods.get(settings.method).narrows) or default("scope")
    return all(without_folder(mine[name]) == without_folder(value) for name, value in asked.items())


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
