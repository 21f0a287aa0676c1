"""User code: files of the user's, executed as they were hashed, and what is said where they fail."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import site
import sys
import sysconfig
import time
import traceback
from functools import cache
from importlib.abc import SourceLoader
from importlib.machinery import ModuleSpec
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

from prunebench.errors import ConfigError
from prunebench.reading import read_plain, sha256

USER_MODULE = "_prunebench_user_"
"""Beginning of the names of modules that are imported from a user's file, but for the package that it is a part of."""

LIBRARIES = {"dist-packages", "site-packages"}
"""What folders of installed packages are called, also those that PYTHONPATH or a .pth file adds."""

LONGEST = 300
"""Letters of an error's own message that are told."""


class Signature(NamedTuple):
    """By what a file is known to be as it was: while none of this changes, it is not read again."""

    size: int
    changed_ns: int
    touched_ns: int
    inode: int


class _Read(NamedTuple):
    """A file as it was read: its signature, SHA-256, and of source code its text and the module that was made of it."""

    signature: Signature
    digest: str
    source: bytes = b""
    module: ModuleType | None = None


_read: dict[Path, _Read] = {}

SETTLED_NS = 20_000_000
"""How long ago a file must have changed, when it is read, for its signature to tell the next change from this one."""


def digest(path: Path) -> str:
    """SHA-256 of a user's file, hexadecimal; a file that is as it was is not read again."""
    path = path.resolve()
    if (known := _known(path)) is not None:
        return known.digest
    signature, found = _signature(path), sha256(path)
    _remember(path, _Read(signature, found))
    return found


def source(path: Path) -> bytes:
    """The text of a user's source file; one that is as it was is not read again."""
    path = path.resolve()
    if (known := _known(path)) is not None and known.source:
        return known.source
    signature, text = _signature(path), read_plain(path)
    _remember(path, _Read(signature, hashlib.sha256(text).hexdigest(), text))
    return text


def _signature(path: Path) -> Signature:
    about = path.stat()
    return Signature(about.st_size, about.st_mtime_ns, about.st_ctime_ns, about.st_ino)


def _known(path: Path) -> _Read | None:
    """What was read of a file that has not changed since."""
    known = _read.get(path)
    return known if known is not None and known.signature == _signature(path) else None


def _remember(path: Path, found: _Read) -> None:
    if time.time_ns() - max(found.signature.changed_ns, found.signature.touched_ns) > SETTLED_NS:
        _read[path] = found


class _Source(SourceLoader):
    """Makes a module of bytes that were read already, so that what is hashed is what is executed."""

    def __init__(self, path: Path, source: bytes) -> None:
        self._path, self._bytes = path, source

    def get_filename(self, fullname: str) -> str:
        return str(self._path)

    def get_data(self, path: str) -> bytes:
        return self._bytes


def imported_by_path(module: str) -> bool:
    """Whether a module of this name was imported from a user's file by its path."""
    return module.rpartition(".")[2].startswith(USER_MODULE)


def import_file(path: Path) -> ModuleType:
    """The module that a user's file makes; one that is as it was is not executed again.

    A file of a package is imported as a part of it, so that it may say `from .layers import x`.

    Raises:
        ConfigError: there is no such file, or its name cannot be kept. What it raises itself passes.
    """
    if not path.is_file():
        raise ConfigError(f"{path}: there is no such file.")
    path = path.resolve()
    if any("\ud800" <= sign <= "\udfff" for sign in str(path)):
        raise ConfigError(
            f"{path}: runs keep where your file is, so that must be UTF-8. Rename the folder, or move it."
        )
    if (known := _known(path)) is not None and known.module is not None:
        return known.module
    signature, text = _signature(path), source(path)
    name = f"{USER_MODULE}{path.stem}_{hashlib.sha256(str(path).encode() + text).hexdigest()[:12]}"
    package = package_of(path)
    full = f"{package}.{name}" if package else name
    module = sys.modules.get(full) or _execute(full, path, text)
    _remember(path, _Read(signature, hashlib.sha256(text).hexdigest(), text, module))
    return module


