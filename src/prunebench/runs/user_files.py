"""The user's files that a file of the user's imports, directly or not, inside functions too.

They decide a run beside the file that is named. They are found in the text, without executing any of it: what is
imported by a name that is computed is not seen. The user's are all that are not Python's own, not installed (editable
installs count as the user's), and not prunebench's. Of what is installed the versions are recorded.
"""

from __future__ import annotations

import ast
import hashlib
import logging
import os
import sys
from collections.abc import Iterator, Sequence
from functools import cache, lru_cache
from pathlib import Path

from prunebench.errors import ConfigError
from prunebench.user_code import digest, hidden, is_users, package_of, roots, source, spec_of

log = logging.getLogger(__name__)

IMPORTERS = ("importlib.import_module", "import_module", "__import__")
"""Functions that import what their first argument names."""

LONGEST = 200
"""Signs of a text that may be the name of a file."""

_imported: dict[Path, str] = {}
"""Digests of files as this process found them first: Python imports a module once."""


def digest_with_imports(path: Path, name: str = "", *, beside: bool = False) -> str:
    """SHA-256 of a file and of every file of the user's that it imports; it does not depend on the folder.

    Args:
        path: of the file.
        name: its full name as a module, where it was imported by that.
        beside: whether files count too that the text names as they are called from its own folder, such as
            `"widths.json"`.

    Raises:
        ConfigError: a file has changed since this process imported it, or is hidden by another of the user's.
    """
    hashes = digests(path, name, beside=beside)
    text = "".join(f"{module} {found}\n" for module, found in sorted(hashes.items()))
    return digest(path) if len(hashes) == 1 else hashlib.sha256(text.encode()).hexdigest()


def digests(path: Path, name: str = "", *, beside: bool = False) -> dict[str, str]:
    """Module → SHA-256 of a file, under the name given, and of every file of the user's that it imports.

    With `beside`, files that their texts name are there under these names.

    Raises:
        ConfigError: one has changed since this process imported it, or is hidden by another of the user's.
    """
    found = _found(path, name)
    hashes = {module: digest(file) for module, file in found.items()}
    for file in found.values() if beside else ():
        hashes |= {text: digest(other) for text, other in _named(file).items() if other not in found.values()}
    for module, file in found.items():
        if module and _imported.setdefault(file, hashes[module]) != hashes[module]:
            raise ConfigError(f"{file} has changed since this process imported it: start Python anew.")
    return hashes


def installed(path: Path, name: str = "") -> set[str]:
    """The top-level names of the installed packages that a file belongs to, or that it and the user's files that it
    imports import themselves."""
    if name and not is_users(path.resolve()):
        return {name.partition(".")[0]}
    beside = roots(path.resolve())
    names = {each.partition(".")[0] for module, file in _found(path, name).items() for each in _imports(file, module)}
    return {each for each in names if each and _is_installed(each, beside)}


def digest_of_reference(name: str) -> str:
    """SHA-256 of the user's files behind `path.py:function` or `package.module:function`; nothing is imported.

    Of a package that is installed, of nothing: it is the user's who has installed it.

    Raises:
        ConfigError: a file has changed since this process imported it.
        OSError: a file cannot be read.
    """
    place = name.rpartition(":")[0]
    if place.endswith(".py"):
        return digest_with_imports(Path(place))
    found: dict[str, Path] = {}
    for part, file in _files(place, [Path.cwd()]):
        _visit(file, part, roots(file), found)
    text = "".join(f"{module} {digest(file)}\n" for module, file in sorted(found.items()))
    return hashlib.sha256(text.encode()).hexdigest()


def digest_of_defined(name: str, *, beside: bool) -> str | None:
    """The digest that decides a run for a function that is written in the file that is named; nothing is imported.

    None where that cannot be told: of a module, of what the file has from elsewhere, of what is no function.
    """
    place, _, function = name.rpartition(":")
    if not place.endswith(".py") or not os.path.isfile(place):  # noqa: PTH113 — any text may stand here
        return None
    for node in getattr(_parsed(Path(place)), "body", ()):
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name == function and not node.decorator_list:
            return digest_with_imports(Path(place), beside=beside)
    return None


def _is_installed(name: str, beside: Sequence[Path]) -> bool:
    origin, inside = _top_level(name, beside)
    places = [origin] if origin is not None else inside
    return bool(places) and not any(is_users(place.resolve()) for place in places)


def _found(path: Path, name: str) -> dict[str, Path]:
    """Module → file, of a file under the name given, and of every file of the user's that it imports."""
    found: dict[str, Path] = {}
    _visit(path.resolve(), name, roots(path.resolve()), found)
    return found


