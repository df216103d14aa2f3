"""Which MLflow store a study is shown in, and what is wrong with one that does not answer."""

from __future__ import annotations

import os
from pathlib import Path

from study.config.secrets import redacted
from study.storage import check_option

DEFAULT_URI = "sqlite:///mlflow.db"  # where a bare `mlflow ui` looks

# What a long chain of exceptions comes down to.
_KNOWN_FAULTS = {
    "Connection refused": "the connection was refused: is the server running?",
    "Failed to resolve": "there is no host of that name",
    "timed out": "the server did not answer in time",
    "error responses": "the server answers with errors: see its log",
    "unable to open database file": "the database file cannot be opened",
    "unsupported URI": "it is no tracking URI of MLflow: use sqlite:///FILE or http://HOST:PORT",
    "out-of-date database schema": "the database is of an older MLflow: run `mlflow db upgrade` on it",
}


def tracking_uri(option: str | None) -> str:
    """What a command uses: its option, else MLFLOW_TRACKING_URI, else a SQLite file where `mlflow ui` looks.

    Raises:
        ConfigError: the option holds a password, which everyone on the machine could read.
    """
    if option:
        check_option("--tracking-uri", option)
    return option or os.environ.get("MLFLOW_TRACKING_URI") or DEFAULT_URI


def resolve(uri: str) -> tuple[str, Path | None]:
    """The URI with its SQLite path made absolute, and the folder for artifacts where this process writes them."""
    if uri.startswith("sqlite:///") and ":memory:" not in uri:
        path, mark, options = uri.removeprefix("sqlite:///").partition("?")
        database = Path(path).resolve()
        return f"sqlite:///{database}{mark}{options}", database.parent / "mlartifacts"
    if uri.startswith(("postgresql://", "postgres://")):  # by the one driver that the project installs
        uri = f"postgresql+psycopg://{uri.partition('://')[2]}"
    a_database = uri.partition(":")[0].partition("+")[0] in ("postgresql", "mysql", "mssql", "sqlite")
    return uri, Path.cwd() / "mlartifacts" if a_database else None


def explain(error: Exception) -> str:
    """An exception as one short line without passwords."""
    text = " ".join(str(error).split()) or type(error).__name__
    known = next((told for sign, told in _KNOWN_FAULTS.items() if sign in text), None)
    if known:
        return known
    shown = redacted(text)  # before it is cut, which could take the sign that a password ends with
    return shown if len(shown) <= 200 else f"{shown[:199]}…"
