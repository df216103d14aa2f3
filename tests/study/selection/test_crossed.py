"""Gains over trainings and test rows at once: intervals that cover the expected gain on new rows."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from study.selection import Gain, Outcomes, crossed_gain, paired_gain

Floats = NDArray[np.float64]


def outcomes(values: Floats, weights: Floats | None = None) -> Outcomes:
    if weights is None:
        weights = np.full(values.shape[1], 1 / values.shape[1])
    return Outcomes(values=values, weights=weights)


def gain(change: Floats, weights: Floats | None = None) -> Gain:
    return crossed_gain(outcomes(np.zeros_like(change), weights), outcomes(change, weights))


@pytest.mark.parametrize(
    ("trainings", "rows", "sd_trainings", "sd_rows"),
    [(10, 450, 0.004, 0.1), (10, 450, 0.0, 0.1), (10, 450, 0.01, 0.0), (10, 50, 0.01, 0.2), (3, 450, 0.01, 0.1)],
)
def test_intervals_cover_the_expected_gain_whichever_luck_is_larger(
    trainings: int, rows: int, sd_trainings: float, sd_rows: float
) -> None:
    rng = np.random.default_rng(trainings + rows)
    gains = [
        gain(
            sd_trainings * rng.normal(size=(trainings, 1))
            + sd_rows * rng.normal(size=(1, rows))
            + 0.2 * rng.normal(size=(trainings, rows))
        )
        for _ in range(600)
    ]
    covered = np.mean([one.interval[0] <= 0 <= one.interval[1] for one in gains])
    false = np.mean([one.p_value < 0.05 for one in gains])
    assert 0.86 <= covered <= 0.96
    assert false <= 0.08


@pytest.mark.parametrize("groups", [3, 5, 20])
def test_with_groups_the_interval_is_as_wide_as_so_few_of_them_ask_for(groups: int) -> None:
    rng = np.random.default_rng(groups)
    gains = []
    for _ in range(600):
        rows = rng.integers(50, 150, groups)
        change = 0.01 * rng.normal(size=(10, 1)) + 0.04 * rng.normal(size=groups) + 0.02 * rng.normal(size=(10, groups))
        gains.append(gain(change, rows / rows.sum()))
    covered = np.mean([one.interval[0] <= 0 <= one.interval[1] for one in gains])
    assert 0.85 <= covered <= 0.96


def test_seeds_alone_cover_far_too_rarely_where_rows_matter() -> None:
    """What this is for: the t interval over seeds on the same rows."""
    rng = np.random.default_rng(0)
    covered = []
    for _ in range(300):
        change = 0.2 * rng.normal(size=(1, 450)) + 0.1 * rng.normal(size=(10, 450))
        alone = paired_gain(np.zeros(10), change.mean(1))
        covered.append(alone.interval[0] <= 0 <= alone.interval[1])
    assert np.mean(covered) < 0.5


def test_no_difference_at_all_is_no_gain() -> None:
    none = gain(np.zeros((10, 30)))
    assert (none.mean, none.interval, none.p_value) == (0.0, (0.0, 0.0), 1.0)


def test_diverged_trainings_are_left_out_with_their_partner() -> None:
    rng = np.random.default_rng(1)
    first, second = rng.normal(size=(2, 6, 40))
    second[2] = np.nan
    kept = [0, 1, 3, 4, 5]
    assert crossed_gain(outcomes(first), outcomes(second)) == crossed_gain(
        outcomes(first[kept]), outcomes(second[kept])
    )
    assert crossed_gain(outcomes(first), outcomes(np.full((6, 40), np.nan))).seeds == 0


def test_the_mean_is_that_of_the_scores_and_its_sign_turns_with_the_pair() -> None:
    rng = np.random.default_rng(2)
    first, second = (rng.random((2, 8, 60)) < 0.8).astype(float)
    one, other = crossed_gain(outcomes(first), outcomes(second)), crossed_gain(outcomes(second), outcomes(first))
    assert one.mean == pytest.approx(second.mean() - first.mean())
    assert other.mean == pytest.approx(-one.mean)
    assert other.p_value == pytest.approx(one.p_value)
    assert other.interval == pytest.approx((-one.interval[1], -one.interval[0]))


def test_outcomes_of_other_rows_are_refused() -> None:
    with pytest.raises(ValueError, match="not of the same units"):
        crossed_gain(outcomes(np.zeros((3, 4))), outcomes(np.zeros((3, 5))))


def test_of_one_group_nobody_knows_how_others_differ() -> None:
    told = gain(np.random.default_rng(0).normal(0.1, 0.01, size=(10, 1)))
    assert told.mean == pytest.approx(0.1, abs=0.02)
    assert np.isnan(told.interval).all()
    assert (told.p_value, told.units, told.units_share) == (1.0, 1, 1.0)
