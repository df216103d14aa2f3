"""Real servers that tests start on loopback and always stop: PostgreSQL and MLflow."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

PIECES = ("pelican", "otter", "heron", "gannet", "stoat")  # of it, should only one of them get out
PASSWORD = """pelican@otter/heron:gannet#stoat? '"%"""  # needs encoding wherever an address holds it


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def postgres_programs() -> Path | None:
    """The folder of the newest PostgreSQL server; None where there is none."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: float(path.parts[-3]))
    if found:
        return found[-1].parent
    program = shutil.which("postgres")
    return Path(program).parent if program else None


class Postgres:
    """A server with a user `align`, whose password it asks for, and databases made on demand.

    The server refuses to run as root; then it runs as the first of the users `postgres` and `nobody`.
    """

    def __init__(self, programs: Path) -> None:
        self._programs = programs
        self._user: str | None = None
        self._folder = Path(tempfile.mkdtemp(prefix="align-study-postgres-"))
        (self._folder / "password").write_text(PASSWORD)
        if os.geteuid() == 0:
            known = {entry.pw_name for entry in pwd.getpwall()}
            self._user = next(name for name in ("postgres", "nobody") if name in known)
            for path in (self._folder, self._folder / "password"):
                shutil.chown(path, self._user)
        self.port = free_port()
        ended = subprocess.run(
            [programs / "initdb", "-D", self._folder / "data", "-U", "align", "-A", "scram-sha-256", "--no-sync",
             f"--pwfile={self._folder / 'password'}", "--locale=C", "-E", "UTF8"],
            user=self._user, capture_output=True, text=True, cwd=self._folder, check=False,
        )  # fmt: skip
        assert ended.returncode == 0, ended.stderr
        self._process: subprocess.Popen[bytes] | None = None
        self._databases: set[str] = set()
        self.start()

    def start(self) -> None:
        """Start, and return once it answers."""
        settings = {
            "listen_addresses": "127.0.0.1", "port": self.port, "unix_socket_directories": self._folder,
            "fsync": "off", "max_connections": 40, "shared_buffers": "32MB",
        }  # fmt: skip
        options = [part for key, value in settings.items() for part in ("-c", f"{key}={value}")]
        with (self._folder / "postgres.log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._programs / "postgres", "-D", self._folder / "data", *options],
                stdout=log, stderr=log, user=self._user, start_new_session=True, cwd=self._folder,
            )  # fmt: skip
        until = time.monotonic() + 30
        while self.sql("SELECT 1", check=False) != "1":
            assert self._process.poll() is None, (self._folder / "postgres.log").read_text()
            assert time.monotonic() < until, "PostgreSQL does not answer"
            time.sleep(0.05)

    def stop(self, *, crash: bool = False) -> None:
        """Stop, cutting every connection: cleanly, or as in a crash."""
        if self._process is not None:
            self._process.send_signal(signal.SIGQUIT if crash else signal.SIGINT)
            self._process.wait(timeout=30)
            self._process = None

    def close(self) -> None:
        """Stop, and leave nothing behind."""
        self.stop(crash=True)
        shutil.rmtree(self._folder)

    def sql(self, query: str, *, database: str = "postgres", check: bool = True) -> str:
        """What `psql` prints for a query."""
        ended = subprocess.run(
            [self._programs / "psql", "-XAtq", "-h", "127.0.0.1", "-p", str(self.port), "-U", "align", "-c", query,
             database],
            env={**os.environ, "PGPASSWORD": PASSWORD}, capture_output=True, text=True, check=check,
        )  # fmt: skip
        return ended.stdout.strip()

    def database(self, name: str) -> str:
        """The address of a database, made if there is none, without the password."""
        if name not in self._databases:
            self.sql(f'CREATE DATABASE "{name}"')
            self._databases.add(name)
        return f"postgresql://align@127.0.0.1:{self.port}/{name}"

    @staticmethod
    def with_password(address: str) -> str:
        return address.replace("align@", f"align:{quote(PASSWORD, safe='')}@")


@contextlib.contextmanager
def mlflow_server(folder: Path, *, port: int) -> Iterator[str]:
    """A real MLflow server over a SQLite file in `folder`; its address."""
    with (folder / "mlflow-server.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1",
             "--backend-store-uri", f"sqlite:///{folder / 'server.db'}", "--artifacts-destination",
             str(folder / "artifacts")],
            stdout=log, stderr=log, start_new_session=True, cwd=folder,
        )  # fmt: skip
    try:
        until = time.monotonic() + 90
        while True:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=2):
                    break
            except OSError:
                assert process.poll() is None, (folder / "mlflow-server.log").read_text()
                assert time.monotonic() < until, "MLflow does not answer"
                time.sleep(0.2)
        yield f"http://127.0.0.1:{port}"
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
