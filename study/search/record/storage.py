"""Where a study's record is kept: a file serves one machine, PostgreSQL a cluster.

There the record must outlive the head node and its disk, and be locked against a coordinator on another machine.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from study.config import ConfigError
from study.config.secrets import encoded, expand, has_literal_password, redacted, shown, split_address

# So that the lock of a machine that lost its power is free after about 40 s.
_KEEPALIVE = "-c tcp_keepalives_idle=20 -c tcp_keepalives_interval=5 -c tcp_keepalives_count=4"
_NETWORK_FILE_SYSTEMS = (
    "nfs", "cifs", "smb", "lustre", "gpfs", "beegfs", "ceph", "glusterfs", "afs", "9p", "fuse.sshfs", "fuse.s3fs",
    "fuse.gcsfuse", "fuse.mount-s3", "fuse.blobfuse", "fuse.glusterfs", "fuse.juicefs",
)  # fmt: skip
_INSTEAD = (
    "write '${VARIABLE}' or '${file:PATH}' in its place, or set PGPASSWORD or MLFLOW_TRACKING_USERNAME and "
    "MLFLOW_TRACKING_PASSWORD"
)


@dataclass(frozen=True)
class Storage:
    """The `storage` of a study file, its passwords still references."""

    given: str = "journal"

    @property
    def kind(self) -> Literal["journal", "sqlite", "postgresql"]:
        """The kind of storage; `address` may raise."""
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
        if mark and scheme in ("postgres", "postgresql", "postgresql+psycopg"):
            return encoded(f"postgresql+psycopg{mark}{rest}")
        if scheme == "sqlite" and rest.startswith("/"):
            return address
        raise ConfigError(
            f"storage is no address of a known kind ({shown(self.given)}); "
            "give journal, sqlite:///FILE or postgresql://USER@HOST/DATABASE"
        )

    @property
    def label(self) -> str:
        """The address as it may be shown."""
        return redacted(self.given)

    @property
    def file(self) -> Path | None:
        """The file of an SQLite database; `address` may raise."""
        return Path(self.address.removeprefix("sqlite:///").partition("?")[0]) if self.kind == "sqlite" else None

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
        ours, theirs = split_address(self.address), split_address(tracking)
        if (ours.host, ours.port or "5432", ours.path) == (theirs.host, theirs.port or "5432", theirs.path):
            raise ConfigError(
                f"storage and MLflow share the database {self.label}, in which their tables would collide; "
                "give MLflow one of its own with --tracking-uri"
            )

    def connect(self, name: str) -> Any:
        """A connection to PostgreSQL by its driver, which commits every statement."""
        return postgres_driver().connect(
            self.address.replace("+psycopg", "", 1), autocommit=True, connect_timeout=10, keepalives_idle=20,
            keepalives_interval=5, keepalives_count=4, options=_KEEPALIVE, application_name=name[:63],
        )  # fmt: skip


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


def check_option(name: str, address: str, *, instead: str = _INSTEAD) -> None:
    """Refuse a password on the command line, which everyone on the machine can read; `instead` says what to do.

    Raises:
        ConfigError: there is one in `address`.
    """
    if has_literal_password(address):
        raise ConfigError(f"{name} holds a password, which the process list shows; {instead}")


def check_cluster(address: str) -> None:
    """Refuse a password in the address of a Ray cluster, which has no use for one.

    Raises:
        ConfigError: there is one.
    """
    check_option("--address", address, instead="leave it out: Ray is shown a token, see RAY_AUTH_TOKEN_PATH")


def postgres_driver() -> Any:
    """The module `psycopg`.

    Raises:
        ConfigError: it is not installed.
    """
    try:
        import psycopg
    except ImportError:
        raise ConfigError("PostgreSQL needs its driver: pip install 'align-study[postgres]'") from None
    return psycopg


def first_line(error: BaseException) -> str:
    """The first line of what a database driver says, without passwords."""
    told = redacted(str(getattr(error, "orig", None) or error))  # first: a password may hold the end of a line
    return next((line for line in told.splitlines() if line.strip()), type(error).__name__)[:200]
