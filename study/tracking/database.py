"""MLflow's SQLite file, which is made whole or not at all.

MLflow makes its tables in some 70 steps, in place and without a lock: who is killed meanwhile leaves a file that no
MLflow can mend, and two that begin at the same time break each other's. So it is made under another name, with a lock
held, and renamed when it is whole.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import psutil

from study.search.record.locks import FileLock
from study.tracking.revisions import NEWER, head, is_newer

_PATIENCE_SECONDS = 120.0  # another process takes that long to make a file only on a machine that hardly moves
_BUSY_SECONDS = 20.0  # how long one may write to it
_POLL_SECONDS = 0.2
_BESIDE = ("", "-journal", "-wal", "-shm")  # what SQLite keeps beside a file
_SEEDED = {"alembic_version", "workspaces"}  # tables with rows before anybody has written any


@dataclass(frozen=True, kw_only=True)
class _Content:
    """Tables of a file, the revision that they are of, and whether anybody has written a row."""

    tables: frozenset[str]
    revision: str | None
    used: bool


@contextmanager
def whole(path: Path, *, say: Callable[[str], None]) -> Iterator[None]:
    """A context in which MLflow may open the file `path`: it is whole, and no other process is at making it.

    A file that somebody left half-made is set aside, of which `say` is told in a line.

    Raises:
        ConfigError: another process takes too long to make it.
        TimeoutError: another process keeps it locked, or open while it is half-made.
        OSError: it cannot be made.
        RuntimeError: it is of a newer MLflow, or of another program.
    """
    if path.exists() and not path.is_file():  # a device, say, which would be set aside and replaced
        raise OSError(f"unable to open database file {path}: it is no regular file")
    content = _look(path)
    if content is None or content.used:
        _refuse_foreign(content)
        yield
        return
    lock = path.with_name(f".{path.name}.lock")
    busy = f"another command takes too long to make {path} ({{holder}})"
    with ExitStack() as stack:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            stack.enter_context(FileLock(lock, busy=busy, patience=_PATIENCE_SECONDS).held())
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise
            raise OSError(f"unable to open database file {path}: {error.strerror}") from None
        while not _is_whole(path):
            _wait_for_others(path)  # who do not know of the lock, as `mlflow ui`
            if _is_whole(path):
                break
            _set_aside(path, say)
            _make(path)
        _refuse_foreign(_look(path))
        yield  # MLflow adds its first experiment: that is a race too
        lock.unlink(missing_ok=True)  # whoever waits for it, or makes another one, finds the file whole


def _look(path: Path) -> _Content | None:
    """What a file holds; nothing where there is none; None where it is no database that can be read.

    Raises:
        TimeoutError: another process keeps it locked.
    """
    if not path.exists() or (path.is_file() and not path.stat().st_size):
        return _Content(tables=frozenset(), revision=None, used=False)
    try:
        with closing(sqlite3.connect(f"file:{quote(str(path))}?mode=rw", uri=True, timeout=_BUSY_SECONDS)) as database:
            rows = database.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")
            tables = frozenset(str(name) for (name,) in rows)
            versions = (
                database.execute("SELECT * FROM alembic_version").fetchone() if "alembic_version" in tables else ()
            )
            used = any(
                database.execute(f'SELECT 1 FROM "{name}" LIMIT 1').fetchone() for name in sorted(tables - _SEEDED)
            )
    except sqlite3.Error as error:
        if error.sqlite_errorcode == sqlite3.SQLITE_BUSY:  # perhaps by one who makes it
            raise TimeoutError(f"database is locked: {path}") from None
        return None
    return _Content(tables=tables, revision=str(versions[0]) if versions else None, used=used)


def _is_whole(path: Path) -> bool:
    """Whether MLflow can go on with a file, or can at least say what is wrong with it."""
    content = _look(path)
    if content is None or content.used or not content.tables <= _all_tables(content.tables):
        return True
    return content.revision is not None and (content.revision == head() or is_newer(content.revision))


def _refuse_foreign(content: _Content | None) -> None:
    """MLflow would make its first tables in a database that is none of its own, or of a later version."""
    if content is None or content.revision is None or not is_newer(content.revision):
        return
    raise RuntimeError(NEWER if "experiments" in content.tables else "the file is the database of another program")


def _all_tables(tables: frozenset[str]) -> frozenset[str]:
    """Every table that MLflow has while it makes its file, those of `tables` that it renames on its way included."""
    from mlflow.store.db.base_sql_model import Base
    from mlflow.store.db.utils import InitialBase  # this module knows all of them

    passing = {name for name in tables if name.startswith("_alembic_tmp_")}
    return frozenset({*Base.metadata.tables, *InitialBase.metadata.tables, *passing, "alembic_version"})


def _wait_for_others(path: Path) -> None:
    """Wait until no other process has the file open.

    Raises:
        TimeoutError: one has it for too long.
    """
    until = time.monotonic() + _PATIENCE_SECONDS
    while holder := _holder(path):
        if time.monotonic() > until:
            raise TimeoutError(f"process {holder} has {path} open, which is half-made")
        time.sleep(_POLL_SECONDS)


def _holder(path: Path) -> int:
    """Another process that has the file open, as far as they can be seen; 0 for none."""
    if not path.exists():
        return 0
    place = str(path.resolve())
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.pid != os.getpid() and any(opened.path == place for opened in process.open_files()):
                return int(process.pid)
    return 0


def _set_aside(path: Path, say: Callable[[str], None]) -> None:
    """Rename what is left of a file; one without a table is nothing."""
    content = _look(path)
    if content is None:
        return
    if not content.tables:
        for suffix in _BESIDE:
            Path(f"{path}{suffix}").unlink(missing_ok=True)
        return
    number = 1
    while (aside := path.with_name(f"{path.name}.half-made-{number}")).exists():
        number += 1
    for suffix in reversed(_BESIDE):  # the file last: until then it is found half-made
        with contextlib.suppress(FileNotFoundError):
            os.replace(f"{path}{suffix}", f"{aside}{suffix}")
    say(f"{path} was left half-made by a command that was killed, and holds no runs; it is set aside as {aside.name}")


def _without_waiting(connection: sqlite3.Connection, _: object) -> None:
    """Let SQLite leave writing to the system: MLflow makes its tables in some hundred steps that wait for the disk."""
    connection.execute("PRAGMA synchronous = OFF")


def _make(path: Path) -> None:
    """A file with MLflow's tables, in one step; nothing where another program was quicker."""
    from mlflow.store.db import utils
    from sqlalchemy import URL, create_engine, event

    new = path.with_name(f".{path.name}.new")
    for suffix in _BESIDE:
        Path(f"{new}{suffix}").unlink(missing_ok=True)
    engine = create_engine(URL.create("sqlite", database=str(new)))
    event.listen(engine, "connect", _without_waiting)
    try:
        utils._initialize_tables(engine)
    finally:
        engine.dispose()
    with new.open("rb") as file:
        os.fsync(file.fileno())
    try:
        os.link(new, path)
    except FileExistsError:
        pass
    except OSError:  # a file system without links
        os.replace(new, path)
    new.unlink(missing_ok=True)
