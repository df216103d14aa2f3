"""What a curve may gain over λ = 0, set against what fresh seeds could confirm of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from study.selection.posterior import sample_posterior
from study.selection.trainings import Floats

SIZE = 0.05
NEGLIGIBLE = 0.25
FEWEST = 3  # differences without which nothing is known of their spread


@dataclass(frozen=True, kw_only=True, eq=False)
class Prospect:
    """What the trainings so far leave possible.

    `gains` (N,) are posterior draws, in random order, of the most that any strength gains over λ = 0 (at least 0, score
    units), and `sure` what λ* gains with posterior probability 0.95. `error` is the standard error that a confirmed
    gain will have, NaN where it is not known, and `confirmable` the gain from which on one is told from 0 at 5 %.
    """

    gains: Floats
    sure: float
    error: float
    confirmable: float

    @property
    def is_negligible(self) -> bool:
        """Whether the expected gain is at most a quarter of a confirmed gain's standard error.

        A gain of that size is found by a test at 5 % in 5.7 % of studies, where no gain at all is in 5: confirming it
        is no more than a lottery. What is merely not shown, as a flat curve's gain by few trainings, is larger.
        """
        return bool(self.gains.mean() <= NEGLIGIBLE * self.error)

    @property
    def is_sure(self) -> bool:
        """Whether λ* gains, with posterior probability 0.95, what can be confirmed."""
        return self.sure > self.confirmable


def prospect(
    strengths: ArrayLike,
    scores: ArrayLike,
    *,
    confirm: int,
    seed: int = 0,
    range_: tuple[float, float] | None = None,
    scale: float | None = None,
    diverged: ArrayLike | None = None,
) -> Prospect | None:
    """The prospect of a curve; arguments as of `select`, and the number of confirming seeds. None: it lacks λ = 0.

    The standard error of a mean of n paired differences is s/√n, and it is told from 0 from t(0.975, n − 1) s/√n on. s
    is the median over the strengths of the sd of a seed's score there less its score at λ = 0: the strongest ones,
    where trainings begin to fail, scatter most and must not make the others' gains look small.

    Raises:
        ValueError: as `select`.
    """
    axis, values = np.asarray(strengths, float), np.asarray(scores, float)
    posterior = sample_posterior(axis, values, seed=seed, range_=range_, scale=scale, diverged=diverged)
    zero = np.flatnonzero(axis == 0)
    if not len(zero) or not posterior.admissible[0] or not np.isfinite(values[zero[0]]).any():
        return None
    gains = posterior.draws - posterior.draws[:, :1]
    most = np.where(posterior.admissible, gains, 0.0).max(axis=1)
    star = int(np.argmax(np.where(posterior.admissible, posterior.mean, -np.inf)))
    changes = np.delete(values, zero[0], axis=0) - values[zero[0]]
    rounding = 1e-9 * max(float(np.nanmax(np.abs(values))), 1e-90)
    error = max(_standard_error(changes, confirm), rounding)
    return Prospect(
        gains=np.random.default_rng(seed).permutation(most),
        sure=float(np.quantile(gains[:, star], SIZE)),
        error=error,
        confirmable=float(stats.t.ppf(1 - SIZE / 2, max(confirm - 1, 1))) * error,
    )


def _standard_error(changes: Floats, confirm: int) -> float:
    """Standard error of a confirmed gain, from the differences (S, R) to λ = 0; NaN where they are too few."""
    known = [row[np.isfinite(row)] for row in changes]
    if confirm < 2 or sum(max(len(row) - 1, 0) for row in known) < FEWEST:
        return float("nan")
    spread = float(np.median([row.std(ddof=1) for row in known if len(row) > 1]))
    return float(spread / np.sqrt(confirm))


def seeds_to_show(gain: float, *, sd: float, level: float, most: int = 200) -> int | None:
    """Fresh seeds at which a true gain (score units) is shown by a paired test at `level` with a probability of 80 %.

    `sd` is that of one seed's difference. With Guenther's allowance for the t test (1981, The American Statistician
    35:243). None where there is no gain above 0, or `most` seeds would not do.
    """
    tail, power = stats.norm.ppf(1 - level / 2), stats.norm.ppf(0.8)
    if gain <= 0 or ((tail + power) * sd) ** 2 > most * gain**2:
        return None
    needed = max(2, int(np.ceil(((tail + power) * sd / gain) ** 2 + tail**2 / 2)))
    return needed if needed <= most else None
