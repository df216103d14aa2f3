"""What the trainings say about the curve of scores over λ: a posterior integrated over all of its parameters.

Model, for strength s and seed r, with u the warped strength scaled to [0, 1]:

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
from numpy.typing import ArrayLike, NDArray

from study.selection.noise import Differences, differences
from study.selection.trainings import Bools, Floats, Trainings, unwarp, warp, warp_scale

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
        """Per ℓ (G, J): the smooth process is features @ w with w ~ N(0, (ρσ)² I)."""
        squared = (self.axis[:, None] - self.axis) ** 2
        features = []
        for length in LENGTHS:
            values, vectors = np.linalg.eigh(np.exp(-0.5 * squared / length**2))
            keep = values > values[-1] * 1e-9
            features.append(vectors[:, keep] * np.sqrt(values[keep]))
        return tuple(features)


@lru_cache(maxsize=32)
def _grid(tried: bytes) -> Grid:
    return Grid.of(np.frombuffer(tried))


@dataclass(frozen=True, kw_only=True, eq=False)
class Design:
    """All of the model that does not depend on the scores, under one noise.

    Component c has length ℓ[`lengths`[c]] and a cliff in gap `gaps`[c] (−1: none). Its curve is (features, step) @
    `rotations`[c] @ w, padded with zeros to a common width K, in which the data's precision of w is diagonal,
    `precisions` (C, K) / σ²; `at_data` (C, S, K) maps w to the tried strengths.
    """

    grid: Grid
    information: Floats
    lengths: NDArray[np.intp]
    gaps: NDArray[np.intp]
    log_prior: Floats
    rotations: Floats
    precisions: Floats
    at_data: Floats

    @classmethod
    def of(cls, grid: Grid, information: Floats, gaps: tuple[int, ...]) -> Design:
        """Every length without a cliff and with one in each of `gaps`."""
        count = len(grid.rows)
        width = max(features.shape[1] for features in grid.features) + 1
        total = len(LENGTHS) * (1 + len(gaps))
        rotations, precisions = np.zeros((total, width, width)), np.zeros((total, width))
        at_data = np.zeros((total, count, width))
        steps = STEP * (np.arange(count) > np.array(gaps, int)[:, None])
        for index, features in enumerate(grid.features):
            smooth, rank = features[grid.rows], features.shape[1]
            first = index * (1 + len(gaps))
            stacks = [(slice(first, first + 1), smooth[None])]
            if len(gaps):
                repeated = np.broadcast_to(smooth, (len(gaps), *smooth.shape))
                stacks.append(
                    (slice(first + 1, first + 1 + len(gaps)), np.concatenate([repeated, steps[:, :, None]], axis=2))
                )
            for rows, stack in stacks:
                size = stack.shape[2]
                values, vectors = np.linalg.eigh(stack.transpose(0, 2, 1) @ (information @ stack))
                precisions[rows, :size] = np.maximum(values, 0.0)
                rotations[rows, :rank, :size] = vectors[:, :rank]
                rotations[rows, -1, :size] = vectors[:, rank] if size > rank else 0.0
                at_data[rows, :, :size] = stack @ vectors
        chances = np.array([1 - CLIFF, *[CLIFF / (count - 1)] * len(gaps)])
        return cls(
            grid=grid,
            information=information,
            lengths=np.repeat(np.arange(len(LENGTHS)), 1 + len(gaps)),
            gaps=np.tile(np.array([-1, *gaps]), len(LENGTHS)),
            log_prior=np.add.outer(_log_normal(LENGTHS, *LENGTH_PRIOR), np.log(chances)).ravel(),
            rotations=rotations,
            precisions=precisions,
            at_data=at_data,
        )

    @cached_property
    def spreads(self) -> Floats:
        """(C, ρ, K) posterior variances of w / σ²."""
        spreads: Floats = 1 / (1 / RATIOS[:, None] ** 2 + self.precisions[:, None, :])
        return spreads

    @cached_property
    def log_volume(self) -> Floats:
        """(C, ρ) log prior less the log of how much the data could narrow w."""
        narrowing = 0.5 * np.log1p(RATIOS[:, None] ** 2 * self.precisions[:, None, :]).sum(axis=2)
        volume: Floats = self.log_prior[:, None] + _log_normal(RATIOS, *RATIO_PRIOR) - narrowing
        return volume

    def residuals(self, totals: Floats) -> Floats:
        """(C, ρ) sums of squares left by the curve, of differences `totals` (S,) whose own sum of squares is 1."""
        squared = (totals @ self.at_data) ** 2
        left: Floats = np.maximum(1.0 - (self.spreads @ squared[:, :, None])[:, :, 0], 1e-12)
        return left


@lru_cache(maxsize=256)
def _design(tried: bytes, information: bytes, gaps: tuple[int, ...]) -> Design:
    """Cached, since a search fits the same design again for each encoder and a simulation for each draw."""
    grid = _grid(tried)
    return Design.of(grid, np.frombuffer(information).reshape(len(grid.rows), -1), gaps)


@dataclass(frozen=True, kw_only=True, eq=False)
class Part:
    """The posterior under one noise: `weights` (C, ρ), summing to 1 over all parts, and the σ² sums of squares."""

    design: Design
    differences: Differences
    weights: Floats
    residuals: Floats


@dataclass(frozen=True, kw_only=True, eq=False)
class Fit:
    """The exact part of the posterior: which hyperparameters have which weight."""

    trainings: Trainings
    scale: float
    grid: Grid
    parts: tuple[Part, ...]

    @property
    def strengths(self) -> Floats:
        """(G,) the grid as strengths; tried ones are exact."""
        low, high = warp(self.trainings.range, scale=self.scale)
        strengths = unwarp(low + (high - low) * self.grid.axis, scale=self.scale)
        strengths[[0, -1]] = self.trainings.range
        strengths[self.grid.rows] = self.trainings.strengths
        return strengths

    @property
    def admissible(self) -> Bools:
        """(G,) False at points nearest to a tried strength that is dead."""
        nearest = np.abs(self.grid.axis[:, None] - self.grid.axis[self.grid.rows]).argmin(axis=1)
        alive: Bools = ~self.trainings.dead[nearest]
        return alive


def fit(trainings: Trainings, *, scale: float | None = None) -> Fit:
    """The weights of all hyperparameters given the trainings; `scale` of the warp, None: from the design."""
    scale = warp_scale(trainings.strengths) if scale is None else scale
    low, high = warp(trainings.range, scale=scale)
    tried = (warp(trainings.strengths, scale=scale) - low) / (high - low)
    gaps = _gaps(trainings)
    found = []
    for statistics in differences(trainings.scores, tried):
        design = _design(tried.tobytes(), statistics.information.tobytes(), gaps)
        residuals = design.residuals(statistics.totals / np.sqrt(statistics.squares)) * statistics.squares
        level = np.log(statistics.noise.prior) + statistics.log_volume
        found.append(
            (statistics, design, residuals, level + design.log_volume - 0.5 * statistics.freedom * np.log(residuals))
        )
    top = max(evidence.max() for *_, evidence in found)
    total = sum(np.exp(evidence - top).sum() for *_, evidence in found)
    parts = tuple(
        Part(design=design, differences=statistics, weights=np.exp(evidence - top) / total, residuals=residuals)
        for statistics, design, residuals, evidence in found
    )
    return Fit(trainings=trainings, scale=scale, grid=_grid(tried.tobytes()), parts=parts)


def _gaps(trainings: Trainings) -> tuple[int, ...]:
    """Gaps that may hold a cliff; of many, those across which the mean score changes most."""
    count = len(trainings.strengths) - 1
    if count <= MOST_GAPS:
        return tuple(range(count))
    scores = np.where(np.isfinite(trainings.scores), trainings.scores, 0.0)
    means = scores.sum(axis=1) / np.maximum(trainings.seeds, 1)
    jumps = np.where((trainings.seeds[1:] > 0) & (trainings.seeds[:-1] > 0), np.abs(np.diff(means)), 0.0)
    return tuple(sorted(int(gap) for gap in np.argsort(-jumps, kind="stable")[:MOST_GAPS]))


@dataclass(frozen=True, kw_only=True, eq=False)
class Posterior:
    """The curve over a grid of strengths: its exact posterior mean and joint draws.

    `strengths` (G,) ascending, every tried strength among them; `axis` (G,) the same warped, on [0, 1]; `mean` (G,) and
    `draws` (N, G) in score units, up to the seeds' offsets: the mean over the tried strengths is fixed at its observed
    level; `noise_sd` (N,) of one training; `admissible` (G,) False at strengths nearest to one whose trainings diverge.
    """

    strengths: Floats
    axis: Floats
    mean: Floats
    draws: Floats
    noise_sd: Floats
    admissible: Bools

    @property
    def best(self) -> NDArray[np.intp]:
        """(N,) grid index of each draw's highest admissible point."""
        highest: NDArray[np.intp] = np.argmax(np.where(self.admissible, self.draws, -np.inf), axis=1)
        return highest


