"""Where the next trainings tell most about λ*: another strength, or more seeds at one that was tried.

A unit of trainings is one strength with some seeds. What a seed says at a strength is the part of its score that its
scores elsewhere do not foretell: its offset cancels, and so does the luck that neighbouring strengths of one seed share
(`study.selection.noise`). So a new strength between two others on the same seeds tells little, fresh seeds at the
strengths in question tell more, and a fresh seed at one strength alone tells nothing: it is worth half of what it tells
with the best partner. The value of a unit is the knowledge gradient: by how much the highest point of the posterior
mean is expected to rise (Frazier, Powell & Dayanik 2009, eq. 3), from the posterior's mean and covariance on its grid.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import norm, qmc

from study.selection.posterior import Fit, Posterior, draw, fit
from study.selection.trainings import Floats, Trainings
from trainables.training.threads import on_one_thread

DRAWS = 2000
QUADRATURE = 128
APART = 2  # grid points between a new strength and its neighbours
PARTNERS = 12
_TIE = 1e-9
Indices = NDArray[np.intp]


@dataclass(frozen=True, kw_only=True)
class Unit:
    """Trainings of one strength: which seeds, by their column in the table of scores; none where no seed is known."""

    strength: float
    columns: tuple[int, ...]


@on_one_thread
def next_strength(
    strengths: ArrayLike,
    scores: ArrayLike,
    *,
    running: Sequence[Unit] = (),
    seeds: int,
    range_: tuple[float, float] | None = None,
    scale: float | None = None,
    diverged: ArrayLike | None = None,
    seed: int = 0,
) -> float:
    """The strength of the most informative unit; one that was tried before means fresh seeds there.

    Args:
        strengths: (S,) as for `study.selection.select`.
        scores: (S, R) NaN where there is none.
        running: units asked for whose scores are not known yet.
        seeds: of a unit; it takes the lowest columns that its strength has no score in, see `free_columns`.
        range_: as for `select`.
        scale: as for `select`.
        diverged: (S, R) True where a training blew up; None: none did, and every NaN is a training not run.
        seed: of the Monte Carlo draws.

    Raises:
        ValueError: as `select`.
    """
    (unit,) = next_units(
        strengths, scores, running=running, seeds=seeds, range_=range_, scale=scale, diverged=diverged, seed=seed
    )
    return unit.strength


@on_one_thread
def next_units(
    strengths: ArrayLike,
    scores: ArrayLike,
    *,
    count: int = 1,
    running: Sequence[Unit] = (),
    seeds: int = 1,
    range_: tuple[float, float] | None = None,
    scale: float | None = None,
    diverged: ArrayLike | None = None,
    seed: int = 0,
    paired: bool = True,
) -> tuple[Unit, ...]:
    """The units that tell most, `count` of them one after another, each as if those before it had been trained.

    The arguments are those of `next_strength`; `paired` as for `select`.

    Raises:
        ValueError: as `select`.
    """
    blown = np.zeros(np.shape(scores), bool) if diverged is None else np.asarray(diverged, bool)
    fitted = fit(Trainings.of(strengths, scores, diverged=blown, range_=range_, paired=paired), scale=scale)
    posterior = draw(fitted, draws=DRAWS, seed=seed)
    grid = posterior.strengths
    taken: dict[int, set[int]] = {}
    rows = fitted.grid.rows
    for row, values in zip(rows, fitted.trainings.scores, strict=True):
        taken[int(row)] = set(np.flatnonzero(np.isfinite(values)).tolist())
    known = _Knowledge.of(fitted, posterior, taken)
    for unit in running:
        place = int(np.abs(grid - unit.strength).argmin())
        known = known.after(place, unit.columns)
    units: list[Unit] = []
    while len(units) < count:
        place = known.most_informative(seeds)
        columns = free_columns(known.taken.get(place, set()), seeds)
        units.append(Unit(strength=float(grid[place]), columns=columns if paired else ()))
        known = known.after(place, columns) if len(units) < count else known
    return tuple(units)


def free_columns(taken: set[int], seeds: int) -> tuple[int, ...]:
    """The lowest `seeds` columns that are not taken."""
    columns = (column for column in range(len(taken) + seeds) if column not in taken)
    return tuple(column for column, _ in zip(columns, range(seeds), strict=False))


@dataclass(frozen=True, kw_only=True, eq=False)
class _Knowledge:
    """What is known of the curve on the grid, and which seeds (columns) have been trained where (grid points)."""

    mean: Floats
    covariance: Floats
    admissible: NDArray[np.bool_]
    noise: Floats  # (G, G) covariance of the deviations of one seed
    taken: Mapping[int, set[int]]
    paired: bool

    @classmethod
    def of(cls, fitted: Fit, posterior: Posterior, taken: Mapping[int, set[int]]) -> _Knowledge:
        kinds = sum(part.weights.sum() * part.differences.noise.covariance(fitted.grid.axis) for part in fitted.parts)
        return cls(
            mean=posterior.mean,
            covariance=np.cov(posterior.draws, rowvar=False),
            admissible=posterior.admissible,
            noise=np.asarray(kinds) * float(np.median(posterior.noise_sd**2)),
            taken=taken,
            paired=fitted.trainings.paired,
        )

    def after(self, place: int, columns: Sequence[int]) -> _Knowledge:
        """The same once a unit has been trained: surer, with the mean where it was."""
        contrasts, errors = self._contrasts(place, columns)
        covariance = self.covariance
        if len(contrasts):
            change = self._change(contrasts, errors)
            covariance = covariance - change @ change.T
        taken = {**self.taken, place: self.taken.get(place, set()) | set(columns)}
        return replace(self, covariance=covariance, taken=taken)

    def most_informative(self, seeds: int) -> int:
        """Grid point of the unit of greatest value."""
        places = self._candidates()
        values = np.array([self._value(place, seeds, places) for place in places])
        # Two places whose fresh seeds are worth most together are worth the same: the weaker strength, not rounding.
        return int(places[int(np.argmax(values >= values.max() - _TIE * abs(values.max())))])

    def _candidates(self) -> Indices:
        """Points that were tried, and those apart from them."""
        tried = np.array(sorted(self.taken))
        points = np.arange(len(self.mean))
        distance = np.abs(points[:, None] - tried).min(axis=1)
        candidates: Indices = points[((distance == 0) | (distance >= APART)) & self.admissible]
        return candidates

    def _value(self, place: int, seeds: int, places: Indices) -> float:
        columns = free_columns(self.taken.get(place, set()), seeds)
        contrasts, errors = self._contrasts(place, columns)
        value = self._gain(self._change(contrasts, errors)) if len(contrasts) else 0.0
        if not self.paired:
            return value
        fresh = [column for column in columns if not any(column in held for held in self.taken.values())]
        if len(fresh) < len(columns):
            return value
        return self._pair_value(place, self._partners(places), len(fresh)) / 2

    def _partners(self, places: Indices) -> Indices:
        """The tried points where the curve may be highest."""
        tried = np.array([place for place in places if place in self.taken])
        sd = np.sqrt(np.diag(self.covariance)[tried].clip(min=0))
        best: Indices = tried[np.argsort(-(self.mean[tried] + sd), kind="stable")[:PARTNERS]]
        return best

    def _pair_value(self, place: int, partners: Indices, seeds: int) -> float:
        """Value of fresh seeds at `place` and at the best partner: they tell the difference between the two."""
        shared = self.covariance[:, [place]] - self.covariance[:, partners]
        known = shared[place] - shared[partners, np.arange(len(partners))]
        noise = self.noise[place, place] + np.diag(self.noise)[partners] - 2 * self.noise[place, partners]
        change = shared / np.sqrt(known.clip(min=0) + noise / seeds + 1e-300)
        moved = self.mean[:, None, None] + change[:, :, None] * _normals(1)
        best = moved[self.admissible].max(axis=0).mean(axis=1)
        return float(best.max() - self.mean[self.admissible].max())

    def _contrasts(self, place: int, columns: Sequence[int]) -> tuple[Floats, Floats]:
        """What the seeds would say at `place`: (k, G) contrasts of the curve and (k,) variances of their means.

        Seeds that were trained at the same strengths say the same. The prediction of a seed's deviation from its others
        is the best linear unbiased one with an unknown offset. Of trainings that are not paired each tells how far its
        strength lies above the mean of all that were tried.
        """
        if not self.paired:
            points = [other for other, taken in self.taken.items() if taken]
            contrast = np.zeros((1, len(self.mean)))
            contrast[0, points] = -1 / len(points)
            contrast[0, place] += 1.0
            trained = sum(len(taken) for taken in self.taken.values())
            return contrast, np.array([self.noise[place, place] * (1 / len(columns) + 1 / trained)])
        held: Counter[tuple[int, ...]] = Counter()
        for column in columns:
            if pattern := tuple(sorted(other for other, taken in self.taken.items() if column in taken)):
                held[pattern] += 1
        contrasts, errors = np.zeros((len(held), len(self.mean))), np.zeros(len(held))
        for row, (pattern, count) in enumerate(held.items()):
            points = list(pattern)
            inner = self.noise[np.ix_(points, points)]
            solved = np.linalg.solve(inner, np.stack([self.noise[points, place], np.ones(len(points))], axis=1))
            missing = (1.0 - solved[:, 0].sum()) / solved[:, 1].sum()
            weights = solved[:, 0] + missing * solved[:, 1]
            contrasts[row, place] = 1.0
            contrasts[row, points] -= weights
            variance = contrasts[row] @ self.noise @ contrasts[row]
            errors[row] = variance / count
        return contrasts, errors

    def _change(self, contrasts: Floats, errors: Floats) -> Floats:
        """(G, k) by which the mean moves for k standard normals: knowledge less what remains unknown."""
        shared = self.covariance @ contrasts.T
        factor = np.linalg.cholesky(contrasts @ shared + np.diag(errors) + 1e-300 * np.eye(len(errors)))
        change: Floats = np.linalg.solve(factor, shared.T).T
        return change

    def _gain(self, change: Floats) -> float:
        points = _normals(change.shape[1])
        moved = (self.mean[:, None] + change @ points)[self.admissible]
        return float(moved.max(axis=0).mean() - self.mean[self.admissible].max())


@lru_cache(maxsize=16)
def _normals(dimension: int) -> Floats:
    """(dimension, QUADRATURE) even points of a standard normal, symmetric about 0."""
    points = qmc.Sobol(dimension, scramble=False).random(QUADRATURE // 2)
    half = norm.ppf((points + 0.5 / (QUADRATURE // 2)).clip(max=1 - 1e-6)).T
    normals: Floats = np.concatenate([half, -half], axis=1)
    return normals
