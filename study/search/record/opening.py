"""Optuna's storages, opened for one writer or for any number of readers."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import optuna
from optuna.exceptions import OptunaError
from optuna.storages import BaseStorage, RDBStorage
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool

from study.config import ConfigError
from study.config.folder import JOURNAL
from study.config.secrets import is_in_memory
from study.search.record.journal import Journal
from study.search.record.locks import migrating
from study.search.record.storage import Storage, first_line


def _on_stderr(line: str) -> None:
    print(line, file=sys.stderr)


def open_storage(
    storage: Storage = Storage(),  # noqa: B008 - frozen
    *,
    folder: Path,
    read_only: bool = False,
    say: Callable[[str], object] = _on_stderr,
) -> BaseStorage:
    """Optuna's storage; a journal lies in `folder`. Makes or checks the tables of a database.

    Must be called with the study's lock held, unless it is only read: what a killed writer left half-written at the
    end of the journal, and its lock, are removed; a damaged line and all behind it are set aside in a file beside it,
    unless it is only read. `say` is told of the damage in a line.

    Raises:
        ConfigError: the database cannot be reached, or holds the tables of another version of Optuna; or there is
            nothing to read, or the journal is no file.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    if storage.kind != "journal":
        return _open_database(storage, read_only=read_only)
    path = folder / JOURNAL
    if (path.exists() or path.is_symlink()) and not path.is_file():
        raise ConfigError(f"{path} is no file; a study's record belongs there: move it away")
    if read_only and not path.exists():
        raise ConfigError(
            f"there is no study in {folder.parent}; give a study's name and --out, its folder, or its --storage"
        )
    if not read_only:
        folder.mkdir(parents=True, exist_ok=True)
        for suffix in (".lock", ".rename"):
            Path(f"{path}{suffix}").unlink(missing_ok=True)
    try:
        journal = Journal(path)
        opened = journal.open()
        damage = journal.told() if read_only else journal.mend()
    except PermissionError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}; see to its permissions") from None
    if not read_only and not all(os.access(place, os.W_OK) for place in (folder, path)):
        raise ConfigError(f"cannot write {path}; see to the permissions of the file and its folder")
    if damage:
        say(damage)
    return opened


def close_storage(storage: BaseStorage) -> None:
    """Close what `open_storage` opened."""
    if isinstance(storage, RDBStorage):
        storage.remove_session()
        storage.engine.dispose()


def _open_database(storage: Storage, *, read_only: bool) -> BaseStorage:
    """Tables are made once, under the database's lock: two that make them at the same time would disturb each other."""
    if not read_only and is_in_memory(storage.address):
        raise ConfigError(f"the storage {storage.label} is no file: SQLite keeps it in memory; give sqlite:///FILE")
    options: dict[str, Any] = {"pool_pre_ping": True}
    if read_only and (file := storage.file) is not None and not file.exists():  # else SQLite makes it
        raise ConfigError(f"cannot open the storage {storage.label}: there is no file {file}; check the address")
    if read_only:  # a few questions; nobody could close the pool of a storage that turns out to have no tables
        options = {"poolclass": NullPool}
    elif storage.kind == "postgresql":
        options |= {"pool_size": 2, "max_overflow": 3, "pool_recycle": 1800}
    if storage.kind == "postgresql":
        options["connect_args"] = {"connect_timeout": 10}
    try:
        with nullcontext() if read_only else migrating(storage):
            return RDBStorage(storage.address, engine_kwargs=options, skip_table_creation=read_only)
    except ConfigError:
        raise
    except (
        ImportError,
        RuntimeError,
        ValueError,
        SQLAlchemyError,
        OptunaError,
    ) as error:  # ValueError: a NUL in a path
        reason = first_line(error.__cause__ if isinstance(error.__cause__, SQLAlchemyError) else error)
        raise ConfigError(f"cannot open the storage {storage.label}: {reason}; check the address") from None
