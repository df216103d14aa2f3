"""A Ray cluster of raylets on this machine, and the answers that disturbed studies must come to as well."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from ray.cluster_utils import Cluster

from tests.study import studies

HEAD = {"num_cpus": 2, "include_dashboard": False, "object_store_memory": 200 * 2**20}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything here takes its time."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """A head with two CPUs, that outlives the drivers that are killed."""
    with pytest.MonkeyPatch.context() as patch:  # for its raylets alone: a Ray of this process may come after them
        patch.setenv("RAY_AUTH_MODE", "disabled")  # tokens have a test of their own
        cluster = Cluster(initialize_head=True, head_node_args=HEAD)
    yield cluster
    cluster.shutdown()


@pytest.fixture(scope="session")
def undisturbed(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The tiny study, run once in peace."""
    study = studies.TinyStudy(tmp_path_factory.mktemp("undisturbed"), "--address", cluster.address)
    study.finish()
    return study


@pytest.fixture(scope="session")
def long_answer(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The report of the long study, run once in peace."""
    folder = tmp_path_factory.mktemp("long")
    return studies.TinyStudy(folder, "--address", cluster.address, text=studies.LONG).finish()


@pytest.fixture
def make(
    cluster: Cluster, postgres: Any, tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[Callable[..., Any]]:
    """Makes studies on the cluster that keep their record in PostgreSQL, in one database."""
    storage = postgres.database(f"faults-{abs(hash(request.node.nodeid))}")

    def study(name: str = "study", *options: str, **settings: Any) -> Any:
        # No MLflow unless a test asks for it: making its tables takes longer than the study.
        place = ("--address", cluster.address, "--set", f"storage={storage}", "--tracking-uri", "http://127.0.0.1:9")
        made.append(studies.TinyStudy(tmp_path / name, *place, *options, **settings))
        return made[-1]

    made: list[Any] = []
    yield study
    for one in made:
        one.close()


@pytest.fixture
def recorded() -> Callable[[Any], list[tuple[str, ...]]]:
    """All results on a study's record, in PostgreSQL or a journal: the trial and the attribute that holds them."""

    def found(study: Any) -> list[tuple[str, ...]]:
        if study.storage is None:
            journal = (study.out / "optuna" / "journal.log").read_text()
            return [tuple(entry) for entry in re.findall(r'"trial_id":(\d+),"user_attr":{"(results:[^"]*)"', journal)]
        with psycopg.connect(study.storage) as connection:
            exists = connection.execute("SELECT to_regclass('trial_user_attributes')").fetchone()
            if exists == (None,):
                return []
            return connection.execute(
                "SELECT s.study_name || '/' || t.number, a.key FROM trial_user_attributes a JOIN trials t "
                "USING (trial_id) JOIN studies s USING (study_id) WHERE a.key LIKE 'results:%' ORDER BY 1, 2"
            ).fetchall()

    return found
