"""Registries: names to entries, each registered in its own file, extended by a user's file without an edit here.

Where a name stands, `path.py:function` or `package.module:function` works too, and from Python the function
itself. Whoever calls such a function hands it, by name, those of the offered arguments that it asks for
(`call`), so a user's function names only what it needs.
"""

from __future__ import annotations

import difflib
import hashlib
import importlib
import importlib.util
import inspect
import pkgutil
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from importlib.abc import SourceLoader
from pathlib import Path
from types import ModuleType
from typing import Any, Generic, NamedTuple, TypeVar

from prunebench.errors import ConfigError, PrunebenchError, UnknownName

Entry = TypeVar("Entry")

USER_MODULE = "_prunebench_user_"
"""Beginning of the names of modules that are imported from a user's file."""


class Registry(Generic[Entry]):
    """Names → entries of one kind.

    Args:
        kind: the singular noun for messages, such as "model".
        package: the package whose modules register the entries; they are imported at the first look-up.
        wrap: makes an entry of a user's function or object, given its reference; None: users choose by name only.
    """

    def __init__(self, kind: str, package: str, wrap: Callable[[str, Any], Entry] | None) -> None:
        self.kind = kind
        self._package = package
        self._wrap = wrap
        self._entries: dict[str, Entry] = {}
        self._complete = False

    def add(self, name: str, entry: Entry) -> None:
        """Register an entry; a name is taken once."""
        if name in self._entries:
            raise ValueError(f"{self.kind} {name!r} is registered twice")
        self._entries[name] = entry

    def names(self) -> list[str]:
        """Every registered name, sorted."""
        if not self._complete:
            package = importlib.import_module(self._package)
            for module in pkgutil.iter_modules(package.__path__):
                importlib.import_module(f"{self._package}.{module.name}")
            self._complete = True
        return sorted(self._entries)

    def known(self, name: object) -> Entry | None:
        """The entry of a registered name; None where there is no such name."""
        return self._entries[name] if isinstance(name, str) and name in self.names() else None

    def get(self, name: Any) -> Entry:
        """The entry of a name, of a reference `path.py:function`, or of a function or object itself.

        Raises:
            UnknownName: nothing is registered under that name.
            ConfigError: the reference cannot be imported.
        """
        if self._wrap and not isinstance(name, (str, int, float, tuple, list, dict)):  # what TOML holds
            return self._wrap(reference(name), name)
        if name in self.names():
            return self._entries[name]
        if self._wrap and isinstance(name, str) and ":" in name:
            return self._wrap(name, import_reference(name))
        near = difflib.get_close_matches(str(name), self.names(), n=1, cutoff=0.5)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        own = "; or give your own as path.py:function" if self._wrap else ""
        raise UnknownName(f"There is no {self.kind} {name!r}.{hint} There are: {', '.join(self.names())}{own}.")


def import_reference(text: str) -> Callable[..., Any]:
    """Import the function that `path.py:function` or `package.module:function` names.

    Raises:
        ConfigError: there is no such file, module or function, or importing it fails.
    """
    place, _, name = text.rpartition(":")
    if place.partition(".")[0] in sys.stdlib_module_names:  # a hostile file could name os:system
        raise ConfigError(f"{text}: {place} is a module of Python itself; give a function of your own.")
    try:
        module = _import_file(Path(place)) if place.endswith(".py") else importlib.import_module(place)
    except ConfigError:
        raise
    except Exception as error:
        raise ConfigError(f"{text}: importing it failed: {type(error).__name__}: {error}") from error
    found = vars(module).get(name)
    if not callable(found):
        own = [(key, value) for key, value in vars(module).items() if inspect.isfunction(value)]
        names = [key for key, value in own if value.__module__ == module.__name__ and not key.startswith("_")]
        raise ConfigError(f"{text}: {place} has no function {name!r}; it has: {', '.join(names) or 'none'}.")
    function: Callable[..., Any] = found
    return function


class Signature(NamedTuple):
    """By what a file is known to be as it was: while none of this changes, it is not read again."""

    size: int
    changed_ns: int
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
    signature, found = _signature(path), _sha256(path)
    _remember(path, _Read(signature, found))
    return found


def source(path: Path) -> bytes:
    """The text of a user's source file; one that is as it was is not read again."""
    path = path.resolve()
    if (known := _known(path)) is not None and known.source:
        return known.source
    signature, text = _signature(path), path.read_bytes()
    _remember(path, _Read(signature, hashlib.sha256(text).hexdigest(), text))
    return text


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _signature(path: Path) -> Signature:
    about = path.stat()
    return Signature(about.st_size, about.st_mtime_ns, about.st_ino)


def _known(path: Path) -> _Read | None:
    """What was read of a file that has not changed since."""
    known = _read.get(path)
    return known if known is not None and known.signature == _signature(path) else None


