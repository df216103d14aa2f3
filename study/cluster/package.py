"""What a job gets of this machine: a study file, the code that it names, and its data where they lie beside it."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath

from study.config import ConfigError, StudyConfig
from study.config.moved import moved_file, named_code
from trainables.code.calls import SourceError
from trainables.code.files import imported_files
from trainables.datasets import cells
from trainables.functions.code import read_code
from trainables.functions.errors import FunctionError
from trainables.spec import DatasetSpec

# What never leaves this machine: environments, results, caches, secrets.
LEFT_BEHIND = (
    ".git/", ".venv/", "venv/", "studies/", "mlruns/", "mlartifacts/", "*.db", "*.db-journal", "__pycache__/",
    "*.egg-info/",
    ".mypy_cache/", ".ruff_cache/", ".pytest_cache/", ".hypothesis/", ".env", ".pgpass", "*.pem", "*.key",
)  # fmt: skip
_MOST_BYTES, _MOST_CODE = 512 * 2**20, 2**20  # of a package, which Ray holds in memory; of a file of code
_CODE = "code"  # folder of the package, one below for each call


@dataclass(frozen=True, kw_only=True)
class Package:
    """A folder that a job starts in, the study file in it, and what it is still to be told by `--set`."""

    folder: Path
    space: str
    overrides: tuple[str, ...]


@contextmanager
def packaged(space: Path, config: StudyConfig, *, working: Path, overrides: Sequence[str]) -> Iterator[Package]:
    """The package of a study: the working directory, where its file and all code that it names lie in that; else a
    folder with nothing but these, and its data where the file names them by a path from the working directory.

    Args:
        space: the study file.
        config: that `load_config` made of it.
        working: the working directory.
        overrides: of the study file.

    Raises:
        ConfigError: something that it names does not exist, cannot be read, or is too large to be sent.
    """
    space, working = space.parent.resolve() / space.name, working.resolve()  # what it names lies beside a link to it
    code = [call.file for call in named_code(config)]
    trainer = config.trainer
    if trainer is not None:
        if trainer.file is None:
            raise ConfigError(f"trainer.call is {trainer.call}, a function given from Python; name FILE.py:NAME")
        code += [trainer.file, *([] if trainer.folder is None else [Path(trainer.folder)])]
    for path in code:
        if not path.exists():
            raise ConfigError(f"{space.name} names {path}, which does not exist; see to its path")
    is_sent = space.is_relative_to(working) and not is_left_behind(PurePosixPath(space.relative_to(working).as_posix()))
    if is_sent and all(path.resolve().is_relative_to(working) for path in (space, *code)):
        yield Package(folder=working, space=str(space.relative_to(working)), overrides=tuple(overrides))
        return
    with tempfile.TemporaryDirectory(prefix="align-package-") as made:
        folder = Path(made)
        places = _with_code(config, folder)
        (folder / space.name).write_text(moved_file(space, overrides=overrides, places=places), encoding="utf-8")
        _with_data(config, working, folder)
        yield Package(folder=folder, space=space.name, overrides=())


def _with_code(config: StudyConfig, folder: Path) -> dict[Path, str]:
    """Put all code that a study names into a package, each call with what it imports; where that lies now."""
    places: dict[Path, str] = {}
    try:
        for number, call in enumerate(named_code(config)):
            read = imported_files(call.file, root=call.file.parent, most_bytes=_MOST_CODE)
            places[call.file] = f"{_CODE}/{number}/{call.file.name}"
            _write(folder / _CODE / str(number), read)
        if (trainer := config.trainer) is not None and trainer.file is not None:
            given = None if trainer.folder is None else Path(trainer.folder)
            code = read_code(f"{trainer.file.name}:{trainer.name}", base=trainer.file.parent, folder=given)
            own = f"{_CODE}/trainer"
            places[trainer.file] = f"{own}/{trainer.file.resolve().relative_to(code.root).as_posix()}"
            if given is not None:
                places[given.resolve()] = own
            _write(folder / own, code.files)
    except (SourceError, FunctionError) as error:
        raise ConfigError(str(error)) from None
    return places


def _write(folder: Path, files: Mapping[str, bytes]) -> None:
    for name, content in files.items():
        if not is_left_behind(PurePosixPath(name)):
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)


def _with_data(config: StudyConfig, working: Path, folder: Path) -> None:
    """Put data into a package that the study file names by a path from the working directory, if they are there."""
    if config.dataset is None:
        return
    given = cells(DatasetSpec(name=config.dataset.name, options=config.dataset.options))[0].options.get("path")
    if not isinstance(given, str) or Path(given).is_absolute():
        return
    source = (working / given).resolve()
    if not source.is_relative_to(working) or not source.exists():
        return
    size = 0
    for path in [source] if source.is_file() else sorted(source.rglob("*")):
        inside = path.relative_to(working)
        if path.is_file() and not is_left_behind(PurePosixPath(inside.as_posix())):
            size += path.stat().st_size
            if size > _MOST_BYTES:
                raise ConfigError(
                    f"dataset.path is {given}, which holds more than the {_MOST_BYTES // 2**20} MiB that a job can be "
                    "sent; put it on storage that all nodes share, and give its absolute path there"
                )
            copy = folder / inside
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copy)


def is_left_behind(path: PurePosixPath) -> bool:
    """Whether a relative path is one of those that never leave this machine."""
    files = [pattern for pattern in LEFT_BEHIND if not pattern.endswith("/")]
    folders = [pattern.rstrip("/") for pattern in LEFT_BEHIND if pattern.endswith("/")]
    return any(fnmatch(path.name, pattern) for pattern in files) or any(
        fnmatch(part, pattern) for part in path.parts[:-1] for pattern in (*files, *folders)
    )
