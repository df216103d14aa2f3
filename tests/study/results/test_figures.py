from __future__ import annotations

from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.figure import Figure

from study.results.figures import drawing
from study.results.model import Report
from tests.study.results import example

CURVE = "01-digits-left-right-curve-1"


@pytest.fixture(scope="module")
def digits() -> dict[str, Any]:
    report: dict[str, Any] = example.digits_report()
    return report


def drawn(report: dict[str, Any]) -> dict[str, Figure]:
    return drawing.figures(Report.from_json(report).cells)


def draw(report: dict[str, Any], folder: Path) -> list[Path]:
    return drawing.draw(Report.from_json(report).cells, folder)


def _text(svg: str) -> str:
    return " ".join(
        "".join(node.itertext()) for node in ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")
    )


def test_every_cell_has_its_figures_and_the_study_two(digits: dict[str, Any]) -> None:
    names = list(drawn(digits))
    assert len(names) == 2 * 7 + 5 + 2  # the last pair has no pictures
    assert [name for name in names if name.startswith("01-")] == [
        f"01-digits-left-right-{kind}"
        for kind in ("alignment", "classes", "curve-1", "curve-2", "learning", "pid", "space")
    ]


def test_a_partial_study_is_drawn_as_far_as_it_goes() -> None:
    names = drawn(example.partial_report())
    assert "02-digits-left-fourier-curve-1" in names
    assert [name for name in names if name.startswith("03-")] == ["03-digits-right-fourier-pid"]


@pytest.mark.parametrize(
    "report", [{}, {"cells": None}, {"cells": []}, {"cells": [{}]}, {"cells": [{"pid": None, "encoders": [{}]}]}]
)
def test_a_report_of_nothing_has_no_figures(report: dict[str, Any]) -> None:
    assert drawn(report) == {}


def test_a_report_with_the_stable_fields_alone_is_drawn(digits: dict[str, Any]) -> None:
    assert len(drawn(example.without_optional_fields(digits))) == len(drawn(digits)) - 2 * 3 - 1


def test_files_are_written_twice_the_same(digits: dict[str, Any], tmp_path: Path) -> None:
    one = {"cells": digits["cells"][:1]}
    first = [path.read_bytes() for path in draw(one, tmp_path / "first")]
    second = [path.read_bytes() for path in draw(one, tmp_path / "second")]
    assert first == second


def test_figures_of_an_earlier_report_do_not_stay(digits: dict[str, Any], tmp_path: Path) -> None:
    draw({"cells": digits["cells"][:2]}, tmp_path)
    (tmp_path / "2024-mine.png").write_text("mine")
    left = draw({"cells": digits["cells"][:1]}, tmp_path)
    assert sorted(tmp_path.iterdir()) == sorted([*left, tmp_path / "2024-mine.png"])


def test_hostile_names_make_valid_files_and_stay_text(tmp_path: Path) -> None:
    report = {"cells": example.hostile_report()["cells"][:1]}
    for path in draw(report, tmp_path / "figures"):
        assert path.parent == tmp_path / "figures"
        if path.suffix == ".svg":
            svg = path.read_text(encoding="utf-8")
            ElementTree.fromstring(svg)
            assert "<script" not in svg


def test_names_that_the_font_lacks_are_drawn_without_a_warning(digits: dict[str, Any], tmp_path: Path) -> None:
    cell = digits["cells"][0] | {"pair": ["视觉", "텍스트"]}
    written = draw({"cells": [cell]}, tmp_path)
    assert "视觉" in _text(
        next(path for path in written if path.name.endswith("curve-1.svg")).read_text(encoding="utf-8")
    )


def test_the_curve_shows_the_answer_where_it_is(digits: dict[str, Any]) -> None:
    axes = drawn(digits)[CURVE].axes[0]
    lines = {line.get_label(): line for line in axes.lines}
    entry = digits["cells"][0]["encoders"][0]
    assert lines["λ*, 90 % interval"].get_xdata()[0] == entry["lambda_star"]
    assert [list(line.get_xdata()) for line in axes.lines if list(line.get_xdata()) == entry["interval"]]
    assert lines["level at λ = 0"].get_ydata()[0] == entry["curve"][0]["mean"]


