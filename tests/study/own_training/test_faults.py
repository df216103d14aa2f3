"""Drivers and workers that are killed in mid-training: the same answer, and no epoch trained in vain."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable
from typing import Any

import psutil
import pytest

from tests.study import studies

Make = Callable[..., studies.TinyStudy]
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
EPOCHS = 8


def make_slow(make: Make, name: str, *options: str, **keys: Any) -> studies.TinyStudy:
    settings = {"refine": 0, "search": 2, "confirm": 2, "options": f"{{epochs: {EPOCHS}, log: LOG}}", **keys}
    return make("slowly", name, *options, more="resources: {checkpoint_seconds: 0.1}", **settings)


def epochs(study: studies.TinyStudy) -> Counter[tuple[str, str]]:
    """How often each epoch of each trial was trained."""
    log = study.folder / "LOG"
    lines = [line.split() for line in log.read_text().splitlines()] if log.exists() else []
    return Counter((folder, epoch) for folder, epoch, _ in lines)


def workers(driver: Any) -> list[psutil.Process]:
    found = []
    for child in psutil.Process(driver.pid).children(recursive=True):
        with contextlib.suppress(psutil.Error):
            if "Trainable" in " ".join(child.cmdline()):
                found.append(child)
    return found


def answers(study: studies.TinyStudy) -> Any:
    """The cells without the folder that their options name."""
    cells = study.report()["cells"]
    for cell in cells:
        del cell["own_training"]["options"]
    return cells


def test_killed_drivers_and_workers_lose_an_epoch_at_most_and_come_to_the_same_answer(own_study: Make) -> None:
    undisturbed = make_slow(own_study, "undisturbed")
    undisturbed.finish("--workers", "2")
    alone = make_slow(own_study, "alone")
    alone.finish("--workers", "1")
    assert answers(alone) == answers(undisturbed)

    study = make_slow(own_study, "killed")
    driver = study.start("--workers", "2")
    studies.wait_for(lambda: len(epochs(study)) > 3, driver)
    for worker in workers(driver):
        worker.kill()
    studies.wait_for(lambda: len(study.events("pack_done")) > 2, driver)
    studies.wait_for(lambda: list(study.out.glob("packs/*/*/epoch.json")), driver)
    studies.kill(driver)
    kept = {path.parents[1] for path in study.out.glob("packs/*/*/epoch.json")}
    assert kept
    study.finish("--workers", "2")

    assert answers(study) == answers(undisturbed)
    trained = epochs(study)
    assert trained.keys() >= {(folder.name, str(epoch)) for folder in kept for epoch in range(EPOCHS)}
    assert set(trained.values()) <= {1, 2}
    assert sum(count - 1 for count in trained.values()) <= 6  # the one that each killed worker was at
    assert len({folder for folder, _ in trained}) == study.report()["trainings"]
    assert [path for path in study.out.glob("packs/*") if not path.name.startswith(".")] == []


def test_code_that_changed_between_two_runs_is_said_by_the_command_and_the_report(own_study: Make) -> None:
    study = make_slow(own_study, "changed")
    driver = study.start("--workers", "2")
    studies.wait_for(lambda: len(study.events("pack_done")) > 2, driver)
    studies.kill(driver)
    planted = study.folder / "planted.py"
    planted.write_text(planted.read_text() + "\n# changed\n")
    ended = study.run("--workers", "2")

    assert ended.returncode == 0, ended.stderr
    assert "note: planted.py:slowly has changed since" in ended.stderr
    (cell,) = study.report()["cells"]
    assert len(cell["own_training"]["code"]) == 2
    assert sum(cell["own_training"]["code"].values()) == study.report()["trainings"]
    assert "the code of its function changed" in (study.out / "report.html").read_text().lower()


def test_a_training_that_hangs_is_ended_and_given_up(own_study: Make) -> None:
    study = own_study("hangs", refine=0, search=2, confirm=0, more="resources: {minutes_per_trial: 0.05}")
    ended = study.run("--workers", "2")
    assert ended.returncode in (0, 1), ended.stderr  # what had ended before is told
    (cell,) = study.report()["cells"]
    assert "its training failed 3 times (the trial was ended after" in cell["error"]
    assert "resources.minutes_per_trial" in cell["error"]
    assert f"no answer for {cell['label']}: " in ended.stderr
