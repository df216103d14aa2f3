"""What the trainings say about a curve of scores over λ: a Gaussian process posterior, integrated over its parameters.

Model, for strength s and seed r, with u the warped strength scaled to [0, 1]:

    score[s, r] = f(u[s]) + c[r] + e[s, r],   e ~ N(0, σ²),   f ~ GP(0, (ρσ)² Matérn-5/2(u, u'; ℓ))

Every seed has an offset c[r] of its own under a flat prior, so that only differences within a seed count: this is the
pairing of common random numbers, and a constant added to all scores of a seed changes nothing. σ is integrated out
under 1/σ, ρ and ℓ on a grid; so nothing depends on the scores' scale, and a handful of trainings does not pretend
to know its own noise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

# ρ, the sd of the curve in units of the noise of one training; ℓ in units of the warped range.
RATIOS = np.geomspace(0.03, 1000.0, 19)
LENGTHS = np.geomspace(0.1, 3.0, 9)
GRID_POINTS = 101


def warp(strength: ArrayLike, *, scale: float) -> Floats:
    """Strengths (≥ 0) on the axis the curve is smooth on: log(1 + λ/scale), so that 0 has a place. Any shape."""
    warped: Floats = np.log1p(np.asarray(strength, float) / scale)
    return warped


def unwarp(warped: ArrayLike, *, scale: float) -> Floats:
    """The inverse of `warp`."""
    strength: Floats = scale * np.expm1(np.asarray(warped, float))
    return strength


def warp_scale(strengths: ArrayLike) -> float:
    """The `scale` of `warp` that spreads a design most evenly: the one with the smallest largest gap.

    The design tells at which scale the experimenter expects the curve to change: an even grid gives a nearly linear
    axis, a logarithmic grid a logarithmic one. Strengths added between others barely move it.
    """
    design = np.unique(np.asarray(strengths, float))
    positive = design[design > 0]
    if len(positive) == 0:
        return 1.0
    scales = np.geomspace(positive[0] / 10, positive[-1] * 10, 121)
    axis = np.log1p(design[None, :] / scales[:, None])
    span = axis[:, -1] - axis[:, 0]
    if len(design) < 2:
        return float(positive[-1])
    largest_gap = np.diff(axis, axis=1).max(axis=1) / span
    return float(scales[np.argmin(largest_gap)])


@dataclass(frozen=True, kw_only=True, eq=False)
class Posterior:
    """Joint draws of the curve over a grid of strengths.

    `strengths` (G,) ascending, every tried strength among them; `warped` (G,) the same on [0, 1]; `draws` (N, G) in
    score units, centred so that the mean over the tried strengths is their observed level; `mean` (G,) exact;
    `noise_sd` (N,) of one training; `admissible` (G,) False near strengths at which trainings diverge.
    """

    strengths: Floats
    warped: Floats
    draws: Floats
    mean: Floats
    noise_sd: Floats
    admissible: Bools
    scale: float

    @property
    def best(self) -> NDArray[np.intp]:
        """(N,) grid index of each draw's highest admissible point."""
        highest: NDArray[np.intp] = np.argmax(np.where(self.admissible, self.draws, -np.inf), axis=1)
        return highest


@dataclass(frozen=True, kw_only=True, eq=False)
class Table:
    """Checked input, strengths ascending: `scores` (S, R), NaN for none; `dead` (S,) where trainings diverge."""

    strengths: Floats
    scores: Floats
    dead: Bools
    any_diverged: bool
    range: tuple[float, float]

    @property
    def present(self) -> Bools:
        """(S, R) where a finite score can be used."""
        return np.isfinite(self.scores)


def table(
    strengths: ArrayLike,
    scores: ArrayLike,
    *,
    diverged: ArrayLike | None = None,
    range_: tuple[float, float] | None = None,
) -> Table:
    """Checks and sorts what was measured; repeated strengths are refused.

    `diverged` (S, R) marks the NaN that are trainings which blew up, the other NaN being trainings never run; None: all
    are. A strength at which half of the trainings or more diverged is `dead`: it carries no score.

    Raises:
        ValueError: shapes disagree, strengths are negative, not finite or repeated, or fewer than two have a score.
    """
    axis = np.asarray(strengths, float)
    values = np.asarray(scores, float)
    if axis.ndim != 1 or values.ndim != 2 or len(axis) != len(values):
        raise ValueError(
            f"strengths have shape {axis.shape} and scores {values.shape}; give (strengths,) and (strengths, seeds)"
        )
    if not np.all(np.isfinite(axis)) or np.any(axis < 0):
        raise ValueError(f"strengths must be finite and at least 0, given {axis.tolist()}")
    if len(np.unique(axis)) < len(axis):
        raise ValueError("a strength is given twice; put its trainings into one row, one column per seed")
    blown = ~np.isfinite(values)
    if diverged is not None:
        mask = np.asarray(diverged, bool)
        if mask.shape != values.shape:
            raise ValueError(f"diverged has shape {mask.shape}, scores {values.shape}; they must agree")
        blown = mask
    usable = np.isfinite(values) & ~blown
    dead = blown.any(axis=1) & (blown.sum(axis=1) >= usable.sum(axis=1))
    usable &= ~dead[:, None]
    scored = int(usable.any(axis=1).sum())
    if scored < 2:
        raise ValueError(f"{scored} strength(s) have a finite score, a curve needs at least 2; try more strengths")
    if not np.any(usable.sum(axis=0) >= 2):
        raise ValueError("no seed was trained at two strengths; use the same seeds at every strength")
    low, high = (float(axis.min()), float(axis.max())) if range_ is None else (float(range_[0]), float(range_[1]))
    if not 0 <= low <= axis.min() or not high >= axis.max():
        raise ValueError(f"range {low, high} must hold every strength, from {axis.min()} to {axis.max()}")
    order = np.argsort(axis)
    return Table(
        strengths=axis[order],
        scores=np.where(usable, values, np.nan)[order],
        dead=dead[order],
        any_diverged=bool(blown.any()),
        range=(low, high),
    )


