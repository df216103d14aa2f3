"""The code of a user's function as it travels: the files that it needs, or the function itself, and their hash."""

from __future__ import annotations

import ast
import hashlib
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from trainables.code.tracebacks import in_one_line
from trainables.functions.errors import FunctionError

_CALL = re.compile(r"(?P<file>.+\.py):(?P<name>[^\W\d]\w*(\.[^\W\d]\w*)*)")
_MOST_BYTES = 64 * 2**20
_NO_CODE = ("__pycache__", "node_modules", "site-packages")


@dataclass(frozen=True, kw_only=True)
class Code:
    """The code behind a `call`: what all trials of a study read, on every node.

    `files` are those of the user's modules, below the folder `root` of the machine that read them, by their relative
    paths: `name` is in the one called `module`. Of an object that is in none, as one of a notebook, `pickled` is
    itself, and `sources` the text of its files, by their names in tracebacks. `hash` stands for all code.
    """

    call: str
    hash: str
    root: str
    files: Mapping[str, bytes]
    module: str = ""
    name: str = ""
    pickled: bytes = b""
    sources: Mapping[str, str] = field(default_factory=dict)


def read_code(
    call: str, *, base: str | Path, folder: str | Path | None = None, leave_out: Collection[Path] = ()
) -> Code:
    """The code of `FILE.py:name`, a path relative to the folder `base`.

    With it travel the modules beside it that it imports, wherever in them, or all that is in `folder`, but for hidden
    files and what is below `leave_out`.

    Raises:
        FunctionError: there is none, it is no Python, or the folder holds more than code.
    """
    match = _CALL.fullmatch(call)
    if match is None:
        raise FunctionError(f"trainer.call is {call!r}; write FILE.py:name, such as own_training.py:train")
    path = (Path(base) / Path(match["file"]).expanduser()).resolve()
    if not path.is_file():
        raise FunctionError(f"trainer.call names {match['file']}, and there is no {path}; see to its path")
    if folder is None:
        root = _package_root(path.parent)
        paths = set(_imported(path, [path.parent, root]))
    else:
        root = (Path(base) / Path(folder).expanduser()).resolve()
        if not path.is_relative_to(root):
            raise FunctionError(f"trainer.folder is {root}, and {path} is not in it; name one that holds the file")
        _parsed(path)
        paths = set(_files_below(root, leave_out=leave_out))
    files = {
        path.relative_to(root).as_posix(): path.read_bytes() for path in sorted(paths) if path.is_relative_to(root)
    }
    module = ".".join(path.relative_to(root).with_suffix("").parts)
    return Code(
        call=call, hash=hash_of_files(files), root=str(root), files=files, module=module, name=match["name"]
    )  # fmt: skip


def hash_of_files(files: Mapping[str, bytes]) -> str:
    """First 16 hex digits of the SHA-256 of all Python among `files`, whose order does not matter."""
    digest = hashlib.sha256()
    for name in sorted(name for name in files if name.endswith(".py")):
        digest.update(f"{name}\0{len(files[name])}\0".encode())
        digest.update(files[name])
    return digest.hexdigest()[:16]


def _package_root(folder: Path) -> Path:
    """The folder that has to be importable for a module in `folder`: the first upwards that is no package."""
    while (folder / "__init__.py").is_file() and folder.parent != folder:
        folder = folder.parent
    return folder


def _imported(path: Path, folders: list[Path]) -> Iterator[Path]:
    """A file and all files in `folders` that it and they import, at their top or in a function."""
    seen, waiting = {path}, [path]
    while waiting:
        one = waiting.pop()
        yield one
        for name in _imports(one):
            for module in _module_files(name, [one.parent] if name.startswith(".") else folders):
                if module not in seen:
                    seen.add(module)
                    waiting.append(module)


def _imports(path: Path) -> Iterator[str]:
    """Names that a file imports, dotted; those relative to it with as many dots in front as it climbs."""
    for node in ast.walk(_parsed(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            stem = "." * node.level + (node.module or "")
            yield stem
            joint = "" if stem.endswith(".") else "."
            yield from (f"{stem}{joint}{alias.name}" for alias in node.names)


def _module_files(name: str, folders: list[Path]) -> Iterator[Path]:
    """The files of a module, with those of the packages around it, where it is in one of `folders`."""
    dots = len(name) - len(name.lstrip("."))
    parts = [part for part in name.strip(".").split(".") if part != "*"]
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


def _parsed(path: Path) -> ast.Module:
    try:
        return ast.parse(path.read_bytes(), filename=str(path))
    except SyntaxError as error:
        raise FunctionError(f"{path.name} is not Python: {in_one_line(error)}") from None
    except ValueError as error:
        raise FunctionError(f"{path.name} is not Python: {error}") from None


def _files_below(folder: Path, *, leave_out: Collection[Path]) -> Iterator[Path]:
    left_out = [path.resolve() for path in leave_out]
    size, waiting = 0, [folder]
    while waiting:
        for path in waiting.pop().iterdir():
            if path.name.startswith(".") or path.name in _NO_CODE or path.suffix == ".pyc" or path.is_symlink():
                continue
            if path.is_dir():
                if path.resolve() not in left_out and not (path / "pyvenv.cfg").is_file():
                    waiting.append(path)
            elif path.is_file():
                size += path.stat().st_size
                if size > _MOST_BYTES:
                    raise FunctionError(
                        f"trainer.folder {folder} holds more than {_MOST_BYTES // 2**20} MiB, which would travel to all"
                        " nodes; name a folder of code, and read data from a path that all nodes have"
                    )
                yield path
