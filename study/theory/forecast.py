"""What the linear theory says about a pair of real modalities, in under a second, before any training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from study.theory.crossings import Crossing, crossings_of
from study.theory.moments import Matrix, Moments, ledoit_wolf_intensity
from study.theory.problem import JointProblem, joint_problem
from study.theory.rows import feature_rows, target_rows
from trainables.datasets.base import DataError, Modality, PairData
from trainables.spec import Split
from trainables.training.threads import on_one_thread

DEFAULT_STRENGTHS = (0.0, *np.geomspace(1e-3, 1e2, 31).tolist())
_NOISE = 0.02  # of R², between seeds of a training; half or twice of it changes the forecast's order little


@dataclass(frozen=True, kw_only=True)
class ShrinkageEffect:
    """What Ledoit–Wolf shrinkage did to one modality of `features` columns on `rows` training rows.

    `kept` is the share of variance in the principal components that were used; `rank` and `condition` (ratio of the
    extreme eigenvalues, before and after; None where singular) tell how much of an inverse there was to regularise.
    """

    rows: int
    features: int
    kept: float
    intensity: float
    rank: int
    condition_before: float | None
    condition_after: float | None


@dataclass(frozen=True, kw_only=True)
class EncoderForecast:
    """Risk of one linear encoder against strength; all risks are shares of the target's variance (1 − R²).

    `risk` is the theory's own (second moments of the training split): it never falls with λ, and what it loses is the
    information that alignment destroys; flat where the width holds both kinds of direction. `held_out` is the same
    encoder and probe on other rows, where a shared direction that is estimated better than a unique one can win.

    `best_strength` is the forecast of a measured optimum, which is itself the best of a noisy curve: the median of the
    strengths given (ascending), weighted by exp(−excess held-out risk / 0.02); the middle one where nothing is at
    stake. The minimum of `held_out` would not do: over real pairs its order has nothing to do with that of measured
    optima, this median's has (`tests/bench/forecast.py`). `gain` is the held-out R² at `best_strength` less that at the
    smallest strength given, and `gain_error` its standard error over rows.
    """

    modality: str
    rank: int
    strengths: tuple[float, ...]
    risk: tuple[float, ...]
    held_out: tuple[float, ...]
    best_strength: float
    gain: float
    gain_error: float
    crossings: tuple[Crossing, ...]

    @property
    def critical_strengths(self) -> tuple[float, ...]:
        """Where the joint optimum swaps a prediction direction for a shared one; see `study.theory.crossings`."""
        return tuple(crossing.strength for crossing in self.crossings)


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """The linear forecast of a pair, in its order, with its canonical `correlations` (of the shrunk covariances)."""

    k: int
    encoders: tuple[EncoderForecast, EncoderForecast]
    correlations: tuple[float, ...]
    shrinkage: tuple[ShrinkageEffect, ShrinkageEffect]


@on_one_thread
def forecast(
    data: PairData, *, k: int, strengths: Sequence[float] = DEFAULT_STRENGTHS, held_out: Split = "valid"
) -> Forecast:
    """Forecast of a pair from the second moments of its training split and of the `held_out` split.

    Series (N, T, d) enter as their mean over real time steps, images (N, H, W, C) as pixels, classes as one-hot
    columns. Features are standardised by the training split (where the modality asks for it) and clipped to its range,
    high-dimensional ones cut to 384 principal components, covariances shrunk (Ledoit–Wolf). Targets are scaled to total
    variance 1, so a strength weighs E‖W x_1 − V x_2‖² of a whitened encoder against the unexplained share of the
    target's variance. It is not the weight of an InfoNCE term: compare strengths across cells by their order
    (`rank_agreement`), not by their value. An encoder is `k` directions wide, or as many as its modality has.

    Raises:
        DataError: no rows in a split, a modality or target that does not vary, or values that are not finite.
        ValueError: k below 1, or a strength below 0.
    """
    if k < 1:
        raise ValueError(f"latent dimension k is {k}; give at least 1")
    if not strengths or not all(s >= 0 for s in strengths):
        raise ValueError(f"strengths are {list(strengths)}; give at least one, each from 0 to infinity")
    train, other = data.rows("train"), data.rows(held_out)
    if len(train) < 2 or len(other) < 2:
        raise DataError(f"{data.dataset}: {len(train)} training and {len(other)} {held_out} rows; at least 2 of each")
    (x_1, kept_1), (x_2, kept_2) = (feature_rows(modality, train) for modality in data.modalities)
    y_1, y_2 = (target_rows(target, train, name) for target, name in zip(data.targets, data.names, strict=True))
    raw = Moments.from_samples(x_1[train], x_2[train], y_1[train], y_2[train], shrinkage=None)
    moments = raw.shrunk(ledoit_wolf_intensity(x_1[train], raw.s11), ledoit_wolf_intensity(x_2[train], raw.s22))
    problems = joint_problem(moments, encoder=1), joint_problem(moments, encoder=2)
    count = min(problem.rank for problem in problems)
    return Forecast(
        k=k,
        encoders=(
            _encoder_forecast(problems[0], data.names[0], x_1[other], y_1[other], k=k, strengths=strengths),
            _encoder_forecast(problems[1], data.names[1], x_2[other], y_2[other], k=k, strengths=strengths),
        ),
        correlations=tuple(float(v) for v in np.sqrt(problems[0].squared_correlations[:count])),
        shrinkage=(
            _effect(data.modalities[0], raw.s11, moments.s11, rows=len(train), kept=kept_1, a=moments.intensity[0]),
            _effect(data.modalities[1], raw.s22, moments.s22, rows=len(train), kept=kept_2, a=moments.intensity[1]),
        ),
    )


def _encoder_forecast(
    problem: JointProblem, name: str, x: Matrix, y: Matrix, *, k: int, strengths: Sequence[float]
) -> EncoderForecast:
    """`x`, `y`: the held-out rows, centred and scaled as the training rows were."""
    rank, k = problem.rank, min(k, problem.rank)
    problem = problem.reduced(k=k)
    coordinates = x @ problem.whiten.T
    risks, losses = [], []
    for strength in strengths:
        basis = problem.leading(strength, k=k)[1]
        probe = basis @ (basis.T @ problem.prediction)
        risks.append(problem.target_power - problem.explained(basis))
        losses.append(np.sum((y - coordinates @ probe) ** 2, axis=1))
    power = float(np.mean(np.sum((y - y.mean(axis=0)) ** 2, axis=1)))
    if power <= 0:
        raise DataError(f"the target of {name!r} does not vary on the held-out rows; use a larger split")
    held_out = np.mean(losses, axis=1) / power
    order = np.argsort(strengths)
    weights = np.exp(-(held_out[order] - held_out.min()) / _NOISE)
    first, best = order[0], order[np.searchsorted(np.cumsum(weights), weights.sum() / 2)]
    gains = (losses[first] - losses[best]) / power
    return EncoderForecast(
        modality=name,
        rank=rank,
        strengths=tuple(float(s) for s in strengths),
        risk=tuple(float(r) for r in np.clip(np.divide(risks, problem.target_power), 0.0, 1.0)),
        held_out=tuple(float(r) for r in held_out),
        best_strength=float(strengths[best]),
        gain=float(gains.mean()),
        gain_error=float(gains.std(ddof=1) / np.sqrt(len(gains))),
        crossings=crossings_of(problem, k=k),
    )


def _effect(modality: Modality, before: Matrix, after: Matrix, *, rows: int, kept: float, a: float) -> ShrinkageEffect:
    raw, shrunk = np.linalg.eigvalsh(before), np.linalg.eigvalsh(after)
    rounding = raw[-1] * len(raw) * np.finfo(np.float64).eps
    return ShrinkageEffect(
        rows=rows,
        features=int(np.prod(modality.values.shape[2 if modality.values.ndim == 3 else 1 :])),
        kept=kept,
        intensity=a,
        rank=int(np.sum(raw > rounding)),
        condition_before=float(raw[-1] / raw[0]) if raw[0] > rounding else None,
        condition_after=float(shrunk[-1] / shrunk[0]) if shrunk[0] > rounding else None,
    )