def _named(path: Path) -> dict[str, Path]:
    """The files that a source file names in its text, seen from its folder: what it is called there → the file."""
    named = {text: path.parent / text for text in (_texts_of(source(path)) if path.suffix == ".py" else ())}
    return {text: file.resolve() for text, file in named.items() if file.is_file() and file.resolve() != path}


@lru_cache(1_000)
def _texts_of(code: bytes) -> frozenset[str]:
    """Texts in source code that may name files; a plain word may be a file that comes and goes, and is none of them."""
    nodes = ast.walk(_syntax(code))
    texts = {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    return frozenset(text for text in texts if 0 < len(text) <= LONGEST and text.isprintable() and Path(text).suffix)


def _visit(path: Path, name: str, beside: Sequence[Path], found: dict[str, Path]) -> None:
    if path in found.values() or not path.is_file():
        return
    found[name] = path
    mine = is_users(path)
    for module in _imports(path, name):
        if mine:
            _check_taken(path, module)
        for part, file in _files(module, beside):
            _visit(file, part, beside, found)


def _imports(path: Path, name: str) -> Sequence[str]:
    """Names of what may be modules that a file of this name imports, each once, in their order."""
    package = package_of(path) if not name else name if path.name == "__init__.py" else name.rpartition(".")[0]
    return _imports_of(source(path), package) if path.suffix == ".py" else ()


@lru_cache(1_000)
def _imports_of(text: bytes, package: str) -> Sequence[str]:
    return tuple(dict.fromkeys(_modules(_syntax(text), package)))


def _parsed(path: Path) -> ast.AST:
    """The syntax of a source file; of another none."""
    return _syntax(source(path) if path.suffix == ".py" else b"")


def _syntax(text: bytes) -> ast.AST:
    """The syntax of source code; of one with an error none: importing it tells."""
    try:
        return ast.parse(text)
    except (SyntaxError, ValueError, RecursionError):  # the second of a zero byte, in some versions of Python
        return ast.Module([], [])


def _check_taken(path: Path, module: str) -> None:
    """Raise ConfigError where a file of the user's gets another than it means; warn where that one is installed."""
    if both := hidden(path, module):
        mine, taken = both
        told = f"{path} imports {module}, and gets {taken} instead of {mine}"
        if is_users(taken.resolve()):
            raise ConfigError(f"{told}: rename it, or start Python anew.")
        _warn(f"{told}: rename it if it is meant.")


@cache
def _warn(text: str) -> None:
    """Warn once: a file is hashed for every run that it decides."""
    log.warning(text)


def _modules(tree: ast.AST, package: str) -> Iterator[str]:
    """Names of what may be modules that a file imports; those inside its own package in full."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parts = package.split(".") if package else []
            base = ".".join([*parts[: len(parts) - node.level + 1], *filter(None, [node.module])])
            whole = base if node.level else node.module or ""
            yield whole
            yield from (f"{whole}.{alias.name}" for alias in node.names if alias.name != "*")
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in IMPORTERS:
            names = [arg.value for arg in node.args[:1] if isinstance(arg, ast.Constant)]
            yield from (name for name in names if isinstance(name, str))


def _files(module: str, beside: Sequence[Path]) -> Iterator[tuple[str, Path]]:
    """The user's files of a module and of the packages around it, by their full names."""
    first, *rest = module.split(".")
    origin, inside = _top_level(first, beside)
    name = first
    for part in [*rest, ""]:
        if origin is not None:
            if not is_users(origin):
                return
            yield name, origin
        if part:
            name = f"{name}.{part}"
            origin, inside = _within(inside, part)


def _top_level(name: str, beside: Sequence[Path]) -> tuple[Path | None, list[Path]]:
    """The file that Python would import by a name, and the folders of its submodules; nothing is executed."""
    if name in sys.stdlib_module_names or name == "prunebench":
        return None, []
    if (spec := spec_of(name)) is not None:
        origin = Path(spec.origin).resolve() if spec.origin and spec.has_location else None
        return origin, [Path(folder) for folder in spec.submodule_search_locations or ()]
    return _within(beside, name)


def _within(folders: Sequence[Path], name: str) -> tuple[Path | None, list[Path]]:
    """The same of a module in one of some folders."""
    for folder in folders:
        package, file = folder / name / "__init__.py", folder / f"{name}.py"
        if package.is_file():
            return package.resolve(), [folder / name]
        if file.is_file():
            return file.resolve(), []
    return None, [folder / name for folder in folders if (folder / name).is_dir()]
