"""The lock that lets one coordinator at a time write a study's record.

A file's is dropped by the kernel with the process that held it; PostgreSQL's, a session-level advisory lock, by the
server with the connection, so that it holds against a coordinator on another machine.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from study.config import ConfigError
from study.search.record.storage import Storage, first_line, postgres_driver

PATIENCE_SECONDS = 900.0  # how long a study waits for a database that is down
_GRACE_SECONDS = 2.0
_RETRY_SECONDS = (0.2, 0.5, 1.0, 2.0, 5.0)


@contextmanager
def held(
    storage: Storage, study: str, *, folder: Path, on_wait: Callable[[str], None] = lambda _: None
) -> Iterator[Callable[[], bool]]:
    """Hold a study's record against every other coordinator; yields what `study.search.Ledger` calls `renew`.

    Args:
        storage: of the study.
        study: its name.
        folder: of the study, in which a journal lies.
        on_wait: told, in a line, when the database is gone and is being waited for.

    Raises:
        ConfigError: another coordinator holds it, or the storage cannot be reached or trusted.
    """
    storage.check_file_system(folder)
    if storage.kind == "postgresql":
        lock = PostgresLock(storage, study, on_wait=on_wait)
        with lock.held():
            yield lock.renew
    elif (database := storage.file) is not None:  # which studies of several folders may share
        file = database.resolve()
        busy = f"the study {study} in {storage.label} is being run already ({{holder}}); wait for it"
        with ExitStack() as stack:
            try:
                stack.enter_context(FileLock(file.with_name(f"{file.name}.{study}.lock"), busy=busy).held())
            except OSError as error:
                raise ConfigError(
                    f"cannot write {file.parent}, where the storage {storage.label} is to lie: {error.strerror}; make "
                    "that folder, or change the address"
                ) from None
            yield lambda: False
    else:  # the lock of the folder is enough
        yield lambda: False


@contextmanager
def migrating(storage: Storage) -> Iterator[None]:
    """Keep others from making the tables of a PostgreSQL database at the same time.

    Raises:
        ConfigError: it cannot be reached.
    """
    if storage.kind != "postgresql":
        yield
        return
    psycopg = postgres_driver()
    try:
        connection = storage.connect("align-study tables")
    except psycopg.Error as error:
        raise ConfigError(f"cannot reach the storage {storage.label}: {first_line(error)}; is it running?") from None
    with connection:
        connection.execute("SELECT pg_advisory_lock(%s)", [_key("tables")])
        yield


def is_held(storage: Storage, study: str, *, lock: Path) -> bool | None:
    """Whether a coordinator holds a study's record; None where that cannot be seen. Nothing is locked for it.

    Args:
        storage: of the study.
        study: its name.
        lock: the file that is locked where the record is a journal.

    Raises:
        ConfigError: the storage's address leads nowhere.
    """
    if storage.kind == "postgresql":
        psycopg = postgres_driver()
        try:
            with storage.connect("align-study status") as connection:
                found = connection.execute(
                    "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 1 AND database = "
                    "(SELECT oid FROM pg_database WHERE datname = current_database()) "
                    "AND (classid::bigint << 32 | objid::bigint) = %s",
                    [_key(f"study {study}")],
                ).fetchone()
        except psycopg.Error:
            return None
        return found is not None
    if (database := storage.file) is not None:
        lock = database.resolve().with_name(f"{database.name}.{study}.lock")
    try:
        locked = Path("/proc/locks").read_text(encoding="ascii").splitlines()
        inode = lock.stat().st_ino
    except FileNotFoundError:
        return False if Path("/proc/locks").exists() else None
    except OSError:
        return None
    return any(" FLOCK " in line and f":{inode} " in line for line in locked)


class FileLock:
    """A lock by `flock`, which the kernel drops with the process that held it.

    Args:
        path: of the lock's file, which is made where there is none.
        busy: what to say of a lock that is held, `{holder}` standing for the process.
        patience: seconds to wait for it.
    """

    def __init__(self, path: Path, *, busy: str, patience: float = 0.0) -> None:
        self._path, self._busy, self._patience = path, busy, patience

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the lock.

        Raises:
            ConfigError: another process does.
            OSError: the file cannot be written.
        """
        with self._path.open("a+") as handle:
            until = time.monotonic() + self._patience
            while True:
                try:
                    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except OSError:
                    if time.monotonic() < until:
                        time.sleep(_RETRY_SECONDS[0])
                        continue
                    handle.seek(0)
                    holder = f"process {handle.read().strip() or '?'}"
                    raise ConfigError(self._busy.format(holder=holder)) from None
            handle.truncate(0)
            handle.write(str(os.getpid()))
            handle.flush()
            yield


