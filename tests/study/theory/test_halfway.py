"""The measured crossing of a curve: planted steps, coverage, and curves that lose nothing."""

from __future__ import annotations

import numpy as np
import pytest

from study.theory import halfway
from study.theory.halfway import halfway_strength

STRENGTHS = np.array([0, 0.1, 0.2, 0.3, 0.4, 0.6, 0.8, 1.2, 2.0])


def curves(crossing, *, seeds=6, noise=0.01, width=0.02, rng=None):
    rng = np.random.default_rng(0) if rng is None else rng
    own = crossing * np.exp(0.1 * rng.standard_normal(seeds))  # each training crosses at a strength of its own
    steps = 0.5 - 0.3 / (1 + np.exp((own - STRENGTHS[:, None]) / width))
    return steps + noise * rng.standard_normal((len(STRENGTHS), seeds))


def test_a_straight_line_crosses_in_its_middle():
    assert halfway_strength([0, 1, 3], [1.0, 0.8, 0.4]) == pytest.approx(1.5)


def test_the_first_fall_counts_and_missing_points_are_bridged():
    assert halfway_strength([0, 1, 2, 3, 4], [1.0, np.nan, 0.0, 1.0, 0.0]) == pytest.approx(1.0)


def test_a_curve_that_never_falls_below_the_level_has_no_crossing():
    assert np.isnan(halfway_strength([0, 1], [0.0, 1.0]))
    assert np.isnan(halfway_strength([0, 1], [1.0, np.nan]))


def test_a_step_is_found_between_the_strengths_that_bracket_it():
    found = halfway(STRENGTHS, curves(0.5))
    assert 0.4 <= found.strength <= 0.6
    assert found.interval[0] <= 0.4 < 0.6 <= found.interval[1]
    assert found.lost == pytest.approx(0.3, abs=0.02)


def test_the_interval_covers_the_crossing_of_repeated_studies():
    rng = np.random.default_rng(1)
    truths = np.exp(rng.uniform(np.log(0.15), np.log(1.0), 100))
    found = [halfway(STRENGTHS, curves(truth, rng=rng)) for truth in truths]
    covered = [f.interval[0] <= truth <= f.interval[1] for f, truth in zip(found, truths, strict=True)]
    assert np.mean(covered) >= 0.9


def test_diverged_trainings_are_left_out():
    scores = curves(0.5)
    scores[-2:, 0] = np.nan
    assert 0.4 <= halfway(STRENGTHS, scores).strength <= 0.6


@pytest.mark.parametrize(
    "scores",
    [
        np.full((9, 4), 0.3),
        np.linspace(0, 1, 9)[:, None] + np.zeros((9, 4)),  # it gains
        0.01 * np.random.default_rng(3).standard_normal((9, 5)),  # no loss beyond noise
        np.linspace(1, 0.96, 9)[:, None] + np.zeros((9, 4)),  # a loss of 4 %
        np.linspace(1, 0, 9)[:, None],  # a single seed shows no noise
        np.where(np.arange(9)[:, None] < 8, np.ones((9, 3)), np.nan),
    ],
)
def test_where_nothing_is_lost_there_is_no_crossing(scores):
    assert halfway(STRENGTHS, scores) is None


def test_bad_shapes_are_refused():
    with pytest.raises(ValueError, match=r"give ascending strengths \(S,\)"):
        halfway([0, 1], np.zeros((3, 2)))
    with pytest.raises(ValueError, match="ascending"):
        halfway([1, 0], np.zeros((2, 2)))
