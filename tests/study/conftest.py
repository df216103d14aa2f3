"""A PostgreSQL server, which the tests of the study share."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.study import servers


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Any]:
    """A PostgreSQL server for the whole session; whoever stops it starts it again."""
    programs = servers.postgres_programs()
    if programs is None:
        pytest.skip("no PostgreSQL server on this machine: install the package postgresql")
    server = servers.Postgres(programs)
    yield server
    server.close()


@pytest.fixture
def postgres(postgres_server: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The server, its password in the environment as a user would put it."""
    monkeypatch.setenv("PGPASSWORD", servers.PASSWORD)
    return postgres_server
