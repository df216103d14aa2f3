from __future__ import annotations

from dataclasses import replace

import pytest

from study.results.model import CurvePoint, EncoderResult, GainResult, SearchedResult
from study.results.text import amounts


@pytest.mark.parametrize(
    ("strength", "text"),
    [(0, "0"), (0.6, "0.6"), (1.1, "1.1"), (0.0251, "0.025"), (12.3, "12"), (1234.0, "1234"), (None, "?")],
)
def test_strengths_are_told_to_two_digits_without_exponents(strength: float | None, text: str) -> None:
    assert amounts.strength_text(strength) == text


@pytest.mark.parametrize(("strength", "text"), [(1.06e250, "1.1e+250"), (2.5e-9, "2.5e−09"), (1e-200, "1e−200")])
def test_strengths_whose_zeros_nobody_would_count_have_an_exponent(strength: float, text: str) -> None:
    assert amounts.strength_text(strength) == text


def test_a_gain_that_rounds_to_zero_has_no_minus() -> None:
    gain = GainResult(mean=-0.0001, interval=(-0.02, 0.0))
    assert amounts.gain_with_interval(gain, "accuracy") == "+0.0 [−2.0, +0.0]"


def test_the_end_of_an_interval_keeps_its_sign_so_that_0_is_not_shown_inside() -> None:
    gain = GainResult(mean=-0.005, interval=(-0.01, -0.0003))
    assert amounts.gain_with_interval(gain, "accuracy") == "−0.5 [−1.0, −0.0]"


def test_scores_that_are_no_accuracy_keep_their_own_unit() -> None:
    assert amounts.gain_with_interval(GainResult(mean=0.014), "r2") == "+0.014"
    assert amounts.score_text(0.5, "r2") == "0.500"
    assert amounts.score_text(0.5, "sign_accuracy") == "50.0 %"
    assert (amounts.size_text(-0.014, "accuracy"), amounts.gain_unit("accuracy")) == ("1.4", "points")


def test_the_gain_told_of_an_encoder_is_that_of_the_strength_it_stands_at() -> None:
    """At λ* = 0 there is none over λ = 0; what was tried is told with its strength and its own p, and its split."""
    gain = GainResult(mean=0.014, interval=(0.006, 0.022), p_value=0.001, p_adjusted=0.003, source="confirm")
    nothing = GainResult(mean=0.0, interval=(0.0, 0.0), p_value=1.0, p_adjusted=1.0, source="confirm")
    loss = GainResult(mean=-0.02, interval=(-0.03, -0.01), p_value=0.0002, p_adjusted=0.0004, source="confirm")
    aligned = EncoderResult(lambda_star=0.6, verdict="align", gain_over_zero=gain)
    tried = SearchedResult(lambda_star=0.15, gain_over_zero=loss)
    avoided = EncoderResult(lambda_star=0.0, gain_over_zero=nothing, searched=tried)
    at_zero = replace(avoided, searched=SearchedResult(lambda_star=0.0, gain_over_zero=nothing))
    assert amounts.gain_text(aligned, "accuracy") == "+1.4 [+0.6, +2.2] points"
    assert amounts.gain_text(avoided, "accuracy") == "−2.0 [−3.0, −1.0] points at 0.15"
    p_values = [amounts.p_text(amounts.told_gain(one)[0]) for one in (aligned, avoided, at_zero)]
    assert p_values == ["0.003", "< 0.001", "–"]
    assert amounts.gain_text(at_zero, "accuracy") == amounts.gain_text(EncoderResult(), "accuracy") == "–"
    searched = replace(aligned, gain_over_zero=replace(gain, source="search"))
    assert amounts.gain_text(searched, "accuracy") == "+1.4 [+0.6, +2.2] points (validation)"


def test_a_change_in_validation_is_read_off_the_curve_between_the_strengths_tried() -> None:
    points = ((4.0, 0.75), (0.0, 0.8), (2.0, 0.81), (8.0, None))
    answer = EncoderResult(curve=tuple(CurvePoint(strength=strength, mean=mean) for strength, mean in points))
    changes = [amounts.change_in_validation(answer, strength) for strength in (0.0, 1.0, 3.0, 4.0)]
    assert changes == pytest.approx([0.0, 0.005, -0.02, -0.05])
    assert amounts.change_in_validation(answer, 5.0) is None
    assert amounts.change_in_validation(replace(answer, curve=answer.curve[:1]), 4.0) is None
    assert amounts.change_in_validation(EncoderResult(), 0.0) is None
    assert amounts.strongest(answer) == 4.0


@pytest.mark.parametrize(
    ("metrics", "unit"),
    [
        (("accuracy", "accuracy"), "points"),
        (("accuracy", "sign_accuracy"), "points"),
        (("r2", "r2"), "of R²"),
        (("accuracy", "r2"), "of the mean score"),
        (("mine", "mine"), "of mine"),
    ],
)
def test_the_gain_of_a_pair_is_told_in_the_unit_that_its_scores_share(metrics: tuple[str, str], unit: str) -> None:
    assert amounts.gain_unit(amounts.common_metric(*metrics)) == unit


@pytest.mark.parametrize(("seconds", "text"), [(8.4, "8 s"), (89, "89 s"), (150, "2.5 min"), (9000, "2.5 h")])
def test_durations_read_well(seconds: float, text: str) -> None:
    assert amounts.duration(seconds) == text


def test_small_scores_of_a_unit_of_their_own_are_told_with_their_digits() -> None:
    """A loss of a function may be of any size; an accuracy is told in points."""
    assert [amounts.change_text(value, "negative mse") for value in (3.7e-4, -2e-12, 0.0, 0.012)] == [
        "+0.00037", "−2e-12", "+0.000", "+0.012",
    ]  # fmt: skip
    assert amounts.score_text(4.2e-5, "mse") == "4.2e-05"
    assert amounts.change_text(1e-6, "accuracy") == "+0.0"


def test_a_gain_of_which_nothing_shows_is_told_as_less_than_what_would() -> None:
    small = GainResult(mean=1e-5, interval=(-2e-5, 3e-5), smallest_gain=0.005)
    answer = EncoderResult(lambda_star=0.5, gain_over_zero=small)
    assert amounts.gain_text(answer, "accuracy") == "less than 0.1 points, too small to matter"
    wider = replace(answer, gain_over_zero=replace(small, interval=(-2e-5, 3e-3)))
    assert amounts.gain_text(wider, "accuracy") == "+0.0 [−0.0, +0.3] points, too small to matter"
