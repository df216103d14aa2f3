"""λ* from replicate results: the estimate, how sure it is, and the shape of the curve."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from study.selection.posterior import Fit, Posterior, draw, fit
from study.selection.shape import Shape, classify, flat_p_value
from study.selection.trainings import Floats, Trainings
from trainables.training.threads import on_one_thread

Flag = Literal["edge", "diverged", "few_seeds"]
DRAWS = 2000
FEW_SEEDS = 3
SAME_STRENGTH = 0.02  # of a strength: on another machine a search may end in another third digit


@dataclass(frozen=True, kw_only=True, eq=False)
class Curve:
    """The posterior of the curve on a grid of strengths, for a figure: `low` and `high` bound `level` at each point.

    `scale` is that of the warp on which it is smooth.
    """

    strengths: Floats
    mean: Floats
    low: Floats
    high: Floats
    scale: float


@dataclass(frozen=True, kw_only=True, eq=False)
class Selection:
    """The answer for one encoder (or for a pair as one).

    `interval` holds the optimum with probability `level`; `lambda_1se` is the smallest strength within one standard
    error of λ*; `expected_regret` (≥ 0, score units) is what choosing `lambda_star` is expected to lose against the
    unknown best; `shape_p_value` belongs to the test against a flat curve, `harm_p_value` to the claim that alignment
    lowers the score on average over the range, `drop_p_value` to the claim that the strongest strength scores below
    λ*; `noise_sd` is the sd of one training about the common curve and its seed's offset.
    """

    lambda_star: float
    interval: tuple[float, float]
    level: float
    lambda_1se: float
    expected_regret: float
    shape: Shape
    shape_p_value: float
    harm_p_value: float
    drop_p_value: float
    flags: tuple[Flag, ...]
    posterior: Curve
    noise_sd: float


@on_one_thread
def select(
    strengths: ArrayLike,
    scores: ArrayLike,
    *,
    seed: int = 0,
    level: float = 0.9,
    range_: tuple[float, float] | None = None,
    scale: float | None = None,
    diverged: ArrayLike | None = None,
    paired: bool = True,
) -> Selection:
    """λ*, its interval and the curve's shape, from the scores of every training.

    Args:
        strengths: (S,) at least 0, each once.
        scores: (S, R) higher is better, column r from the r-th common seed; NaN where a training diverged.
        seed: of the Monte Carlo draws; equal input and seed give an equal answer.
        level: of the interval and the band.
        range_: of strengths that λ* is sought in; None: from the smallest to the largest given.
        scale: of the warp, see `warp_scale`; None: from the design.
        diverged: (S, R) True where a training blew up, if some NaN are only trainings not run; None: all NaN diverged.
        paired: False where columns are no seeds: each training is then taken for one of a seed of its own.

    Raises:
        ValueError: shapes disagree, strengths are negative or repeated, fewer than two have a score, or, of paired
            scores, no seed was trained at two strengths.
    """
    if not 0 < level < 1:
        raise ValueError(f"level must lie between 0 and 1, given {level}")
    trainings = Trainings.of(strengths, scores, diverged=diverged, range_=range_, paired=paired)
    fitted = fit(trainings, scale=scale)
    posterior = draw(fitted, draws=DRAWS, seed=seed)
    best = posterior.best
    probability = np.bincount(best, minlength=len(posterior.strengths)) / len(best)
    # The maximiser of the posterior mean loses least in expectation; in simulations its median error is smallest, too.
    star = int(np.argmax(np.where(posterior.admissible, posterior.mean, -np.inf)))
    low, high = _interval(posterior.axis, probability, star, level)
    p_value = flat_p_value(fitted)
    shape = classify(posterior, p_value)
    ordered = np.sort(posterior.draws.T, axis=1)
    tail = round((1 - level) / 2 * (DRAWS - 1))
    tops = posterior.draws[np.arange(len(best)), best]
    return Selection(
        lambda_star=float(posterior.strengths[star]),
        interval=(float(posterior.strengths[low]), float(posterior.strengths[high])),
        level=level,
        lambda_1se=float(posterior.strengths[_within_one_error(posterior, star)]),
        expected_regret=float((tops - posterior.draws[:, star]).mean()),
        shape=shape,
        shape_p_value=p_value,
        harm_p_value=_harm_p_value(posterior),
        drop_p_value=_drop_p_value(posterior, star),
        flags=_flags(fitted, posterior, star, shape),
        posterior=Curve(
            strengths=posterior.strengths,
            mean=posterior.mean,
            low=ordered[:, tail],
            high=ordered[:, -1 - tail],
            scale=fitted.scale,
        ),
        noise_sd=float(np.sqrt(np.median(posterior.noise_sd**2))),
    )


def rounded(strength: float) -> float:
    """A strength to three significant digits: what is confirmed is what is reported."""
    return float(f"{strength:.3g}")


def _interval(axis: Floats, probability: Floats, star: int, level: float) -> tuple[int, int]:
    """Grid indices of the shortest stretch of the axis that holds λ* and at least `level` of the argmax posterior.

    Equal tails would always take in a border that has a twentieth of the probability, however sharp the peak elsewhere.
    """
    below = np.concatenate([[0.0], np.cumsum(probability)])
    first = np.arange(star + 1)
    last = (np.searchsorted(below, below[first] + level - 1e-9) - 1).clip(min=star)
    reached = last < len(axis)
    lengths = np.where(reached, axis[last.clip(max=len(axis) - 1)] - axis[first], np.inf)
    best = int(np.argmin(lengths))
    return best, int(last[best])


def _within_one_error(posterior: Posterior, star: int) -> int:
    """The smallest admissible point whose shortfall to λ* is at most one posterior sd of that shortfall."""
    shortfall = posterior.draws[:, [star]] - posterior.draws
    near = (shortfall.mean(axis=0) <= shortfall.std(axis=0)) & posterior.admissible
    near[star] = True
    return int(np.argmax(near))


def _harm_p_value(posterior: Posterior) -> float:
    """Posterior probability that the curve's average over the (warped) range is no lower than its lowest strength."""
    change = np.trapezoid(posterior.draws, posterior.axis, axis=1) - posterior.draws[:, 0]
    return float((1 + (change >= 0).sum()) / (1 + len(change)))


def _drop_p_value(posterior: Posterior, star: int) -> float:
    """Posterior probability that the strongest admissible strength is no lower than λ*."""
    last = np.flatnonzero(posterior.admissible)[-1]
    change = posterior.draws[:, last] - posterior.draws[:, star]
    return float((1 + (change >= 0).sum()) / (1 + len(change)))


def _flags(fitted: Fit, posterior: Posterior, star: int, shape: Shape) -> tuple[Flag, ...]:
    border = star == len(posterior.strengths) - 1 or (star == 0 and posterior.strengths[0] > 0)
    seeds = fitted.trainings.seeds
    raised: dict[Flag, bool] = {
        "edge": border and shape != "flat",
        "diverged": fitted.trainings.diverged,
        "few_seeds": bool(np.median(seeds[seeds > 0]) < FEW_SEEDS),
    }
    return tuple(flag for flag, is_raised in raised.items() if is_raised)
