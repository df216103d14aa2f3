"""The papers' controlled experiment, run for real: what alignment does to a pair depends on its redundancy.

The whole of `search_spaces/synthetic.yaml`: with half its strengths the gain at R = 6 cannot be told from noise.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.study import studies

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]  # minutes on a quiet machine

SPACE = Path(__file__).resolve().parents[2] / "search_spaces/synthetic.yaml"


@pytest.fixture(scope="module")
def cells(tmp_path_factory: pytest.TempPathFactory) -> dict[int, dict[str, Any]]:
    """Entries of the report by redundancy."""
    folder = studies.run_space(
        SPACE, "pid.estimator=broja", "pid.bootstrap=20", folder=tmp_path_factory.mktemp("regimes")
    )
    report = json.loads((folder / "report.json").read_text())
    return {cell["variant"]["redundancy"]: cell for cell in report["cells"]}


def test_the_study_has_the_seeds_that_its_claims_need(cells: dict[int, dict[str, Any]]) -> None:
    assert sorted(cells) == [0, 2, 4, 6, 8]
    for cell in cells.values():
        for encoder in cell["encoders"]:
            assert min(point["seeds"] for point in encoder["curve"]) >= 8
            assert encoder["gain_over_zero"]["seeds"] == 10


@pytest.mark.parametrize("redundancy", [0, 2])
def test_without_redundancy_alignment_is_to_be_avoided(cells: dict[int, dict[str, Any]], redundancy: int) -> None:
    cell = cells[redundancy]
    assert [encoder["verdict"] for encoder in cell["encoders"]].count("avoid") >= 1
    assert all(encoder["verdict"] != "align" for encoder in cell["encoders"])
    assert (cell["pair_choice"]["verdict"], cell["pair_choice"]["shape"]) == ("avoid", "falling")
    assert (cell["pair_choice"]["strategy"], cell["pair_choice"]["lambda_star"]) == ("none", 0)


def test_half_redundant_pairs_hardly_care(cells: dict[int, dict[str, Any]]) -> None:
    for encoder in cells[4]["encoders"]:
        assert encoder["lambda_star"] > 0 or encoder["shape"] == "flat"


@pytest.mark.parametrize("redundancy", [6, 8])
def test_redundancy_lets_encoder_2_rise(cells: dict[int, dict[str, Any]], redundancy: int) -> None:
    """Encoder 2 sees its modality through a random transform, and learns from encoder 1 what it has in common."""
    second = cells[redundancy]["encoders"][1]
    assert second["verdict"] == "align"
    assert second["shape"] in ("rising", "inverted-u")
    assert second["gain_over_zero"]["interval"][0] > 0


def test_the_more_redundant_the_pair_the_stronger_its_alignment(cells: dict[int, dict[str, Any]]) -> None:
    stars = [cells[redundancy]["encoders"][1]["lambda_star"] for redundancy in (0, 2, 8)]
    assert stars[0] == stars[1] == 0 < stars[2]
