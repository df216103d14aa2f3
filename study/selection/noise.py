"""How trainings of one seed scatter about the common curve, and what is left of the scores once that is accounted for.

A seed's deviation from the common curve is partly smooth in the strength: neighbouring strengths of one seed share
their luck. And trainings scatter more at some strengths than at others. Taken for independent noise, both would make
ten strengths of one seed look like ten witnesses. So the covariance of a seed's scores is, with u the warped strength,

    offset² 11ᵀ + σ² D½ ((1 − share) I + share · exp(−|u − u'|²/2 length²)) D½,   D = exp(slope (u − ½)), mean 1,

with the offset's variance infinite (only differences within a seed count). Which line of NOISES holds is unknown, and
learnt from how seeds differ from one another.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from study.selection.trainings import Floats

# A noise whose posterior weight is below this one changes nothing that is reported.
NEGLIGIBLE = 0.02


@dataclass(frozen=True)
class Noise:
    """One line of NOISES; `prior` probabilities sum to 1 over the table."""

    share: float
    length: float
    slope: float
    prior: float

    def covariance(self, axis: Floats) -> Floats:
        """(S, S) over warped strengths (S,) on [0, 1], in units of σ²."""
        spread = np.exp(0.5 * self.slope * (axis - 0.5))
        spread /= np.sqrt(np.mean(spread**2))
        smooth = self.share * np.exp(-0.5 * ((axis[:, None] - axis) / self.length) ** 2)
        covariance: Floats = (smooth + (1 - self.share) * np.eye(len(axis))) * spread[:, None] * spread
        return covariance


_SLOPES = ((0.0, 0.6), (2.0, 0.2), (-2.0, 0.2))
_SHARES = ((0.0, 1.0, 0.2), (0.5, 0.15, 0.2), (0.5, 0.5, 0.2), (0.85, 0.15, 0.2), (0.85, 0.5, 0.2))
NOISES = tuple(
    Noise(share, length, slope, chance * odds) for slope, odds in _SLOPES for share, length, chance in _SHARES
)


@dataclass(frozen=True, kw_only=True, eq=False)
class Differences:
    """Sufficient statistics of the differences within seeds, under one noise.

    For curve values f (S,) at the tried strengths, log likelihood = `log_volume` − `freedom` log σ
    − (`squares` − 2 fᵀ`totals` + fᵀ`information` f) / 2σ², up to a constant. `weight` is the noise's probability.
    """

    noise: Noise
    information: Floats
    totals: Floats
    squares: float
    freedom: int
    log_volume: float
    weight: float = 1.0


@lru_cache(maxsize=32)
def _inverse(axis: bytes, noise: Noise) -> tuple[Floats, float]:
    inverse: Floats = np.asarray(np.linalg.inv(noise.covariance(np.frombuffer(axis))), float)
    return inverse, float(np.linalg.slogdet(inverse)[1])


@lru_cache(maxsize=256)
def _precision(axis: bytes, present: bytes, noise: Noise) -> tuple[Floats, float]:
    """(S, S) precision / σ⁻² of a seed with scores where `present`, the offset projected out, and its log volume."""
    inverse, log_det = _inverse(axis, noise)
    absent = ~np.frombuffer(present, bool)
    # Inverse of the block of present strengths, from the whole inverse: the Schur complement of the absent ones.
    corner = inverse[np.ix_(absent, absent)]
    block = inverse - inverse[:, absent] @ np.linalg.solve(corner, inverse[absent])
    block[absent], block[:, absent] = 0.0, 0.0
    ones = block.sum(axis=1)
    log_volume = 0.5 * (log_det - np.linalg.slogdet(corner)[1] - np.log(ones.sum()))
    return block - np.outer(ones, ones) / ones.sum(), float(log_volume)


def centred(scores: Floats) -> Floats:
    """Scores (S, R) less their seed's mean; 0 where there is none."""
    present = np.isfinite(scores)
    values = np.where(present, scores, 0.0)
    less_mean: Floats = np.where(present, values - values.sum(axis=0) / np.maximum(present.sum(axis=0), 1), 0.0)
    return less_mean


def differences(scores: Floats, axis: Floats) -> tuple[Differences, ...]:
    """The scores (S, R) under each noise that they leave plausible, `weight` summing to 1.

    A noise is weighed with the curve free at every strength (restricted likelihood), that is by how seeds differ from
    one another; a single seed leaves the priors as they are.
    """
    scores = scores[:, np.isfinite(scores).sum(axis=0) > 1]
    present = np.isfinite(scores)
    values = centred(scores)
    freedom = int(present.sum() - present.shape[1])
    # Differences below rounding error are none: the floor stands in for a noise too small to be seen.
    floor = freedom * (1e-13 * max(float(np.abs(scores[present]).max()), 1e-100)) ** 2
    if (values**2).sum() <= floor:
        values = np.zeros_like(values)
    plausible, log_weights = [], []
    for noise in NOISES:
        per_seed = [_precision(axis.tobytes(), column.tobytes(), noise) for column in present.T]
        projected = [precision @ column for (precision, _), column in zip(per_seed, values.T, strict=True)]
        statistics = Differences(
            noise=noise,
            information=np.sum([precision for precision, _ in per_seed], axis=0),
            totals=np.sum(projected, axis=0),
            squares=max(float((values.T * projected).sum()), floor),
            freedom=freedom,
            log_volume=sum(log_volume for _, log_volume in per_seed),
        )
        plausible.append(statistics)
        log_weights.append(np.log(noise.prior) + _restricted_log_likelihood(statistics))
    weights = np.exp(np.array(log_weights) - max(log_weights))
    weights = np.where(weights < NEGLIGIBLE * weights.sum(), 0.0, weights)
    weights /= weights.sum()
    return tuple(
        replace(one, weight=float(weight)) for one, weight in zip(plausible, weights, strict=True) if weight > 0
    )


def _restricted_log_likelihood(statistics: Differences) -> float:
    information = statistics.information
    rank = int(np.linalg.matrix_rank(information, hermitian=True))
    # The ridge only touches directions that no difference informs: the same ones under every noise.
    ridged = information + 1e-9 * np.trace(information) / len(information) * np.eye(len(information))
    factor = np.linalg.cholesky(ridged)
    explained = float((np.linalg.solve(factor, statistics.totals) ** 2).sum())
    left = max(statistics.squares - explained, 1e-12 * statistics.squares)
    return float(
        statistics.log_volume
        - np.log(np.diag(factor)).sum()
        - 0.5 * (statistics.freedom - rank) * np.log(left if statistics.freedom > rank else 1.0)
    )
