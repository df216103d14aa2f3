"""A user's code as a function that can be called, on the driver, to see whether it can, and on every worker.

Its files are imported by the process's own ways, from a folder: they are where data beside them are looked for, late
imports and processes that it starts find them, and what it keeps is pickled by their names. The process is there for
it. A factory of encoders (`trainables.sources`) shares its process with others, or is a guest in a server's: its files
are imported from their text, apart from all else (`trainables.code.modules`).
"""

from __future__ import annotations

import atexit
import contextlib
import importlib
import importlib.util
import inspect
import os
import pickle
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from types import ModuleType
from typing import Any

from trainables.code.files import hash_of_files
from trainables.code.modules import attribute
from trainables.code.tracebacks import in_one_line, is_own, show_source
from trainables.functions.code import Code
from trainables.functions.errors import FunctionError, refused
from trainables.saving.scratch import scratch

Function = Callable[[Any], object]

_LOADED: dict[str, Function] = {}  # by hash and call: imports are paid once a process
_FOLDERS: dict[str, Path] = {}  # what of a code's files is importable in this process, by hash
_FILES: dict[Path, set[str]] = {}  # by folder, the files of all codes that were importable there
_LOCK = threading.RLock()


def load(code: Code) -> Function:
    """The function, imported once a process.

    On a machine that has the same files where they were read, they are imported there, so that a path beside them leads
    where it should; elsewhere from a copy.

    Raises:
        FunctionError: it cannot be imported, there is none of this name, or it cannot be called with a trial.
    """
    key = f"{code.hash} {code.call}"
    with _LOCK:
        if key not in _LOADED:
            _LOADED[key] = _loaded(code)
        return _LOADED[key]


def check_callable(code: Code) -> None:
    """Load the function, to see before anything trains whether it can be called, and leave the user's modules as they
    are: in a notebook they are his own, and what he hands on is pickled by their names.

    Raises:
        FunctionError: as `load` does.
    """
    with _LOCK:
        path, before = list(sys.path), dict(sys.modules)
        try:
            _loaded(code)
        finally:
            sys.path[:] = path
            for name in [name for name, one in sys.modules.items() if name not in before and _is_users(one)]:
                del sys.modules[name]
            changed = {name: one for name, one in before.items() if sys.modules.get(name) is not one}
            sys.modules.update({name: one for name, one in changed.items() if _is_users(one)})


def own_modules(code: Code) -> list[ModuleType]:
    """The user's modules that are imported in this process, as far as they are files of the code."""
    with _LOCK:
        folder = _FOLDERS.get(code.hash)
    return [] if folder is None else list(_modules_of(folder, code.files).values())


def _loaded(code: Code) -> Function:
    function = _unpickled(code) if code.pickled else _named(_imported(code), code)
    _check_signature(function, code)
    return function


def _importable(code: Code) -> Path:
    """The folder with the code's files, as the first that imports are looked for in."""
    if (folder := _FOLDERS.get(code.hash)) is None:
        here = Path(code.root)
        folder = here if _is_same(here, code) else _copied(code)
        before = _FILES.setdefault(folder, set())  # of another version of the code, of which nothing may be left
        for name in _modules_of(folder, before):
            del sys.modules[name]
        before |= {*code.files}
        _FOLDERS[code.hash] = folder
    inside = folder.joinpath(*code.module.split(".")[:-1])
    for path in dict.fromkeys((str(inside), str(folder))):
        with contextlib.suppress(ValueError):
            sys.path.remove(path)
        sys.path.insert(_place_of(Path(path)), path)
    importlib.invalidate_caches()
    return folder


def _place_of(folder: Path) -> int:
    """Where in `sys.path` a folder comes: first, but behind Python's own modules if it has one of their names, which
    processes that start from here would take for theirs.
    """
    if not any(file.stem in sys.stdlib_module_names for file in folder.glob("*.py")):
        return 0
    standard = Path(os.__file__).parent
    own = {str(standard), str(standard / "lib-dynload")}
    return max((index for index, path in enumerate(sys.path) if path in own), default=-1) + 1


