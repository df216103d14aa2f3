"""A user's own code, named in a study file as FILE.py:name or given as an object: read once, then carried as text.

Whoever runs it elsewhere (a worker on another node, a served model) needs no file of the user's: `Source.text` holds
the file and what it imports from beside it, or the pickled object.
"""

from __future__ import annotations

import ast
import base64
import importlib.util
import inspect
import json
import linecache
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from importlib.abc import InspectLoader, MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

from trainables.spec import content_hash

_MOST_BYTES = 2**20  # of a file of code
_OBJECT = "python:"  # how the name of an object begins that no file has


_REMEMBERED: dict[str, Source] = {}  # of objects that no file has


class SourceError(ValueError):
    """A user's code is not there, or does not do what it has to; one line says what."""


@dataclass(frozen=True)
class Source:
    """The code behind `name`, which is `mine.py:make` or, of an object that no file has, `python:make`.

    `text` is JSON: the files by their paths below the folder of the named one, that one first, or a pickled object.
    """

    name: str
    text: str

    @classmethod
    def of_file(cls, call: str) -> Source:
        """The source of `FOLDER/mine.py:make`.

        Raises:
            SourceError: it is not of this form, or a file cannot be read or has no valid Python in it.
        """
        file, colon, name = call.rpartition(":")
        path = Path(file)
        if not colon or path.suffix != ".py" or not name.isidentifier():
            raise SourceError(f"{call!r} names no function; write FILE.py:name")
        if not path.is_file():
            raise SourceError(f"there is no file {path}; give its path from the study file's folder")
        files: dict[str, str] = {}
        _add_file(path, path.parent, files)
        value = {"folder": str(path.parent.resolve()), "files": files}
        return cls(f"{path.name}:{name}", json.dumps(value))

    @classmethod
    def find(cls, name: str) -> Source:
        """The source of FOLDER/FILE.py:name, or of an object that `remembered` gave the name of in this process.

        Raises:
            SourceError: there is none.
        """
        if not name.startswith(_OBJECT):
            return cls.of_file(name)
        if name not in _REMEMBERED:
            raise SourceError(f"{name} is an object of another process; run the study from where it is defined")
        return _REMEMBERED[name]

    @classmethod
    def of_object(cls, function: Callable[..., Any]) -> Source:
        """The source of a function at the top of a file, which then is that file's; any other object is pickled.

        Raises:
            SourceError: it cannot be pickled.
        """
        if (call := call_of(function)) is not None:
            return cls.of_file(call)
        import cloudpickle  # here: few need it

        try:
            pickled = base64.b64encode(cloudpickle.dumps(function)).decode()
        except Exception as error:  # noqa: BLE001  whatever objects of the user's raise
            raise SourceError(f"{_name_of(function)} cannot be sent to other processes: {first_line(error)}") from None
        try:
            shown = inspect.getsource(function)
        except (OSError, TypeError):
            shown = pickled
        return cls(_OBJECT + _name_of(function), json.dumps({"object": pickled, "shown": shown}))

    @property
    def hash(self) -> str:
        """Which code it is, wherever its files lie."""
        content = self._content
        return content_hash(content.get("files") or content["shown"])

    @property
    def _content(self) -> dict[str, Any]:
        content: dict[str, Any] = json.loads(self.text)
        return content

    @cached_property
    def _modules(self) -> _Modules:
        content = self._content
        return _Modules(Path(content.get("folder", "")), content.get("files", {}))

    @contextmanager
    def importable(self) -> Iterator[None]:
        """The files' own imports of one another find what the source holds, not what else has their names."""
        with self._modules.found():
            yield

    def load(self) -> Callable[..., Any]:
        """The function; its file is run for it.

        Raises:
            SourceError: the file raises, or has no such function.
        """
        content = self._content
        try:
            with self.importable():
                if "object" in content:
                    import pickle

                    loaded = pickle.loads(base64.b64decode(content["object"]))
                else:
                    file, _, attribute = self.name.rpartition(":")
                    module = self._modules.module(Path(file).stem)
                    if not hasattr(module, attribute):
                        defined = [name for name, one in vars(module).items() if inspect.isfunction(one)]
                        near = f"; it has {', '.join(defined[:8])}" if defined else ""
                        raise SourceError(f"{file} has no {attribute}{near}")
                    loaded = getattr(module, attribute)
        except SourceError:
            raise
        except (Exception, SystemExit) as error:  # noqa: BLE001  a user's file may raise anything
            raise SourceError(f"{self.name} cannot be read: {self.told(error)}") from None
        if not callable(loaded):
            raise SourceError(f"{self.name} is a {type(loaded).__name__}, and not a function")
        function: Callable[..., Any] = loaded
        return function

    def told(self, error: BaseException) -> str:
        """An error of the user's code in a line, with the place in it where that is known."""
        place, trace = "", error.__traceback__
        own = {str(path) for path in self._modules.paths}
        while trace is not None:
            if trace.tb_frame.f_code.co_filename in own:
                place = f" ({Path(trace.tb_frame.f_code.co_filename).name}, line {trace.tb_lineno})"
            trace = trace.tb_next
        return f"{type(error).__name__}: {first_line(error)}{place}"


