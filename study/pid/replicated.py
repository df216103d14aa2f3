"""Estimators that train networks of their own: several seeds, each on half of the rows, measured on the other half."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from study.pid.binned import measured, posteriors
from study.pid.discretise import Codes, Discretiser
from study.pid.learning import SHARE, entropy, left_to_learn, widened
from study.pid.profile import COMPONENTS, PIDProfile
from trainables.datasets.base import PairData

Array = NDArray[np.float64]

SEEDS = 5
_NULL_LEVEL = 0.95


class HalvedRows(NamedTuple):
    """What such an estimator reads of N rows: labels, points of both modalities, log posteriors in nats, the halves.

    `points` are (N, d_1), (N, d_2); `log_posteriors` those of x1, x2 and both, (N, n_y); `fit` and `check` hold the row
    numbers of each seed, (K, N // 2).
    """

    y: Codes
    points: tuple[Array, Array]
    log_posteriors: tuple[Array, Array, Array]
    fit: NDArray[np.int64]
    check: NDArray[np.int64]

    @property
    def frequency(self) -> Array:
        """p(y), (n_y,)."""
        return np.bincount(self.y) / len(self.y)

    def pointwise(self) -> tuple[Array, Array, Array]:
        """Every row's log p(y | x) / p(y) in nats, for x1, x2 and both: the means are the informations."""
        at = np.arange(len(self.y))
        prior = np.log(self.frequency)[self.y]
        x1, x2, x12 = (table[at, self.y] - prior for table in self.log_posteriors)
        return x1, x2, x12


def replicated_profile(
    data: PairData,
    parts: Callable[[HalvedRows, int], Array],
    *,
    estimator: str,
    components: int,
    seed: int,
    level: float,
    splits: Sequence[str],
    discretiser: Discretiser,
    bounded_above: bool = False,
) -> PIDProfile:
    """Mean and t interval of `parts`: (rows, seed) -> components (K, 4) in bits; the null is that of shuffled labels.

    The standard deviation over random halves is that of the full sample's mean, so that the interval holds the
    sampling of rows as well as that of initial weights. To it is added what the posteriors have left to learn (see
    `learning`) and, where an estimator's least information is only `bounded_above`, all that the bound leaves open: it
    is I(X1;Y) or I(X2;Y) at least, so that the smaller unique part may be redundancy.
    """
    rows, y = measured(data, splits)
    rng = np.random.default_rng([seed, len(rows)])
    order = np.stack([rng.permutation(len(rows)) for _ in range(SEEDS)])
    half = len(rows) // 2
    if half < 20:
        raise ValueError(f"{len(rows)} rows for the estimator {estimator}; give at least 40, or use posterior")

    def learned(labels: Codes, share: float = 1.0) -> tuple[Array, Array, Array]:
        return posteriors([data], labels, splits=splits, discretiser=discretiser, share=share)[0]

    def run(labels: Codes) -> Array:
        log_1, log_2, log_12 = (np.log(table) for table in learned(labels))
        x1, x2 = (discretiser.points(m, data.split, components=components)[rows] for m in data.modalities)
        return parts(
            HalvedRows(labels, (x1, x2), (log_1, log_2, log_12), order[:, :half], order[:, half : 2 * half]), seed
        )

    parts_of_seeds, by_chance = run(y), run(rng.permutation(y))
    mean, deviation = parts_of_seeds.mean(axis=0), parts_of_seeds.std(axis=0, ddof=1)
    width = float(stats.t.ppf((1 + level) / 2, SEEDS - 1)) * deviation
    null = by_chance.mean(axis=0) + float(stats.t.ppf(_NULL_LEVEL, SEEDS - 1)) * by_chance.std(axis=0, ddof=1)
    value = dict(zip(COMPONENTS, map(float, np.maximum(mean, 0.0)), strict=True))
    sampled = np.maximum(np.stack([mean - width, mean + width]), 0.0)
    left = left_to_learn(learned(y), learned(y, SHARE), y)
    unsolved = max(0.0, float(mean[1:3].min())) if bounded_above else 0.0
    low, high = widened(sampled, np.maximum(mean, 0.0), left, most=entropy(y), unsolved=unsolved)
    limit = dict(zip(COMPONENTS, map(float, np.maximum(null, 0.0)), strict=True))
    return PIDProfile(
        **value,
        estimator=estimator,
        gap=None,
        interval={name: (float(a), float(b)) for name, a, b in zip(COMPONENTS, low, high, strict=True)},
        null=limit,
        significant={name: value[name] > limit[name] and a > 0 for name, a in zip(COMPONENTS, sampled[0], strict=True)},
        spread={},
        settings={"rows": len(rows), "splits": list(splits), "level": level, "seeds": SEEDS, "seed": seed},
    )
