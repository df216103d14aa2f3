"""Checkpoints in an S3-compatible store, on a cluster whose nodes share no folder."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from pyarrow.fs import FileSelector, FileSystem
from ray.cluster_utils import Cluster

from study import load_report
from study.report import main as report_main
from tests.study import studies


@pytest.fixture
def two_nodes(bucket: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    """Each with one CPU; they know the keys of the bucket, as they started after it."""
    assert bucket
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    node = {"num_cpus": 1, "include_dashboard": False, "object_store_memory": 150 * 2**20}
    cluster = Cluster(initialize_head=True, head_node_args=node)
    cluster.add_node(**node)
    yield cluster
    cluster.shutdown()


def objects(address: str) -> list[str]:
    files, path = FileSystem.from_uri(address)
    return [found.base_name for found in files.get_file_info(FileSelector(path, allow_not_found=True))]


def trains(process: psutil.Process) -> bool:
    try:
        return "Trainable" in " ".join(process.cmdline())
    except psutil.Error:
        return False


def test_a_pack_goes_on_from_its_checkpoint_in_a_bucket(
    two_nodes: Cluster, bucket: str, long_answer: Any, postgres: Any, tmp_path: Path
) -> None:
    place = f"{bucket}/checkpoints"
    options = ("--address", two_nodes.address, "--tracking-uri", "http://127.0.0.1:9")
    options += ("--set", f"storage={postgres.database('bucket')}", "--set", f"resources.checkpoints={place}")
    study = studies.TinyStudy(tmp_path, *options, text=studies.LONG)
    driver = study.start()
    try:
        studies.wait_for(lambda: [name for name in objects(f"{place}/tiny") if name.endswith(".pt")], driver)
        raylets = [raylet.process.pid for node in two_nodes.list_all_nodes() for raylet in node.all_processes["raylet"]]
        for raylet in raylets:
            for worker in filter(trains, psutil.Process(raylet).children(recursive=True)):
                worker.kill()
        _, err = driver.communicate(timeout=200)
    finally:
        study.close()

    assert driver.returncode == 0, err
    assert study.report()["cells"] == long_answer["cells"]
    assert any(event["resumed_from"] > 0 for event in study.events("pack_done"))
    assert study.events("pack_retried")
    assert objects(f"{place}/tiny") == []  # neither checkpoints nor probes are left
    assert not (study.out / "packs").exists()


def test_a_bucket_that_is_not_there_is_said_before_the_first_training(
    two_nodes: Cluster, postgres: Any, tmp_path: Path
) -> None:
    options = ("--address", two_nodes.address, "--tracking-uri", "http://127.0.0.1:9")
    options += ("--set", f"storage={postgres.database('no-bucket')}", "--set", "resources.checkpoints=s3://not-there/x")
    study = studies.TinyStudy(tmp_path, *options, text=studies.LONG)

    ended = study.run()

    assert ended.returncode == 2
    assert "cannot use s3://not-there/x/tiny" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert not study.events("pack_queued")


@pytest.mark.timeout(300)
def test_a_study_lies_in_a_bucket_and_goes_on_there_on_another_machine(
    bucket: str, long_answer: Any, postgres: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = f"{bucket}/studies"
    options = ("--out", place, "--tracking-uri", "http://127.0.0.1:9")
    options += ("--set", f"storage={postgres.database('out')}")
    first, second = (studies.TinyStudy(tmp_path / name, *options, text=studies.LONG) for name in ("one", "two"))
    driver = first.start()
    try:
        studies.wait_for(lambda: [name for name in objects(f"{place}/tiny/packs") if name.endswith(".pt")], driver)
        studies.kill(driver)
        ended = second.run()
    finally:
        first.close()
    assert ended.returncode == 0, ended.stderr
    assert f"report: {place}/tiny/report.html" in ended.stdout
    assert str(tmp_path) not in ended.stdout + ended.stderr

    told = load_report("tiny", out=place)
    assert told.data["cells"] == long_answer["cells"]
    assert {"report.json", "report.html", "config.yaml", "events.jsonl"} <= set(objects(f"{place}/tiny"))
    assert objects(f"{place}/tiny/packs") == []
    assert "index.html" in objects(place)
    assert not first.out.exists()
    assert not second.out.exists()

    again = second.run()
    assert again.returncode == 0, again.stderr
    assert "starting Ray" not in again.stderr
    assert report_main(["tiny", "--out", place, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["cells"] == told.data["cells"]
