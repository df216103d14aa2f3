"""Files of a user's code: read once, with all that they import from beside them, refused where they are no Python.

Nothing is run for it: imports are found in the syntax, wherever in a file they stand.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from importlib.util import decode_source
from pathlib import Path

from trainables.code.calls import SourceError
from trainables.code.tracebacks import first_line


class NotPythonError(SourceError):
    """A file that is no Python, and `reason`, which is what Python says of it."""

    def __init__(self, path: Path, reason: Exception) -> None:
        super().__init__(path, reason)  # both, so that it travels from process to process
        self.path, self.reason = path, reason

    def __str__(self) -> str:
        why = first_line(self.reason)
        if isinstance(self.reason, SyntaxError):
            why = f"{self.reason.msg} (line {self.reason.lineno})"
        return f"{self.path} is no valid Python: {why}"


def imported_files(path: Path, *, root: Path, most_bytes: int) -> dict[str, bytes]:
    """A file and all files below `root` that it and they import, by their paths from there; the file itself first.

    What it imports is looked for in its own folder and in `root`; with a module come the packages that it is in.

    Args:
        path: of the file, absolute.
        root: the folder that it is below.
        most_bytes: of one file.

    Raises:
        SourceError: one cannot be read, is larger, or is no Python.
    """
    folders = list(dict.fromkeys([path.parent, root]))
    files: dict[str, bytes] = {}
    waiting = [path]
    while waiting:
        one = waiting.pop()
        name = one.relative_to(root).as_posix()
        if name in files:
            continue
        files[name] = read_file(one, most_bytes=most_bytes)
        for imported in _imports(parsed(one, files[name])):
            found = _module_files(imported, [one.parent] if imported.startswith(".") else folders)
            waiting += [file for file in found if file.is_relative_to(root)]
    return files


def read_file(path: Path, *, most_bytes: int) -> bytes:
    """The content of a file.

    Raises:
        SourceError: it cannot be read, or is larger.
    """
    try:
        if path.stat().st_size > most_bytes:
            raise SourceError(f"{path} is larger than {most_bytes // 2**20} MiB; give a file of Python code")
        return path.read_bytes()
    except OSError as error:
        raise SourceError(f"cannot read {path}: {error.strerror}") from None


def parsed(path: Path, content: bytes) -> ast.Module:
    """The syntax of a file's content.

    Raises:
        NotPythonError: it has none.
    """
    try:
        return ast.parse(content, filename=str(path))
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:  # of null bytes, or nested too deeply
        raise NotPythonError(path, error) from None


def text_of(content: bytes) -> str:
    """The text of a file that `parsed` has taken, in whichever encoding it says it is."""
    return decode_source(content)


def hash_of_files(files: Mapping[str, bytes]) -> str:
    """First 16 hex digits of the SHA-256 of all Python among `files`, whose order does not matter."""
    digest = hashlib.sha256()
    for name in sorted(name for name in files if name.endswith(".py")):
        digest.update(f"{name}\0{len(files[name])}\0".encode())
        digest.update(files[name])
    return digest.hexdigest()[:16]


def _imports(tree: ast.Module) -> Iterator[str]:
    """Names that a file imports, dotted; those relative to it with as many dots in front as it climbs.

    What is imported from a module may be a module, too.
    """
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            stem = "." * node.level + (node.module or "")
            yield stem
            joint = "" if stem.endswith(".") else "."
            yield from (f"{stem}{joint}{alias.name}" for alias in node.names)


def _module_files(name: str, folders: Sequence[Path]) -> Iterator[Path]:
    """The files of a module, with those of the packages around it, where it is in one of `folders`."""
    dots = len(name) - len(name.lstrip("."))
    parts = [part for part in name.strip(".").split(".") if part and part != "*"]
    for folder in folders:
        place = folder
        for _ in range(dots - 1):
            place = place.parent
        if dots and (place / "__init__.py").is_file():
            yield place / "__init__.py"
        for part in parts:
            place = place / part
            for file in (place / "__init__.py", place.with_name(f"{part}.py")):
                if file.is_file():
                    yield file