def _execute(name: str, path: Path, text: bytes) -> ModuleType:
    loader = _Source(path, text)
    spec = importlib.util.spec_from_file_location(name, path, loader=loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    for folder in roots(path):  # a user's file may import its neighbours, now or inside its functions
        importable(folder)
    try:
        loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def importable(folder: Path) -> None:
    """Let Python look for modules in a folder too, last, so that none of them hides an installed package."""
    if str(folder) not in sys.path:
        sys.path.append(str(folder))


def package_of(path: Path) -> str:
    """`mypkg.parts` of `…/mypkg/parts/net.py`; empty where the file's folder is no package."""
    parts: list[str] = []
    folder = path.parent
    while (folder / "__init__.py").is_file() and folder.name:
        parts.insert(0, folder.name)
        folder = folder.parent
    return ".".join(parts)


def roots(path: Path) -> list[Path]:
    """The folders in which a user's file finds what it imports: its own, and the one that its package lies in."""
    package = package_of(path)
    return [path.parent, *([path.parents[package.count(".") + 1]] if package else [])]


def hidden(path: Path, module: str) -> tuple[Path, Path] | None:
    """The file beside a user's file that it means by a name that it imports, and the one that Python takes instead.

    None where Python takes the same one, as it does unless something of that name is installed or was imported before.
    """
    first, folder = module.partition(".")[0], roots(path)[-1]
    there = (folder / first / "__init__.py", folder / f"{first}.py")
    mine = next((file for file in there if first and file.is_file() and not file.samefile(path)), None)
    taken = _origin(first) if mine is not None else None
    return None if mine is None or taken is None or mine.samefile(taken) else (mine, taken)


def starts_a_program(module: str, name: str) -> bool:
    """Whether a function is one that an installed package is started by: its `main`, or what a command of it calls.

    Nothing is executed.
    """
    package = module.partition(".")[0]
    origin = _origin(package)
    if origin is None or (is_users(origin.resolve()) and package != __name__.partition(".")[0]):
        return False
    commands = [command.value for group in ("console_scripts", "gui_scripts") for command in entry_points(group=group)]
    return name == "main" or any(
        place.partition(".")[0] == package and function.split() == [name]
        for place, _, function in (command.partition("[")[0].partition(":") for command in commands)
    )


def _origin(module: str) -> Path | None:
    """The file of a top-level module, as Python has or would import it; nothing is executed."""
    has = sys.modules.get(module)
    spec = spec_of(module) if has is None else getattr(has, "__spec__", None)
    return Path(spec.origin) if spec is not None and spec.origin and spec.has_location else None


def spec_of(module: str) -> ModuleSpec | None:
    """How Python would import a top-level module that it has not; nothing is executed.

    The finder of setuptools is not asked: where somebody looks for pip it takes that for pip's own process, gives it
    Python's distutils instead of its own, and nothing can be compiled any more.
    """
    finders = [finder for finder in sys.meta_path if module and type(finder).__module__ != "_distutils_hack"]
    return next((spec for finder in finders if (spec := finder.find_spec(module, None)) is not None), None)


def is_users(path: Path) -> bool:
    """Whether a file is the user's: neither Python's own, nor installed, here or for another Python whose packages
    are on the path as well (editable installs are the user's)."""
    return LIBRARIES.isdisjoint(path.parts) and not os.path.normcase(f"{path}{os.sep}").startswith(_installed())


@cache
def _installed() -> tuple[str, ...]:
    """The folders of Python's own modules and of what is installed, each with its end."""
    kinds = ("stdlib", "platstdlib", "purelib", "platlib")
    folders = {*(sysconfig.get_path(kind) for kind in kinds), *site.getsitepackages(), site.getusersitepackages()}
    return tuple(os.path.normcase(f"{Path(folder).resolve()}{os.sep}") for folder in folders)


def failure(error: BaseException) -> str:
    """`KeyError: 'x' (net.py, line 12)`: what code of the user's raised, in a line, and where; in the user's own files
    if it passed through any."""
    message = " ".join(str(error).split())
    places = [(frame.f_code.co_filename, line) for frame, line in traceback.walk_tb(error.__traceback__)]
    if isinstance(error, SyntaxError) and error.filename:
        message, places = error.msg, [*places, (error.filename, error.lineno or 0)]
    ours = Path(__file__).parent
    places = [(file, line) for file, line in places if file[:1] != "<" and not Path(file).is_relative_to(ours)]
    places = [(file, line) for file, line in places if is_users(Path(file).resolve())] or places
    what = type(error).__name__ + (f": {message[:LONGEST]}{'…' * (len(message) > LONGEST)}" if message else "")
    if not places:
        return what
    file, line = places[-1]
    here = Path.cwd()
    return f"{what} ({Path(file).relative_to(here) if Path(file).is_relative_to(here) else file}, line {line})"
