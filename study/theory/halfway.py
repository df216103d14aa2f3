"""Where a measured curve crosses from what it is without alignment to what strong alignment leaves of it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

Vector = NDArray[np.float64]

SMALLEST_LOSS = 0.05  # of the first level; less is no crossing
_LEVEL = 0.90  # as for every interval of a study
_RESAMPLES = 1000


@dataclass(frozen=True, kw_only=True)
class Halfway:
    """`strength` at which half of `lost` (> 0, in units of the score) is lost, with its 90 % interval."""

    strength: float
    interval: tuple[float, float]
    lost: float


def halfway(strengths: ArrayLike, scores: ArrayLike) -> Halfway | None:
    """The strength at which the mean of scores (strengths, seeds) has fallen halfway from its first level to its last.

    Between two strengths tried the mean counts as a straight line. The interval holds both uncertainties: seeds are
    drawn again with replacement, and each draw says no more than between which two strengths tried its mean falls; it
    runs from the 5 % quantile of their lower to the 95 % quantile of their upper ends. `strengths` ascend from 0; NaN
    is a training that diverged.

    None where next to nothing is lost: less than 5 % of the first level, or no more than what the 90 % interval of the
    paired difference between both ends allows for, or fewer than 2 seeds have both ends.

    Raises:
        ValueError: the shapes do not match, there are fewer than 2 strengths, or they do not ascend.
    """
    at, rows = np.asarray(strengths, dtype=np.float64), np.asarray(scores, dtype=np.float64)
    if rows.ndim != 2 or at.shape != rows.shape[:1] or len(at) < 2 or not (np.diff(at) > 0).all():
        raise ValueError(
            f"strengths have shape {at.shape} and scores {rows.shape}; give ascending strengths (S,) and scores "
            "(S, seeds), S ≥ 2"
        )
    losses = rows[0] - rows[-1]
    losses = losses[np.isfinite(losses)]
    if len(losses) < 2:
        return None
    error = losses.std(ddof=1) / math.sqrt(len(losses))
    noise = float(stats.t.ppf((1 + _LEVEL) / 2, len(losses) - 1) * error)
    if losses.mean() <= max(noise, SMALLEST_LOSS * abs(float(np.nanmean(rows[0])))):
        return None
    seeds = rows.shape[1]
    draws = np.random.default_rng(0).integers(seeds, size=(_RESAMPLES, seeds))
    brackets = [bracket for draw in draws if (bracket := _bracket(at, _mean(rows[:, draw]))) is not None]
    measured = halfway_strength(at, _mean(rows))
    low, high = np.array(brackets).T
    return Halfway(
        strength=measured,
        interval=(
            min(measured, float(np.quantile(low, (1 - _LEVEL) / 2, method="lower"))),
            max(measured, float(np.quantile(high, (1 + _LEVEL) / 2, method="higher"))),
        ),
        lost=float(losses.mean()),
    )


def halfway_strength(strengths: ArrayLike, values: ArrayLike, *, level: float | None = None) -> float:
    """Where values fall below `level` for the first time, by linear interpolation; NaN where they never do.

    The level is halfway between the first and the last value unless given; NaN values are left out.
    """
    fall = _first_fall(np.asarray(strengths, dtype=np.float64), np.asarray(values, dtype=np.float64), level)
    if fall is None:
        return math.nan
    (left, above), (right, below), level = fall
    return left + (above - level) / (above - below) * (right - left)


def _bracket(at: Vector, curve: Vector) -> tuple[float, float] | None:
    fall = _first_fall(at, curve, None)
    return None if fall is None else (fall[0][0], fall[1][0])


def _first_fall(
    at: Vector, curve: Vector, level: float | None
) -> tuple[tuple[float, float], tuple[float, float], float] | None:
    """The last point (strength, value) above the level, the first one below it, and the level."""
    known = np.isfinite(curve)
    at, curve = at[known], curve[known]
    if len(curve) < 2:
        return None
    level = float(curve[0] + curve[-1]) / 2 if level is None else level
    below = np.flatnonzero(curve < level)
    if not below.size or below[0] == 0:
        return None
    left, right = below[0] - 1, below[0]
    return (float(at[left]), float(curve[left])), (float(at[right]), float(curve[right])), level


def _mean(rows: Vector) -> Vector:
    """Mean over the seeds that did not diverge, NaN where all did."""
    finite = np.isfinite(rows)
    total, counts = np.where(finite, rows, 0.0).sum(axis=1), finite.sum(axis=1)
    return np.asarray(np.divide(total, counts, out=np.full(len(rows), np.nan), where=counts > 0))
