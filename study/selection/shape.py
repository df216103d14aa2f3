"""Whether a curve is flat, rising, falling or an inverted U, by a stated test."""

from __future__ import annotations

from functools import lru_cache
from typing import Literal

import numpy as np

from study.selection.posterior import RATIOS, Basis, Fit, Floats, Posterior, _log_prior, within

Shape = Literal["rising", "falling", "inverted-u", "flat"]
NULL_DRAWS = 999
SIZE = 0.05


def flat_p_value(fitted: Fit) -> float:
    """Monte Carlo p-value of “the strength changes nothing”, against any smooth curve.

    The statistic is the Bayes factor of the Gaussian process against a constant; it is free of scale and of the seeds'
    offsets, so under normal noise its null distribution is known for the design at hand and the test is exact.
    """
    information, _, _, freedom = within(fitted.table.scores)
    rows = tuple(int(row) for row in fitted.rows)
    null = _null(fitted.bases, rows, information.tobytes(), freedom)
    return float((1 + (null >= fitted.log_bayes_factor).sum()) / (1 + len(null)))


@lru_cache(maxsize=64)
def _null(bases: tuple[Basis, ...], rows: tuple[int, ...], information: bytes, freedom: int) -> Floats:
    size = len(rows)
    values, vectors = np.linalg.eigh(np.frombuffer(information).reshape(size, size))
    real = values > 1e-9 * values[-1]
    generator = np.random.default_rng(0)
    whitened = generator.standard_normal((NULL_DRAWS, int(real.sum())))
    squares = (whitened**2).sum(axis=1)
    if freedom > real.sum():
        squares += generator.chisquare(freedom - real.sum(), NULL_DRAWS)
    totals = whitened @ (vectors[:, real] * np.sqrt(values[real])).T / np.sqrt(squares)[:, None]
    log_terms = []
    for basis, prior in zip(bases, _log_prior(), strict=True):
        projected = (totals @ basis.features[list(rows)]) ** 2
        shrunk = 1 / RATIOS[:, None] ** 2 + basis.precision[None, :]
        residuals = np.maximum(1.0 - projected @ (1 / shrunk).T, 1e-12)
        penalty = -0.5 * np.log1p(RATIOS[:, None] ** 2 * basis.precision).sum(axis=1)
        log_terms.append(penalty + prior - 0.5 * freedom * np.log(residuals))
    joint = np.concatenate(log_terms, axis=1)
    top = joint.max(axis=1)
    factors: Floats = top + np.log(np.exp(joint - top[:, None]).sum(axis=1))
    return factors


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
