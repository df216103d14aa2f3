"""Whether a curve is flat, rising, falling or an inverted U, by a stated test."""

from __future__ import annotations

from functools import lru_cache
from typing import Literal

import numpy as np
from scipy.special import logsumexp

from study.selection.model import Design
from study.selection.posterior import Fit, Posterior
from study.selection.trainings import Floats

Shape = Literal["rising", "falling", "inverted-u", "flat"]
NULL_DRAWS = 999
SIZE = 0.05


def flat_p_value(fitted: Fit) -> float:
    """Monte Carlo p-value of “the strength changes nothing”, against any smooth curve.

    The statistic is the Bayes factor of the smooth process against a constant; it is free of the scores' unit and of
    the seeds' offsets, so under normal noise of a given kind its null distribution is known for every design. The kind
    is not known: the p-value is the largest over all kinds that the differences between seeds leave plausible (Berger &
    Boos 1994, for a nuisance parameter). Their mean rejects a flat curve two to three times too often where
    neighbouring strengths share their luck, as trainings do: a few seeds hardly tell such noise from independent noise.
    """
    p_values = []
    for part in fitted.parts:
        statistics = part.differences
        observed = _bayes_factor(part.design, statistics.totals / np.sqrt(statistics.squares), statistics.freedom)
        null = _null(part.design, statistics.freedom)
        p_values.append(float((1 + (null >= observed).sum()) / (1 + len(null))))
    return max(p_values)


def _bayes_factor(known: Design, totals: Floats, freedom: int) -> Floats:
    """(...) log Bayes factors of differences (..., S) with unit sum of squares."""
    smooth = known.gaps < 0
    squared = known.project(totals, cliffs=False) ** 2
    left = np.maximum(1.0 - (known.spreads[smooth] @ squared[..., None])[..., 0], 1e-12)
    joint = known.log_volume[smooth] - 0.5 * freedom * np.log(left)
    factor: Floats = logsumexp(joint, axis=(-1, -2))
    return factor


@lru_cache(maxsize=64)
def _null(known: Design, freedom: int) -> Floats:
    """(N,) log Bayes factors of pure noise on the design."""
    values, vectors = np.linalg.eigh(known.information)
    real = values > 1e-9 * values[-1]
    generator = np.random.default_rng(0)
    # Drawn per strength, and only then turned into the basis, which is arbitrary among equal eigenvalues.
    whitened = generator.standard_normal((NULL_DRAWS, len(values))) @ vectors[:, real]
    squares = (whitened**2).sum(axis=1)
    if freedom > real.sum():
        squares += generator.chisquare(freedom - real.sum(), NULL_DRAWS)
    totals = whitened @ (vectors[:, real] * np.sqrt(values[real])).T / np.sqrt(squares)[:, None]
    return _bayes_factor(known, totals, freedom)


def classify(posterior: Posterior, p_value: float) -> Shape:
    """The shape, by two tests at 5 %.

    `flat` unless the test against a flat curve rejects. Then `inverted-u` if the highest point of the mean curve lies
    above both ends, each with posterior probability of at least 0.95 (an intersection-union test); otherwise `rising`
    or `falling` by which end of the mean curve is higher.
    """
    if p_value > SIZE:
        return "flat"
    peak = int(np.argmax(np.where(posterior.admissible, posterior.mean, -np.inf)))
    first, last = np.flatnonzero(posterior.admissible)[[0, -1]]
    above = posterior.draws[:, [peak]] > posterior.draws[:, [first, last]]
    if above.mean(axis=0).min() >= 1 - SIZE:
        return "inverted-u"
    return "rising" if posterior.mean[last] > posterior.mean[first] else "falling"
