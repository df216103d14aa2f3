"""A user's own encoder, named in a study file as FILE.py:name or given as an object: read once, then carried as text.

Whoever runs it elsewhere (a worker on another node, a served model) needs no file of the user's: `Source.text` holds
the file and what it imports from beside it, or the pickled object. It is text, as an encoder's spec is, which lies in
the record and in the file of a trained encoder: all who open that must be able to read what it would run, and nothing
of it is run unless `load` is called. What a function that trains may do and this may not is said in
`trainables.functions.loading`.
"""

from __future__ import annotations

import base64
import inspect
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from trainables.code.calls import Call, SourceError, call_of_object
from trainables.code.files import hash_of_files, imported_files, text_of
from trainables.code.modules import TextModules, attribute
from trainables.code.tracebacks import first_line, place_in
from trainables.spec import content_hash

_MOST_BYTES = 2**20  # of a file of code: its text is part of each encoder that is kept
_OBJECT = "python:"  # how the name of an object begins that no file has


_REMEMBERED: dict[str, Source] = {}  # of objects that no file has


@dataclass(frozen=True)
class Source:
    """The code behind `name`, which is `mine.py:make` or, of an object that no file has, `python:make`.

    `text` is JSON: the files by their paths below the folder of the named one, that one first, or a pickled object. The
    folder is the named file's own, though it be a package: the code around an encoder is not run where it is served.
    """

    name: str
    text: str

    @classmethod
    def of_file(cls, call: str) -> Source:
        """The source of `FOLDER/mine.py:make`.

        Raises:
            SourceError: it is not of this form, or a file cannot be read or has no valid Python in it.
        """
        named = Call.read(call)
        if named is None:
            raise SourceError(f"{call!r} names no function; write FILE.py:name")
        path = named.located(Path.cwd()).file
        if not path.is_file():
            raise SourceError(f"there is no file {path}; give its path from the study file's folder")
        read = imported_files(path, root=path.parent, most_bytes=_MOST_BYTES)
        files = {name: text_of(content) for name, content in read.items()}
        return cls(f"{path.name}:{named.name}", json.dumps({"folder": str(path.parent), "files": files}))

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
        # Here, not above: few need it, and a served model does not have it.
        from trainables.code.objects import pickled, texts_of

        try:
            content = base64.b64encode(pickled(function)).decode()
        except Exception as error:  # noqa: BLE001  whatever objects of the user's raise
            raise SourceError(f"{_name_of(function)} cannot be sent to other processes: {first_line(error)}") from None
        is_code = inspect.isroutine(function) or inspect.isclass(function)
        shown = "\n".join(texts_of(function)) if is_code else ""  # of any other object its bytes stand for it
        return cls(_OBJECT + _name_of(function), json.dumps({"object": content, "shown": shown or content}))

    @property
    def hash(self) -> str:
        """Which code it is, wherever its files lie."""
        content = self._content
        if "files" in content:
            return hash_of_files({name: text.encode() for name, text in content["files"].items()})
        return content_hash(content["shown"])

    @property
    def _content(self) -> dict[str, Any]:
        content: dict[str, Any] = json.loads(self.text)
        return content

    @cached_property
    def _modules(self) -> TextModules:
        content = self._content
        return TextModules(Path(content.get("folder", "")), content.get("files", {}))

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
                    file, _, name = self.name.rpartition(":")
                    loaded = attribute(self._modules.module(Path(file).stem), name)
        except SourceError:
            raise
        except (Exception, SystemExit) as error:  # noqa: BLE001  a user's file may raise anything
            raise SourceError(f"{self.name} cannot be read: {self.told(error)}") from None
        if not callable(loaded):
            raise SourceError(f"{self.name} is of type {type(loaded).__name__}, and not a function")
        function: Callable[..., Any] = loaded
        return function

    def told(self, error: BaseException) -> str:
        """An error of the user's code in a line, with the place in it where that is known."""
        return f"{type(error).__name__}: {first_line(error)}{place_in(error, self._modules.paths)}"


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
    call = call_of_object(function)
    if call is None or "." in call.name:
        return None
    if getattr(sys.modules[function.__module__], "__package__", None):
        return None  # a module of a package imports its neighbours by the package's name
    return str(call)


def _name_of(function: Callable[..., Any]) -> str:
    return str(getattr(function, "__qualname__", type(function).__qualname__)).rpartition(".")[2].strip("<>")
