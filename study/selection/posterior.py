"""What the trainings say about the curve: the posterior over all parameters of the model, and draws from it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import logsumexp

from study.selection.model import MOST_GAPS, Design, Grid, design
from study.selection.noise import Differences, centred, differences
from study.selection.trainings import Bools, Floats, Trainings, unwarp, warp, warp_scale


@dataclass(frozen=True, kw_only=True, eq=False)
class Part:
    """The posterior under one noise: for each (component, ρ) its weight and the sum of squares that σ² follows from.

    `coordinates` (C, K) are those of the data; `residuals` and `log_weights` (C, ρ), of which the exponentials sum to 1
    over the parts of a `Fit`.
    """

    differences: Differences
    design: Design
    coordinates: Floats
    residuals: Floats
    log_weights: Floats

    @classmethod
    def of(cls, statistics: Differences, known: Design) -> Part:
        """With log evidences for weights, not yet normalised."""
        coordinates = known.project(statistics.totals)
        explained = (known.spreads @ (coordinates**2)[:, :, None])[:, :, 0]
        residuals = np.maximum(statistics.squares - explained, 1e-12 * statistics.squares)
        evidence = known.log_volume - 0.5 * statistics.freedom * np.log(residuals)
        evidence += np.log(statistics.noise.prior) + statistics.log_volume
        return cls(
            differences=statistics, design=known, coordinates=coordinates, residuals=residuals, log_weights=evidence
        )

    @cached_property
    def weights(self) -> Floats:
        """(C, ρ) posterior probabilities."""
        weights: Floats = np.exp(self.log_weights)
        return weights

    def expected_curve(self) -> Floats:
        """(G,) posterior mean times the part's weight."""
        centres = self.coordinates * (self.weights[:, None, :] @ self.design.spreads)[:, 0]
        return self.design.mixture(centres)

    def draw(self, cells: NDArray[np.intp], generator: np.random.Generator) -> tuple[Floats, Floats]:
        """Curves (N, G) and σ (N,), one draw for each flat index of a (component, ρ) in `cells`."""
        which, ratio = np.unravel_index(cells, self.weights.shape)
        sigma = np.sqrt(self.residuals[which, ratio] / generator.chisquare(self.differences.freedom, len(cells)))
        place = generator.random(len(cells))
        spread = self.design.spreads[which, ratio]
        normal = generator.standard_normal(spread.shape)
        curves = np.empty((len(cells), len(self.design.grid.axis)))
        for component in np.unique(which):
            mine = which == component
            # The normals are of the features, whichever basis the rotation has where the data say nothing: a posterior
            # must not hang on which of many equal eigenvectors this machine's LAPACK returns.
            deviation = np.sqrt(spread[mine]) * (normal[mine] @ self.design.rotations[component])
            w = self.coordinates[component] * spread[mine] + sigma[mine, None] * deviation
            curves[mine] = self.design.curves(component, w, place[mine])
        return curves, sigma


@dataclass(frozen=True, kw_only=True, eq=False)
class Fit:
    """The exact part of the posterior: a `Part` per plausible noise, on one grid."""

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
    """The posterior given the trainings; `scale` of the warp, None: from the design."""
    scale = warp_scale(trainings.strengths) if scale is None else scale
    low, high = warp(trainings.range, scale=scale)
    tried = (warp(trainings.strengths, scale=scale) - low) / (high - low)
    gaps = _gaps(trainings)
    parts = [
        Part.of(statistics, design(tried, statistics.information, gaps))
        for statistics in differences(trainings.scores, tried, paired=trainings.paired)
    ]
    total = logsumexp([logsumexp(part.log_weights) for part in parts])
    return Fit(
        trainings=trainings,
        scale=scale,
        grid=parts[0].design.grid,
        parts=tuple(replace(part, log_weights=part.log_weights - total) for part in parts),
    )


def _gaps(trainings: Trainings) -> tuple[int, ...]:
    """Gaps that may hold a cliff; of many, those across which the mean score changes most."""
    count = len(trainings.strengths) - 1
    if count <= MOST_GAPS:
        return tuple(range(count))
    seeds = trainings.seeds
    scores = centred(trainings.scores) if trainings.paired else np.nan_to_num(trainings.scores)
    means = scores.sum(axis=1) / np.maximum(seeds, 1)
    jumps = np.where((seeds[1:] > 0) & (seeds[:-1] > 0), np.abs(np.diff(means)), 0.0)
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
    cells = np.concatenate([part.weights.ravel() for part in fitted.parts])
    ends = np.cumsum(cells)
    picks = np.searchsorted(ends, (np.arange(draws) + generator.random()) / draws * ends[-1]).clip(max=len(cells) - 1)
    curves, noise_sd = np.empty((draws, len(grid.axis))), np.empty(draws)
    mean, first = np.zeros(len(grid.axis)), 0
    for part in fitted.parts:
        mean += part.expected_curve()
        mine = (picks >= first) & (picks < first + part.weights.size)
        curves[mine], noise_sd[mine] = part.draw(picks[mine] - first, generator)
        first += part.weights.size
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


def sample_posterior(
    strengths: ArrayLike,
    scores: ArrayLike,
    *,
    seed: int = 0,
    draws: int = 2000,
    range_: tuple[float, float] | None = None,
    scale: float | None = None,
    diverged: ArrayLike | None = None,
    paired: bool = True,
) -> Posterior:
    """Joint posterior draws of the curve, as an acquisition function needs them; arguments as of `select`.

    Raises:
        ValueError: as `select`.
    """
    trainings = Trainings.of(strengths, scores, diverged=diverged, range_=range_, paired=paired)
    return draw(fit(trainings, scale=scale), draws=draws, seed=seed)
