"""A callable of the API as code that travels: a function of a notebook, of a script, of a module, or any other object.

What is in a file of its own travels as that file, so that it is read the same way as from a study file. All else is
pickled by value, with what it refers to in the script or notebook.
"""

from __future__ import annotations

import hashlib
import inspect
import linecache
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from trainables.code.calls import call_of_object
from trainables.code.files import hash_of_files
from trainables.code.objects import filenames_of, pickled, texts_of
from trainables.code.tracebacks import in_one_line, is_own
from trainables.functions.code import Code, read_code
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
    home = call_of_object(function)
    if home is not None and function.__module__ != "__main__" and is_own(str(home.file)):  # a script is not run again
        return replace(read_code(str(home), base=home.file.parent), call=f"{function.__module__}.{name}")
    root = _script_folder()
    modules = dict(_own_modules(root))
    by_value = [module for module in {type(function).__module__, function.__module__} if _is_in_no_folder(module, root)]
    try:
        content = pickled(function, by_value=by_value)
    except Exception as error:  # noqa: BLE001 - whatever it refers to has its own way of refusing
        raise FunctionError(
            f"{name} cannot travel to the workers: {in_one_line(error)}; make what it needs inside the function"
        ) from None
    files = {name: path.read_bytes() for name, path in modules.items()}
    text = hashlib.sha256("\0".join([hash_of_files(files), *texts_of(function)]).encode()).hexdigest()[:16]
    sources = {path: "".join(linecache.getlines(path)) for path in filenames_of(function)}
    return Code(call=name, hash=text, root=str(root), files=files, pickled=content, sources=sources)


def _name(function: Callable[..., Any]) -> str:
    inner = inspect.unwrap(getattr(function, "func", function))  # of a partial
    return str(getattr(inner, "__qualname__", type(inner).__qualname__)).replace("<locals>.", "")


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
