"""What drawings tell of their points in numbers."""

from __future__ import annotations

import re
from typing import Any
from xml.etree import ElementTree

import pytest

from study.results.figures import theory
from study.results.figures.canvas import as_svg, encoded
from study.results.figures.drawing import figures
from study.results.figures.pictures import space_figure
from study.results.figures.tips import Tip, with_tips
from study.results.model import CellResult, ForecastResult, Report, from_json
from tests.study.results import example

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def cells() -> tuple[CellResult, ...]:
    return Report.from_json(example.digits_report()).cells


def points(svg: str) -> list[Any]:
    return [group for group in ElementTree.fromstring(svg).iter(f"{SVG}g") if group.get("class") == "point"]


def told(svg: str) -> list[str]:
    return [str(point.findtext(f"{SVG}title")) for point in points(svg)]


def test_every_mean_and_the_answer_are_told_where_they_are_drawn(cells: tuple[CellResult, ...]) -> None:
    drawn = figures(cells[:1])
    svg = encoded(drawn["01-digits-left-right-curve-1"])["svg"].decode()
    *means, star = told(svg)
    assert len(means) == len(example.STRENGTHS)
    first = cells[0].encoders[0].curve[0]
    assert first.mean is not None
    assert re.fullmatch(rf"λ = 0: {100 * first.mean:.1f} % \[9\d\.\d %, 9\d\.\d %\], 5 seeds", means[0])
    assert star.startswith("λ* 0.62 [0.31, 1.1]: ")
    width, height = map(float, (ElementTree.fromstring(svg).get("viewBox") or "").split()[2:])
    circles = [point.find(f"{SVG}circle").attrib for point in points(svg)]
    across, down = ([float(circle[axis]) for circle in circles] for axis in ("cx", "cy"))
    assert across[:-1] == sorted(across[:-1])
    assert all(0 < x < width for x in across)
    assert all(0 < y < height for y in down)
    scores = [point.mean or 0 for point in cells[0].encoders[0].curve]
    assert down.index(min(down)) == scores.index(max(scores))  # the best is the highest
    texts = [point.find(f"{SVG}g/{SVG}rect").attrib for point in points(svg)]
    assert all(float(t["x"]) >= 0 and float(t["x"]) + float(t["width"]) <= width for t in texts)


def test_points_of_a_drawing_alone_lie_where_they_do_beside_a_picture(cells: tuple[CellResult, ...]) -> None:
    both, alone = (figures(cells[:1])["01-digits-left-right-alignment"] for _ in range(2))
    svg = encoded(both)["svg"].decode()
    assert told(svg) == told(as_svg(alone))
    assert re.fullmatch(r"λ = 0: CKA 0\.\d\d, SVCCA 0\.\d\d, mutual k-NN 0\.\d\d", told(svg)[0])


def test_what_is_told_takes_the_focus_is_hidden_at_first_and_escaped() -> None:
    svg = with_tips('<svg xmlns="http://www.w3.org/2000/svg"></svg>', [Tip(x=5, y=5, text='<b> & "x"')], width=100)
    (point,) = points(svg)
    assert (point.get("tabindex"), told(svg)) == ("0", ['<b> & "x"'])
    tip = point.find(f"{SVG}g")
    assert tip is not None
    assert tip.get("display") == "none"
    assert with_tips("<svg></svg>", [], width=100) == "<svg></svg>"


def test_classes_are_told_by_their_accuracies(cells: tuple[CellResult, ...]) -> None:
    svg = encoded(figures(cells[:1])["01-digits-left-right-classes"])["svg"].decode()
    assert told(svg)[:2] == [
        "class 0: 85.0 % at λ = 0, 87.0 % at λ = 0.9",
        "class 1: 86.0 % at λ = 0, 88.0 % at λ = 0.9",
    ]
    assert len(told(svg)) == 20


def test_every_other_figure_with_points_tells_them(cells: tuple[CellResult, ...]) -> None:
    drawn = {name: told(encoded(figure)["svg"].decode()) for name, figure in figures(cells).items()}
    silent = {name for name, texts in drawn.items() if not texts}
    # Rows of the data have no names, and the pairs' own figures tell what all of them side by side show.
    assert silent == {name for name in drawn if name.endswith(("-space", "side-by-side"))}
    assert re.fullmatch(r"λ = 0, epoch 5: \d\d\.\d %", drawn["01-digits-left-right-learning"][0])
    assert re.fullmatch(r"redundancy: \d\.\d\d \[\d\.\d\d, \d\.\d\d\] bits", drawn["01-digits-left-right-pid"][0])


def test_the_plane_has_a_panel_for_each_strength_and_none_where_the_record_is_damaged() -> None:
    cell = example.digits_report()["cells"][1]
    figure = space_figure(from_json(CellResult, cell))
    assert figure is not None
    assert [axes.get_title() for axes in figure.axes] == ["λ = 0", "λ = 1.9, fourier alone", "λ = 4"]
    for damaged in ("", "a", "AAAA", "/////w==", None, 3):
        for projection in cell["pictures"]["projections"]:
            projection["points"] = damaged
        assert space_figure(from_json(CellResult, cell)) is None
    assert space_figure(from_json(CellResult, {**cell, "pictures": None})) is None


@pytest.mark.parametrize("loses", [0.001, 0.2])
def test_a_flat_forecast_is_a_sentence(loses: float) -> None:
    encoder = {"modality": "left", "strengths": [0, 1, 2], "held_out": [0.3, 0.3 + loses, 0.3 + loses]}
    cell = from_json(CellResult, {"pair": ["left", "right"], "forecast": {"encoders": [encoder, encoder]}})
    drawn = theory.forecast_figure(cell.forecast or ForecastResult(), cell.names)
    assert (drawn is None) == (loses < 0.005)
    assert bool(theory.flat_sentence(cell)) == (loses < 0.005)
