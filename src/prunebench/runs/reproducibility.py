"""What of a machine decides results to the bit: who goes on with a run must have the same."""

from __future__ import annotations

from prunebench.errors import RunError
from prunebench.records import Environment
from prunebench.runs.environment import RECORDED, version_of


def differing(was: Environment, now: Environment) -> dict[str, tuple[object, object]]:
    """What decides results to the bit and differs between two environments → its values there and here.

    Of versions, those of the usual packages and of what the first environment has recorded besides.
    """
    mine, other = (
        {name: getattr(e, name) for name in ("device", "threads", "devices", "deterministic")}
        | ({"precision": e.precision} if e.precision else {})
        | e.versions
        for e in (was, now)
    )
    unknown = [name for name in now.versions if name not in was.versions and name not in RECORDED]
    names = [name for name in other if name not in ("prunebench", *unknown)]  # its changes are counted by the recipe
    return {name: (mine.get(name), other[name]) for name in names if mine.get(name) != other[name]}


def check_versions(key: str, was: Environment) -> None:
    """Raise RunError where a package that prepared the data of the run `key`, or that its own files come from or
    import, is here in another version than the run was computed with."""
    others = {name: version for name, version in was.versions.items() if name not in RECORDED}
    if changed := [name for name, version in others.items() if version_of(name) != version]:
        before = ", ".join(f"{name} {others[name]}" for name in changed)
        after = ", ".join(f"{name} {version_of(name)}" for name in changed)
        raise RunError(
            f"Run {key} was computed with {before}; here is {after}, which may compute something else. Use what it was "
            f"computed with; `prunebench verify {key}` compares with what was recorded, to within its interval."
        )


def check_same(key: str, was: Environment, now: Environment) -> None:
    """Raise RunError where the run `key` could not go on here and be the same to the bit."""
    if changed := differing(was, now):
        before = ", ".join(f"{name} {old}" for name, (old, _) in changed.items())
        after = ", ".join(f"{name} {new}" for name, (_, new) in changed.items())
        given = [f"--{name} {old}" for name, (old, _) in changed.items()]
        told = changed.keys() <= {"threads", "devices"}
        hint = f"Give {' '.join(given)}" if told else "Use what it was begun with"
        raise RunError(
            f"Run {key} was begun with {before}; here it would go on with {after}, and could not be repeated to the "
            f"bit. {hint}, or start over with --fresh, which keeps the old run aside."
        )
