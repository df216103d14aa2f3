"""Confirmations that are looked at and extended: published boundaries, and how often chance is told as a gain."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats

from study.selection import Confirmed, Outcomes, crossed_gain, paired_gain
from study.selection.looks import boundaries, corrected_p, nominal_level

FIFTHS = (0.2, 0.4, 0.6, 0.8, 1.0)


def obrien_fleming(share: float) -> float:
    """Lan & DeMets (1983), one-sided 2.5 %."""
    return float(2 * stats.norm.sf(stats.norm.isf(0.0125) / math.sqrt(share)))


def pocock(share: float) -> float:
    """Lan & DeMets (1983), one-sided 2.5 %."""
    return 0.025 * math.log(1 + (math.e - 1) * share)


@pytest.mark.parametrize(
    ("spending", "published"),
    [  # tabulated for five equal looks (Jennison & Turnbull 2000, chapter 7; gsDesign, sfLDOF and sfLDPocock)
        (obrien_fleming, (4.877, 3.357, 2.680, 2.290, 2.031)),
        (pocock, (2.438, 2.427, 2.410, 2.397, 2.386)),
    ],
)
def test_boundaries_are_the_published_ones(spending: Callable[[float], float], published: tuple[float, ...]) -> None:
    spent = np.diff([0.0, *map(spending, FIFTHS)]).tolist()
    assert boundaries(spent, FIFTHS) == pytest.approx(published, abs=6e-4)
    assert boundaries(spent, [20 * share for share in FIFTHS]) == pytest.approx(published, abs=6e-4)  # in any unit


def test_boundaries_of_the_whole_level_are_pococks_constants() -> None:
    """Pocock (1977): one critical value for all looks, 2.178 for two and 2.413 for five."""
    for looks, constant in ((2, 2.178), (5, 2.413)):
        information = list(range(1, looks + 1))
        left, spent = 1.0, []
        covariance = np.sqrt(np.minimum.outer(information, information) / np.maximum.outer(information, information))
        for look in range(1, looks + 1):
            within = stats.multivariate_normal(cov=covariance[:look, :look]).cdf(np.full(look, constant))
            spent.append(left - within)
            left = within
        assert boundaries(spent, information) == pytest.approx([constant] * looks, abs=2e-3)
        assert sum(spent) == pytest.approx(0.025, abs=3e-4)


@pytest.mark.parametrize("p_value", [1e-14, 0.001, 0.049, 0.5, 1.0])
def test_one_look_is_as_it_was(p_value: float) -> None:
    assert corrected_p(p_value, ()) == p_value
    assert nominal_level(0.05, ()) == pytest.approx(0.05, abs=1e-12)


@pytest.mark.parametrize("earlier", [(0.5,), (0.3,), (0.0,), (0.25, 0.5), (0.0, 0.5), (0.2, 0.4, 0.6, 0.8), (0.95,)])
def test_a_p_value_is_corrected_upwards_and_by_no_more_than_halving_the_level_would(earlier: tuple[float, ...]) -> None:
    p_values = [1e-13, 1e-6, 0.001, 0.01, 0.03, 0.05, 0.2, 0.7, 1.0]
    corrected = [corrected_p(p, earlier) for p in p_values]
    assert corrected == sorted(corrected)
    for p_value, told in zip(p_values, corrected, strict=True):
        assert p_value <= told <= min(1.0, p_value * 2 ** len(earlier)) * (1 + 1e-6)
        if 1e-6 < told < 0.5 and told > p_value * 1.0001:
            assert nominal_level(told, earlier) == pytest.approx(p_value, rel=1e-3)


def test_a_look_at_something_else_rules_nothing_out() -> None:
    assert nominal_level(0.05, (0.0,)) == pytest.approx(0.025)
    assert nominal_level(0.05, (0.0, 0.0)) == pytest.approx(0.0125)
    assert nominal_level(0.05, (0.0, 0.5)) < nominal_level(0.05, (0.5,))


@pytest.mark.parametrize(
    ("spent", "information"), [([], []), ([0.01], [1, 2]), ([0.01, 0.0], [1, 2]), ([0.01, 0.01], [2, 2])]
)
def test_looks_that_cannot_be_are_refused(spent: list[float], information: list[float]) -> None:
    with pytest.raises(ValueError, match=r"give one above 0 for each|rise from look to look"):
        boundaries(spent, information)


@pytest.mark.parametrize("sizes", [(5, 10), (10, 20), (5, 10, 20, 40), (10, 12, 14, 16, 18, 20)])
def test_whoever_extends_until_a_gain_is_confirmed_is_told_one_that_is_not_there_in_a_twentieth(
    sizes: tuple[int, ...],
) -> None:
    """By the t test, and by someone who stops at the first gain and goes on whatever else comes; one look alone spends
    half of the twentieth. Uncorrected, six looks tell of a gain in more.
    """
    rng = np.random.default_rng(0)
    gains = rng.normal(size=(40_000, sizes[-1]))
    told, uncorrected = np.zeros(len(gains), bool), np.zeros(len(gains), bool)
    for look, size in enumerate(sizes):
        seen = gains[:, :size]
        t = seen.mean(axis=1) / (seen.std(axis=1, ddof=1) / math.sqrt(size))
        p_value = 2 * stats.t.sf(np.abs(t), size - 1)
        level = nominal_level(0.05, tuple(earlier / size for earlier in sizes[:look]))
        told |= (p_value <= level) & (t > 0)
        uncorrected |= (p_value <= 0.05) & (t > 0)
        if look == 0:
            assert told.mean() == pytest.approx(0.025, abs=0.003)
    assert told.mean() < 0.05
    assert told.mean() < uncorrected.mean()
    if len(sizes) > 2:
        assert uncorrected.mean() > 0.05


def seen(scores: np.ndarray, after: list[int] | None, *, looks: int = 1) -> Confirmed:
    return Confirmed(
        scores=scores, looks=looks if after else 0, after=None if after is None else np.array(after, dtype=np.intp)
    )


def test_a_gain_is_corrected_for_the_looks_before_what_it_rests_on() -> None:
    rng = np.random.default_rng(1)
    zero, aligned = rng.normal(0, 1, 20), rng.normal(0.4, 1, 20)
    alone = paired_gain(zero, aligned)
    assert seen(aligned, None).over(seen(zero, None)) == alone  # nobody looked
    halves = [0] * 10 + [1] * 10
    gain = seen(aligned, halves).over(seen(zero, halves))
    assert gain.looks == 2
    assert gain.level == 0.9
    assert gain.mean == alone.mean
    assert gain.p_value == pytest.approx(corrected_p(alone.p_value, (0.5,)))
    assert gain.interval == pytest.approx(paired_gain(zero, aligned, level=1 - nominal_level(0.1, (0.5,))).interval)
    assert gain.interval[0] < alone.interval[0] < alone.interval[1] < gain.interval[1]
    elsewhere = seen(aligned, [1] * 20).over(seen(zero, halves))  # a strength that was confirmed after the look
    assert elsewhere.p_value == pytest.approx(min(1.0, 2 * alone.p_value))
    unchanged = seen(aligned, [0] * 20).over(seen(zero, [0] * 20))  # nothing came after it
    assert unchanged == alone


def test_gains_on_new_rows_are_corrected_too() -> None:
    rng = np.random.default_rng(2)
    weights = np.full(50, 1 / 50)
    one, two = (Outcomes(values=rng.normal(size=(8, 50)) + level, weights=weights) for level in (0.0, 0.3))
    after = np.array([0] * 4 + [1] * 4, dtype=np.intp)
    zero, aligned = (
        Confirmed(scores=each.values @ weights, outcomes=each, looks=1, after=after) for each in (one, two)
    )
    gain, alone = aligned.over(zero), crossed_gain(one, two)
    assert (gain.looks, gain.units, gain.units_share) == (2, 50, alone.units_share)
    assert gain.p_value >= alone.p_value
    assert gain.interval[0] < alone.interval[0]
    both = aligned.joined(zero).over(zero)
    assert both.looks == 2
