"""The prior over curves of scores against λ, and how a design of trainings could inform it.

For strength s and seed r, with u the warped strength scaled to [0, 1]:

    score[s, r] = f(u[s]) + offset[r] + noise[s, r],   noise of sd σ as in `study.selection.noise`
    f = smooth + cliff,   smooth ~ GP(0, (ρσ)² exp(−(u−u')²/2ℓ²)),   cliff(u) = height · [u > place]

Every seed has an offset of its own under a flat prior, so only differences within a seed count: this is the pairing by
common random numbers, and a constant added to all scores of a seed changes nothing. A cliff (a strength from which
trainings fail) is present with probability CLIFF, at a place with even chances among the gaps of the design, with
height ~ N(0, (STEP·ρσ)²); without it one jump would make the whole curve look rough. σ is integrated out under 1/σ; ρ,
ℓ, the cliff's gap and the kind of noise are summed over under weak priors. So nothing depends on the scores' unit, and
a handful of trainings does not pretend to know its own noise.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray

from study.selection.trainings import Floats

# ρ: sd of the curve in units of the noise of one training. ℓ: in units of the warped range.
RATIOS = np.geomspace(0.03, 1000.0, 19)
LENGTHS = np.geomspace(0.1, 3.0, 9)
RATIO_PRIOR = (0.5, 1.5)  # median and log sd
LENGTH_PRIOR = (0.5, 0.75)
CLIFF = 0.2
STEP = 3.0
MOST_GAPS = 24
GRID_POINTS = 101


def _log_normal(values: Floats, median: float, spread: float) -> Floats:
    density = np.exp(-0.5 * (np.log(values / median) / spread) ** 2)
    log_density: Floats = np.log(density / density.sum())
    return log_density


@dataclass(frozen=True, kw_only=True, eq=False)
class Grid:
    """Warped strengths on [0, 1], (G,), and `rows` (S,) of the tried ones among them."""

    axis: Floats
    rows: NDArray[np.intp]

    @classmethod
    def of(cls, tried: Floats) -> Grid:
        """Even points, those next to a tried strength giving way to it."""
        even = np.linspace(0.0, 1.0, GRID_POINTS)
        apart = np.abs(even[:, None] - tried).min(axis=1) > 0.25 / (GRID_POINTS - 1)
        apart[[0, -1]] = True
        axis = np.unique(np.concatenate([even[apart], tried]))
        return cls(axis=axis, rows=np.searchsorted(axis, tried))

    @cached_property
    def features(self) -> tuple[Floats, ...]:
        """Per ℓ (G, J): the smooth process is features @ w with w ~ N(0, (ρσ)² I).

        Each feature is above 0 at the weakest strength, where no eigenvector of this kernel vanishes: its sign would be
        the LAPACK's whim otherwise, and with it every draw of the posterior.
        """
        squared = (self.axis[:, None] - self.axis) ** 2
        features = []
        for length in LENGTHS:
            values, vectors = np.linalg.eigh(np.exp(-0.5 * squared / length**2))
            keep = values > values[-1] * 1e-9
            features.append(vectors[:, keep] * np.sqrt(values[keep]) * np.sign(vectors[0, keep]))
        return tuple(features)


@dataclass(frozen=True, kw_only=True, eq=False)
class Design:
    """All that does not depend on the scores, under one noise: components of the curve, with or without a cliff.

    Component c has length ℓ[`lengths`[c]] and a cliff in gap `gaps`[c] of the tried strengths (−1: none). Its curve is
    (features, step) @ `rotations`[c] @ w with w ~ N(0, (ρσ)² I), the last row being the step's; features are padded
    with zeros to a common width K. The rotation makes the data's precision of w diagonal: `precisions` (C, K) / σ².
    """

    grid: Grid
    information: Floats
    lengths: NDArray[np.intp]
    gaps: NDArray[np.intp]
    log_prior: Floats
    rotations: Floats
    precisions: Floats

    @classmethod
    def of(cls, grid: Grid, information: Floats, gaps: tuple[int, ...]) -> Design:
        """Every ℓ without a cliff and with one in each of `gaps`; `information` as in `Differences`."""
        count, kinds = len(grid.rows), 1 + len(gaps)
        width = 1 + max(features.shape[1] for features in grid.features)
        rotations = np.zeros((len(LENGTHS), kinds, width, width))
        precisions = np.zeros((len(LENGTHS), kinds, width))
        steps = _steps(count, gaps)
        for index, features in enumerate(grid.features):
            rank = features.shape[1]
            smooth = features[grid.rows]
            mixed = np.concatenate([np.broadcast_to(smooth, (len(gaps), *smooth.shape)), steps[:, :, None]], axis=2)
            precisions[index, 0, :rank], rotations[index, 0, :rank, :rank] = _diagonal(smooth, information)
            precisions[index, 1:, : rank + 1], vectors = _diagonal(mixed, information)
            rotations[index, 1:, :rank, : rank + 1] = vectors[:, :rank]
            rotations[index, 1:, -1, : rank + 1] = vectors[:, rank]
        chances = np.array([1 - CLIFF, *[CLIFF / (count - 1)] * len(gaps)])
        return cls(
            grid=grid,
            information=information,
            lengths=np.repeat(np.arange(len(LENGTHS)), kinds),
            gaps=np.tile(np.array([-1, *gaps]), len(LENGTHS)),
            log_prior=np.add.outer(_log_normal(LENGTHS, *LENGTH_PRIOR), np.log(chances)).ravel(),
            rotations=rotations.reshape(-1, width, width),
            precisions=precisions.reshape(-1, width),
        )

    @cached_property
    def spreads(self) -> Floats:
        """(C, ρ, K) posterior variances of w / σ²."""
        spreads: Floats = 1 / (1 / RATIOS[:, None] ** 2 + self.precisions[:, None, :])
        return spreads

    @cached_property
    def log_volume(self) -> Floats:
        """(C, ρ) log prior less the log of how far the data narrow w."""
        narrowing = 0.5 * np.log1p(RATIOS[:, None] ** 2 * self.precisions[:, None, :]).sum(axis=2)
        volume: Floats = self.log_prior[:, None] + _log_normal(RATIOS, *RATIO_PRIOR) - narrowing
        return volume

    def project(self, totals: Floats, *, cliffs: bool = True) -> Floats:
        """(..., C, K) coordinates of differences `totals` (..., S); without `cliffs` of the smooth components only."""
        kinds = len(self.gaps) // len(LENGTHS) if cliffs else 1
        width = self.rotations.shape[1]
        raw = np.zeros((*totals.shape[:-1], len(LENGTHS), kinds, width))
        for index, features in enumerate(self.grid.features):
            raw[..., index, :, : features.shape[1]] = (totals @ features[self.grid.rows])[..., None, :]
        raw[..., 1:, -1] = (totals @ _steps(totals.shape[-1], tuple(self.gaps[1:kinds])).T)[..., None, :]
        rotations = self.rotations if cliffs else self.rotations[self.gaps < 0]
        flat = raw.reshape(*totals.shape[:-1], len(rotations), width)
        projected: Floats = (flat[..., None, :] @ rotations)[..., 0, :]
        return projected

    def curves(self, component: int, w: Floats, place: Floats) -> Floats:
        """(N, G) of one component from its coordinates (N, K) and the place (N,) in [0, 1] of the cliff in its gap."""
        features = self.grid.features[self.lengths[component]]
        weights = w @ self.rotations[component].T
        curves: Floats = weights[:, : features.shape[1]] @ features.T
        if self.gaps[component] >= 0:
            low, high = self._ends(self.gaps[component])
            curves += STEP * weights[:, -1:] * (self.grid.axis > (low + (high - low) * place)[:, None])
        return curves

    def mixture(self, centres: Floats) -> Floats:
        """(G,) sum of all components' curves at coordinates (C, K), averaged over the places of the cliffs."""
        weights = (self.rotations @ centres[:, :, None])[:, :, 0]
        curve = np.zeros(len(self.grid.axis))
        for index, features in enumerate(self.grid.features):
            curve += features @ weights[self.lengths == index, : features.shape[1]].sum(axis=0)
        for gap in np.unique(self.gaps[self.gaps >= 0]):
            low, high = self._ends(gap)
            ramp = np.clip((self.grid.axis - low) / max(high - low, 1e-12), 0.0, 1.0)
            curve += STEP * weights[self.gaps == gap, -1].sum() * ramp
        return curve

    def _ends(self, gap: int) -> tuple[float, float]:
        low, high = self.grid.axis[self.grid.rows[[gap, gap + 1]]]
        return float(low), float(high)


def _steps(count: int, gaps: tuple[int, ...]) -> Floats:
    """(gaps, S) the step of a cliff in each gap at the tried strengths."""
    beyond = np.arange(count) > np.array(gaps, int)[:, None]
    return STEP * beyond.astype(float)


def _diagonal(features: Floats, information: Floats) -> tuple[Floats, Floats]:
    """Eigenvalues (≥ 0) and eigenvectors of the information about each stack of features' weights."""
    values, vectors = np.linalg.eigh(np.swapaxes(features, -1, -2) @ (information @ features))
    return np.maximum(values, 0.0), vectors


@lru_cache(maxsize=16)
def _grid(tried: bytes) -> Grid:
    return Grid.of(np.frombuffer(tried))


@lru_cache(maxsize=64)
def _design(tried: bytes, information: bytes, gaps: tuple[int, ...]) -> Design:
    grid = _grid(tried)
    return Design.of(grid, np.frombuffer(information).reshape(len(grid.rows), -1), gaps)


def design(tried: Floats, information: Floats, gaps: tuple[int, ...]) -> Design:
    """The design at warped strengths (S,), cached: a search fits the same one for each encoder and again each round."""
    return _design(tried.tobytes(), information.tobytes(), gaps)
