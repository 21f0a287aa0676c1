"""The user's files that a file of the user's imports, directly or not, inside functions too.

They decide a run beside the file that is named. They are found in the text, without executing any of it: what is
imported by a name that is computed is not seen. The user's are all that are not Python's own, not installed (editable
installs count as the user's), and not prunebench's.
"""

from __future__ import annotations

import ast
import hashlib
import site
import sys
import sysconfig
from collections.abc import Iterator, Sequence
from pathlib import Path

from prunebench.errors import ConfigError
from prunebench.registry import digest, source

_imported: dict[Path, str] = {}
"""Digests of files as this process found them first: Python imports a module once."""


def digest_with_imports(path: Path, name: str = "") -> str:
    """SHA-256 of a file and of every file of the user's that it imports; it does not depend on the folder.

    Args:
        path: of the file.
        name: its full name as a module, where it was imported by that.

    Raises:
        ConfigError: a file has changed since this process imported it.
    """
    hashes = digests(path, name)
    text = "".join(f"{module} {found}\n" for module, found in sorted(hashes.items()))
    return digest(path) if len(hashes) == 1 else hashlib.sha256(text.encode()).hexdigest()


def digests(path: Path, name: str = "") -> dict[str, str]:
    """Module → SHA-256 of a file, under the name given, and of every file of the user's that it imports.

    Raises:
        ConfigError: one has changed since this process imported it.
    """
    found: dict[str, Path] = {}
    _visit(path.resolve(), name, path.resolve().parent, found)
    hashes = {module: digest(file) for module, file in found.items()}
    for module, file in found.items():
        if module != name and _imported.setdefault(file, hashes[module]) != hashes[module]:
            raise ConfigError(f"{file} has changed since this process imported it: start Python anew.")
    return hashes


def _visit(path: Path, name: str, beside: Path, found: dict[str, Path]) -> None:
    if path in found.values() or not path.is_file():
        return
    found[name] = path
    if path.suffix != ".py":
        return
    try:
        tree = ast.parse(source(path))
    except SyntaxError:
        return  # importing it tells
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    for module in dict.fromkeys(_modules(tree, package)):
        for part, file in _files(module, beside):
            _visit(file, part, beside, found)


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
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in ("importlib.import_module", "import_module"):
            names = [arg.value for arg in node.args[:1] if isinstance(arg, ast.Constant)]
            yield from (name for name in names if isinstance(name, str))


def _files(module: str, beside: Path) -> Iterator[tuple[str, Path]]:
    """The user's files of a module and of the packages around it, by their full names."""
    first, *rest = module.split(".")
    origin, inside = _top_level(first, beside)
    name = first
    for part in [*rest, ""]:
        if origin is not None:
            if not _is_users(origin):
                return
            yield name, origin
        if part:
            name = f"{name}.{part}"
            origin, inside = _within(inside, part)


def _top_level(name: str, beside: Path) -> tuple[Path | None, list[Path]]:
    """The file that Python would import by a name, and the folders of its submodules; nothing is executed."""
    if name in sys.stdlib_module_names or name == "prunebench":
        return None, []
    for finder in sys.meta_path:
        if (spec := finder.find_spec(name, None)) is not None:
            origin = Path(spec.origin).resolve() if spec.origin and spec.has_location else None
            return origin, [Path(folder) for folder in spec.submodule_search_locations or ()]
    return _within([beside], name)


def _within(folders: Sequence[Path], name: str) -> tuple[Path | None, list[Path]]:
    """The same of a module in one of some folders."""
    for folder in folders:
        package, file = folder / name / "__init__.py", folder / f"{name}.py"
        if package.is_file():
            return package.resolve(), [folder / name]
        if file.is_file():
            return file.resolve(), []
    return None, [folder / name for folder in folders if (folder / name).is_dir()]


def _is_users(path: Path) -> bool:
    kinds = ("stdlib", "platstdlib", "purelib", "platlib")
    installed = {*(sysconfig.get_path(kind) for kind in kinds), *site.getsitepackages(), site.getusersitepackages()}
    return not any(path.is_relative_to(Path(folder).resolve()) for folder in installed)
