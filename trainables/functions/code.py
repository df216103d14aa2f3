"""The code of a user's function as it travels: the files that it needs, or the function itself, and their hash.

It is bytes in Ray's object store, once for a whole study, and not text in each spec as that of an encoder is: it may be
a folder of it, with files that are no Python, and nothing of it is kept once the study has ended.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from trainables.code.calls import Call, full_path
from trainables.code.files import hash_of_files, imported_files, parsed, read_file
from trainables.functions.errors import FunctionError, refused

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
    files and what is below `leave_out`. A link is followed, as Python does for the script that it is started with.

    Raises:
        FunctionError: there is none, it is no Python, or the folder holds more than code.
    """
    named = Call.read(call)
    if named is None:
        raise FunctionError(f"trainer.call is {call!r}; write FILE.py:name, such as own_training.py:train")
    path = full_path(named.file, base).resolve()
    if not path.is_file():
        raise FunctionError(f"trainer.call names {named.file}, and there is no {path}; see to its path")
    if folder is None:
        root = _package_root(path.parent)
        with refused():
            files = imported_files(path, root=root, most_bytes=_MOST_BYTES)
    else:
        root = full_path(folder, base).resolve()
        if not path.is_relative_to(root):
            raise FunctionError(f"trainer.folder is {root}, and {path} is not in it; name one that holds the file")
        paths = {path, *_files_below(root, leave_out=leave_out)}
        with refused():
            files = {one.relative_to(root).as_posix(): read_file(one, most_bytes=_MOST_BYTES) for one in paths}
            parsed(path, files[path.relative_to(root).as_posix()])
    module = ".".join(path.relative_to(root).with_suffix("").parts)
    in_order = {name: files[name] for name in sorted(files)}
    return Code(
        call=call, hash=hash_of_files(files), root=str(root), files=in_order, module=module, name=named.name
    )  # fmt: skip


def _package_root(folder: Path) -> Path:
    """The folder that has to be importable for a module in `folder`: the first upwards that is no package."""
    while (folder / "__init__.py").is_file() and folder.parent != folder:
        folder = folder.parent
    return folder


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