def test_an_answer_beyond_the_strengths_that_were_tried_is_on_the_axis(digits: dict[str, Any]) -> None:
    entry = digits["cells"][0]["encoders"][0]
    most = max(point["strength"] for point in entry["curve"])
    entry["lambda_star"], entry["interval"] = 1.5 * most, [0.5 * most, 2 * most]
    axes = drawn(digits)[CURVE].axes[0]

    assert axes.get_xlim()[1] >= 2 * most


def test_every_seed_that_did_not_diverge_is_a_point(digits: dict[str, Any]) -> None:
    axes = drawn(digits)["03-digits-right-fourier-curve-2"].axes[0]
    seeds = next(item for item in axes.collections if item.get_label() == "one seed")
    assert len(seeds.get_offsets()) == 9 * 5 - 1


@pytest.mark.parametrize("strengths", [[0, 0.001, 0.01, 0.1, 1, 10], [0, 0.5, 1, 1.5, 2], [0.25], [0.0]])
def test_the_axis_of_strengths_shows_zero_and_the_largest(strengths: list[float]) -> None:
    curve = [{"strength": strength, "mean": 0.5, "sd": 0.1, "seeds": 3} for strength in strengths]
    report = {"cells": [{"pair": ["a", "b"], "encoders": [{"curve": curve}]}]}
    axes = next(iter(drawn(report).values())).axes[0]
    low, high = axes.get_xlim()
    labels = [label.get_text() for label in axes.get_xticklabels()]
    assert low <= 0
    assert high >= max(strengths)
    assert labels[0] == "0"
    assert len(labels) <= 11


def test_what_differs_in_colour_differs_in_marker_and_line_too(digits: dict[str, Any]) -> None:
    axes = drawn(digits)["01-digits-left-right-alignment"].axes[0]
    assert len({line.get_marker() for line in axes.lines}) == 3
    assert len({line.get_linestyle() for line in axes.lines}) == 3


def test_a_similarity_has_one_look_in_every_figure_and_none_of_an_encoder(digits: dict[str, Any]) -> None:
    every = drawn(digits)
    alone, beside = every["01-digits-left-right-alignment"].axes[0], every["00-side-by-side"].axes[3]
    looks = [
        {line.get_label(): (line.get_color(), line.get_marker(), line.get_linestyle()) for line in axes.lines}
        for axes in (alone, beside)
    ]
    assert looks[0] == looks[1]
    assert looks[0].keys() == {"CKA", "SVCCA", "mutual k-NN"}
    encoders = {line.get_color() for line in every["00-side-by-side"].axes[0].lines}
    assert encoders.isdisjoint(color for color, _, _ in looks[0].values())


def test_profile_bars_differ_in_hatch_and_mark_what_is_not_above_chance(digits: dict[str, Any]) -> None:
    axes = drawn(digits)["02-digits-left-fourier-pid"].axes[0]
    assert len({bar.get_hatch() for bar in axes.patches}) == 4
    np.testing.assert_allclose([bar.get_height() for bar in axes.patches], [1.61, 0.48, 0.09, 0.39])
    assert [text.get_text() for text in axes.texts] == ["n.s."]


def test_exact_profiles_are_marked() -> None:
    axes = drawn(example.synthetic_report())["05-synthetic-view-1-view-2-redundancy-8-pid"].axes[0]
    assert sum(line.get_label() == "exact" for line in axes.lines) == 4


def test_drawing_leaves_the_settings_of_matplotlib_alone(digits: dict[str, Any], tmp_path: Path) -> None:
    before = dict(mpl.rcParams)
    draw({"cells": digits["cells"][:1]}, tmp_path)
    assert dict(mpl.rcParams) == before
