"""How trainings of one seed scatter about the common curve, and what is left of the scores once that is accounted for.

A seed's deviation from the common curve is partly smooth in the strength: neighbouring strengths of one seed share
their luck. And trainings scatter more at some strengths than at others. Taken for independent noise, both would make
ten strengths of one seed look like ten witnesses. So the covariance of a seed's scores is, with u the warped strength,

    offset² 11ᵀ + σ² D½ ((1 − share) I + share · exp(−|u − u'|²/2 length²)) D½,   D = exp(slope (u − ½)), mean 1,

with the offset's variance infinite (only differences within a seed count). Which line of NOISES holds is unknown, and
learnt from how seeds differ from one another.

Trainings of which nobody knows the seed are not paired: each is taken for a seed of its own, whose offset is a part of
its noise, about one level that all share. Then luck cannot be shared, and only the lines without a share are left.
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


def differences(scores: Floats, axis: Floats, *, paired: bool = True) -> tuple[Differences, ...]:
    """The scores (S, R) under each noise that they leave plausible, `weight` summing to 1; not `paired`: of which no
    two are known to be of one seed.

    A noise is weighed with the curve free at every strength (restricted likelihood), that is by how seeds differ from
    one another; a single seed leaves the priors as they are.
    """
    return _plausible(_paired(scores, axis) if paired else _unpaired(scores, axis))


def _paired(scores: Floats, axis: Floats) -> list[Differences]:
    """Under each noise, only differences within a seed."""
    scores = scores[:, np.isfinite(scores).sum(axis=0) > 1]
    present = np.isfinite(scores)
    values = centred(scores)
    freedom = int(present.sum() - present.shape[1])
    floor = _floor(scores, freedom)
    if (values**2).sum() <= floor:
        values = np.zeros_like(values)
    every = []
    for noise in NOISES:
        per_seed = [_precision(axis.tobytes(), column.tobytes(), noise) for column in present.T]
        projected = [precision @ column for (precision, _), column in zip(per_seed, values.T, strict=True)]
        every.append(
            Differences(
                noise=noise,
                information=np.sum([precision for precision, _ in per_seed], axis=0),
                totals=np.sum(projected, axis=0),
                squares=max(float((values.T * projected).sum()), floor),
                freedom=freedom,
                log_volume=sum(log_volume for _, log_volume in per_seed),
            )
        )
    return every


def _unpaired(scores: Floats, axis: Floats) -> list[Differences]:
    """Under each noise without a share, all differences: with the precisions p of a strength's mean, Σp f² − (Σp f)²/Σp
    about the common level, and the squares within each strength.
    """
    present = np.isfinite(scores)
    counts = present.sum(axis=1)
    sums = np.where(present, scores, 0.0).sum(axis=1)
    level = sums.sum() / counts.sum()
    means = np.where(counts > 0, sums / np.maximum(counts, 1) - level, 0.0)
    within = np.where(present, (scores - level - means[:, None]) ** 2, 0.0).sum(axis=1)
    freedom = int(counts.sum() - 1)
    floor = _floor(scores, freedom)
    if (within + counts * means**2).sum() <= floor:
        means, within = np.zeros_like(means), np.zeros_like(within)
    every = []
    for noise in (noise for noise in NOISES if not noise.share):
        variances = np.diag(noise.covariance(axis))
        precisions = counts / variances
        whole = precisions.sum()
        mean = float(precisions @ means / whole)
        every.append(
            Differences(
                noise=noise,
                information=np.diag(precisions) - np.outer(precisions, precisions) / whole,
                totals=precisions * (means - mean),
                squares=max(float((within / variances).sum() + precisions @ (means - mean) ** 2), floor),
                freedom=freedom,
                log_volume=float(-0.5 * (counts @ np.log(variances) + np.log(whole))),
            )
        )
    return every


def _floor(scores: Floats, freedom: int) -> float:
    """The least sum of squares: differences below rounding error are none."""
    known = scores[np.isfinite(scores)]
    return float(freedom * (1e-13 * max(float(np.abs(known).max()), 1e-100)) ** 2)


def _plausible(every: list[Differences]) -> tuple[Differences, ...]:
    log_weights = [np.log(one.noise.prior) + _restricted_log_likelihood(one) for one in every]
    weights = np.exp(np.array(log_weights) - max(log_weights))
    weights = np.where(weights < NEGLIGIBLE * weights.sum(), 0.0, weights)
    weights /= weights.sum()
    return tuple(replace(one, weight=float(weight)) for one, weight in zip(every, weights, strict=True) if weight > 0)


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
