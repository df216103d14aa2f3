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

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln, xlog1py, xlogy

from study.pid.blackwell import equal_channels, fitted, garbled
from study.pid.exact import components, information, least_information, narrowed
from study.pid.profile import COMPONENTS, Interval

Array = NDArray[np.float64]
Codes = NDArray[np.int64]

_TOLERANCE = 3e-2  # bits, of a resample's optimum; the middle of its bounds is within 1e-3
_BIAS_DRAWS, _BIAS_DRAWS_OF_SPREAD = 40, 12
_NULL_DRAWS = 40
_NULL_LEVEL = 0.95
_TEMPERS = (0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
_AMPLIFY = (1.0, 5.0)


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


@dataclass(frozen=True)
class States:
    """Rows counted by state: `counts` (m, n_y), and which state of X1, of X2 and of both each of the m cells has."""

    counts: NDArray[np.int64]
    x1: Codes
    x2: Codes
    x12: Codes

    @classmethod
    def of(cls, x1: Codes, x2: Codes, y: Codes, x12: Codes | None = None) -> States:
        """States of N rows; `x12` is a state of both modalities (None: the pair of x1 and x2)."""
        keys = np.stack([x1, x2, np.zeros_like(x1) if x12 is None else x12], axis=1)
        cells, cell = np.unique(keys, axis=0, return_inverse=True)
        n_y = int(y.max()) + 1
        counts = np.bincount(cell.ravel() * n_y + y, minlength=len(cells) * n_y).reshape(len(cells), n_y)
        return cls(counts, cells[:, 0], cells[:, 1], np.arange(len(cells)) if x12 is None else cells[:, 2])

    @property
    def rows(self) -> int:
        """N."""
        return int(self.counts.sum())

    def marginals(self, table: Array) -> tuple[Array, Array]:
        """p(x1, y), (n_1, n_y), and p(x2, y), (n_2, n_y), of a probability table (m, n_y) over these cells."""
        return _grouped(table[None], self.x1)[0], _grouped(table[None], self.x2)[0]

    def components(self, tables: Array, *, tolerance: float) -> tuple[Array, Array]:
        """Components (B, 4) and certificates (B,) of probability tables (B, m, n_y) over these cells."""
        p1, p2, p12 = (_grouped(tables, state) for state in (self.x1, self.x2, self.x12))
        i1, i2, i12 = information(p1), information(p2), information(p12)
        # States of both modalities that do not follow from those of each may know less: they bound nothing.
        bounds = least_information(p1, p2, tolerance=tolerance)
        lower, upper = narrowed(bounds, i1, i2, i1 + i2)
        return components(i1, i2, i12, (lower + upper) / 2), upper - lower


def measure(states: States, *, bootstrap: int, level: float, rng: np.random.Generator) -> Measured:
    """Corrected profile of the counted states, with basic bootstrap intervals over `bootstrap` draws of rows.

    Without any (0), interval and null are NaN.

    Synergy's deviations are stretched by the slope of the correction: where states are so fine that the plug-in
    estimate hardly tells laws apart, the interval has to say so.
    """
    n = states.rows
    plug_in, gap = states.components((states.counts / n)[None], tolerance=1e-6)
    law, slope = _matched_law(states)
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


def _grouped(tables: Array, state: Codes) -> Array:
    """Cells of the same state summed: (B, m, n_y) to (B, n, n_y)."""
    _, index = np.unique(state, return_inverse=True)
    member = np.zeros((int(index.max()) + 1, len(index)))
    member[index, np.arange(len(index))] = 1.0
    return np.asarray(np.matmul(member, tables))


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


def _matched_law(states: States) -> tuple[Array, float]:
    """p(y | cell), (m, n_y), with the observed plug-in I(X1, X2; Y) as its expectation, and d truth / d plug-in there.

    The law is a mixture of the observed frequencies and of what X1 and X2 say separately; its weight is matched.
    """
    base = _separate_law(states)
    counts = _grouped(states.counts[None].astype(np.float64), states.x12)[0]
    _, group = np.unique(states.x12, return_inverse=True)
    rows = counts.sum(axis=1)
    frequency = counts / rows[:, None]
    base_group = _grouped((base * states.counts.sum(axis=1, keepdims=True))[None], states.x12)[0] / rows[:, None]
    expectation = _Expectation(rows.astype(np.int64))
    observed = float((rows @ xlogy(frequency, frequency)).sum())

    def expected(weight: float) -> float:
        return expectation(base_group + weight * (frequency - base_group))

    def true(weight: float) -> float:
        law = base_group + weight * (frequency - base_group)
        return float((rows @ xlogy(law, law)).sum())

    low, high = 0.0, 1.0
    for _ in range(12):
        middle = (low + high) / 2
        low, high = (middle, high) if expected(middle) < observed else (low, middle)
    below, above = max(low - 0.05, 0.0), min(low + 0.05, 1.0)
    slope = (true(above) - true(below)) / max(expected(above) - expected(below), 1e-9)
    law = base + low * (frequency[group] - base)
    return law / law.sum(axis=1, keepdims=True), float(np.clip(slope, *_AMPLIFY))


class _Expectation:
    """E of Σ n̂ log(n̂ / n) over states with n rows each: counts are binomial, so that the sum is exact."""

    def __init__(self, rows: NDArray[np.int64]) -> None:
        self._state = np.repeat(np.arange(len(rows)), rows)
        n = rows[self._state]
        start = np.cumsum(rows) - rows
        self._k = np.arange(len(n)) - start[self._state] + 1.0
        self._rest = n - self._k
        self._log_choose = gammaln(n + 1.0) - gammaln(self._k + 1.0) - gammaln(self._rest + 1.0)
        self._value = xlogy(self._k, self._k / n)

    def __call__(self, law: Array) -> float:
        """The expectation under a law p(y | state), (n_states, n_y)."""
        total = 0.0
        for column in np.clip(law, 0.0, 1.0).T:
            p = column[self._state]
            log_probability = self._log_choose + xlogy(self._k, p) + xlog1py(self._rest, -p)
            total += float(np.exp(log_probability) @ self._value)
        return total


def _separate_law(states: States) -> Array:
    """p(y) [p(y | x1) p(y | x2) / p(y)²]^t per cell, (m, n_y), t by leave-one-out likelihood.

    With t = 1 the modalities are independent given y; redundant ones would be counted twice, and t goes to 1/2.
    """
    counts = states.counts.astype(np.float64)
    frequency = counts.sum(axis=0) / counts.sum()
    log_odds, without = np.zeros_like(counts), np.zeros_like(counts)
    for state in (states.x1, states.x2):
        _, index = np.unique(state, return_inverse=True)
        table = _grouped(counts[None], state)[0]
        rows = table.sum(axis=1, keepdims=True)
        smooth = np.log((table + frequency) / (rows + 1))
        log_odds += (smooth - np.log(frequency))[index]
        without += (np.log(np.maximum(table - 1 + frequency, 1e-12) / rows) - smooth)[index]
    best, best_law = -np.inf, counts
    for t in _TEMPERS:
        law = frequency * np.exp(t * (log_odds - log_odds.max(axis=1, keepdims=True)))
        law /= law.sum(axis=1, keepdims=True)
        odds = np.exp(t * without)
        left_out = law * odds / (1 - law + law * odds)
        likelihood = float((counts * np.log(np.maximum(left_out, 1e-12))).sum())
        if likelihood > best:
            best, best_law = likelihood, law
    return best_law
