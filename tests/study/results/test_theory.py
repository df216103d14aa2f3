"""Theory and training in a report: the measured crossing, the figure, the sentence, and what is not there."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest

from study.results.figures import drawing as figures
from study.results.figures import theory
from study.results.model import CellResult, ForecastResult, Report, from_json, to_json
from study.results.page import html
from study.results.profiles import with_measured
from tests.study.results import example

STRENGTHS = [0.0, 0.1, 0.2, 0.3, 0.4, 0.6, 1.0, 2.0]


@pytest.fixture
def cell() -> dict[str, Any]:
    """A pair of which encoder 1 loses half of its R² near 0.35, as expected, and encoder 2 nothing."""
    rng = np.random.default_rng(0)
    cell: dict[str, Any] = copy.deepcopy(example.digits_report()["cells"][0])
    cell["metrics"] = ["r2", "r2"]
    for encoder, curve in zip(
        cell["encoders"], (np.where(np.array(STRENGTHS) < 0.35, 0.4, 0.1), np.full(8, 0.4)), strict=True
    ):
        rows = curve[:, None] + 0.005 * rng.standard_normal((8, 5))
        encoder["curve"] = [
            {"strength": s, "mean": float(r.mean()), "sd": float(r.std(ddof=1)), "seeds": 5, "scores": r.tolist()}
            for s, r in zip(STRENGTHS, rows, strict=True)
        ]
    forecast = {
        "encoders": [],
        "together": {
            "objective": "whitened_mse",
            "strengths": STRENGTHS,
            "encoders": [
                {"modality": "left", "scores": [0.4] * 4 + [0.1] * 4, "crossing": 0.36},
                {"modality": "right", "scores": [0.4] * 8, "crossing": None},
            ],
        },
    }
    cell["forecast"] = measured(forecast, cell)
    return cell


def read(cell: dict[str, Any]) -> CellResult:
    return from_json(CellResult, cell)


def measured(forecast: dict[str, Any] | None, cell: dict[str, Any]) -> Any:
    """The forecast of a cell beside what was measured, as a report has it."""
    known = from_json(ForecastResult, forecast) if forecast else None
    return to_json(with_measured(known, from_json(CellResult, cell).encoders))


def test_the_measured_crossing_stands_beside_the_expected_one(cell: dict[str, Any]) -> None:
    first, second = cell["forecast"]["together"]["encoders"]
    assert first["measured"]["strength"] == pytest.approx(0.35, abs=0.01)
    assert first["measured"]["interval"] == [0.3, 0.4]
    assert first["measured"]["lost"] == pytest.approx(0.3, abs=0.01)
    assert second["measured"] is None


def test_the_sentence_says_whether_the_expected_crossing_is_inside(cell: dict[str, Any]) -> None:
    assert theory.together_sentence(read(cell)) == (
        "The linear theory: left: half of its loss expected by λ = 0.36, measured by 0.35 [0.3, 0.4], "
        "the expected one inside the interval; right: no loss expected, and none was measured."
    )
    cell["forecast"]["together"]["encoders"][0]["crossing"] = 0.5
    assert "outside the interval" in theory.together_sentence(read(cell))
    cell["forecast"]["together"]["encoders"][1]["crossing"] = 0.5
    assert "right: half of its loss expected by λ = 0.5, but no loss was measured" in theory.together_sentence(
        read(cell)
    )


def test_the_figure_and_the_sentence_are_on_the_page(cell: dict[str, Any]) -> None:
    report = {"cells": [cell]}
    name = next(name for name in figures.figures([read(cell)]) if name.endswith("-theory"))
    drawn = figures.figures([read(cell)])[name]
    labels = drawn.axes[0].get_legend_handles_labels()[1]
    assert {"left, trained", "left, theory", "expected there", "half lost, 90 % interval"} <= set(labels)
    assert "half of its loss expected by λ = 0.36" in html.render(Report.from_json(report)).replace("\u00a0", " ")


def test_a_profile_shows_the_theory_alone(cell: dict[str, Any]) -> None:
    drawn = figures.figures([CellResult(pair=read(cell).pair, forecast=read(cell).forecast)])
    (axes,) = next(figure for name, figure in drawn.items() if name.endswith("-theory")).axes
    labels = axes.get_legend_handles_labels()[1]
    assert "left, theory" in labels
    assert "left, trained" not in labels
    assert len(axes.lines[0].get_xdata()) == len(STRENGTHS)


def test_a_diverged_training_is_no_score(cell: dict[str, Any]) -> None:
    cell["encoders"][0]["curve"][-1]["scores"][2] = None
    found = measured(cell["forecast"], cell)
    assert found is not None
    assert found["together"]["encoders"][0]["measured"]["strength"] == pytest.approx(0.35, abs=0.01)


@pytest.mark.parametrize("forecast", [None, {}, {"together": None}, {"together": {"encoders": [{}]}}])
def test_where_the_theory_says_nothing_nothing_is_said(forecast: dict[str, Any] | None) -> None:
    cell = copy.deepcopy(example.digits_report()["cells"][0])
    cell["forecast"] = measured(forecast, {"encoders": []})
    assert not theory.told_together(read(cell))
    assert not theory.together_sentence(read(cell))
    assert not any(name.endswith("-theory") for name in figures.figures([read(cell)]))


def test_a_search_without_a_curve_has_no_crossing(cell: dict[str, Any]) -> None:
    for encoder in cell["encoders"]:
        encoder["curve"] = []
    found = measured(cell["forecast"], cell)
    assert found is not None
    assert [entry["measured"] for entry in found["together"]["encoders"]] == [None, None]
    cell["forecast"] = found
    assert theory.told_together(read(cell))
    assert figures.figures([read(cell)])