def _is_same(folder: Path, code: Code) -> bool:
    try:
        there = {name: (folder / name).read_bytes() for name in code.files}
    except OSError:
        return False
    return hash_of_files(there) == hash_of_files(code.files)


def _copied(code: Code) -> Path:
    kept = ExitStack()  # as long as the process, for imports may come late
    folder = kept.enter_context(scratch())
    atexit.register(kept.close)
    for name, content in code.files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def _is_users(module: ModuleType) -> bool:
    file = getattr(module, "__file__", None)
    return bool(file and is_own(file))


def _modules_of(folder: Path, files: Iterable[str]) -> dict[str, ModuleType]:
    """The modules that are imported from some files of a folder, by name, but for the script that runs."""
    paths = {str(folder / file) for file in files}
    return {
        name: module
        for name, module in list(sys.modules.items())
        if name != "__main__" and getattr(module, "__file__", None) in paths
    }


def _imported(code: Code) -> ModuleType:
    folder = _importable(code)
    file = folder.joinpath(*code.module.split(".")).with_suffix(".py")
    with _told(code, f"{file.name} cannot be imported"):
        present = sys.modules.get(code.module)
        if present is not None and getattr(present, "__file__", None) == str(file):
            return present
        found = None if present is not None else importlib.util.find_spec(code.module)
        if found is not None and found.origin == str(file):
            return importlib.import_module(code.module)
        # Something else has its name, as a library has that is called like the file.
        alias = f"{code.module.replace('.', '_')}_{code.hash}"
        spec = importlib.util.spec_from_file_location(alias, file)
        if spec is None or spec.loader is None:
            raise ImportError(f"{file} is no module")
        module = sys.modules[alias] = importlib.util.module_from_spec(spec)
        try:
            spec.loader.exec_module(module)
        except BaseException:
            del sys.modules[alias]
            raise
        return module


def _unpickled(code: Code) -> Function:
    _importable(code)
    show_source(code.sources)
    with _told(code, f"{code.call} cannot be read here"):
        function: Function = pickle.loads(code.pickled)
        return function


@contextlib.contextmanager
def _told(code: Code, what: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # noqa: BLE001 - anything may happen in a user's module
        remedy = ""
        if isinstance(error, ModuleNotFoundError) and error.name:
            top = error.name.partition(".")[0]
            near = Path(code.root, top).is_dir() or Path(code.root, f"{top}.py").is_file()
            install = "" if near else f"install {top}, or "
            remedy = f"; {install}name the folder that has it in trainer.folder"
        raise FunctionError(f"{what}: {in_one_line(error)}{remedy}") from None
    except SystemExit as error:
        raise FunctionError(f"{what}: it calls sys.exit ({in_one_line(error)}); leave that out") from None


def _named(module: ModuleType, code: Code) -> Function:
    with refused():
        there: Any = attribute(module, code.name)
    function: Function = there
    return function


def _check_signature(function: object, code: Code) -> None:
    if not callable(function):
        raise FunctionError(f"{code.call} is no function but {type(function).__name__}; name one that takes the trial")
    called = function if inspect.isroutine(function) else type(function).__call__
    for kind, is_kind in (
        ("a coroutine", inspect.iscoroutinefunction),
        ("a generator", inspect.isgeneratorfunction),
        ("an asynchronous generator", inspect.isasyncgenfunction),
    ):
        if is_kind(called):
            raise FunctionError(f"{code.call} is {kind}; name a plain function that returns the scores")
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # some written in C have none
        return
    try:
        signature.bind(object())
    except TypeError:
        raise FunctionError(
            f"{code.call} takes {signature}; it is called with one argument, the trial, so it must take that alone"
        ) from None
