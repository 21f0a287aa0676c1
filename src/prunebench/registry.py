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
import os
import pkgutil
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import date, time
from functools import partial
from pathlib import Path
from types import MappingProxyType, ModuleType, NoneType
from typing import Any, Generic, Protocol, TypeVar

from prunebench.errors import ConfigError, PrunebenchError, UnknownName
from prunebench.user_code import digest, failure, hidden, import_file, importable, imported_by_path, starts_a_program

Entry = TypeVar("Entry")
Entry_co = TypeVar("Entry_co", covariant=True)

PLAIN = (str, int, float, bool, NoneType)
"""Values that are told by their text."""

LIBRARIES = {
    "model": {
        "torchvision": "every classification model of torchvision",
        "timm": "every model of timm, with or without the tag of its weights (pip install 'prunebench[timm]')",
        "hf": "a name of Hugging Face, or a local folder that transformers reads",
    }
}
"""Kinds of entries that libraries have by their own names, such as `torchvision:resnet34`, which is no function; and
what can be named there."""

FOLDERS = "hf:"
"""How names begin of which the rest may be a folder."""


def is_code(kind: str, name: str) -> bool:
    """Whether a name is a reference to a function, which is imported, and not that of an entry or of a library's."""
    prefix, colon, _ = name.partition(":")
    return bool(colon) and prefix not in LIBRARIES.get(kind, {})


class Library(Protocol[Entry_co]):
    """What a library has by name. Nothing is imported before an entry is asked what only the library knows."""

    def find(self, name: str) -> Entry_co:
        """The entry of one of its names, which need not be one: it is looked up when the entry is used.

        Raises:
            ConfigError: no library has such a name.
        """

    def search(self, pattern: str) -> list[str]:
        """Those of its names that fit a glob, sorted.

        Raises:
            ConfigError: the library is not installed.
        """


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
        self._aliases: dict[str, str] = {}
        self._libraries: dict[str, Library[Entry]] = {}
        self._complete = False

    def add(self, name: str, entry: Entry, aliases: Sequence[str] = ()) -> None:
        """Register an entry, and other names that it goes by; a name is taken once."""
        for each in (name, *aliases):
            if each in self._entries or each in self._aliases:
                raise ValueError(f"{self.kind} {each!r} is registered twice")
        self._entries[name] = entry
        self._aliases |= dict.fromkeys(aliases, name)

    def named(self, name: Any) -> Any:
        """The registered name of an alias, under which runs are kept; anything else as it is."""
        self._complete_entries()
        return self._aliases.get(name, name) if isinstance(name, str) else name

    def aliases(self) -> dict[str, str]:
        """Every alias, sorted, and the name of its entry."""
        self._complete_entries()
        return dict(sorted(self._aliases.items()))

    def add_library(self, name: str, library: Library[Entry]) -> None:
        """Register a library, whose entries are named `name:ENTRY`."""
        if name not in LIBRARIES.get(self.kind, {}):
            raise ValueError(f"{name!r} is not among the libraries of {self.kind}s")
        self._libraries[name] = library

    def names(self) -> list[str]:
        """Every registered name, sorted."""
        self._complete_entries()
        return sorted(self._entries)

    def libraries(self) -> dict[str, Library[Entry]]:
        """Every library by its name, sorted."""
        self._complete_entries()
        return dict(sorted(self._libraries.items()))

    def _complete_entries(self) -> None:
        if not self._complete:
            package = importlib.import_module(self._package)
            for module in pkgutil.iter_modules(package.__path__):
                importlib.import_module(f"{self._package}.{module.name}")
            self._complete = True

    def known(self, name: object) -> Entry | None:
        """The entry of a registered name, or of a library's; None where there is no such name."""
        if not isinstance(name, str):
            return None
        if (registered := self.named(name)) in self._entries:
            return self._entries[registered]
        library, colon, own = name.partition(":")
        return self._libraries[library].find(own) if colon and library in self._libraries else None

    def get(self, name: Any) -> Entry:
        """The entry of a name, of a reference `path.py:function`, or of a function or object itself.

        Raises:
            UnknownName: nothing is registered under that name.
            ConfigError: the reference cannot be imported.
        """
        if self._wrap and not isinstance(name, (str, int, float, tuple, list, dict, date, time)):  # what TOML holds
            return self._wrap(reference(name), name)
        if (entry := self.known(name)) is not None:
            return entry
        if self._wrap and isinstance(name, str) and ":" in name:
            return self._wrap(name, self._imported(name))
        near = difflib.get_close_matches(str(name), self.names(), n=1, cutoff=0.5)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        hint = f" Give the function in that file as well: {name}:FUNCTION." if str(name).endswith(".py") else hint
        own = "; or give your own as path.py:function" if self._wrap else ""
        there = ", ".join([*self.names(), *(f"{library}:NAME" for library in self.libraries())])
        raise UnknownName(f"There is no {self.kind} {name!r}.{hint} There are: {there}{own}.")

    def _imported(self, name: str) -> Callable[..., Any]:
        """What a reference names; where there is no such module, and it is nearly a library, that is asked after."""
        try:
            return import_reference(name)
        except ConfigError as error:
            prefix, _, own = name.partition(":")
            near = difflib.get_close_matches(prefix, self._libraries, n=1, cutoff=0.7)
            cause = error.__cause__
            if near and isinstance(cause, ModuleNotFoundError) and cause.name == prefix:
                raise UnknownName(f"There is no {self.kind} {name!r}. Did you mean {near[0]}:{own}?") from None
            raise