@dataclass(frozen=True, eq=False)
class Basis:
    """For one ℓ, the curve as `features` (G, J) @ w with w ~ N(0, (ρσ)² I), rotated so that the data's precision of w
    is `precision` (J,) / σ², a diagonal.
    """

    features: Floats
    precision: Floats


def _matern(distance: Floats, length: float) -> Floats:
    scaled = np.sqrt(5.0) * distance / length
    kernel: Floats = (1 + scaled + scaled**2 / 3) * np.exp(-scaled)
    return kernel


@lru_cache(maxsize=64)
def _bases(grid: bytes, rows: tuple[int, ...], information: bytes) -> tuple[Basis, ...]:
    """One `Basis` per line of LENGTHS; cached because designs are fitted again and again with new scores."""
    axis = np.frombuffer(grid)
    size = len(rows)
    matrix = np.frombuffer(information).reshape(size, size)
    bases = []
    for length in LENGTHS:
        values, vectors = np.linalg.eigh(_matern(np.abs(axis[:, None] - axis[None, :]), length))
        keep = values > values[-1] * 1e-8
        features = vectors[:, keep] * np.sqrt(values[keep])
        at_data = features[list(rows)]
        precision, rotation = np.linalg.eigh(at_data.T @ matrix @ at_data)
        bases.append(Basis(features @ rotation, np.maximum(precision, 0.0)))
    return tuple(bases)


@dataclass(frozen=True, kw_only=True, eq=False)
class Fit:
    """Everything that is exact about the posterior: per (ℓ, ρ) its weight and the moments of w; see `draw`."""

    table: Table
    scale: float
    strengths: Floats
    warped: Floats
    rows: NDArray[np.intp]  # of the tried strengths in the grid
    bases: tuple[Basis, ...]
    weights: Floats  # (lengths, ratios), sums to 1
    projections: tuple[Floats, ...]  # per length (J,)
    squares: Floats  # (lengths, ratios): the residual sum of squares Q
    freedom: int
    level: float
    log_bayes_factor: float  # of a curve against no effect at all


def within(scores: Floats) -> tuple[Floats, Floats, float, int]:
    """Sufficient statistics of the differences within seeds: information M (S, S), M f̂ (S,), squares, freedom."""
    present = np.isfinite(scores)
    counts = present.sum(axis=0)
    seen = counts > 0
    filled = np.where(present, scores, 0.0)
    centred = np.where(present, scores - filled.sum(axis=0) / np.maximum(counts, 1), 0.0)
    shares = present[:, seen] / np.sqrt(counts[seen])
    information = np.diag(present.sum(axis=1).astype(float)) - shares @ shares.T
    return information, centred.sum(axis=1), float((centred**2).sum()), int(present.sum() - seen.sum())


