"""Drivers, workers and nodes that die, and nodes that join: the same answer, nothing lost, nothing twice."""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Callable
from typing import Any

import psutil
import psycopg
import pytest
from ray.cluster_utils import Cluster

from tests.study import studies

Make = Callable[..., Any]
Recorded = Callable[[Any], list[tuple[str, ...]]]


def states(study: Any) -> set[str]:
    with psycopg.connect(study.storage) as connection:
        return {str(row[0]) for row in connection.execute("SELECT DISTINCT state::text FROM trials")}


def workers(node: Any) -> list[psutil.Process]:
    """Processes of a node that train packs."""
    found = []
    for raylet in node.all_processes["raylet"]:
        for child in psutil.Process(raylet.process.pid).children(recursive=True):
            with contextlib.suppress(psutil.Error):
                if "Trainable" in " ".join(child.cmdline()):
                    found.append(child)
    return found


@pytest.mark.timeout(1200)
def test_a_driver_killed_at_20_moments_loses_and_repeats_nothing(
    make: Make, undisturbed: Any, recorded: Recorded
) -> None:
    study, moments = make(), random.Random(0)
    before = 0
    for kill in range(20):
        driver = study.start()
        if kill % 2:  # after some packs more, or while it starts
            enough = len(recorded(study)) + moments.randrange(3)
            started = len(study.events("study_started"))
            done = lambda: len(study.events("study_started")) > started and len(recorded(study)) >= enough  # noqa: B023, E731
            until = time.monotonic() + 60
            while not done() and driver.poll() is None and time.monotonic() < until:
                time.sleep(0.02)
        time.sleep(moments.uniform(0, 0.5 if kill % 2 else 8))
        studies.kill(driver)
        after = len(recorded(study))
        assert after >= before
        before = after

    assert study.finish()["cells"] == undisturbed.report()["cells"]
    assert len(set(recorded(study))) == len(recorded(study)) == len(recorded(undisturbed))
    assert states(study) <= {"COMPLETE", "RUNNING"}


def test_a_worker_killed_in_mid_pack_goes_on_from_its_checkpoint(
    make: Make, long_answer: Any, cluster: Cluster
) -> None:
    study = make(text=studies.LONG)
    driver = study.start()
    studies.wait_for(lambda: list(study.out.glob("packs/*.pt")), driver)
    for worker in workers(cluster.head_node):
        worker.kill()
    _, err = driver.communicate(timeout=200)

    assert driver.returncode == 0, err
    assert study.report()["cells"] == long_answer["cells"]
    assert any(event["resumed_from"] > 0 for event in study.events("pack_done"))


def test_a_torn_checkpoint_is_left_and_its_pack_starts_over(make: Make, long_answer: Any) -> None:
    study = make(text=studies.LONG)
    driver = study.start()
    studies.wait_for(lambda: list(study.out.glob("packs/*.pt")), driver)
    studies.kill(driver)
    for checkpoint in study.out.glob("packs/*.pt"):
        checkpoint.write_bytes(checkpoint.read_bytes()[: checkpoint.stat().st_size // 2])

    assert study.finish()["cells"] == long_answer["cells"]
    assert {event["resumed_from"] for event in study.events("pack_done")} == {0}


def test_packs_of_a_lost_node_move_and_a_node_that_joins_gets_work(
    make: Make,
    long_answer: Any,
    recorded: Recorded,
    cluster: Cluster,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")  # for the raylets that join, as for their head
    study = make(text=studies.LONG)
    lost = cluster.add_node(num_cpus=1, include_dashboard=False, object_store_memory=100 * 2**20)
    driver = study.start()
    studies.wait_for(lambda: workers(lost), driver)
    cluster.remove_node(lost, allow_graceful=False)
    joined = cluster.add_node(num_cpus=1, include_dashboard=False, object_store_memory=100 * 2**20)
    try:
        studies.wait_for(lambda: workers(joined), driver)
        _, err = driver.communicate(timeout=200)
    finally:
        cluster.remove_node(joined)

    assert driver.returncode == 0, err
    assert study.report()["cells"] == long_answer["cells"]
    assert len(set(recorded(study))) == len(recorded(study)) == study.trained() == 4


@pytest.mark.timeout(900)
def test_a_driver_killed_within_a_budget_stops_where_it_would_have_and_a_raise_goes_on(
    make: Make, undisturbed: Any, recorded: Recorded
) -> None:
    study, limit = make(), ("--set", "budget.trainings=30")
    driver = study.start(*limit)
    studies.wait_for(lambda: study.trained() >= 3, driver)
    studies.kill(driver)

    report = study.finish(*limit)

    assert report["trainings"] <= 30
    assert [(cell["cut"]["by"], cell["cut"]["strengths"]) for cell in report["cells"]] == [("trainings", 1)] * 2
    gains = [cell["pair_choice"]["gain_over_zero"] for cell in report["cells"]]
    assert {gain["source"] for gain in gains} == {"confirm"}
    before = recorded(study)
    raised = study.finish("--set", f"budget.trainings={report['budget']['enough']}")
    assert not any("cut" in cell for cell in raised["cells"])
    assert set(before) < set(recorded(study))
    whole = undisturbed.report()
    assert [cell["counts"]["strengths"] for cell in raised["cells"]] == [
        cell["counts"]["strengths"] for cell in whole["cells"]
    ]
