"""Two linear encoders trained together: what a study's own loss makes of them, in the study's own strengths.

`study.theory.problem` lets each encoder face a free regression; in training it faces another encoder, which has a task
of its own. With whitened encoders W_i (k, d_i), fitted heads B_i and weights a_i of the task losses, the loss

    Σ_i a_i E‖B_i W_i x_i − y_i‖² + λ/k E‖W_1 x_1 − W_2 x_2‖²

is least where  Σ_i a_i tr V_iᵀ A_i V_i + 2λ/k tr V_1ᵀ R V_2  is greatest over V_i with orthonormal columns, W_i being
V_iᵀ T_i with T_i whitening x_i, A_i = T_i S_iy S_yi T_iᵀ and R = T_1 S12 T_2ᵀ. Where both encoders exchange an own
direction for a shared one (μ_ui, μ_si, canonical correlation ρ) they do so at

    λ = k (a_1 (μ_u1 − μ_s1) + a_2 (μ_u2 − μ_s2)) / (2ρ).

Both are this project's derivation. The alignment term is the objective `whitened_mse`. InfoNCE's positives weigh
it by 1/(2τ) (`study.theory.crossings.info_nce_strength`): whitened representations follow that closely, free ones less.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from study.theory.halfway import SMALLEST_LOSS
from study.theory.moments import Matrix, Moments
from study.theory.problem import joint_problem
from study.theory.rows import feature_rows, target_rows
from trainables.datasets.base import PairData
from trainables.spec import Split
from trainables.training.threads import on_one_thread

_STEPS = 100  # of a climb; each starts where the one at the strength before ended
_TOLERANCE = 1e-7  # of the objective, a step
_GRID = 48  # strengths of a forecast: 12 % from one to the next
_BISECTIONS = 8  # of one such step: to 0.05 %

Encoders = tuple[Matrix, Matrix]


def squared_distance_weight(objective: str, *, temperature: float) -> float | None:
    """How much of E‖W_1 x_1 − W_2 x_2‖²/k a unit of strength is worth in an alignment objective; None: it has none."""
    known: Mapping[str, float] = {"whitened_mse": 1.0, "info_nce": 1 / (2 * temperature)}
    return known.get(objective)


@dataclass(frozen=True, kw_only=True)
class TogetherForecast:
    """A pair of linear encoders trained together, in the pair's order.

    `scores` are the R² of each encoder on the held-out rows (mean over the target's columns, as studies score it), at
    `strengths`, which are the study's own; `crossings` where each has lost half of what it loses up to the largest
    strength, None where that is less than 5 % of the score at 0.
    """

    strengths: tuple[float, ...]
    scores: tuple[tuple[float, ...], tuple[float, ...]]
    crossings: tuple[float | None, float | None]


@on_one_thread
def optimum_together(
    moments: Moments, strength: float, *, k: int, weights: tuple[float, float] = (1.0, 1.0)
) -> Encoders:
    """The whitened encoders (k, d_1) and (k, d_2) that are best together at a strength ≥ 0.

    The objective is convex in each V_i, so that taking the polar factor of its gradient never lowers it (generalised
    power method, Journée, Nesterov, Richtárik and Sepulchre 2010, JMLR 11). It can have several maxima: this is the
    better of the climbs from what prediction wants (λ → 0) and from what alignment wants (λ → ∞).

    Raises:
        ValueError: the strength is negative or not finite, or k exceeds the rank of a modality.
    """
    pair = _pair(moments, k=k, weights=weights)
    if not 0 <= strength < np.inf:
        raise ValueError(f"strength is {strength}; give a number from 0 up")
    first, second = pair.best(strength, pair.starts)
    return first.T @ pair.whiten[0], second.T @ pair.whiten[1]


@on_one_thread
def forecast_together(
    data: PairData, *, k: int, largest: float, weight: float = 1.0, held_out: Split = "valid"
) -> TogetherForecast:
    """What a study of linear encoders of width k will measure on a pair with real targets, from 0 to `largest`.

    An encoder is k directions wide, or as many as both modalities have. Task losses are means over the target's
    columns, the alignment objective is worth `weight` of the squared distance (`squared_distance_weight`). The moments
    of the training split are not shrunk, because the encoders' training is not either: believe this only where there
    are many more rows than features.

    Raises:
        DataError: as `study.theory.forecast`.
        ValueError: k is below 1, `largest` or `weight` not above 0, or a target that holds classes.
    """
    if k < 1 or not largest > 0 or not weight > 0:
        raise ValueError(f"k is {k}, largest {largest}, weight {weight}; give k of at least 1 and the others above 0")
    if any(target.kind != "real" for target in data.targets):
        raise ValueError("only real targets are trained by a squared error; the targets here hold classes")
    train, other = data.rows("train"), data.rows(held_out)
    rows = [
        (feature_rows(modality, train)[0], target_rows(target, train, modality.name))
        for modality, target in zip(data.modalities, data.targets, strict=True)
    ]
    (x_1, y_1), (x_2, y_2) = rows
    moments = Moments.from_samples(x_1[train], x_2[train], y_1[train], y_2[train], shrinkage=None)
    widest = min(joint_problem(moments, encoder=encoder).rank for encoder in (1, 2))
    pair = _pair(moments, k=min(k, widest), weights=(1.0, 1.0))  # studies scale targets as these rows are
    strengths = np.concatenate([[0.0], np.geomspace(largest / 200, largest, _GRID)])
    path = pair.path(strengths * weight)

    def score(index: int, encoders: Encoders) -> float:
        x, y = rows[index]
        return _r2(y[other], x[other] @ pair.whiten[index].T, encoders[index], pair.prediction[index])

    first, second = (tuple(score(i, encoders) for encoders in path) for i in (0, 1))
    crossed = [_crossing(pair, path, strengths * weight, partial(score, i)) for i in (0, 1)]
    crossing_1, crossing_2 = (None if strength is None else strength / weight for strength in crossed)
    return TogetherForecast(
        strengths=tuple(float(strength) for strength in strengths),
        scores=(first, second),
        crossings=(crossing_1, crossing_2),
    )


def _r2(y: Matrix, whitened: Matrix, basis: Matrix, prediction: Matrix) -> float:
    """Mean R² of the columns of y (N, q), by an encoder and the head that the training rows gave it."""
    total = np.maximum(np.sum((y - y.mean(axis=0)) ** 2, axis=0), np.finfo(np.float64).tiny)
    residual = np.sum((y - whitened @ (basis @ (basis.T @ prediction))) ** 2, axis=0)
    return float(np.mean(1.0 - residual / total))


def _crossing(
    pair: _Pair, path: Sequence[Encoders], strengths: Matrix, score: Callable[[Encoders], float]
) -> float | None:
    """Where the score first falls halfway from its value at the first strength to that at the last, by bisection."""
    values = [score(encoders) for encoders in path]
    if values[0] - values[-1] < SMALLEST_LOSS * max(values[0], 0.0):
        return None
    half = (values[0] + values[-1]) / 2
    right = next(i for i, value in enumerate(values) if value < half)
    low, high = float(strengths[right - 1]), float(strengths[right])
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        above = score(pair.best(middle, (path[right - 1], path[right]))) >= half
        low, high = (middle, high) if above else (low, middle)
    return (low + high) / 2


@dataclass(frozen=True, kw_only=True, eq=False)
class _Pair:
    """The problem in whitened coordinates: T_i (r_i, d_i), F_i = T_i S_iy (r_i, q_i), R (r_1, r_2), a_i and k."""

    whiten: tuple[Matrix, Matrix]
    prediction: tuple[Matrix, Matrix]
    shared: Matrix
    weights: tuple[float, float]
    starts: tuple[Encoders, Encoders]  # at λ → 0 and λ → ∞
    k: int

    def explained(self, index: int, basis: Matrix) -> float:
        return float(np.sum((self.prediction[index].T @ basis) ** 2))

    def value(self, strength: float, encoders: Encoders) -> float:
        own = sum(w * self.explained(i, v) for i, (w, v) in enumerate(zip(self.weights, encoders, strict=True)))
        return own + 2 * strength / self.k * float(np.sum((self.shared.T @ encoders[0]) * encoders[1]))

    def best(self, strength: float, starts: Sequence[Encoders]) -> Encoders:
        climbed = [self.climb(strength, start) for start in starts]
        return max(climbed, key=lambda encoders: self.value(strength, encoders))

    def climb(self, strength: float, start: Encoders) -> Encoders:
        first, second = start
        before = self.value(strength, start)
        for _ in range(_STEPS):
            # Rotating a representation costs its task nothing: face the other one first.
            u, _, v = np.linalg.svd(first.T @ self.shared @ second)
            first, second = first @ u, second @ v.T
            first = _polar(self._pull(0, first) + strength / self.k * (self.shared @ second))
            second = _polar(self._pull(1, second) + strength / self.k * (self.shared.T @ first))
            after = self.value(strength, (first, second))
            if after - before <= _TOLERANCE * abs(after):
                break
            before = after
        return first, second

    def path(self, strengths: Matrix) -> list[Encoders]:
        """The best encoders at each of the ascending strengths, from a climb up from below and one down from above."""
        climbed: list[list[Encoders]] = [[], []]
        for climbs, start, order in zip(climbed, self.starts, (strengths, strengths[::-1]), strict=True):
            at = start
            for strength in order:
                at = self.climb(float(strength), at)
                climbs.append(at)
        both = zip(strengths, climbed[0], reversed(climbed[1]), strict=True)
        return [max((up, down), key=lambda v: self.value(float(s), v)) for s, up, down in both]

    def _pull(self, index: int, basis: Matrix) -> Matrix:
        prediction = self.prediction[index]
        return np.asarray(self.weights[index] * (prediction @ (prediction.T @ basis)))


def _pair(moments: Moments, *, k: int, weights: tuple[float, float]) -> _Pair:
    problems = joint_problem(moments, encoder=1), joint_problem(moments, encoder=2)
    smallest = min(problem.rank for problem in problems)
    if not 1 <= k <= smallest:
        raise ValueError(f"latent dimension k is {k}; it may be 1 to {smallest}, the smaller of the modalities' ranks")
    zero, infinite = (tuple(p.leading(limit, k=k)[1] for p in problems) for limit in (0.0, np.inf))
    return _Pair(
        whiten=(problems[0].whiten, problems[1].whiten),
        prediction=(problems[0].prediction, problems[1].prediction),
        shared=problems[0].whiten @ moments.s12 @ problems[1].whiten.T,
        weights=weights,
        starts=((zero[0], zero[1]), (infinite[0], infinite[1])),
        k=k,
    )


def _polar(matrix: Matrix) -> Matrix:
    """The matrix with orthonormal columns that is nearest."""
    u, _, v = np.linalg.svd(matrix, full_matrices=False)
    return np.asarray(u @ v)