def remembered(function: Callable[..., Any]) -> str:
    """The name by which `Source.find` finds a function, in this process where no file has it.

    Raises:
        SourceError: it cannot be sent to other processes.
    """
    if (call := call_of(function)) is not None:
        return call
    source = Source.of_object(function)
    _REMEMBERED[source.name] = source
    return source.name


def call_of(function: Callable[..., Any]) -> str | None:
    """`/FOLDER/mine.py:make` of a function at the top of a file that can be read again; None of any other object."""
    name, module = getattr(function, "__qualname__", ""), sys.modules.get(getattr(function, "__module__", None) or "")
    file = getattr(module, "__file__", None)
    if not name.isidentifier() or file is None or not file.endswith(".py") or not Path(file).is_file():
        return None
    if getattr(module, name, None) is not function or getattr(module, "__package__", None):
        return None  # a module of a package imports its neighbours by the package's name
    return f"{Path(file).resolve()}:{name}"


def first_line(error: BaseException) -> str:
    """What an error says, cut to its first line."""
    text = str(error).strip()
    return text.splitlines()[0][:300] if text else "it says nothing more"


def _name_of(function: Callable[..., Any]) -> str:
    return str(getattr(function, "__qualname__", type(function).__qualname__)).rpartition(".")[2].strip("<>")


def _add_file(path: Path, folder: Path, files: dict[str, str]) -> None:
    """Add a file, and those beside it that it imports, wherever in it it does so."""
    name = path.relative_to(folder).as_posix()
    if name in files:
        return
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise SourceError(f"{path} is larger than {_MOST_BYTES // 2**20} MiB; give a file of Python code")
        files[name] = text = path.read_text(encoding="utf-8")
        tree = ast.parse(text, str(path))
    except OSError as error:
        raise SourceError(f"cannot read {path}: {error.strerror}") from None
    except SyntaxError as error:
        raise SourceError(f"{path} is no valid Python: {error.msg} (line {error.lineno})") from None
    except ValueError as error:  # of another encoding, or with null bytes
        raise SourceError(f"{path} is no valid Python: {first_line(error)}") from None
    for imported in _imports(tree, path.parent.relative_to(folder).parts):
        for place in (folder.joinpath(*imported).with_suffix(".py"), folder.joinpath(*imported, "__init__.py")):
            if place.is_file():
                for depth in range(1, len(imported)):
                    if (package := folder.joinpath(*imported[:depth], "__init__.py")).is_file():
                        _add_file(package, folder, files)
                _add_file(place, folder, files)


def _imports(tree: ast.AST, package: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """What a file imports, as paths of names from its root folder; names in a module may be modules, too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield tuple(alias.name.split("."))
        elif isinstance(node, ast.ImportFrom):
            above = tuple(package[: len(package) - node.level + 1]) if node.level else ()
            base = above + (tuple(node.module.split(".")) if node.module else ())
            if base:
                yield base
            for alias in node.names:
                if alias.name != "*":
                    yield (*base, alias.name)


class _Modules(MetaPathFinder, InspectLoader):
    """Modules from texts, which stay apart from the process's own of the same names."""

    def __init__(self, folder: Path, files: Mapping[str, str]) -> None:
        self._files = {self._module_name(file): (folder / file, text) for file, text in files.items()}
        self._packages = {self._module_name(file) for file in files if file.endswith("__init__.py")}
        self._kept: dict[str, ModuleType] = {}

    @property
    def paths(self) -> list[Path]:
        """Where the files were."""
        return [path for path, _ in self._files.values()]

    @contextmanager
    def found(self) -> Iterator[None]:
        """Imports of their names find them."""
        if not self._files or self in sys.meta_path:
            yield
            return
        roots = {name.partition(".")[0] for name in self._files}

        def taken() -> dict[str, ModuleType]:
            names = [name for name in list(sys.modules) if name.partition(".")[0] in roots]
            return {name: sys.modules.pop(name) for name in names}

        others = taken()
        sys.modules.update(self._kept)
        sys.meta_path.insert(0, self)
        try:
            yield
        finally:
            sys.meta_path.remove(self)
            self._kept = taken()
            sys.modules.update(others)

    def module(self, name: str) -> ModuleType:
        """A module, run when it is first asked for; only inside `found`."""
        return importlib.import_module(name)

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        """The spec of one of the texts."""
        del path, target
        if fullname not in self._files:
            return None
        file = str(self._files[fullname][0])
        spec = importlib.util.spec_from_loader(fullname, self, origin=file, is_package=fullname in self._packages)
        if spec is not None:
            spec.has_location = True  # `__file__` is where it was: data that lie beside it are found where they are
        return spec

    def get_source(self, fullname: str) -> str:
        """The text."""
        return self._files[fullname][1]

    def get_code(self, fullname: str) -> CodeType:
        """The text, compiled; tracebacks and `inspect` show it, on whichever machine."""
        path, text = self._files[fullname]
        linecache.cache[str(path)] = len(text), None, text.splitlines(keepends=True), str(path)
        return compile(text, str(path), "exec")

    @staticmethod
    def _module_name(file: str) -> str:
        parts = list(Path(file).with_suffix("").parts)
        return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
