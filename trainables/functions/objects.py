"""A callable of the API as code that travels: a function of a notebook, of a script, of a module, or any other object.

What is in a file of its own travels as that file, so that it is read the same way as from a study file. All else is
pickled by value, with what it refers to in the script or notebook.
"""

from __future__ import annotations

import builtins
import hashlib
import inspect
import io
import linecache
import sys
import types
from collections import ChainMap
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import cloudpickle

from trainables.code.tracebacks import in_one_line, is_own
from trainables.functions.code import Code, hash_of_files, read_code
from trainables.functions.errors import FunctionError


def code_of(function: Callable[..., Any]) -> Code:
    """The code of a callable, whose hash is that of its text, and so the same in another session.

    Raises:
        FunctionError: it is none, or it cannot travel.
    """
    if not callable(function):
        raise FunctionError(
            f"what trains must be a function of one argument, the trial, given {type(function).__name__} "
            f"({str(function)[:80]!r})"
        )
    name = _name(function)
    if (file := _own_file(function)) is not None:
        return replace(read_code(f"{file.name}:{name}", base=file.parent), call=f"{function.__module__}.{name}")
    root = _script_folder()
    modules = dict(_own_modules(root))
    by_value = [module for module in {type(function).__module__, function.__module__} if _is_in_no_folder(module, root)]
    try:
        pickled = _pickled(function, by_value)
    except Exception as error:  # noqa: BLE001 - whatever it refers to has its own way of refusing
        raise FunctionError(
            f"{name} cannot travel to the workers: {in_one_line(error)}; make what it needs inside the function"
        ) from None
    files = {name: path.read_bytes() for name, path in modules.items()}
    text = hashlib.sha256("\0".join([hash_of_files(files), *_texts(function)]).encode()).hexdigest()[:16]
    sources = {path: "".join(linecache.getlines(path)) for path in _filenames(function)}
    return Code(call=name, hash=text, root=str(root), files=files, pickled=pickled, sources=sources)


def _name(function: Callable[..., Any]) -> str:
    inner = inspect.unwrap(getattr(function, "func", function))  # of a partial
    return str(getattr(inner, "__qualname__", type(inner).__qualname__)).replace("<locals>.", "")


def _own_file(function: Callable[..., Any]) -> Path | None:
    """The file of a function that its module, of the user's and not the script itself, has under its name."""
    module = sys.modules.get(getattr(function, "__module__", None) or "")
    if module is None or module.__name__ == "__main__" or not isinstance(function, types.FunctionType | type):
        return None
    there: object = module
    for part in function.__qualname__.split("."):
        there = getattr(there, part, None)
    file = getattr(module, "__file__", None)
    return Path(file) if there is function and file and file.endswith(".py") and is_own(file) else None


def _script_folder() -> Path:
    file = getattr(sys.modules.get("__main__"), "__file__", None)
    return Path(file).resolve().parent if file and is_own(file) else Path.cwd()


def _own_modules(root: Path) -> Iterator[tuple[str, Path]]:
    """What the script has imported of the modules below its folder."""
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if name != "__main__" and file and file.endswith(".py") and is_own(file):
            path = Path(file).resolve()
            if path.is_relative_to(root) and path.is_file():
                yield path.relative_to(root).as_posix(), path


def _is_in_no_folder(name: str | None, root: Path) -> bool:
    """Whether a module of the user's is not below the script's folder, so that it has to travel with the object."""
    file = getattr(sys.modules.get(name or ""), "__file__", None)
    return bool(name != "__main__" and file and is_own(file) and not Path(file).resolve().is_relative_to(root))


def _pickled(function: Callable[..., Any], by_value: list[str]) -> bytes:
    for name in by_value:
        cloudpickle.register_pickle_by_value(sys.modules[name])
    content = io.BytesIO()
    try:
        _Pickler(content).dump(function)
        return content.getvalue()
    finally:
        for name in by_value:
            cloudpickle.unregister_pickle_by_value(sys.modules[name])


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


def _texts(function: object) -> list[str]:
    """The source of all that belongs to a function or, where there is none to be had, what it was compiled to."""
    texts = set()
    for one, code in _code_objects(function):
        if not isinstance(one, types.FunctionType | types.MethodType | type):
            continue
        try:
            texts.add(inspect.getsource(one))
        except (OSError, TypeError):
            if code is not None:
                texts |= {inner.co_code.hex() + repr(inner.co_names) for inner in _nested(code)}
    return sorted(texts)


def _filenames(function: object) -> list[str]:
    return sorted({code.co_filename for _, code in _code_objects(function) if code is not None})
