"""Which MLflow store a study is shown in, and what is wrong with one that does not answer."""

from __future__ import annotations

import os
import re
from pathlib import Path

from study.config.secrets import encoded, redacted, tells_password
from study.search.record.storage import check_option
from study.tracking.revisions import NEWER, is_newer

DEFAULT_URI = "sqlite:///mlflow.db"  # where a bare `mlflow ui` looks

# What a long chain of exceptions comes down to.
_KNOWN_FAULTS = {
    "Connection refused": "the connection was refused: is the server running?",
    "Failed to resolve": "there is no host of that name",
    "timed out": "the server did not answer in time",
    "error responses": "the server answers with errors: see its log",
    "file is not a database": "the file is no SQLite database: move it away, or give another --tracking-uri",
    "disk image is malformed": "the SQLite file is damaged: move it away, or restore it from a copy",
    "database is locked": "another process keeps the database locked: wait for it, or end it",
    "unable to open database file": "the database file cannot be opened",
    "maintenance mode": "a folder is no store of this MLflow: use sqlite:///FILE or http://HOST:PORT",
    "unsupported URI": "it is no tracking URI of MLflow: use sqlite:///FILE or http://HOST:PORT",
    "out-of-date database schema": "the database is of an older MLflow: run `mlflow db upgrade` on it",
}
_REVISION = re.compile(r"found version (\w+)|locate revision identified by '(\w+)'")


def tracking_uri(option: str | None) -> str:
    """What a command uses: its option, else MLFLOW_TRACKING_URI, else a SQLite file where `mlflow ui` looks.

    Raises:
        ConfigError: the option holds a password, which everyone on the machine could read.
    """
    if option:
        check_option("--tracking-uri", option)
    return option or os.environ.get("MLFLOW_TRACKING_URI") or DEFAULT_URI


def resolve(uri: str) -> tuple[str, Path | None]:
    """The URI with its SQLite path made absolute, and the folder for artifacts where this process writes them.

    User and password are percent-encoded: all that read the URI find the same host behind them.
    """
    if uri.startswith("sqlite:///") and ":memory:" not in uri:
        path, mark, options = uri.removeprefix("sqlite:///").partition("?")
        database = Path(path).resolve()
        return f"sqlite:///{database}{mark}{options}", database.parent / "mlartifacts"
    if uri.startswith(("postgresql://", "postgres://")):  # by the one driver that the project installs
        uri = f"postgresql+psycopg://{uri.partition('://')[2]}"
    if not uri.startswith(("sqlite:", "file:")):
        uri = encoded(uri)
    a_database = uri.partition(":")[0].partition("+")[0] in ("postgresql", "mysql", "mssql", "sqlite")
    return uri, Path.cwd() / "mlartifacts" if a_database else None


def database_file(uri: str) -> Path | None:
    """The SQLite file of a URI that `resolve` gave; None where it is another store."""
    if not uri.startswith("sqlite:///") or ":memory:" in uri:
        return None
    from sqlalchemy import make_url

    return Path(str(make_url(uri).database))  # as MLflow will open it, signs like %41 decoded


def explain(error: Exception, *, uri: str = "") -> str:
    """An exception as one short line without passwords, that of `uri` above all, of which it may tell a piece."""
    text = " ".join(str(error).split()) or type(error).__name__
    if (revision := _REVISION.search(text)) and is_newer(revision[1] or revision[2]):
        return NEWER
    known = next((told for sign, told in _KNOWN_FAULTS.items() if sign in text), None)
    if known:
        return known
    if tells_password(text, uri):
        return f"{type(error).__name__}, whose words tell of the password: check the address, and encode the password"
    shown = redacted(text)  # before it is cut, which could take the sign that a password ends with
    return shown if len(shown) <= 200 else f"{shown[:199]}…"
