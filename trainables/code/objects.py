"""Callables that have no file of their own, as those of a notebook: pickled by value, and known by their text."""

from __future__ import annotations

import builtins
import functools
import inspect
import io
import sys
import types
from collections import ChainMap
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, ClassVar

import cloudpickle

from trainables.code.tracebacks import is_own


def pickled(function: Callable[..., Any], *, by_value: Collection[str] = ()) -> bytes:
    """A callable as bytes, with what it refers to in the script or notebook; what modules have is referred to by name,
    but for the modules `by_value`.

    Raises:
        Exception: of any kind, as what it refers to has its own way of refusing.
    """
    for name in by_value:
        cloudpickle.register_pickle_by_value(sys.modules[name])
    content = io.BytesIO()
    try:
        _Pickler(content).dump(function)
        return content.getvalue()
    finally:
        for name in by_value:
            cloudpickle.unregister_pickle_by_value(sys.modules[name])


def texts_of(function: object) -> list[str]:
    """The source of all that belongs to a function or, where there is none to be had, what it was compiled to; and the
    plain values that it takes from around it: two partials of one function are two functions.
    """
    texts = set()
    for one, code in _code_objects(function):
        texts |= {f"{name} = {value!r}" for name, value in _surroundings(one) if _is_plain(value)}
        if not isinstance(one, types.FunctionType | types.MethodType | type):
            continue
        try:
            texts.add(inspect.getsource(one))
        except (OSError, TypeError):
            if code is not None:
                texts |= {inner.co_code.hex() + repr(inner.co_names) for inner in _nested(code)}
    return sorted(texts)


def filenames_of(function: object) -> list[str]:
    """The files that tracebacks name for a function and for all that it names, in order."""
    return sorted({code.co_filename for _, code in _code_objects(function) if code is not None})


def _code_with_filename(code: types.CodeType) -> tuple[Any, ...]:
    """As cloudpickle takes it apart, but for the file's name, in whose place it puts one that means none."""
    kind, parts = cloudpickle.Pickler.dispatch_table[types.CodeType](code)
    return kind, tuple(code.co_filename if part == "<dynamic-code>" else part for part in parts)


class _Pickler(cloudpickle.Pickler):  # type: ignore[misc]
    """A pickler that lets tracebacks say where they lead."""

    dispatch_table: ClassVar = ChainMap({types.CodeType: _code_with_filename}, cloudpickle.Pickler.dispatch_table)


def _code_objects(function: object) -> Iterator[tuple[object, types.CodeType | None]]:
    """A function or object and all functions and classes that it names, of the same module."""
    seen: set[int] = set()
    waiting: list[object] = [function]
    while waiting:
        one = waiting.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        code = getattr(one, "__code__", None)
        yield one, code if isinstance(code, types.CodeType) else None
        if isinstance(one, types.FunctionType):
            names = {name for inner in _nested(one.__code__) for name in inner.co_names}
            named = [one.__globals__[name] for name in sorted(names) if name in one.__globals__]
            named += [cell.cell_contents for cell in one.__closure__ or () if _is_full(cell)]
        elif isinstance(one, type):
            named = [*vars(one).values(), *one.__bases__]
        else:
            named = [getattr(one, "func", None), getattr(one, "__func__", None), type(one)]
        waiting += [
            other for other in named
            if isinstance(other, types.FunctionType | type) and getattr(other, "__module__", "") != builtins.__name__
            and _is_users(other)
        ]  # fmt: skip


def _is_users(one: types.FunctionType | type) -> bool:
    module = sys.modules.get(one.__module__)
    file = getattr(module, "__file__", None)
    return one.__module__ == "__main__" or bool(file and is_own(file))


def _is_full(cell: types.CellType) -> bool:
    try:
        _ = cell.cell_contents
    except ValueError:
        return False
    return True


def _nested(code: types.CodeType) -> Iterator[types.CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _nested(constant)


def _surroundings(one: object) -> Iterator[tuple[str, object]]:
    """What is no part of the text of a function, partial, method or object, but decides what it does, by name."""
    if isinstance(one, types.FunctionType):
        named = {name for inner in _nested(one.__code__) for name in inner.co_names}
        yield from ((name, value) for name, value in one.__globals__.items() if name in named)
        cells = zip(one.__code__.co_freevars, one.__closure__ or (), strict=True)
        yield from ((name, cell.cell_contents) for name, cell in cells if _is_full(cell))
        yield f"{one.__qualname__} defaults", [*(one.__defaults__ or ()), *(one.__kwdefaults__ or {}).values()]
    elif isinstance(one, functools.partial):
        yield "args", list(one.args)
        yield from one.keywords.items()
    elif not isinstance(one, type):
        yield from vars(getattr(one, "__self__", one)).items() if hasattr(one, "__dict__") else ()


def _is_plain(value: object) -> bool:
    """Whether the text of a value says all of it, and the same in another session."""
    if isinstance(value, Mapping):
        return type(value) is dict and all(_is_plain(key) and _is_plain(one) for key, one in value.items())
    if isinstance(value, list | tuple):
        return type(value) in (list, tuple) and all(map(_is_plain, value))
    return value is None or type(value) in (bool, int, float, str, bytes)
