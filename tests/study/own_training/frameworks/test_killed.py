"""Studies of the examples through the real Ray, whose workers and driver are killed in mid-training."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.study import studies
from tests.study.own_training.frameworks.cases import Case

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
STUDY = """
study: tiny
trainer: {{call: "{file}:train", options: {{{length}: {epochs}}}}}
pairs: [[upper, lower]]
strength: {{initial: [0, 1], refine: 0}}
search: {{nuisance: {{{tuned}: {{log: [{rate}, {high}]}}}}, trials_per_strength: 1}}
replicates: {{search: 2, confirm: 2}}
resources: {{checkpoint_seconds: 0.1}}
"""


@pytest.fixture
def made() -> Iterator[list[studies.TinyStudy]]:
    studies_made: list[studies.TinyStudy] = []
    yield studies_made
    for study in studies_made:
        study.close()


def make(case: Case, folder: Path, made: list[studies.TinyStudy]) -> studies.TinyStudy:
    text = STUDY.format(
        file=case.file, length=case.length, epochs=case.epochs, tuned=case.tuned, rate=case.rate, high=2 * case.rate
    )
    # MLflow is tried elsewhere, and its tables take longer to make than the study.
    made.append(studies.TinyStudy(folder, "--tracking-uri", "http://127.0.0.1:9", text=text))
    return made[-1]


def saved(study: studies.TinyStudy) -> dict[str, set[str]]:
    """What functions have saved for trials that are not on record, by the trial's folder."""
    found: dict[str, set[str]] = {}
    for path in study.out.glob("packs/*/*/**/*"):
        found.setdefault(path.relative_to(study.out / "packs").parts[0], set()).add(path.name)
    return found


def kill_workers(driver: Any) -> None:
    for child in psutil.Process(driver.pid).children(recursive=True):
        with contextlib.suppress(psutil.Error):
            if "Trainable" in " ".join(child.cmdline()):
                child.kill()


def test_killed_workers_and_a_killed_driver_change_nothing(
    case: Case, tmp_path: Path, made: list[studies.TinyStudy]
) -> None:
    undisturbed = make(case, tmp_path / "undisturbed", made).finish("--workers", "1")

    study = make(case, tmp_path / "killed", made)
    driver = study.start("--workers", "2")
    studies.wait_for(lambda: len(saved(study)) > 1, driver)
    kill_workers(driver)
    studies.wait_for(lambda: study.events("pack_retried"), driver)
    studies.wait_for(lambda: saved(study), driver)
    studies.kill(driver)
    left = saved(study)
    assert left
    report = study.finish("--workers", "2")

    assert report["cells"] == undisturbed["cells"]
    (cell,) = report["cells"]
    for encoder in cell["encoders"]:
        assert encoder["gain_over_zero"] is not None  # it was confirmed
        assert max(point["mean"] for point in encoder["curve"]) > 0.3  # a tenth is what guessing comes to
    assert saved(study) == {}