def draw(fitted: Fit, *, draws: int, seed: int) -> Posterior:
    """Joint draws of the curve; the hyperparameters' weights are shared out by systematic resampling."""
    generator = np.random.default_rng(seed)
    grid = fitted.grid
    edges = np.cumsum([part.weights.sum() for part in fitted.parts])
    start = generator.random()
    curves, noise_sd = np.empty((draws, len(grid.axis))), np.empty(draws)
    mean = np.zeros(len(grid.axis))
    ticks = (np.arange(draws) + start) / draws * edges[-1]
    for part, last in zip(fitted.parts, edges, strict=True):
        mean += _expected_curve(part)
        first = last - part.weights.sum()
        mine = np.flatnonzero((ticks >= first) & (ticks < last) if last < edges[-1] else ticks >= first)
        if len(mine):
            inner = first + np.cumsum(part.weights.ravel())
            picks = np.searchsorted(inner, ticks[mine]).clip(max=part.weights.size - 1)
            curves[mine], noise_sd[mine] = _curves(part, picks, generator)
    present = fitted.trainings.seeds > 0
    tried = grid.rows[present]
    level = float(np.mean([np.nanmean(row) for row in fitted.trainings.scores[present]]))
    return Posterior(
        strengths=fitted.strengths,
        axis=grid.axis,
        mean=mean - mean[tried].mean() + level,
        draws=curves - curves[:, tried].mean(axis=1, keepdims=True) + level,
        noise_sd=noise_sd,
        admissible=fitted.admissible,
    )


