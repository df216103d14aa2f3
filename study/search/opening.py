"""Optuna's storages, opened for one writer or for any number of readers."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import optuna
from optuna.exceptions import OptunaError
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool

from study.config import ConfigError
from study.locks import migrating
from study.storage import Storage, first_line


def open_storage(
    storage: Storage = Storage(),  # noqa: B008 - frozen
    *,
    folder: Path,
    read_only: bool = False,
) -> BaseStorage:
    """Optuna's storage; a journal lies in `folder`. Makes or checks the tables of a database.

    Must be called with the study's lock held, unless it is only read: what a killed writer left half-written at the
    end of the journal, and its lock, are removed.

    Raises:
        ConfigError: the database cannot be reached, or holds the tables of another version of Optuna; or there is
            nothing to read.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    if storage.kind != "journal":
        return _open_database(storage, read_only=read_only)
    journal = folder / "journal.log"
    if read_only:
        if not journal.is_file():
            raise ConfigError(
                f"there is no study in {folder.parent}; give a study's name and --out, its folder, or its --storage"
            )
        return JournalStorage(JournalFileBackend(str(journal)))
    folder.mkdir(parents=True, exist_ok=True)
    for suffix in (".lock", ".rename"):
        Path(f"{journal}{suffix}").unlink(missing_ok=True)
    _drop_torn_tail(journal)
    return JournalStorage(JournalFileBackend(str(journal)))


def close_storage(storage: BaseStorage) -> None:
    """Close what `open_storage` opened."""
    if isinstance(storage, RDBStorage):
        storage.remove_session()
        storage.engine.dispose()


def _open_database(storage: Storage, *, read_only: bool) -> BaseStorage:
    """Tables are made once, under the database's lock: two that make them at the same time would disturb each other."""
    options: dict[str, Any] = {"pool_pre_ping": True}
    if read_only:  # a few questions; nobody could close the pool of a storage that turns out to have no tables
        options = {"poolclass": NullPool}
    elif storage.kind == "postgresql":
        options |= {"pool_size": 2, "max_overflow": 3, "pool_recycle": 1800}
    if storage.kind == "postgresql":
        options["connect_args"] = {"connect_timeout": 10}
    try:
        with nullcontext() if read_only else migrating(storage):
            return RDBStorage(storage.address, engine_kwargs=options, skip_table_creation=read_only)
    except (ImportError, RuntimeError, SQLAlchemyError, OptunaError) as error:
        reason = first_line(error.__cause__ if isinstance(error.__cause__, SQLAlchemyError) else error)
        raise ConfigError(f"cannot open the storage {storage.label}: {reason}; check the address") from None


def _drop_torn_tail(journal: Path) -> None:
    if not journal.exists():
        return
    with journal.open("rb+") as file:
        content = file.read()
        file.truncate(content.rfind(b"\n") + 1)
