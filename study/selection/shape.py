"""Whether a curve is flat, rising, falling or an inverted U, by a stated test."""

from __future__ import annotations

from functools import lru_cache
from typing import Literal

import numpy as np

from study.selection.posterior import Design, Fit, Posterior
from study.selection.trainings import Floats

Shape = Literal["rising", "falling", "inverted-u", "flat"]
NULL_DRAWS = 999
SIZE = 0.05


def flat_p_value(fitted: Fit) -> float:
    """Monte Carlo p-value of “the strength changes nothing”, against any smooth curve.

    The statistic is the Bayes factor of the smooth process against a constant; it is free of the scores' unit and of
    the seeds' offsets, so under normal noise of a given kind its null distribution is known for every design. The
    p-value is the mean over the kinds of noise, by how plausible the differences between seeds leave each.
    """
    p_value = 0.0
    for part in fitted.parts:
        observed = _bayes_factor(
            part.design, part.differences.totals[None] / np.sqrt(part.differences.squares), part.differences.freedom
        )
        null = _null(part.design, part.differences.freedom)
        p_value += part.differences.weight * (1 + (null >= observed[0]).sum()) / (1 + len(null))
    return float(p_value)


def _bayes_factor(design: Design, totals: Floats, freedom: int) -> Floats:
    """(...,) log Bayes factors of differences (..., S) with unit sum of squares."""
    smooth = design.gaps < 0
    squared = (totals @ design.at_data[smooth]) ** 2
    left = np.maximum(1.0 - squared @ design.spreads[smooth].transpose(0, 2, 1), 1e-12)
    joint = design.log_volume[smooth][:, None, :] - 0.5 * freedom * np.log(left)
    top = joint.max()
    factor: Floats = top + np.log(np.exp(joint - top).sum(axis=(0, 2)))
    return factor


@lru_cache(maxsize=256)
def _null(design: Design, freedom: int) -> Floats:
    """(N,) log Bayes factors of pure noise on the design."""
    values, vectors = np.linalg.eigh(design.information)
    real = values > 1e-9 * values[-1]
    generator = np.random.default_rng(0)
    whitened = generator.standard_normal((NULL_DRAWS, int(real.sum())))
    squares = (whitened**2).sum(axis=1)
    if freedom > real.sum():
        squares += generator.chisquare(freedom - real.sum(), NULL_DRAWS)
    totals = whitened @ (vectors[:, real] * np.sqrt(values[real])).T / np.sqrt(squares)[:, None]
    return _bayes_factor(design, totals, freedom)


def classify(posterior: Posterior, p_value: float) -> Shape:
    """The shape, by two tests at 5 %.

    `flat` unless the test against a flat curve rejects. Then `inverted-u` if the highest point of the mean curve lies
    above both ends, each with posterior probability of at least 0.95 (an intersection-union test); otherwise `rising`
    or `falling` by which end of the mean curve is higher.
    """
    if p_value > SIZE:
        return "flat"
    peak = int(np.argmax(np.where(posterior.admissible, posterior.mean, -np.inf)))
    last = int(np.flatnonzero(posterior.admissible)[-1])
    above = posterior.draws[:, [peak]] > posterior.draws[:, [0, last]]
    if above.mean(axis=0).min() >= 1 - SIZE:
        return "inverted-u"
    return "rising" if posterior.mean[last] > posterior.mean[0] else "falling"
