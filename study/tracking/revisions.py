"""Revisions of MLflow's tables, as the MLflow that is installed here knows them."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

NEWER = "the database is of a newer MLflow than the one installed here: update it, or give another --tracking-uri"


def is_newer(revision: str) -> bool:
    """Whether the MLflow that is installed here has never heard of a revision."""
    return revision not in _known()


@cache
def head() -> str:
    """The newest revision that is known here."""
    return str(_script().get_current_head())


@cache
def _known() -> frozenset[str]:
    return frozenset(str(step.revision) for step in _script().walk_revisions())


def _script() -> Any:
    import mlflow.store
    from alembic.script import ScriptDirectory

    return ScriptDirectory(str(Path(mlflow.store.__file__).with_name("db_migrations")))
