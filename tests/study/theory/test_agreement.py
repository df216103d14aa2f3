"""Rank agreement against counts by hand and repeated draws."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from study.theory import rank_agreement


def test_the_same_order_in_five_cells_is_one_order_in_sixty():
    found = rank_agreement([0.1, 0.5, 1, 2, 4], [0, 0.25, 0.3, 0.6, 3])
    low, high = found.spearman_interval
    assert (found.spearman, found.cells) == (pytest.approx(1), 5)
    assert found.p_value == pytest.approx(2 / math.factorial(5))
    assert 0 < low < 0.7
    assert high == pytest.approx(1)


def test_the_reverse_order_has_the_mirrored_interval():
    up, down = (
        rank_agreement([1, 2, 3, 4, 5, 6], [1, 2, 4, 3, 5, 6]),
        rank_agreement([1, 2, 3, 4, 5, 6], [6, 5, 3, 4, 2, 1]),
    )
    assert down.spearman == pytest.approx(-up.spearman)
    assert down.spearman_interval == pytest.approx(tuple(-v for v in up.spearman_interval[::-1]))
    assert down.p_value == pytest.approx(up.p_value)


def test_ties_get_midranks_as_in_scipy():
    forecast, measured = [0, 0, 0.5, 1, 1, 2, 4, 0, 0.1, 3], [0, 0.1, 0.1, 1, 2, 2, 2, 0, 0, 4]
    found = rank_agreement(forecast, measured)
    assert found.spearman == pytest.approx(stats.spearmanr(forecast, measured).statistic)
    assert found.p_value == pytest.approx(stats.spearmanr(forecast, measured).pvalue)


@pytest.mark.parametrize(
    ("forecast", "measured"), [([], []), ([1.0], [2.0]), ([0.0, 0.0, 0.0], [1.0, 2.0, 3.0]), ([1, math.nan], [2, 3])]
)
def test_an_undefined_order_says_nothing(forecast, measured):
    found = rank_agreement(forecast, measured)
    assert math.isnan(found.spearman)
    assert (found.spearman_interval, found.p_value) == ((-1, 1), 1)


def test_cells_without_a_measured_optimum_are_left_out():
    assert rank_agreement([1, 2, 3, 9], [10, 20, 30, math.nan]).cells == 3


def test_four_cells_say_nothing_about_the_interval():
    assert rank_agreement([1, 2, 3, 4], [1, 2, 3, 4]).spearman_interval == (-1, 1)


@pytest.mark.parametrize("rho", [0.0, 0.5, 0.9])
@pytest.mark.parametrize("cells", [10, 20])
def test_intervals_cover_the_truth_in_repeated_draws(rho, cells):
    rng = np.random.default_rng(0)
    truth = 6 / np.pi * np.arcsin(rho / 2)
    covered = 0
    for _ in range(200):
        x, e = rng.standard_normal((2, cells))
        low, high = rank_agreement(x, rho * x + np.sqrt(1 - rho**2) * e).spearman_interval
        covered += low <= truth <= high
    assert 0.84 <= covered / 200 <= 0.96


def test_lists_of_different_lengths_are_refused():
    with pytest.raises(ValueError, match="2 forecast and 3 measured"):
        rank_agreement([1, 2], [1, 2, 3])
