"""What the tests of the study share: example reports, and a PostgreSQL server."""

from __future__ import annotations

from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest

from tests.study import servers as real_servers
from tests.study import studies as tiny_studies
from tests.study.results import example as example_reports


@pytest.fixture(scope="session")
def example() -> ModuleType:
    """`tests/study/results/example.py`: functions that make reports."""
    return example_reports


@pytest.fixture(scope="session")
def servers() -> ModuleType:
    """`tests/study/servers.py`: real servers."""
    return real_servers


@pytest.fixture(scope="session")
def studies() -> ModuleType:
    """`tests/study/studies.py`: a tiny study, run by its command."""
    return tiny_studies


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Any]:
    """A PostgreSQL server for the whole session; whoever stops it starts it again."""
    programs = real_servers.postgres_programs()
    if programs is None:
        pytest.skip("no PostgreSQL server on this machine: install the package postgresql")
    server = real_servers.Postgres(programs)
    yield server
    server.close()


@pytest.fixture
def postgres(postgres_server: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The server, its password in the environment as a user would put it."""
    monkeypatch.setenv("PGPASSWORD", real_servers.PASSWORD)
    return postgres_server
