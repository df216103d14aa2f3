from __future__ import annotations

import pytest

from study.report import amounts


@pytest.mark.parametrize(
    ("strength", "text"),
    [(0, "0"), (0.6, "0.6"), (1.1, "1.1"), (0.0251, "0.025"), (12.3, "12"), (1234.0, "1234"), (None, "?")],
)
def test_strengths_are_told_to_two_digits_without_exponents(strength: float | None, text: str) -> None:
    assert amounts.strength_text(strength) == text


def test_a_gain_that_rounds_to_zero_has_no_minus() -> None:
    assert amounts.gain_with_interval({"mean": -0.0001, "interval": [-0.02, 0.0]}, "accuracy") == "+0.0 [−2.0, +0.0]"


def test_scores_that_are_no_accuracy_keep_their_own_unit() -> None:
    assert amounts.gain_with_interval({"mean": 0.014}, "r2") == "+0.014"
    assert amounts.score_text(0.5, "r2") == "0.500"
    assert amounts.score_text(0.5, "sign_accuracy") == "50.0 %"
    assert (amounts.size_text(-0.014, "accuracy"), amounts.gain_unit("accuracy")) == ("1.4", "points")


def test_where_alignment_is_avoided_its_cost_stands_for_the_gain() -> None:
    curve = [{"strength": 0.0, "mean": 0.8, "seeds": 5}, {"strength": 4.0, "mean": 0.75, "seeds": 5}]
    gain = {"mean": 0.014, "interval": [0.006, 0.022]}
    entry = {"lambda_star": 0.6, "verdict": "align", "curve": curve, "gain_over_zero": gain}
    avoided = entry | {"lambda_star": 0.0, "verdict": "avoid"}
    assert amounts.gain_or_cost(avoided, "accuracy") == "−5.0 points at λ = 4"
    assert amounts.gain_or_cost(entry, "accuracy") == "+1.4 [+0.6, +2.2] points"
    assert amounts.gain_or_cost({}, "accuracy") == "–"


@pytest.mark.parametrize(("seconds", "text"), [(8.4, "8 s"), (89, "89 s"), (150, "2.5 min"), (9000, "2.5 h")])
def test_durations_read_well(seconds: float, text: str) -> None:
    assert amounts.duration(seconds) == text