class PostgresLock:
    """A study's lock in its own database, which drops it with the connection that held it.

    Args:
        storage: of the study, of kind `postgresql`.
        study: its name.
        on_wait: told once, in a line, when the database is gone and is being waited for.
    """

    def __init__(self, storage: Storage, study: str, *, on_wait: Callable[[str], None] = lambda _: None) -> None:
        self._psycopg = postgres_driver()
        self._storage, self._study, self._on_wait = storage, study, on_wait
        self._key = _key(f"study {study}")
        self._connection: Any = None
        self._backend = 0  # process of the server that holds the lock for us

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the lock.

        Raises:
            ConfigError: the database cannot be reached, or another coordinator holds the lock.
        """
        try:
            self._connect()
        except self._psycopg.Error as error:
            raise ConfigError(f"cannot reach the storage {self._storage.label}: {first_line(error)}") from None
        try:
            self._first_lock()
            yield
        finally:
            self._connection.close()

    def renew(self) -> bool:
        """Make sure that the lock is held, waiting for a database that is down; True if it had been lost meanwhile.

        Raises:
            ConfigError: another coordinator took it, or the database stays away for `PATIENCE_SECONDS`.
        """
        try:
            self._connection.execute("SELECT 1")
            return False
        except self._psycopg.Error as error:
            problem = first_line(error)
        self._on_wait(f"the storage {self._storage.label} does not answer ({problem}); waiting, nothing is lost")
        start, attempt = time.monotonic(), 0
        while True:
            time.sleep(_RETRY_SECONDS[min(attempt, len(_RETRY_SECONDS) - 1)])
            attempt += 1
            try:
                self._connection.close()
                self._connect()
                self._lock()
            except ConfigError:  # the next call must not take this connection for one that holds the lock
                self._connection.close()
                raise
            except self._psycopg.Error as error:
                if time.monotonic() - start > PATIENCE_SECONDS:
                    raise ConfigError(
                        f"the storage {self._storage.label} was away for {PATIENCE_SECONDS / 60:.0f} min "
                        f"({first_line(error)}); bring it back and run the same command again, nothing is lost"
                    ) from None
            else:
                return True

    def _connect(self) -> None:
        self._connection = self._storage.connect(f"align-study {socket.gethostname()[:30]}:{os.getpid()}")

    def _first_lock(self) -> None:
        """Take the lock; a coordinator that was just killed takes a moment to lose it."""
        until = time.monotonic() + _GRACE_SECONDS
        while True:
            try:
                return self._lock()
            except (ConfigError, self._psycopg.Error) as error:
                if time.monotonic() > until:
                    raise error if isinstance(error, ConfigError) else ConfigError(first_line(error)) from None
            time.sleep(_RETRY_SECONDS[0])

    def _lock(self) -> None:
        execute = self._connection.execute
        if not execute("SELECT pg_try_advisory_lock(%s)", [self._key]).fetchone()[0]:
            holder = execute(
                "SELECT a.pid, a.application_name, a.backend_start FROM pg_locks l JOIN pg_stat_activity a USING (pid) "
                "WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1 "
                "AND (l.classid::bigint << 32 | l.objid::bigint) = %s",
                [self._key],
            ).fetchone()
            if holder is None or holder[0] == self._backend:  # released just now; or our own, cut off from us
                if holder:
                    execute("SELECT pg_terminate_backend(%s)", [holder[0]])
                raise self._psycopg.OperationalError("the lock is being released")
            raise ConfigError(
                f"the study {self._study} in {self._storage.label} is being run already "
                f"({holder[1] or 'a coordinator'}, since {holder[2]:%Y-%m-%d %H:%M}); "
                "wait for it, or give this one another name"
            )
        self._backend = int(self._connection.info.backend_pid)


def _key(name: str) -> int:
    """The number of a lock, which every coordinator derives alike."""
    digest = hashlib.blake2b(f"align-study/{name}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)