def import_reference(text: str) -> Callable[..., Any]:
    """Import the function that `path.py:function` or `package.module:function` names.

    Modules are looked for in the current folder too, after all that is installed.

    Raises:
        ConfigError: there is no such file, module or function, or importing it fails.
    """
    place, _, name = text.rpartition(":")
    is_file = place.endswith(".py")
    if not is_file and place.partition(".")[0] in sys.stdlib_module_names:  # a hostile file could name os:system
        mine = f"{place}.py:{name} for your file" if Path(f"{place}.py").is_file() else "a function of your own"
        raise ConfigError(f"{text}: {place} is a module of Python itself; give {mine}.")
    if not is_file:
        importable(Path.cwd())
        if starts_a_program(place, name):
            raise ConfigError(f"{text}: that is a program, which would begin to work; give a function of your own.")
    try:
        module = import_file(Path(place)) if is_file else importlib.import_module(place)
    except PrunebenchError:
        raise
    except (Exception, SystemExit) as error:
        why = ""
        if is_file and isinstance(error, ImportError) and (both := hidden(Path(place).resolve(), error.name or "")):
            why = f" {both[0]} is hidden by {both[1]}: rename it."
        raise ConfigError(f"{text}: importing it failed: {failure(error)}.{why}") from error
    found = vars(module).get(name)
    if not callable(found):
        own = [key for key, value in vars(module).items() if callable(value) and _made_in(module, value)]
        names = ", ".join(key for key in own if not key.startswith("_"))
        raise ConfigError(f"{text}: {place} has no function {name!r}; it has: {names or 'none'}.")
    function: Callable[..., Any] = found
    return function


def _made_in(module: ModuleType, value: object) -> bool:
    """Whether a value is the module's own, and not one that it imports."""
    return getattr(value, "__module__", None) == module.__name__ or isinstance(value, partial)


def reference(thing: Any) -> str:
    """How a function, or a name, is written in a run: `path.py:function` where it can be imported again.

    A lambda, a nested function or a callable object is written as `<name>`, a `functools.partial` as `<name(width=8)>`:
    its runs are kept, but only a program that holds the object can continue them.
    """
    if isinstance(thing, str) and thing.startswith(FOLDERS):
        folder = thing.removeprefix(FOLDERS)
        return f"{FOLDERS}{Path(folder).resolve()}" if folder and os.path.isdir(folder) else thing  # noqa: PTH112 — as below
    if isinstance(thing, str):
        place, _, name = thing.rpartition(":")
        return f"{Path(place).resolve()}:{name}" if place.endswith(".py") else thing
    if isinstance(thing, partial):
        given = [*map(_told, thing.args), *(f"{name}={_told(thing.keywords[name])}" for name in sorted(thing.keywords))]
        return f"<{getattr(thing.func, '__qualname__', type(thing.func).__qualname__)}({', '.join(given)})>"
    name = getattr(thing, "__qualname__", type(thing).__qualname__)
    module = sys.modules.get(getattr(thing, "__module__", ""))
    if getattr(module, name, None) is not thing:
        return f"<{name}>"
    source = getattr(module, "__file__", None)
    return f"{Path(source).resolve()}:{name}" if source else f"{thing.__module__}:{name}"


def _told(value: object) -> str:
    """A value that a function is given, the same in every process."""
    return repr(value) if isinstance(value, PLAIN) else str(reference(value))


def check_installed(packages: Sequence[str], option: str, extra: str) -> None:
    """Raise ConfigError unless these packages are there, which an option needs and an extra of prunebench installs."""
    missing = [name for name in packages if importlib.util.find_spec(name) is None]
    if missing:
        raise ConfigError(
            f"{' and '.join(missing)} is not installed, which {option} needs: install it with: "
            f"pip install 'prunebench[{extra}]'"
        )


def without_folder(value: Any) -> Any:
    """Of a path only its name decides a result: `/there/net.py:build` → `net.py:build`, `hf:/there/vit` → `hf:vit`."""
    if isinstance(value, str) and value.startswith(FOLDERS) and Path(value.removeprefix(FOLDERS)).is_absolute():
        return f"{FOLDERS}{Path(value).name}"
    named = isinstance(value, str) and (".py:" in value or os.path.exists(value))  # noqa: PTH110 — any text may stand here
    return Path(value).name if named else value


