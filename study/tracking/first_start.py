"""MLflow's tables in a PostgreSQL database: two commands that begin at the same time make them one after the other.

MLflow makes them without a lock, and of two that do, one fails with what the other has just made.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sqlalchemy import Connection

_KEY = 0x616C69676E  # of the lock: "align"
_PATIENCE_SECONDS = 120  # for the other to make some 70 steps on a busy server
_CONNECT_SECONDS = 5


@contextmanager
def one_at_a_time(uri: str) -> Iterator[None]:
    """A context in which no other study makes the tables of the database at `uri`; at once where they are there.

    Raises:
        sqlalchemy.exc.SQLAlchemyError: the database does not answer, or another has the lock for two minutes.
    """
    from sqlalchemy import create_engine, text
    from sqlalchemy.pool import NullPool

    engine = create_engine(uri, poolclass=NullPool, connect_args={"connect_timeout": _CONNECT_SECONDS})
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        if not _is_made(connection):
            connection.execute(text(f"SET lock_timeout = '{_PATIENCE_SECONDS}s'"))
            connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": _KEY})  # until the connection ends
        yield


def _is_made(connection: Connection) -> bool:
    """Whether MLflow has made its tables and, at last, its first experiment."""
    from sqlalchemy import text

    if connection.scalar(text("SELECT to_regclass('experiments')")) is None:
        return False
    return connection.scalar(text("SELECT 1 FROM experiments LIMIT 1")) is not None
