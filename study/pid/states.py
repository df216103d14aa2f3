"""Rows counted by state, what their table says, and the law whose samples would look like it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln, xlog1py, xlogy

from study.pid.exact import components, information, least_information, narrowed

Array = NDArray[np.float64]
Codes = NDArray[np.int64]

_TEMPERS = (0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
_AMPLIFY = (1.0, 5.0)


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


def matched_law(states: States) -> tuple[Array, float]:
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


def _grouped(tables: Array, state: Codes) -> Array:
    """Cells of the same state summed: (B, m, n_y) to (B, n, n_y)."""
    _, index = np.unique(state, return_inverse=True)
    member = np.zeros((int(index.max()) + 1, len(index)))
    member[index, np.arange(len(index))] = 1.0
    return np.asarray(np.matmul(member, tables))
