"""The profile of a pair's states: bias removed, intervals, and what a target without information would show.

Plug-in information is biased upwards, the more so the fewer rows a state has: what is left after the shuffled labels'
mean is subtracted is too small where the modalities do inform (their tables are sparser than shuffled ones), and the
plain bootstrap's correction too large, since it cannot draw what was never seen. So the bias is measured where it
arises: labels are drawn anew for the observed states from a law p(y | x1, x2) whose information would, in expectation,
have the plug-in estimate that was observed (indirect inference, Gouriéroux, Monfort & Renault 1993).

That law keeps the sample's differences between the modalities, and so does every resample. Where one of them may tell
nothing of its own, unique information is therefore set beside what it shows in laws without any (see `blackwell`).
Unless it is more than these show by chance, it is corrected by their mean, and intervals hold both corrections.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from study.pid.blackwell import equal_channels, fitted, garbled
from study.pid.profile import COMPONENTS, Interval
from study.pid.states import States, matched_law

Array = NDArray[np.float64]

_TOLERANCE = 3e-2  # bits, of a resample's optimum; the middle of its bounds is within 1e-3
_BIAS_DRAWS, _BIAS_DRAWS_OF_SPREAD = 40, 12
_NULL_DRAWS = 40
_NULL_LEVEL = 0.95


class Measured(NamedTuple):
    """One discretisation: corrected components (4,), their intervals (2, 4), null thresholds (4,), certificate."""

    value: Array
    interval: Array
    null: Array
    gap: float

    def named(self) -> tuple[dict[str, float], dict[str, Interval], dict[str, float]]:
        """Value, interval and null by component."""
        return (
            dict(zip(COMPONENTS, map(float, self.value), strict=True)),
            {name: (float(low), float(high)) for name, low, high in zip(COMPONENTS, *self.interval, strict=True)},
            dict(zip(COMPONENTS, map(float, self.null), strict=True)),
        )


def measure(states: States, *, bootstrap: int, level: float, rng: np.random.Generator) -> Measured:
    """Corrected profile of the counted states, with basic bootstrap intervals over `bootstrap` draws of rows.

    Without any (0), interval and null are NaN.

    Synergy's deviations are stretched by the slope of the correction: where states are so fine that the plug-in
    estimate hardly tells laws apart, the interval has to say so.
    """
    n = states.rows
    plug_in, gap = states.components((states.counts / n)[None], tolerance=1e-6)
    law, slope = matched_law(states)
    per_cell = states.counts.sum(axis=1)
    truth, _ = states.components((law * (per_cell / n)[:, None])[None], tolerance=_TOLERANCE)
    draws = _BIAS_DRAWS if bootstrap else _BIAS_DRAWS_OF_SPREAD
    redrawn = np.stack([rng.multinomial(per_cell, law) for _ in range(draws)]) / n
    bias = states.components(redrawn, tolerance=_TOLERANCE)[0].mean(axis=0) - truth[0]
    own = _by_chance(states, law * (per_cell / n)[:, None], plug_in[0, 1:3], draws=bootstrap or draws, rng=rng)
    value = plug_in[0] - bias
    # What the other correction takes from a unique part that may be none goes from the least information: to
    # redundancy and to synergy, and from the other unique part.
    taken = np.where(own.resolved, 0.0, value[1:3] - np.maximum(plug_in[0, 1:3] - own.mean, 0.0))
    taken = np.maximum(taken, 0.0)
    shift = float(taken[~own.resolved].mean()) if not own.resolved.all() else 0.0
    moved = np.array([shift, *np.where(own.resolved, -shift, -taken), shift])
    if bootstrap == 0:
        return Measured(np.maximum(value + moved, 0.0), np.full((2, 4), np.nan), np.full(4, np.nan), float(gap[0]))
    resampled = rng.multinomial(n, (states.counts / n).ravel(), size=bootstrap).reshape(bootstrap, *states.counts.shape)
    spread = _deviations(states.components(resampled / n, tolerance=_TOLERANCE)[0], slope)
    null = _deviations(states.components(_shuffled(states, rng) / n, tolerance=_TOLERANCE)[0], slope)
    low, high = np.quantile(spread, [(1 - level) / 2, (1 + level) / 2], axis=0)
    interval = np.stack([np.minimum(value - high, value), np.maximum(value - low, value)])
    interval = np.stack([interval[0] + np.minimum(moved, 0.0), interval[1] + np.maximum(moved, 0.0)])
    interval[0, 1:3][~own.resolved] = 0.0
    value = value + moved
    limit = np.quantile(null, _NULL_LEVEL, axis=0)
    limit[1:3] = np.maximum(limit[1:3], own.limit - plug_in[0, 1:3] + value[1:3])
    return Measured(
        value=np.maximum(value, 0.0),
        interval=np.maximum(interval, 0.0),
        null=np.maximum(limit, 0.0),
        gap=float(gap[0]),
    )


class _ByChance(NamedTuple):
    """Both plug-in unique parts (2,): whether each is more than chance shows, and chance's mean and limit."""

    resolved: NDArray[np.bool_]
    mean: Array
    limit: Array


def _by_chance(states: States, joint: Array, unique: Array, *, draws: int, rng: np.random.Generator) -> _ByChance:
    """What the plug-in unique parts `unique` (2,) come to in laws near `joint` (m, n_y) that have none.

    In the first law both modalities tell the same. Where a part is more than that shows, the other modality's law is
    made a garbling of this one's, and this one's a garbling of the other's: a part is resolved if it is more than
    both of its laws show at the null's level.
    """
    _, x1 = np.unique(states.x1, return_inverse=True)
    _, x2 = np.unique(states.x2, return_inverse=True)
    p1, p2 = states.marginals(joint)

    def chance(p1: Array, p2: Array) -> tuple[Array, Array]:
        law = fitted(joint, x1, x2, p1, p2)
        counts = rng.multinomial(states.rows, law.ravel(), size=draws).reshape(draws, *law.shape)
        parts = states.components(counts / states.rows, tolerance=_TOLERANCE)[0][:, 1:3]
        return parts.mean(axis=0), np.quantile(parts, _NULL_LEVEL, axis=0)

    mean, limit = chance(*equal_channels(p1, p2))
    if (unique <= limit).all():
        return _ByChance(np.zeros(2, dtype=bool), mean, limit)
    own = chance(garbled(p1, p2), p2), chance(p1, garbled(p2, p1))
    limit = np.maximum(limit, [own[0][1][0], own[1][1][1]])
    resolved = unique > limit
    if resolved.any():
        mean = np.array([own[0][0][0], own[1][0][1]])
    return _ByChance(resolved, mean, limit)


def _deviations(parts: Array, slope: float) -> Array:
    """Deviations from the mean, those of I(X1, X2; Y) stretched by `slope`: they are synergy's alone."""
    deviation: Array = parts - parts.mean(axis=0)
    deviation[:, 3] += (slope - 1) * deviation.sum(axis=1)
    return deviation


def _shuffled(states: States, rng: np.random.Generator) -> Array:
    """Counts (B, m, n_y) with the labels dealt at random to the rows."""
    n_cells, n_y = states.counts.shape
    labels = np.repeat(np.arange(n_y), states.counts.sum(axis=0))
    cell = np.repeat(np.arange(n_cells), states.counts.sum(axis=1)) * n_y
    draws = [np.bincount(cell + rng.permutation(labels), minlength=n_cells * n_y) for _ in range(_NULL_DRAWS)]
    return np.stack(draws).reshape(-1, n_cells, n_y).astype(np.float64)