def content(thing: Any, digest_of: Callable[[Path, str], str] = lambda path, name: digest(path)) -> str | None:
    """SHA-256 of what a reference or object stands for; None for a registered name.

    Of a function that is the file that it is written in, by `digest_of`, which takes the file and the name that it was
    imported by, if by one; of a model its weights and its text; of a `functools.partial` its function and what that is
    given; of another object that a reference names the file that it stands in; of anything else (a Dataset) what its
    method `digest` says.

    Raises:
        ConfigError: the object is none of these.
    """
    if isinstance(thing, str) and ":" not in thing:
        return None
    function = inspect.unwrap(import_reference(thing) if isinstance(thing, str) else thing)
    if not inspect.isroutine(function) and not inspect.isclass(function):
        if hasattr(function, "state_dict"):
            return _digest_of_model(function)
        if hasattr(function, "digest"):
            return str(function.digest())
        if isinstance(function, partial) and not isinstance(thing, str):
            parts = [function.func, *function.args, *(function.keywords[name] for name in sorted(function.keywords))]
            found = [content(part, digest_of) or "" for part in parts if not isinstance(part, PLAIN)]
            return hashlib.sha256("\n".join([str(reference(function)), *found]).encode()).hexdigest()
    written = _written_in(function, thing)
    return digest_of(*written) if written is not None else None


def _digest_of_model(model: Any) -> str:
    total = hashlib.sha256(repr(model).encode())
    for name, tensor in model.state_dict().items():
        total.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        total.update(tensor.detach().cpu().float().numpy().tobytes())
    return total.hexdigest()


def _written_in(function: Any, thing: Any) -> tuple[Path, str] | None:
    """The file that a function is written in (another object: that its reference names), and the name that it was
    imported by, if by one; None where there is no file.

    Raises:
        ConfigError: it is built in, or is nothing that is written in a file.
    """
    if inspect.isroutine(function) or inspect.isclass(function):
        try:
            place = inspect.getsourcefile(function)
        except TypeError:  # it is built in
            raise ConfigError(f"{reference(thing)} is not written in Python; give a function of your own.") from None
        except OSError:  # a class of a notebook
            return None
        name = str(function.__module__)
        by_name = name in sys.modules and not imported_by_path(name) and name != "__main__"
        return (Path(place), name if by_name else "") if place else None
    if not isinstance(thing, str):
        raise ConfigError(f"{reference(thing)} is neither a function nor a model nor a Dataset; give a function.")
    place = thing.rpartition(":")[0]
    return (Path(place), "") if place.endswith(".py") else (Path(str(sys.modules[place].__file__)), place)


def source_of(thing: Any) -> tuple[Path, str] | None:
    """The file that a function, or what a reference names, is written in, and the name that it was imported by, if by
    one; None of a registered name, and of what is in no file."""
    if isinstance(thing, str) and ":" not in thing:
        return None
    function = inspect.unwrap(import_reference(thing) if isinstance(thing, str) else thing)
    if isinstance(function, partial):
        return source_of(function.func)
    return _written_in(function, thing) if inspect.isroutine(function) or inspect.isclass(function) else None


def parameters(function: Callable[..., Any]) -> Mapping[str, inspect.Parameter]:
    """What a function asks for, in its order.

    Raises:
        ConfigError: it does not tell.
    """
    try:
        return inspect.signature(function).parameters
    except (TypeError, ValueError):
        raise ConfigError(
            f"{reference(function)} does not tell what it asks for; give a function of your own."
        ) from None


def call(
    function: Callable[..., Any], offered: Mapping[str, Any], given: Mapping[str, Any] = MappingProxyType({})
) -> Any:
    """Call a function with what it asks for by name.

    Args:
        function: what to call.
        offered: what it may have: it is handed what its signature names, unless a `functools.partial` has it already.
        given: what the user gives it, which goes before what is offered; `**kwargs` takes the rest of it.

    Raises:
        ConfigError: it needs an argument that it cannot have; or it fails, and is not prunebench's own.
    """
    several = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    asked = parameters(function)
    named = {name: parameter for name, parameter in asked.items() if parameter.kind not in several}
    bound = function.keywords if isinstance(function, partial) else {}
    mine = {**{name: value for name, value in offered.items() if name not in bound}, **given}
    in_order, by_name = [], {}
    for name, parameter in named.items():
        if name not in mine and parameter.default is parameter.empty:
            raise ConfigError(
                f"{reference(function)} asks for an argument {name!r}; it can have: {', '.join(offered)}."
            )
        if parameter.kind is parameter.POSITIONAL_ONLY:
            in_order.append(mine.get(name, parameter.default))
        elif name in mine:
            by_name[name] = mine[name]
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in asked.values()):
        by_name |= {name: value for name, value in given.items() if name not in named}
    try:
        return function(*in_order, **by_name)
    except PrunebenchError:
        raise
    except (Exception, SystemExit) as error:
        own = function.func if isinstance(function, partial) else function
        if str(getattr(own, "__module__", "")).partition(".")[0] == "prunebench":
            raise
        missed = error.args[0] if isinstance(error, KeyError) and error.args[0] in offered else None
        hint = f"**kwargs has only what you give: name {missed} as a parameter" if missed else "--debug shows more"
        raise ConfigError(f"{reference(function)} failed: {failure(error)}. {hint}.") from error
