"""What the tests of the study share: example reports, and a PostgreSQL server."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest


@pytest.fixture(scope="session")
def example() -> ModuleType:
    """`tests/study/results/example.py`: functions that make reports."""
    return _module("results/example.py")


@pytest.fixture(scope="session")
def servers() -> ModuleType:
    """`tests/study/servers.py`: real servers."""
    return _module("servers.py")


@pytest.fixture(scope="session")
def studies() -> ModuleType:
    """`tests/study/studies.py`: a tiny study, run by its command."""
    return _module("studies.py")


@pytest.fixture(scope="session")
def postgres_server(servers: ModuleType) -> Iterator[Any]:
    """A PostgreSQL server for the whole session; whoever stops it starts it again."""
    programs = servers.postgres_programs()
    if programs is None:
        pytest.skip("no PostgreSQL server on this machine: install the package postgresql")
    server = servers.Postgres(programs)
    yield server
    server.close()


@pytest.fixture
def postgres(postgres_server: Any, servers: ModuleType, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The server, its password in the environment as a user would put it."""
    monkeypatch.setenv("PGPASSWORD", servers.PASSWORD)
    return postgres_server


def _module(name: str) -> ModuleType:
    path = Path(__file__).parent / name
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