def _remember(path: Path, found: _Read) -> None:
    if time.time_ns() - found.signature.changed_ns > SETTLED_NS:
        _read[path] = found


class _Source(SourceLoader):
    """Makes a module of bytes that were read already, so that what is hashed is what is executed."""

    def __init__(self, path: Path, source: bytes) -> None:
        self._path, self._bytes = path, source

    def get_filename(self, fullname: str) -> str:
        return str(self._path)

    def get_data(self, path: str) -> bytes:
        return self._bytes


def _import_file(path: Path) -> ModuleType:
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
    module = sys.modules.get(name) or _execute(name, path, text)
    _remember(path, _Read(signature, hashlib.sha256(text).hexdigest(), text, module))
    return module


def _execute(name: str, path: Path, text: bytes) -> ModuleType:
    loader = _Source(path, text)
    spec = importlib.util.spec_from_file_location(name, path, loader=loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    if str(path.parent) not in sys.path:
        sys.path.append(str(path.parent))  # a user's file may import its neighbours, now or inside its functions
    try:
        loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def reference(thing: Any) -> str:
    """How a function, or a name, is written in a run: `path.py:function` where it can be imported again.

    A lambda, a nested function or a callable object is written as `<name>`: its runs are kept, but only a
    program that holds the object can continue them.
    """
    if isinstance(thing, str):
        place, _, name = thing.rpartition(":")
        return f"{Path(place).resolve()}:{name}" if place.endswith(".py") else thing
    name = getattr(thing, "__qualname__", type(thing).__qualname__)
    module = sys.modules.get(getattr(thing, "__module__", ""))
    if getattr(module, name, None) is not thing:
        return f"<{name}>"
    source = getattr(module, "__file__", None)
    return f"{Path(source).resolve()}:{name}" if source else f"{thing.__module__}:{name}"


def check_installed(packages: Sequence[str], option: str, extra: str) -> None:
    """Raise ConfigError unless these packages are there, which an option needs and an extra of prunebench installs."""
    missing = [name for name in packages if importlib.util.find_spec(name) is None]
    if missing:
        raise ConfigError(
            f"{' and '.join(missing)} is not installed, which {option} needs: install it with: "
            f"pip install 'prunebench[{extra}]'"
        )


def without_folder(value: Any) -> Any:
    """Of a path only its name decides a result: `/some/where/net.py:build` → `net.py:build`."""
    return Path(value).name if isinstance(value, str) and (".py:" in value or Path(value).exists()) else value


def content(thing: Any, digest_of: Callable[[Path, str], str] = lambda path, name: digest(path)) -> str | None:
    """SHA-256 of what a reference or object stands for; None for a registered name.

    Of a function that is the file that it is written in, by `digest_of`, which takes the file and the name that it was
    imported by, if by one; of a model its weights and its text; of anything else (a Dataset) what its method `digest`
    says.

    Raises:
        ConfigError: the object is neither.
    """
    if isinstance(thing, str) and ":" not in thing:
        return None
    function = import_reference(thing) if isinstance(thing, str) else thing
    if inspect.isroutine(function) or inspect.isclass(function):
        place, name = inspect.getsourcefile(function), str(function.__module__)
        by_name = name in sys.modules and not name.startswith(USER_MODULE) and name != "__main__"
        return digest_of(Path(place), name if by_name else "") if place else None
    if hasattr(function, "state_dict"):
        total = hashlib.sha256(repr(function).encode())
        for name, tensor in function.state_dict().items():
            total.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
            total.update(tensor.detach().cpu().float().numpy().tobytes())
        return total.hexdigest()
    if hasattr(function, "digest"):
        return str(function.digest())
    raise ConfigError(f"{reference(thing)} is neither a function nor a model nor a Dataset; give a function.")


def call(function: Callable[..., Any], offered: Mapping[str, Any]) -> Any:
    """Call `function` with those of the `offered` arguments that its signature names.

    Raises:
        ConfigError: it needs an argument that is not offered, or it is a function of the user's file and fails.
    """
    parameters = list(inspect.signature(function).parameters.values())
    takes_all = any(p.kind is p.VAR_KEYWORD for p in parameters)
    named = [p for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    for parameter in named:
        if parameter.name not in offered and parameter.default is parameter.empty:
            raise ConfigError(
                f"{reference(function)} asks for an argument {parameter.name!r}; it can have: {', '.join(offered)}."
            )
    wanted = offered if takes_all else {p.name: offered[p.name] for p in named if p.name in offered}
    try:
        return function(**wanted)
    except PrunebenchError:
        raise
    except Exception as error:
        if not str(getattr(function, "__module__", "")).startswith(USER_MODULE):
            raise
        raise ConfigError(
            f"{reference(function)} failed: {type(error).__name__}: {error}. --debug shows where."
        ) from error
