"""Figures over all pairs of a study: when they are drawn, what they say, and that they are vectors."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from study.results.claims.published import published_sentence
from study.results.figures import across
from study.results.figures import drawing as figures
from study.results.figures.canvas import encoded
from study.results.model import CellResult, Report, from_json
from study.results.page import html
from tests.study.results import example


@pytest.fixture
def synthetic() -> dict[str, Any]:
    report: dict[str, Any] = copy.deepcopy(example.synthetic_report())
    return report


def read(cells: list[dict[str, Any]]) -> tuple[CellResult, ...]:
    return Report.from_json({"cells": cells}).cells


def texts(axes: Any) -> list[str]:
    return [text.get_text() for text in axes.texts]


def test_a_column_per_cell_with_its_option_above(synthetic: dict[str, Any]) -> None:
    figure = across.side_by_side(read(synthetic["cells"]))
    assert figure is not None
    assert [axes.get_title() for axes in figure.axes[:5]] == [f"redundancy {r}" for r in (0, 2, 4, 6, 8)]
    (legend,) = figure.legends
    labels = [text.get_text() for text in legend.get_texts()]
    assert labels == ["view_1", "view_2", "CKA", "SVCCA", "mutual k-NN"]


def test_real_pairs_are_named_and_one_pair_or_too_many_are_not_drawn() -> None:
    cells = read(example.digits_report()["cells"])
    figure = across.side_by_side(cells)
    assert figure is not None
    assert figure.axes[0].get_title() == "left + right"
    assert across.side_by_side(cells[:1]) is None
    assert across.side_by_side([*cells, *cells, *cells]) is None
    assert across.changes(cells) is None


def test_the_numbers_of_a_change_are_differences_to_zero(synthetic: dict[str, Any]) -> None:
    figure = across.changes(read(synthetic["cells"]))
    assert figure is not None
    means = {p["strength"]: p["mean"] for p in synthetic["cells"][0]["encoders"][0]["curve"]}
    first = texts(figure.axes[0])
    assert len(first) == 5 * 6
    assert first[5] == f"{100 * (means[2.0] - means[0.0]):+.1f}".replace("-", "−")
    assert figure.axes[0].get_title() == "view_1"


def test_strengths_that_not_every_cell_has_are_left_out(synthetic: dict[str, Any]) -> None:
    del synthetic["cells"][1]["encoders"][0]["curve"][3]
    figure = across.changes(read(synthetic["cells"]))
    assert figure is not None
    assert len(texts(figure.axes[0])) == 5 * 5
    synthetic["cells"][2]["encoders"][1]["curve"] = []
    assert across.changes(read(synthetic["cells"])) is None


def test_both_are_in_the_report_as_vectors_that_its_page_may_show(synthetic: dict[str, Any]) -> None:
    drawn = figures.figures(read(synthetic["cells"]))
    for name in ("00-side-by-side", "00-changes"):
        svg = encoded(drawn[name])["svg"].decode()
        assert "data:image" not in svg
        assert "blue gains, red loses" in html.render(Report.from_json(synthetic), {"00-changes": svg})


def test_a_published_profile_stands_beside_the_measured_one() -> None:
    cell = copy.deepcopy(example.digits_report()["cells"][0])
    assert not published_sentence(from_json(CellResult, cell))
    cell.update(dataset="mosei", pair=["vision", "text"])
    told = published_sentence(from_json(CellResult, cell))
    assert "Table 1, unit not stated): R 0.12 U₁ 0.00 U₂ 0.16 S 0.01; measured here: R 1.92" in told
    assert told in html.render(Report.from_json({"cells": [cell]}))
    assert not published_sentence(from_json(CellResult, {**cell, "stand_in": True}))
