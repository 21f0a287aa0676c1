"""Own code: what a loss or a transform of the user's is known by, so that another one makes another run."""

from __future__ import annotations

import dis
import functools
import hashlib
import inspect
from collections.abc import Iterator, Mapping
from types import CodeType
from typing import Any

import numpy as np

from prunebench.errors import ConfigError, DataError
from prunebench.registry import reference, source_of, without_folder
from prunebench.runs.user_files import digest_with_imports
from prunebench.user_code import is_users

DEEPEST = 50
"""Objects inside objects that are looked at."""

OF_EVERY_CLASS = (
    *("__module__", "__qualname__", "__doc__", "__dict__", "__weakref__", "__annotations__", "__annotate__"),
    *("__static_attributes__", "__firstlineno__"),
)
"""What a class has that does nothing, or is told by its name."""


def called(function: Any) -> str:
    """What a function of the user's is called in what is told: `mine.py:focal`."""
    return str(without_folder(reference(function)))


def digest_of(function: Any) -> str:
    """SHA-256 of a function: its code, the files of the user's that this imports, what it has closed over, and the
    values that it is bound to; of a notebook, in the place of files, what its names stand for. Of a callable object its
    class and its values. Of what is installed the name alone,
    since runs record its version.

    Raises:
        DataError: it holds something of which no value can be told.
    """
    total = hashlib.sha256()
    for part in _parts(function, ()):
        total.update(part + b"\n")
    return total.hexdigest()


def _parts(thing: Any, above: tuple[int, ...]) -> Iterator[bytes]:
    """What decides what a thing does, in an order that is the same in every process."""
    if id(thing) in above:
        yield f"again {above[::-1].index(id(thing))}".encode()
        return
    if len(above) > DEEPEST:
        raise DataError(f"{type(thing).__name__} lies too deep in a loss or a transform to be told from another.")
    inside = (*above, id(thing))
    if thing is None or isinstance(thing, bool | int | float | complex | str | bytes | range | slice):
        yield repr(thing).encode()
    elif isinstance(thing, list | tuple | set | frozenset | Mapping):
        yield type(thing).__name__.encode()
        for each in _members(thing):
            yield from _parts(each, inside)
    elif hasattr(thing, "dtype") and hasattr(thing, "shape"):
        array = np.asarray(thing.detach().cpu() if hasattr(thing, "detach") else thing)
        yield f"{array.dtype} {array.shape}".encode() + np.ascontiguousarray(array).tobytes()
    elif inspect.ismodule(thing):
        yield thing.__name__.encode()
    elif isinstance(thing, functools.partial):
        yield from _parts(["partial", thing.func, thing.args, thing.keywords], inside)
    elif isinstance(thing, property):
        yield from _parts(["property", thing.fget, thing.fset], inside)
    elif inspect.ismethod(thing):
        yield from _parts([thing.__func__, thing.__self__], inside)
    elif inspect.isroutine(thing) or inspect.isclass(thing):
        yield from _of_function(thing, inside)
    else:
        yield from _of_object(thing, inside)


def _members(thing: Any) -> list[Any]:
    if isinstance(thing, Mapping):
        return sorted(map(list, thing.items()), key=lambda item: str(item[0]))
    return sorted(thing, key=str) if isinstance(thing, set | frozenset) else list(thing)


def _of_function(thing: Any, inside: tuple[int, ...]) -> Iterator[bytes]:
    """A function or a class: its name; of the user's also the files that it is made of, and what it closes over."""
    yield f"{getattr(thing, '__qualname__', type(thing).__qualname__)}".encode()
    function = inspect.unwrap(thing)
    try:
        place = source_of(thing)
    except ConfigError:  # it is built in
        place = None
    code = getattr(function, "__code__", None)
    if place is not None and place[0].is_file():
        if not is_users(place[0].resolve()):
            yield str(thing.__module__).encode()
            return
        yield digest_with_imports(*place).encode()
    elif code is not None:  # it is of a notebook
        yield from _of_code(code)
        for name in sorted(_globals(code) & function.__globals__.keys()):
            yield from _parts([name, function.__globals__[name]], inside)
    elif inspect.isclass(thing) and thing.__module__ == "__main__":
        told = {name: value for name, value in vars(thing).items() if name not in OF_EVERY_CLASS}
        yield from _parts([thing.__bases__, told], inside)
    for cell in getattr(function, "__closure__", None) or ():
        yield from _parts(cell.cell_contents, inside)
    yield from _parts([getattr(function, "__defaults__", None), getattr(function, "__kwdefaults__", None)], inside)


def _globals(code: CodeType) -> set[str]:
    """Names that compiled code looks up where it was defined, those of functions inside it too."""
    found = {str(each.argval) for each in dis.get_instructions(code) if each.opname in ("LOAD_GLOBAL", "LOAD_NAME")}
    return found.union(*(_globals(constant) for constant in code.co_consts if isinstance(constant, CodeType)))


def _of_code(code: CodeType) -> Iterator[bytes]:
    """What compiled code does, wherever it was written."""
    yield code.co_code
    yield repr(code.co_names).encode()
    for constant in code.co_consts:
        yield from _of_code(constant) if isinstance(constant, CodeType) else [repr(constant).encode()]


def _of_object(thing: Any, inside: tuple[int, ...]) -> Iterator[bytes]:
    """An object: its class, and the values of its attributes; of a plain value of a library its text."""
    yield from _of_function(type(thing), inside)
    if hasattr(thing, "__dict__"):
        yield from _parts(vars(thing), inside)
    elif " at 0x" not in (text := repr(thing)):
        yield text.encode()
    else:
        raise DataError(
            f"{type(thing).__name__}, which a loss or a transform holds, has no value that tells it from another: hold "
            f"numbers, texts, tensors, or functions of a file."
        )
