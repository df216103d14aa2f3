"""Where a study's record is kept, and the lock that lets one coordinator at a time write it.

A file serves one machine. On a cluster the record must outlive the head node and its disk, and be locked against a
coordinator on another machine: that is PostgreSQL's work, by a session-level advisory lock.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from study.config import ConfigError
from study.config.secrets import expand, has_literal_password, redacted

PATIENCE_SECONDS = 900.0  # how long a study waits for a database that is down
_GRACE_SECONDS = 2.0
_RETRY_SECONDS = (0.2, 0.5, 1.0, 2.0, 5.0)
# A lock of a machine that lost its power is free after about 40 s.
_KEEPALIVE = "-c tcp_keepalives_idle=20 -c tcp_keepalives_interval=5 -c tcp_keepalives_count=4"
_NETWORK_FILE_SYSTEMS = (
    "nfs", "cifs", "smb", "lustre", "gpfs", "beegfs", "ceph", "glusterfs", "afs", "9p", "fuse.sshfs", "fuse.s3fs",
    "fuse.gcsfuse", "fuse.mount-s3", "fuse.blobfuse", "fuse.glusterfs", "fuse.juicefs",
)  # fmt: skip


@dataclass(frozen=True)
class Storage:
    """The `storage` of a study file, its passwords still references."""

    given: str = "journal"

    @property
    def kind(self) -> Literal["journal", "sqlite", "postgresql"]:
        """What it is; `address` may raise."""
        if self.given == "journal":
            return "journal"
        return "sqlite" if self.address.startswith("sqlite:") else "postgresql"

    @property
    def address(self) -> str:
        """The address with its passwords, for the database driver alone.

        Raises:
            ConfigError: a reference in it leads nowhere, or it is of another kind of database.
        """
        try:
            address = expand(self.given)
        except ValueError as error:
            raise ConfigError(f"storage: {error}") from None
        scheme, mark, rest = address.partition("://")
        if scheme in ("postgres", "postgresql", "postgresql+psycopg"):
            return f"postgresql+psycopg{mark}{rest}"
        if scheme == "sqlite" and rest.startswith("/"):
            return address
        raise ConfigError(
            f"storage is no address of a known kind ({scheme[:20]!r}); "
            "give journal, sqlite:///FILE or postgresql://USER@HOST/DATABASE"
        )

    @property
    def label(self) -> str:
        """The address as it may be shown."""
        return redacted(self.given)

    def check_file_system(self, folder: Path) -> None:
        """Refuse a file on a network file system, where its locks and appends cannot be trusted.

        Raises:
            ConfigError: `folder`, or that of the SQLite file, lies on one.
        """
        if self.kind == "postgresql":
            return
        place = folder if self.kind == "journal" else Path(self.address.removeprefix("sqlite:///")).absolute().parent
        kind = file_system(place)
        if kind.startswith(_NETWORK_FILE_SYSTEMS):
            raise ConfigError(
                f"{place} lies on a network file system ({kind}), on which a {self.kind} file gets corrupted: "
                "give storage: postgresql://USER@HOST/DATABASE, or an --out on a local disk"
            )

    def check_nodes(self, count: int) -> None:
        """Refuse a file for a study of several machines.

        Raises:
            ConfigError: there are several nodes and the record is a file.
        """
        if count > 1 and self.kind != "postgresql":
            raise ConfigError(
                f"this cluster has {count} nodes and the study's record is a file of this one ({self.label}), "
                "which would be lost with it; give storage: postgresql://USER@HOST/DATABASE"
            )

    def check_apart(self, tracking: str) -> None:
        """Refuse one database for the record and for MLflow: both count the versions of their tables in one place.

        Raises:
            ConfigError: they are the same.
        """
        if self.kind == "journal" or not tracking.startswith(("postgresql", "sqlite:")):
            return
        ours, theirs = urlsplit(self.address), urlsplit(tracking)
        if (ours.hostname, ours.port or 5432, ours.path) == (theirs.hostname, theirs.port or 5432, theirs.path):
            raise ConfigError(
                f"storage and MLflow share the database {self.label}, in which their tables would collide; "
                "give MLflow one of its own with --tracking-uri"
            )

    @contextmanager
    def migrating(self) -> Iterator[None]:
        """Keep others from making the tables of a PostgreSQL database at the same time.

        Raises:
            ConfigError: it cannot be reached.
        """
        if self.kind != "postgresql":
            yield
            return
        psycopg = _driver()
        try:
            connection = self.connect("align-study tables")
        except psycopg.Error as error:
            raise ConfigError(f"cannot reach the storage {self.label}: {first_line(error)}; is it running?") from None
        with connection:
            connection.execute("SELECT pg_advisory_lock(%s)", [_key("tables")])
            yield

    def connect(self, name: str) -> Any:
        """A connection to PostgreSQL by its driver, which commits every statement."""
        return _driver().connect(
            self.address.replace("+psycopg", "", 1), autocommit=True, connect_timeout=10, keepalives_idle=20,
            keepalives_interval=5, keepalives_count=4, options=_KEEPALIVE, application_name=name[:63],
        )  # fmt: skip


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
    elif storage.kind == "sqlite":  # which studies of several folders may share
        database = Path(storage.address.removeprefix("sqlite:///")).absolute()
        busy = f"the study {study} in {storage.label} is being run already ({{holder}}); wait for it"
        with FileLock(database.with_name(f"{database.name}.{study}.lock"), busy=busy).held():
            yield lambda: False
    else:  # the lock of the folder is enough
        yield lambda: False


def file_system(path: Path, *, mounts: Path = Path("/proc/self/mountinfo")) -> str:
    """The type of the file system that holds `path` (as the kernel calls it: ext4, nfs4 …); empty if unknown."""
    try:
        lines = mounts.read_text(encoding="utf-8").splitlines()
    except OSError:
        return ""
    best, kind = Path("/"), ""
    target = path.resolve()
    for line in lines:
        before, _, after = line.partition(" - ")
        mount = Path(before.split()[4].replace("\\040", " "))
        if target.is_relative_to(mount) and len(mount.parts) >= len(best.parts):
            best, kind = mount, after.split()[0]
    return kind


def check_option(name: str, address: str) -> None:
    """Refuse a password on the command line, which everyone on the machine can read.

    Raises:
        ConfigError: there is one in `address`.
    """
    if has_literal_password(address):
        raise ConfigError(
            f"{name} holds a password, which the process list shows; write '${{VARIABLE}}' or '${{file:PATH}}' "
            "in its place, or set PGPASSWORD or MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"
        )


class FileLock:
    """A lock by `flock`, which the kernel drops with the process that held it."""

    def __init__(self, path: Path, *, busy: str) -> None:
        self._path, self._busy = path, busy

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the lock.

        Raises:
            ConfigError: another process does.
            OSError: the file cannot be written.
        """
        with self._path.open("a+") as handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
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
        self._psycopg = _driver()
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


def _driver() -> Any:
    try:
        import psycopg
    except ImportError:
        raise ConfigError("PostgreSQL needs its driver: pip install 'align-study[postgres]'") from None
    return psycopg


def _key(name: str) -> int:
    """The number of a lock, which every coordinator derives alike."""
    digest = hashlib.blake2b(f"align-study/{name}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)


def first_line(error: BaseException) -> str:
    """The first line of what a database driver says, without passwords."""
    told = str(getattr(error, "orig", None) or error)
    text = next((line for line in told.splitlines() if line.strip()), type(error).__name__)
    return redacted(text)[:200]
