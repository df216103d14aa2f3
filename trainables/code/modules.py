"""Modules from texts, in a process that may have others of the same names; and what a module has by a name."""

from __future__ import annotations

import difflib
import importlib.util
import inspect
import linecache
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.abc import InspectLoader, MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

from trainables.code.calls import SourceError


def attribute(module: ModuleType, name: str) -> object:
    """What a module has by a name, which has dots if it is in a class.

    Raises:
        SourceError: there is none; it says what comes near, or which functions there are.
    """
    there: object = module
    for part in name.split("."):
        if not hasattr(there, part):
            known = [own for own, value in vars(module).items() if _is_defined_in(module, value)]
            near = difflib.get_close_matches(name, known, n=1)
            means = f"; do you mean {near[0]}?" if near else f"; it has {', '.join(known) or 'no function'}"
            raise SourceError(f"{Path(str(module.__file__)).name} has no {name}{means}")
        there = getattr(there, part)
    return there


def _is_defined_in(module: ModuleType, value: object) -> bool:
    return inspect.isfunction(value) and value.__module__ == module.__name__


class TextModules(MetaPathFinder, InspectLoader):
    """Modules from texts, which stay apart from the process's own of the same names.

    `files` are texts by their paths below `folder`, where they were: `__file__` says so, whether they are there or not.
    """

    def __init__(self, folder: Path, files: Mapping[str, str]) -> None:
        self._files = {_module_name(file): (folder / file, text) for file, text in files.items()}
        self._packages = {_module_name(file) for file in files if file.endswith("__init__.py")}
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


def _module_name(file: str) -> str:
    parts = list(Path(file).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