def fit(data: Table, *, scale: float | None = None) -> Fit:
    """The posterior of the curve given the trainings, integrated over σ, ρ and ℓ."""
    scale = warp_scale(data.strengths) if scale is None else scale
    low, high = warp(data.range, scale=scale)
    span = high - low
    design = (warp(data.strengths, scale=scale) - low) / span
    grid = _grid(design)
    rows = np.searchsorted(grid, design)
    information, totals, squares, freedom = within(data.scores)
    # Scores that differ by rounding only are one flat curve: the floor stands in for a noise that cannot be seen.
    floor = (1e-12 * max(np.abs(data.scores[data.present]).max(), 1e-12)) ** 2 * freedom
    if squares <= floor:
        squares, totals = floor, np.zeros_like(totals)
    totals = totals / np.sqrt(squares)
    bases = _bases(grid.tobytes(), tuple(int(row) for row in rows), information.tobytes())
    evidence = np.empty((len(LENGTHS), len(RATIOS)))
    residuals = np.empty_like(evidence)
    projections = []
    for i, basis in enumerate(bases):
        projection = basis.features[rows].T @ totals
        shrunk = 1 / RATIOS[:, None] ** 2 + basis.precision[None, :]
        residuals[i] = np.maximum(1.0 - (projection**2 / shrunk).sum(axis=1), 1e-12)
        evidence[i] = -0.5 * np.log1p(RATIOS[:, None] ** 2 * basis.precision).sum(axis=1)
        projections.append(projection)
    evidence -= 0.5 * freedom * np.log(residuals)
    log_weights = evidence + _log_prior()
    top = log_weights.max()
    weights = np.exp(log_weights - top)
    total = weights.sum()
    strengths = unwarp(low + span * grid, scale=scale)
    strengths[rows] = data.strengths
    strengths[0], strengths[-1] = data.range
    present = data.present.any(axis=1)
    return Fit(
        table=data,
        scale=scale,
        strengths=strengths,
        warped=grid,
        rows=rows,
        bases=bases,
        weights=weights / total,
        projections=tuple(p * np.sqrt(squares) for p in projections),
        squares=residuals * squares,
        freedom=freedom,
        level=float(np.mean([np.nanmean(row) for row in data.scores[present]])),
        log_bayes_factor=float(np.log(total) + top),
    )


def _log_prior() -> Floats:
    ratio = -0.5 * ((np.log(RATIOS) - np.log(0.5)) / 1.5) ** 2
    length = -0.5 * ((np.log(LENGTHS) - np.log(0.5)) / 0.75) ** 2
    joint = length[:, None] + ratio[None, :]
    log_prior: Floats = joint - np.log(np.exp(joint).sum())
    return log_prior


def _grid(design: Floats) -> Floats:
    """Even points with the nearest ones moved onto the design, so that every tried strength is a grid point."""
    even = np.linspace(0.0, 1.0, GRID_POINTS)
    close = np.abs(even[:, None] - design[None, :]).min(axis=1) < 0.25 / (GRID_POINTS - 1)
    keep = ~close
    keep[[0, -1]] = True
    return np.unique(np.concatenate([even[keep], design]))


def draw(fitted: Fit, *, draws: int, seed: int) -> Posterior:
    """Joint draws of the curve, the hyperparameters' weights shared out by systematic resampling."""
    generator = np.random.default_rng(seed)
    cells = fitted.weights.ravel()
    edges = np.cumsum(cells) / cells.sum()
    picks = np.searchsorted(edges, (np.arange(draws) + generator.random()) / draws).clip(max=len(cells) - 1)
    which_length, which_ratio = np.unravel_index(picks, fitted.weights.shape)
    sigma = np.sqrt(fitted.squares[which_length, which_ratio] / generator.chisquare(fitted.freedom, draws))
    curves = np.empty((draws, len(fitted.warped)))
    mean = np.zeros(len(fitted.warped))
    for i, (basis, projection) in enumerate(zip(fitted.bases, fitted.projections, strict=True)):
        variance = 1 / (1 / RATIOS[:, None] ** 2 + basis.precision)
        mean += basis.features @ (projection * (fitted.weights[i][:, None] * variance).sum(axis=0))
        mine = np.flatnonzero(which_length == i)
        if len(mine) == 0:
            continue
        scatter = variance[which_ratio[mine]]
        noise = generator.standard_normal((len(mine), len(projection)))
        w = projection * scatter + sigma[mine, None] * np.sqrt(scatter) * noise
        curves[mine] = w @ basis.features.T
    tried = fitted.rows[fitted.table.present.any(axis=1)]
    curves += fitted.level - curves[:, tried].mean(axis=1, keepdims=True)
    mean += fitted.level - mean[tried].mean()
    return Posterior(
        strengths=fitted.strengths,
        warped=fitted.warped,
        draws=curves,
        mean=mean,
        noise_sd=sigma,
        admissible=_admissible(fitted),
        scale=fitted.scale,
    )


def _admissible(fitted: Fit) -> Bools:
    """Grid points whose nearest tried strength did not die."""
    nearest = np.abs(fitted.warped[:, None] - fitted.warped[fitted.rows][None, :]).argmin(axis=1)
    alive: Bools = ~fitted.table.dead[nearest]
    return alive


def sample_posterior(
    strengths: Sequence[float] | Floats,
    scores: ArrayLike,
    *,
    seed: int = 0,
    draws: int = 2000,
    range_: tuple[float, float] | None = None,
    scale: float | None = None,
    diverged: ArrayLike | None = None,
) -> Posterior:
    """Joint posterior draws of the curve for an acquisition function; arguments as of `select`.

    Raises:
        ValueError: as `table`.
    """
    return draw(fit(table(strengths, scores, diverged=diverged, range_=range_), scale=scale), draws=draws, seed=seed)
