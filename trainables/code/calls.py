"""How a user names code: `FILE.py:name`, by a path from a folder, or the function itself, which a file may have."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from pathlib import Path

_CALL = re.compile(r"(?P<file>[^\0\n]+\.py):(?P<name>[^\W\d]\w*(\.[^\W\d]\w*)*)")


class SourceError(ValueError):
    """A user's code is not there, or does not do what it has to; one line says what."""


@dataclass(frozen=True)
class Call:
    """`FILE.py:name`; the name of what is in a class has dots."""

    file: Path
    name: str

    @classmethod
    def read(cls, text: str) -> Call | None:
        """The call that a text is; None of any other text."""
        match = _CALL.fullmatch(text)
        return cls(Path(match["file"]), match["name"]) if match else None

    def located(self, folder: str | Path) -> Call:
        """The call with its path in full, which counts from `folder` unless it is absolute or begins with `~`.

        A file that is a link keeps its own name and folder.
        """
        path = full_path(self.file, folder)
        return Call(path.parent.resolve() / path.name, self.name)

    def __str__(self) -> str:
        return f"{self.file}:{self.name}"


def full_path(path: str | Path, folder: str | Path) -> Path:
    """A path that a user gives in full: from `folder`, unless it is absolute or begins with `~`."""
    try:
        return Path(folder) / Path(path).expanduser()
    except RuntimeError:  # `~name` of nobody: there is no such file, and whoever looks for it says so
        return Path(folder) / path


def call_of_object(function: object) -> Call | None:
    """The call that a function or class is in a file that can be read again, as its module has it; None of any other
    object.
    """
    module, name = sys.modules.get(getattr(function, "__module__", None) or ""), getattr(function, "__qualname__", "")
    file = getattr(module, "__file__", None)
    if not name or file is None or not file.endswith(".py") or not Path(file).is_file():
        return None
    there: object = module
    for part in name.split("."):
        there = getattr(there, part, None)
    return Call(Path(file).resolve(), name) if there is function else None
