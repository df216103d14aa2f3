"""A tiny study that tests run by the command a user types, and what is left of it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import psutil

TINY = """
study: tiny
dataset: {name: digits}
pairs: [[left, right], [left, fourier]]
pid: {estimator: broja, bootstrap: 20}
encoder: {width: 4}
training: {epochs: 8, batch_size: 128}
alignment: {one_sided: never}
strength: {initial: [0, 0.5, 2], refine: 1}
replicates: {search: 2, confirm: 2}
models: false
resources: {pack: 2}
"""
SMALLEST = """
study: tiny
dataset: {name: digits}
pairs: [[left, right]]
pid: {estimator: broja, bootstrap: 20}
encoder: {width: 4}
training: {epochs: 2, batch_size: 256}
alignment: {one_sided: never}
strength: {initial: [0, 2], refine: 0}
replicates: {search: 2, confirm: 2}
models: false
"""  # seconds
LONG = """
study: tiny
dataset: {name: digits}
pairs: [[left, right]]
pid: {estimator: broja, bootstrap: 20}
encoder: {width: 32}
training: {epochs: 150, batch_size: 32}
alignment: {one_sided: never}
strength: {initial: [0, 1], refine: 0}
replicates: {search: 4, confirm: 0}
models: false
resources: {pack: 2, checkpoint_seconds: 0.1}
"""  # four packs of some seconds and several checkpoints
OF_THE_VERSION_BEFORE = """
study: before
dataset: {name: digits}
pairs: [[left, right]]
pid: {estimator: broja, bootstrap: 20}
encoder: {width: 4}
training: {epochs: 2, batch_size: 256}
alignment: {one_sided: never}
strength: {initial: [0, 0.5, 2], refine: 0}
replicates: {search: 2, confirm: 2}
"""  # what `session/version_before` holds
VARYING = ("wall_seconds", "training_seconds", "peak_memory_bytes")


def run_space(space: Path, *overrides: str, folder: Path) -> Path:
    """Run a study file that is named as its study, in `folder`, to its end; the study's own folder."""
    command = [sys.executable, "-m", "study.run", "--space", str(space)]
    for override in overrides:
        command += ["--set", override]
    ended = subprocess.run(
        command, cwd=folder, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
    return folder / "studies" / space.stem


class TinyStudy:
    """A study in a folder of its own; `options` go to every command."""

    def __init__(self, folder: Path, *options: str, text: str = TINY, environment: Mapping[str, str] = {}) -> None:
        self.folder = folder
        self.out = folder / "studies" / "tiny"
        self._options = options
        self._drivers: list[subprocess.Popen[str]] = []
        tokens = {"RAY_AUTH_MODE": "disabled"} if "--address" in options else {}  # as its raylets were started
        self._environment = {**os.environ, "OMP_NUM_THREADS": "1", **tokens, **environment}
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "tiny.yaml").write_text(text)

    @property
    def storage(self) -> str | None:
        """The database that its options name for its record; None: a journal in its folder."""
        named = [option.removeprefix("storage=") for option in self._options if option.startswith("storage=")]
        return named[0] if named else None

    def start(self, *options: str, module: str = "study.run") -> subprocess.Popen[str]:
        space = ["--space", "tiny.yaml"] if module == "study.run" else ["tiny"]
        driver = subprocess.Popen(
            [sys.executable, "-m", module, *space, *(self._options if module == "study.run" else ()), *options],
            cwd=self.folder, env=self._environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            start_new_session=True,
        )  # fmt: skip
        self._drivers.append(driver)
        return driver

    def run(self, *options: str, module: str = "study.run") -> subprocess.CompletedProcess[str]:
        process = self.start(*options, module=module)
        out, err = process.communicate(timeout=240)
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    def finish(self, *options: str) -> dict[str, Any]:
        """Run to the end, and the report."""
        ended = self.run(*options)
        assert ended.returncode == 0, ended.stderr
        return self.report()

    def report(self) -> dict[str, Any]:
        """The report without what the clock says."""
        report: dict[str, Any] = json.loads((self.out / "report.json").read_text())
        return {key: value for key, value in report.items() if key not in VARYING}

    def events(self, kind: str | None = None) -> list[dict[str, Any]]:
        """The study's log, or its events of one kind."""
        log = self.out / "events.jsonl"
        events = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
        return [event for event in events if kind in (None, event["event"])]

    def close(self) -> None:
        """Kill what a failed test left running."""
        for driver in self._drivers:
            if driver.poll() is None:
                kill(driver)

    def trained(self) -> int:
        """Packs whose results were recorded."""
        return len(self.events("pack_done"))


def kill(process: subprocess.Popen[str]) -> None:
    """`kill -9` of a driver and all that it started, as when its machine dies."""
    if process.poll() is not None:  # it was quicker
        said = process.communicate()
        assert process.returncode == 0, said
        return
    children = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGKILL)
    for child in children:
        try:
            child.kill()
        except psutil.NoSuchProcess:
            continue
    process.communicate()


def wait_for(condition: Callable[[], Any], driver: subprocess.Popen[str], *, seconds: float = 180) -> None:
    """Until `condition` holds, while the driver runs."""
    until = time.monotonic() + seconds
    while not condition():
        assert driver.poll() is None, driver.communicate()
        assert time.monotonic() < until, "the study did not get that far"
        time.sleep(0.02)
