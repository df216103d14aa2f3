"""Dry runs of the study files that come with the project; what a plan is made of is tested in `test_planned.py`."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest

from study.cells.cell import Cell
from study.cells.trials import Arm
from study.config import load_config
from study.run import main
from study.scheduling import plan
from study.scheduling.ahead import ONE_SIDED_SHARE
from study.scheduling.plan import Amount, Plan
from study.scheduling.trying import Attempt
from study.session.dry_run import describe
from trainables.datasets import DATASETS

MEASURED = ("mosei", "own_training")  # the others are planned as if this machine were so fast


class Steady:
    """A speed in place of the one that is measured."""

    start = 4.0

    def seconds(self, cell: Cell, arm: Arm, n_replicas: int) -> float:
        del cell, arm
        return 0.1 * n_replicas


@pytest.mark.parametrize("space", sorted(Path(__file__).parents[3].glob("search_spaces/*.yaml")), ids=lambda p: p.name)
def test_every_search_space_passes_a_dry_run(
    space: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    if space.stem not in MEASURED:
        monkeypatch.setattr(plan, "measure", lambda *_, **__: Steady())
    rng = np.random.default_rng(0)
    np.savez("mine.npz", audio=rng.normal(size=(300, 3)), video=rng.normal(size=(300, 4)), y=np.arange(300) % 3)
    Path("features").mkdir()
    for name in ("upper", "lower"):
        np.save(f"features/{name}.npy", rng.normal(size=(300, 4)))
    np.save("features/digit.npy", np.arange(300) % 3)
    rows = (f"{a:.3f},{b:.3f},{('benign', 'malignant')[i % 2]}" for i, (a, b) in enumerate(rng.normal(size=(300, 2))))
    Path("cells.csv").write_text("\n".join(["mean_size,worst_size,diagnosis", *rows]))
    dataset = load_config(space).dataset
    has_file = dataset and "path" in DATASETS[dataset.name].options and dataset.name != "arrays"
    more = ["--stand-in", "small"] if has_file else [] if dataset else ["--try", "1"]

    assert main(["--space", str(space), "--dry-run", "--workers", "1", *more]) == 0
    assert re.search(r": (1 pair|\d+ pairs), \d+ trainings", capsys.readouterr().out)


def test_a_training_that_diverged_or_has_not_ended_is_no_time_to_go_by() -> None:
    amount = Amount(trainings=9, packs=1, seconds=90.0, training_seconds=81.0, cost=None)
    found = Plan(
        study="mine", cells=("mine: a + b",), rows=({},), pack_size=1, pack_bytes=1, at_once=1, devices=1, gpu=False,
        start_seconds=1.0, least=amount, likely=amount, most=amount, attempt=Attempt(start=1, seconds=9, ended=False),
    )  # fmt: skip
    assert re.search(r"^time: more than [^()]*$", describe(found), flags=re.M)
    diverged = Attempt(start=1, seconds=9, ended=True, diverged=True)
    assert "at λ = 0 diverged after 9" in describe(replace(found, attempt=diverged))


@pytest.mark.parametrize(("count", "said"), [(1, "mine: 1 pair, 9 trainings"), (2, "mine: 2 pairs, 9 trainings")])
def test_pairs_are_counted_in_words(count: int, said: str) -> None:
    amount = Amount(trainings=9, packs=1, seconds=1.0, training_seconds=1.0, cost=None)
    found = Plan(
        study="mine", cells=("mine: a + b",) * count, rows=({"train": 9},) * count, pack_size=9, pack_bytes=1,
        at_once=1, devices=1, gpu=False, start_seconds=1.0, least=amount, likely=amount, most=amount,
    )  # fmt: skip
    assert describe(found).startswith(said)


def test_the_readme_says_what_the_likely_time_supposes() -> None:
    words = " ".join((Path(__file__).parents[3] / "study" / "README.md").read_text(encoding="utf-8").split())
    assert ONE_SIDED_SHARE == 3 / 4
    assert "supposes that one-sided searches ask for three quarters of what they may after their first round" in words


OWN = """
import subprocess
from torch.utils.data import DataLoader

def train(trial):
    print("epoch 1")
    assert sum(map(len, DataLoader(range(10), num_workers=1))) == 10
    subprocess.Popen(["sleep", "%d"])
    return {"score": 1.0}
"""


def test_a_function_is_tried_with_children_of_its_own_which_end_with_it(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    seconds = 100_000 + os.getpid()
    (tmp_path / "own.py").write_text(OWN % seconds)
    (tmp_path / "mine.yaml").write_text("study: x\ntrainer: {call: own.py:train}\npairs: [[image, text]]\n")

    code = main(["--space", str(tmp_path / "mine.yaml"), "--dry-run", "--json", "--try", "60"])
    said = capfd.readouterr()

    assert code == 0, said.err
    assert "epoch 1" in said.err
    assert json.loads(said.out)["attempt"]["ended"] is True
    left = [process for process in psutil.process_iter(["cmdline"]) if str(seconds) in (process.info["cmdline"] or [])]
    assert not [process for process in left if process.status() != psutil.STATUS_ZOMBIE]


BUSY = """
import subprocess, time

def train(trial):
    subprocess.Popen(["sleep", "%d"])
    time.sleep(600)
"""


def test_what_a_function_started_ends_with_a_dry_run_that_is_killed(tmp_path: Path) -> None:
    """Its processes are a group of their own, which nobody else would end."""
    seconds = 200_000 + os.getpid()
    (tmp_path / "own.py").write_text(BUSY % seconds)
    (tmp_path / "mine.yaml").write_text("study: x\ntrainer: {call: own.py:train}\npairs: [[image, text]]\n")
    command = [sys.executable, "-m", "study.run", "--space", "mine.yaml", "--dry-run", "--try", "500"]

    def running() -> list[psutil.Process]:
        every = psutil.process_iter(["cmdline", "status"])
        return [
            one for one in every
            if str(seconds) in (one.info["cmdline"] or []) and one.info["status"] != psutil.STATUS_ZOMBIE
        ]  # fmt: skip

    with subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as driver:
        assert eventually(lambda: running() or driver.poll() is not None)
        assert driver.poll() is None, driver.stderr and driver.stderr.read()
        driver.kill()
        assert eventually(lambda: not running())
        assert driver.stderr is not None
        assert "Traceback" not in driver.stderr.read()


def eventually(true: Callable[[], object]) -> bool:
    """Whether something comes true within two minutes."""
    until = time.monotonic() + 120
    while not true() and time.monotonic() < until:
        time.sleep(0.2)
    return bool(true())
