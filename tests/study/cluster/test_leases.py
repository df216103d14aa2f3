"""Studies that share a real cluster of several raylets: what each has of it, and what becomes of a dead one's part."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import ray
from ray.cluster_utils import Cluster

from study.cluster.leases import Lease, standings
from tests.study import studies

PLACES = 3
NODE = {"include_dashboard": False, "object_store_memory": 80 * 2**20}
SLEEPS = """
import time

def train(trial):
    time.sleep(1.0)
    return {"score": 1 - (trial.strength - 1) ** 2}
"""
STUDY = """
study: tiny
trainer: {call: sleeps.py:train}
pairs: [[image, text]]
strength: {initial: [0, 0.5, 1, 2, 4], refine: 0}
replicates: {search: %d, confirm: 2}
"""
PACKS = 8  # of each study that are looked at


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """A head without places and nodes of so many each, which this process has joined to look at them."""
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, **NODE})
    for places in getattr(request, "param", (2, 1)):
        cluster.add_node(num_cpus=places, **NODE)
    ray.init(cluster.address, log_to_driver=False, logging_level="ERROR")
    yield cluster
    ray.shutdown()
    cluster.shutdown()


@pytest.fixture
def begin(cluster: Cluster, postgres: Any, tmp_path: Path) -> Iterator[Callable[[str, int], studies.TinyStudy]]:
    """Makes studies of one name on the cluster, each with a database of its own, and so many trainings a strength."""
    made: list[studies.TinyStudy] = []

    def study(name: str, trainings: int) -> studies.TinyStudy:
        storage = postgres.database(f"leases-{name}")
        options = ("--address", cluster.address, "--set", f"storage={storage}", "--tracking-uri", "http://127.0.0.1:9")
        made.append(studies.TinyStudy(tmp_path / name, *options, text=STUDY % trainings))
        (tmp_path / name / "sleeps.py").write_text(SLEEPS)
        return made[-1]

    yield study
    for one in made:
        one.close()


def wait_until_held(expected: list[int], driver: subprocess.Popen[str], *, seconds: float = 240) -> None:
    """Until as many places are held by as many studies, by a keeper that lists no other."""
    seen: list[Any] = []

    def holds() -> bool:
        seen[:] = standings()
        return sorted(one.held for one in seen) == expected

    try:
        studies.wait_for(holds, driver, seconds=seconds)
    except AssertionError as error:
        raise AssertionError(f"{expected} never held, at last {seen}") from error


def packs(study: studies.TinyStudy) -> list[tuple[float, float]]:
    """From when to when each pack was in flight, the ones that are so still without an end."""
    began = {event["pack"]: datetime.fromisoformat(event["time"]).timestamp() for event in study.events("pack_queued")}
    seconds = {event["pack"]: event["seconds"] for event in study.events("pack_done")}
    return [(start, start + seconds.get(pack, float("inf"))) for pack, start in began.items()]


def mean_in_flight(study: studies.TinyStudy, since: float, until: float) -> float:
    spent = sum(max(0.0, min(end, until) - max(start, since)) for start, end in packs(study))
    return spent / (until - since)


@pytest.mark.slow  # three drivers and their workers, which take a while to start
@pytest.mark.timeout(400)
def test_three_studies_share_a_cluster_and_two_of_them_the_part_of_one_that_is_killed(
    begin: Callable[[str, int], studies.TinyStudy],
) -> None:
    three = [begin(name, trainings) for name, trainings in (("small", 60), ("middle", 120), ("large", 240))]
    drivers = [three[2].start()]
    wait_until_held([PLACES], drivers[0])  # alone, it has everything

    drivers += [study.start() for study in three[:2]]
    wait_until_held([1, 1, 1], drivers[0])  # newcomers have their part
    since = time.time()
    before = [study.trained() for study in three]
    studies.wait_for(
        lambda: all(study.trained() >= was + PACKS for study, was in zip(three, before, strict=True)), drivers[0]
    )
    until = time.time()
    shares = [mean_in_flight(study, since, until) for study in three]
    assert shares == pytest.approx([PLACES / 3] * 3, rel=0.15)
    assert sum(shares) >= 0.95 * PLACES

    drivers[0].kill()
    drivers[0].communicate()
    wait_until_held([1, 2], drivers[1])
    assert not any(study.events("pack_failed") or study.events("pack_retried") for study in three)


@pytest.mark.slow  # two drivers, whose workers start anew with every turn
@pytest.mark.timeout(400)
@pytest.mark.parametrize("cluster", [(1,)], indirect=True)
def test_two_studies_have_their_turns_on_one_place(begin: Callable[[str, int], studies.TinyStudy]) -> None:
    drivers = [begin(name, trainings).start() for name, trainings in (("one", 4), ("two", 4))]
    for driver in drivers:  # Tune alone would keep a place without a pack for 600 s
        _, err = driver.communicate(timeout=300)
        assert driver.returncode == 0, err


@pytest.mark.slow  # a cluster of raylets
@pytest.mark.timeout(400)
@pytest.mark.usefixtures("cluster")
def test_a_keeper_that_is_lost_is_made_anew_and_learns_what_is_held() -> None:
    one, two = (Lease(name, weight=1.0, bundle={"CPU": 1.0}) for name in ("one", "two"))
    held = {"one": 2, "two": 0}

    def known() -> dict[str, tuple[int, int]]:
        for lease, name in ((one, "one"), (two, "two")):
            lease.allowed(held=held[name], wanted=5, capacity=PLACES)
        return {standing.study: (standing.held, standing.wanted) for standing in standings()}

    def wait_until_known() -> Any:
        until = time.monotonic() + 120
        while known() != {"one": (2, 5), "two": (0, 5)}:
            assert time.monotonic() < until, known()
            time.sleep(0.05)
        return ray.get_actor("leases-1", namespace="align-study")

    first = wait_until_known()
    ray.kill(first)
    second = wait_until_known()
    assert second._actor_id != first._actor_id
    assert not one.is_alone

    assert one.leave()
    assert [standing.study for standing in standings()] == ["two"]
    assert two.leave()
    assert standings() == ()
