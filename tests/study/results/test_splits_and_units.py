"""Every number that is told of a study: on the split it was measured on, and in the unit of its score."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from study.results.figures import drawing as figures
from study.results.figures.across import changes
from study.results.model import GainResult, Report
from study.results.page.html import render
from study.results.text import amounts
from study.results.text.doubts import caveats
from study.results.text.encoder import encoder_sentence
from study.results.text.pair import advice_with_gain, cell_sentence
from study.results.text.summary import summary
from study.search.answers import p_needed
from study.selection import holm
from study.tracking.notes import study_note
from study.tracking.projection import records
from tests.study.results import example

# Differences end in these tenths of a point: so a number tells where it was measured.
VALIDATION, TEST = 0.007, 0.002
SHAPES = ("rising", "falling", "inverted-u", "flat")
STRATEGIES = {"shared": (0.9, 0.9), "to_1": (0.9, 0.0), "to_2": (0.0, 0.9), "per_encoder": (0.9, 0.8)}
whole = st.integers(-9, 8)


@st.composite
def gains(draw: st.DrawFn, source: str) -> dict[str, Any]:
    """A gain of whole points and the tenths of its split, its interval around it with the same tenths."""
    tenths = VALIDATION if source == "search" else TEST
    middle, width = draw(whole), draw(st.integers(1, 6))
    p_value = draw(st.floats(1e-5, 1))
    return {
        "mean": middle / 100 + tenths, "interval": [(middle - width) / 100 + tenths, (middle + width) / 100 + tenths],
        "p_value": p_value, "p_adjusted": min(1.0, 9 * p_value), "p_needed": 0.0056, "seeds": draw(st.integers(2, 20)),
        "source": source,
    }  # fmt: skip


@st.composite
def encoders(draw: st.DrawFn, name: str) -> dict[str, Any]:
    source = draw(st.sampled_from(["confirm", "search"]))
    star = draw(st.sampled_from([0.0, 0.3, 4.0]))
    tried = {"lambda_star": star or draw(st.sampled_from([0.0, 0.5])), "gain_over_zero": draw(gains(source))}
    nothing = {"mean": 0.0, "interval": [0.0, 0.0], "p_value": 1.0, "p_adjusted": 1.0, "seeds": 8, "source": source}
    curve = [{"strength": 0.0, "mean": 0.8, "sd": 0.01, "seeds": 5}] + [
        {"strength": at, "mean": 0.8 + draw(whole) / 100 + VALIDATION, "sd": 0.01, "seeds": 5} for at in (0.5, 1.0, 4.0)
    ]
    verdict = draw(st.sampled_from(["align", "indifferent"] if star else ["avoid", "indifferent"]))
    return {
        "modality": name, "lambda_star": star, "interval": [0.0, 4.0], "lambda_1se": star, "flags": [],
        "verdict": verdict, "shape": draw(st.sampled_from(SHAPES)), "searched": tried, "curve": curve,
        "gain_over_zero": tried["gain_over_zero"] if star else nothing,
        "baseline": {"mean": draw(st.sampled_from([0.802, 0.702])), "sd": 0.01, "split": "test"},
    }  # fmt: skip


@st.composite
def reports(draw: st.DrawFn, metric: str = "accuracy") -> dict[str, Any]:
    """A study of one pair, confirmed or not, or in part; what it holds need not be consistent."""
    source = draw(st.sampled_from(["confirm", "search"]))
    alternatives = []
    for name in ("shared", *draw(st.sampled_from([(), ("to_1",), ("to_2",), ("to_1", "to_2", "per_encoder")]))):
        each = [draw(gains(source)) for _ in range(2)]
        alternatives.append(
            {
                "strategy": name,
                "strengths": list(STRATEGIES[name]),
                "gains": each,
                "gain_mean": draw(gains(source)),
            }
        )
    strategy = draw(st.sampled_from(["none", *(one["strategy"] for one in alternatives)]))
    choice = {
        "strategy": strategy, "strengths": list(STRATEGIES.get(strategy, (0.0, 0.0))), "lambda_star": 0.9,
        "interval": [0.5, 1.6], "verdict": "align", "reason": "shared has the largest confirmed gain",
        "gain_over_zero": alternatives[0]["gain_mean"], "alternatives": alternatives,
    }  # fmt: skip
    cell = {
        "id": "d/a+b", "label": "d: a + b", "dataset": "d", "pair": ["a", "b"], "metrics": [metric, metric],
        "pid": None, "rows": {"train": 60, "valid": 20, "test": 20}, "counts": {"trainings": 60, "diverged": 0},
        "encoders": [draw(encoders("a")), draw(encoders("b"))], "pair_choice": choice,
    }  # fmt: skip
    return {"schema": 1, "study": "s", "stand_in": False, "trainings": 60, "cells": [cell]}


def clauses(report: dict[str, Any]) -> Iterator[str]:
    """Whatever is told of a study, clause by clause, without what stands in brackets."""
    typed = Report.from_json(report)
    (cell,) = typed.cells
    lines = [cell_sentence(cell), advice_with_gain(cell), *study_note(typed).splitlines()]
    lines += [encoder_sentence(cell, index) for index in (0, 1)]
    lines += records(typed)[0].note.splitlines()
    for line in [line for line in lines if not line.startswith("- ")]:
        yield from re.split(r"[,:.|](?:\s|$)", re.sub(r"\\?\[[^\]]*\]", "", line))
    yield from caveats(cell)  # which compare the splits in one sentence
    yield from rows_of(terminal(report))


def rows_of(table: str) -> list[str]:
    """Rows of the table on the terminal; what does not fit its column goes on in the line below."""
    rows: list[str] = []
    for line in table.splitlines():
        if rows and line.startswith(" " * 12):
            rows[-1] += line
        else:
            rows.append(line)
    return rows


def terminal(report: dict[str, Any]) -> str:
    out = io.StringIO()
    Console(file=out, width=200).print(summary(Report.from_json(report)))
    return out.getvalue()


@given(reports())
@settings(max_examples=150, deadline=None, derandomize=True)
def test_no_number_of_the_validation_split_is_told_as_one_of_the_test_split(report: dict[str, Any]) -> None:
    """Gains measured in validation end in 7 tenths (losses in 3), those of the test split in 2 (losses in 8)."""
    for clause in clauses(report):
        if re.search(r"(?<!−)(?<!\d)\d+\.7 (?:points|\[)|−\d+\.3\b|loses \d+\.3\b|\d+\.3 points lower", clause):
            assert "validation" in clause, clause


@given(reports())
@settings(max_examples=150, deadline=None, derandomize=True)
def test_no_strength_makes_a_difference_only_where_nothing_differs(report: dict[str, Any]) -> None:
    (cell,) = Report.from_json(report).cells
    if "no strength makes a difference" in cell_sentence(cell):
        tried = [gain for one in cell.pair_choice.alternatives for gain in (*one.gains, one.gain_mean)]
        assert all(gain.interval[0] <= 0 <= gain.interval[1] for gain in tried)
        assert [answer.shape for answer in cell.encoders] == ["flat", "flat"]
        assert [answer.verdict for answer in cell.encoders] == ["indifferent", "indifferent"]


@given(reports())
@settings(max_examples=150, deadline=None, derandomize=True)
def test_no_strength_makes_a_difference_only_where_every_interval_that_is_told_holds_0(report: dict[str, Any]) -> None:
    """Curves are flat, verdicts indifferent and gains of strategies nothing: what is left decides."""
    (cell,) = Report.from_json(report).cells
    alternatives = tuple(
        replace(one, gains=tuple(map(around_zero, one.gains)), gain_mean=around_zero(one.gain_mean))
        for one in cell.pair_choice.alternatives
    )
    encoders = tuple(replace(answer, shape="flat", verdict="indifferent") for answer in cell.encoders)
    gain = encoders[0].searched.gain_over_zero
    choice = replace(cell.pair_choice, strategy="none", alternatives=alternatives, gain_over_zero=gain)

    told = [amounts.told_gain(answer)[0] for answer in (*encoders, choice)]

    nothing = all(gain.interval[0] <= 0 <= gain.interval[1] for gain in told if gain.interval)
    sentence = cell_sentence(replace(cell, encoders=encoders, pair_choice=choice))
    assert ("no strength makes a difference" in sentence) == nothing


def around_zero(gain: GainResult) -> GainResult:
    """The gain with an interval that holds 0."""
    return replace(gain, interval=(gain.mean - 0.2, gain.mean + 0.2))


@given(reports())
@settings(max_examples=100, deadline=None, derandomize=True)
def test_a_p_value_in_a_row_is_that_of_the_gain_beside_it(report: dict[str, Any]) -> None:
    for answer in Report.from_json(report).cells[0].encoders:
        gain, strength = amounts.told_gain(answer)
        told = amounts.gain_text(answer, "accuracy")
        assert (told == "–") == (amounts.p_text(gain) == "–")
        if told != "–":
            assert told.startswith(amounts.gain_with_interval(gain, "accuracy"))
            assert strength in (answer.lambda_star, answer.searched.lambda_star)
            assert strength > 0


@given(reports(), reports(metric="r2"))
@settings(max_examples=15, deadline=None, derandomize=True)
def test_a_gain_is_told_in_the_unit_of_its_score_everywhere(first: dict[str, Any], second: dict[str, Any]) -> None:
    """Points of accuracy are never told as a fraction, and nothing but accuracy is told in points."""
    one, other = Report.from_json(first), Report.from_json(second)
    told = [re.sub(r"<[^>]*>", "\n", render(one)), terminal(first), "\n".join(r.note for r in records(one))]
    (cell,) = one.cells
    gains = [gain for each in cell.pair_choice.alternatives for gain in (*each.gains, each.gain_mean)]
    gains += [answer.gain_over_zero for answer in cell.encoders]
    for gain in gains:
        for value in (gain.mean, *gain.interval):
            if abs(value) > 0.01:
                raw = {f"{abs(value):.{digits}f}" for digits in (3, 4, 5)} | {f"{abs(value):.4g}"}
                assert not [text for text in told for number in raw if re.search(rf"(?<![\d.]){number}(?!\d)", text)]
    for text in (render(other), terminal(second), *(record.note for record in records(other))):
        assert " points" not in text


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12), st.floats(0, 1))
@settings(max_examples=200, deadline=None, derandomize=True)
def test_the_p_value_needed_is_what_holm_asks_of_one_claim_more(others: list[float], p_value: float) -> None:
    needed = p_needed(holm([*others, 1.0]))
    assert holm([*others, needed * 0.999])[-1] <= 0.05
    assert holm([*others, min(1.0, needed * 1.001)])[-1] > 0.05
    assert (holm([*others, p_value])[-1] <= 0.05) == (p_value <= needed) or p_value == pytest.approx(needed)


def test_both_encoders_of_a_pair_stand_at_its_one_redundancy() -> None:
    report = example.digits_report()
    (axes,) = figures.figures(Report.from_json(report).cells)["00-strength-against-redundancy"].axes
    shown = [line.get_xdata() for line in axes.get_lines() if len(line.get_xdata())]
    redundancies = {cell["pid"]["redundancy"] for cell in report["cells"]}
    upright = [xs for xs in shown if len(set(xs)) == 1]  # the others are intervals of the redundancy
    assert {float(x) for xs in upright for x in xs} == redundancies
    stars = [
        (float(line.get_xdata()[0]), float(line.get_ydata()[0]))
        for line in axes.get_lines()
        if len(line.get_xdata()) == 1
    ]
    expected = [(c["pid"]["redundancy"], e["lambda_star"]) for c in report["cells"] for e in c["encoders"]]
    assert sorted(stars) == sorted(expected)


def test_changes_are_told_in_the_unit_of_each_encoders_score() -> None:
    cells = example.synthetic_report()["cells"]
    for cell in cells:
        cell["metrics"] = ["accuracy", "r2"]
    figure = changes(Report.from_json({"cells": cells}).cells)
    assert figure is not None
    points = {p["strength"]: p["mean"] for p in cells[0]["encoders"][1]["curve"]}
    first, second = figure.axes[:2]
    assert [axes.get_title() for axes in (first, second)] == ["view_1, points", "view_2, of R²"]
    assert second.texts[5].get_text() == f"{points[2.0] - points[0.0]:+.2f}".replace("-", "−")
