"""What Prometheus reads while a study trains on a real Ray cluster: real HTTP, its own parser."""

from __future__ import annotations

import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from ray.cluster_utils import Cluster

from tests.study import servers, studies

pytestmark = pytest.mark.slow

HEAD = {
    "num_cpus": 2,
    "num_gpus": 1,  # that nobody computes on: Ray counts what it is told
    "include_dashboard": False,
    "object_store_memory": 200 * 2**20,
    "_system_config": {"metrics_report_interval_ms": 300},
}


@pytest.fixture
def head(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, str]]:
    """A node's address, and that of its metrics."""
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    port = servers.free_port()
    cluster = Cluster(initialize_head=True, head_node_args={**HEAD, "metrics_export_port": port})
    yield cluster.address, f"http://{cluster.head_node.node_ip_address}:{port}/metrics"
    cluster.shutdown()


def scrape(address: str) -> dict[str, dict[str, float]]:
    """The study's samples: by name, by what tells them apart within the study.

    Raises:
        ValueError: it is not in the exposition format.
    """
    with urllib.request.urlopen(address, timeout=5) as answer:
        assert answer.headers.get_content_type() == "text/plain"
        text = answer.read().decode()
    found: dict[str, dict[str, float]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.labels.get("study") == "tiny":
                found.setdefault(sample.name, {})[sample.labels.get("end", "")] = sample.value
    return found


def test_a_study_shows_trainings_queue_failures_and_gpu_share(head: tuple[str, str], tmp_path: Path) -> None:
    address, metrics = head
    options: tuple[Any, ...] = ("--address", address, "--set", "resources.gpus=0.5", "--set", "storage=journal")
    study = studies.TinyStudy(tmp_path, *options, "--tracking-uri", "http://127.0.0.1:9", text=studies.LONG)
    driver = study.start()
    seen: list[dict[str, dict[str, float]]] = []
    while driver.poll() is None:
        if shown := scrape(metrics):
            seen.append(shown)
        time.sleep(0.1)
    _, err = driver.communicate()
    assert driver.returncode == 0, err

    def values(name: str, key: str = "") -> list[float]:
        return [
            shown[f"ray_align_study_{name}"][key] for shown in seen if key in shown.get(f"ray_align_study_{name}", {})
        ]

    trainings = study.report()["trainings"]
    assert values("trainings_done") == sorted(values("trainings_done"))
    assert 0 < values("trainings_done")[-1] <= trainings
    assert values("trainings_left")[0] == trainings
    assert max(values("packs_queued")) >= 1
    assert max(values("packs_in_flight")) == 2
    assert set(values("cells_failed")) == set(values("trainings_diverged")) == {0.0}
    assert max(values("gpu_share")) == 1.0
    assert values("packs_total", "done")[-1] >= 1
    assert values("pack_seconds_total")[-1] > 0
