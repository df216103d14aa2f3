"""The linear study for real, one of its cells: training loses what the theory expects, where it expects it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.study import studies

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

SPACE = Path(__file__).resolve().parents[2] / "search_spaces/linear.yaml"
SMALLER = (
    "dataset.redundancy=[0.2, 1.0]", "strength.initial=[0, 0.1, 0.2, 0.3, 0.4, 0.6, 1, 2]", "strength.refine=0",
    "replicates.search=4", "replicates.confirm=0", "pid.bootstrap=20", "models=false",
)  # fmt: skip


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the finished study."""
    folder: Path = studies.run_space(SPACE, *SMALLER, folder=tmp_path_factory.mktemp("linear"))
    return folder


@pytest.fixture(scope="module")
def cells(study: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((study / "report.json").read_text(encoding="utf-8"))["cells"]
    return found


def test_the_expected_crossing_is_inside_the_interval_of_the_measured_one(cells: list[dict[str, Any]]) -> None:
    for encoder in cells[0]["forecast"]["together"]["encoders"]:
        low, high = encoder["measured"]["interval"]
        assert low <= encoder["crossing"] <= high
        assert encoder["measured"]["strength"] == pytest.approx(encoder["crossing"], rel=0.2)
        assert encoder["measured"]["lost"] == pytest.approx(encoder["scores"][0] - encoder["scores"][-1], abs=0.02)


def test_similarity_rises_while_prediction_falls(cells: list[dict[str, Any]]) -> None:
    alignment = cells[0]["alignment"]
    for metric in ("cka", "svcca", "mutual_knn"):
        assert alignment[-1][metric] > alignment[0][metric]
    assert all(encoder["shape"] == "falling" for encoder in cells[0]["encoders"])


def test_redundant_modalities_lose_nothing(cells: list[dict[str, Any]]) -> None:
    for encoder in cells[1]["forecast"]["together"]["encoders"]:
        assert encoder["crossing"] is None
        assert encoder["measured"] is None


def test_theory_and_training_are_in_one_figure_on_the_page(study: Path) -> None:
    assert len(list((study / "figures").glob("*-theory.svg"))) == 2
    assert "the expected one inside the interval" in (study / "report.html").read_text(encoding="utf-8")
