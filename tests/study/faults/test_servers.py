"""Databases and tracking servers that go away, full disks, wrong clocks, rivals: the same answer in the end."""

from __future__ import annotations

import http.server
import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from tests.study import studies

Make = Callable[..., Any]
Recorded = Callable[[Any], list[tuple[str, ...]]]
AWAY_SECONDS = 60.0


@pytest.mark.timeout(400)
def test_postgresql_may_crash_and_stay_away_for_a_minute(make: Make, undisturbed: Any, postgres: Any) -> None:
    study = make()
    driver = study.start()
    studies.wait_for(lambda: study.trained() >= 2, driver)
    postgres.stop(crash=True)
    try:
        time.sleep(AWAY_SECONDS)
        assert driver.poll() is None, driver.communicate()
    finally:
        postgres.start()
    _, err = driver.communicate(timeout=200)

    assert driver.returncode == 0, err
    assert "does not answer" in err
    assert "waiting, nothing is lost" in err
    assert study.report()["cells"] == undisturbed.report()["cells"]
    assert study.trained() == undisturbed.trained()


def test_of_two_coordinators_on_two_machines_the_second_is_refused(make: Make) -> None:
    first, second = make("first"), make("second")  # of one name and one database, in folders apart
    driver = first.start()
    try:
        studies.wait_for(lambda: first.events("study_started"), driver)
        refused = second.run()
    finally:
        studies.kill(driver)

    assert refused.returncode == 2
    assert "is being run already (align-study " in refused.stderr
    assert "Traceback" not in refused.stderr


@contextmanager
def tracking_server(answer: Callable[[http.server.BaseHTTPRequestHandler], None]) -> Iterator[str]:
    """A server that is no MLflow: every request gets `answer`."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer(self)

        do_POST = do_PUT = do_PATCH = do_GET  # noqa: N815

        def log_message(self, format: str, *args: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


def fail(request: http.server.BaseHTTPRequestHandler) -> None:
    request.send_error(500)


def dawdle(_: http.server.BaseHTTPRequestHandler) -> None:
    time.sleep(20)


@pytest.mark.parametrize("answer", [fail, dawdle, None], ids=["500", "slow", "down"])
def test_mlflow_may_fail_all_along_and_is_brought_up_to_date_later(
    make: Make, undisturbed: Any, answer: Callable[..., None] | None
) -> None:
    study = make()
    if answer is None:
        ended = study.run("--tracking-uri", "http://127.0.0.1:9")
    else:
        with tracking_server(answer) as address:
            ended = study.run("--tracking-uri", address)

    assert ended.returncode == 0, ended.stderr
    assert "does not show all of the study" in ended.stderr
    assert "--sync writes it later" in ended.stderr
    assert study.report()["cells"] == undisturbed.report()["cells"]
    if answer is None:
        synced = study.run("--sync", module="study.report")
        assert synced.returncode == 0, synced.stderr
        assert shown(study) == shown(undisturbed)


def shown(study: Any) -> list[tuple[str, str]]:
    """Name and status of every run of the study in MLflow."""
    client = MlflowClient(f"sqlite:///{study.folder / 'mlflow.db'}")
    (experiment,) = [e for e in client.search_experiments() if e.name == "tiny"]
    return sorted((str(run.info.run_name), run.info.status) for run in client.search_runs([experiment.experiment_id]))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A small file system."""
    disk = tmp_path / "disk"
    disk.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=32m", "tmpfs", disk]
    mounted = subprocess.run(command, capture_output=True, text=True, check=False)
    if mounted.returncode:
        pytest.skip(f"a small disk cannot be mounted here: {mounted.stderr.strip()}")
    try:
        yield disk
    finally:
        subprocess.run(["umount", "-l", disk], check=True)


def test_a_full_disk_ends_a_study_with_one_line_and_room_lets_it_go_on(
    cluster: Any, undisturbed: Any, tmp_path: Path, small_disk: Path
) -> None:
    study = studies.TinyStudy(tmp_path, "--address", cluster.address, "--out", str(small_disk))
    study.out = small_disk / "tiny"
    driver = study.start()
    studies.wait_for(lambda: study.trained() >= 2, driver)
    fill = small_disk / "fill"
    with fill.open("wb", buffering=0) as file:
        while True:
            try:
                file.write(bytes(4096))
            except OSError:
                break
    _, err = driver.communicate(timeout=120)

    assert driver.returncode == 2, err
    assert "No space left on device" in err
    assert "run the same command again, nothing is lost" in err
    assert "Traceback" not in err
    fill.unlink()
    assert study.finish("--tracking-uri", "http://127.0.0.1:9")["cells"] == undisturbed.report()["cells"]


def test_a_clock_that_jumps_back_by_a_day_changes_nothing(
    make: Make, undisturbed: Any, recorded: Recorded, tmp_path: Path
) -> None:
    skewed = tmp_path / "skewed"
    skewed.mkdir()
    (skewed / "sitecustomize.py").write_text(
        "import time\n_now, _now_ns = time.time, time.time_ns\n"
        "time.time = lambda: _now() - 86400\ntime.time_ns = lambda: _now_ns() - 86400 * 10**9\n"
    )
    study = make()
    driver = study.start()
    studies.wait_for(lambda: study.trained() >= 2, driver)
    studies.kill(driver)
    search_path = os.pathsep.join([str(skewed), *filter(None, [os.environ.get("PYTHONPATH")])])
    yesterday = make(environment={"PYTHONPATH": search_path})

    assert yesterday.finish()["cells"] == undisturbed.report()["cells"]
    assert len(set(recorded(yesterday))) == len(recorded(yesterday)) == len(recorded(undisturbed))