def _curves(part: Part, picks: NDArray[np.intp], generator: np.random.Generator) -> tuple[Floats, Floats]:
    """Draws (N, G) and their σ (N,), one for each flat index of a (component, ρ) in `picks`."""
    design, axis = part.design, part.design.grid.axis
    which, ratio = np.unravel_index(picks, part.weights.shape)
    sigma = np.sqrt(part.residuals[which, ratio] / generator.chisquare(part.differences.freedom, len(picks)))
    position = generator.random(len(picks))
    normal = generator.standard_normal((len(picks), design.rotations.shape[2]))
    spread = design.spreads[which, ratio]
    w = (part.differences.totals @ design.at_data)[which] * spread + sigma[:, None] * np.sqrt(spread) * normal
    curves = np.empty((len(picks), len(axis)))
    for component in np.unique(which):
        mine = np.flatnonzero(which == component)
        weights = w[mine] @ design.rotations[component].T
        features = design.grid.features[design.lengths[component]]
        curves[mine] = weights[:, : features.shape[1]] @ features.T
        gap = design.gaps[component]
        if gap >= 0:
            low, high = axis[design.grid.rows[[gap, gap + 1]]]
            place = low + (high - low) * position[mine]
            curves[mine] += STEP * weights[:, -1:] * (axis > place[:, None])
    return curves, sigma


def _expected_curve(part: Part) -> Floats:
    """(G,) the posterior mean, averaged over the place of a cliff in its gap, times the part's weight."""
    design, axis = part.design, part.design.grid.axis
    centre = (part.differences.totals @ design.at_data) * (part.weights[:, None, :] @ design.spreads)[:, 0]
    weights = (design.rotations @ centre[:, :, None])[:, :, 0]
    curve = np.zeros(len(axis))
    for index, features in enumerate(design.grid.features):
        curve += features @ weights[design.lengths == index, : features.shape[1]].sum(axis=0)
    for gap in np.unique(design.gaps[design.gaps >= 0]):
        low, high = axis[design.grid.rows[[gap, gap + 1]]]
        curve += STEP * weights[design.gaps == gap, -1].sum() * np.clip((axis - low) / (high - low), 0.0, 1.0)
    return curve


def sample_posterior(
    strengths: ArrayLike,
    scores: ArrayLike,
    *,
    seed: int = 0,
    draws: int = 2000,
    range_: tuple[float, float] | None = None,
    scale: float | None = None,
    diverged: ArrayLike | None = None,
) -> Posterior:
    """Joint posterior draws of the curve, as an acquisition function needs them; arguments as of `select`.

    Raises:
        ValueError: as `select`.
    """
    trainings = Trainings.of(strengths, scores, diverged=diverged, range_=range_)
    return draw(fit(trainings, scale=scale), draws=draws, seed=seed)
