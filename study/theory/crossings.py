"""The strengths at which the joint optimum gives up a prediction direction for a shared one.

Let e(λ) = tr Vᵀ A V be the target's power explained by the joint optimum (`study.theory.problem`), c(λ) = tr Vᵀ C V the
alignment it reaches. From e(λ) + λ c(λ) ≥ e(λ') + λ c(λ') for all λ, λ' follow (this project's derivation)

    e never rises with λ, c never falls;   0 ≤ e(0) − e(λ) ≤ λ (c(λ) − c(0)) ≤ λ Σ_{i ≤ k} ρ_i².

Where A and C commute, direction i has eigenvalue μ_i + λ ρ_i², e is a staircase and its steps are where the k-th and
(k+1)-th of these lines cross: for a prediction direction u and a shared one s at

    λ = (μ_u − μ_s) / (ρ_s² − ρ_u²),   (μ_u − μ_s)/ρ_s² for a unique u (ρ_u = 0).

Otherwise the lines avoid each other and the step is a slope. Where just two directions mix, they have turned by 45° at
that same λ, ρ² being the diagonal of C in the eigenvectors of A. So a critical strength is defined, in every case, as
the λ at which half of a step's loss is done; a step is a maximal range of log λ over which e falls by at least 2 % of
e(0) per unit of log λ.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy.optimize import brentq

from study.theory.moments import EncoderNumber, Matrix, Moments
from study.theory.problem import JointProblem, joint_problem

_SLOPE = 0.02  # of e(0) per unit of log λ: slower is a plateau
_FIRST_STEP = 0.5  # units of log λ between the first samples
_SMALLEST_STEP = 1e-3  # steps closer than this factor count as one
_LARGEST_STRENGTH = 1e9  # times the smallest sampled strength: what remains to be lost beyond is left out


@dataclass(frozen=True, kw_only=True)
class Crossing:
    """A step of the optimum: at `strength` the encoder has lost half of `lost`.

    `lost` (0 … 1) is a share of the target's power explained at λ → 0.
    `correlation` is the canonical correlation of what it got instead: √(rise of c / directions exchanged).
    """

    strength: float
    lost: float
    correlation: float


def crossings(moments: Moments, *, k: int, encoder: EncoderNumber, smallest_loss: float = 0.05) -> tuple[Crossing, ...]:
    """The steps of e(λ) in (0, ∞) that cost at least `smallest_loss` of e(0), by ascending strength.

    e is sampled evenly in log λ from where it cannot yet have lost that much (bound above) to where nothing is left to
    lose, and again between samples that differ by more than `smallest_loss`: e being monotone, no step hides there.

    Raises:
        ValueError: k is below 1 or above the modality's rank, or `smallest_loss` is outside (0, 1).
    """
    problem = joint_problem(moments, encoder=encoder)
    if not 1 <= k <= problem.rank:
        raise ValueError(
            f"latent dimension k is {k}; it may be 1 to {problem.rank}, the rank of the modality's covariance"
        )
    return crossings_of(problem, k=k, smallest_loss=smallest_loss)


def critical_strengths(moments: Moments, *, k: int, encoder: EncoderNumber, smallest_loss: float = 0.05) -> Matrix:
    """The strengths of `crossings`, ascending; empty where alignment costs the encoder nothing."""
    steps = crossings(moments, k=k, encoder=encoder, smallest_loss=smallest_loss)
    return np.array([crossing.strength for crossing in steps])


def info_nce_strength(first: Crossing, second: Crossing, *, k: int, temperature: float) -> float:
    """The weight of symmetric InfoNCE at which two encoders trained together exchange their directions.

    This project's derivation, for whitened representations of width k and task losses summed over the target's columns.
    Encoders that swap together and face each other (E‖W_1 x_1 − W_2 x_2‖² = 2k − 2 tr W_1 S12 W_2ᵀ, both whitened) lose
    Δμ_1 + Δμ_2 and gain 2 λ ρ, where an encoder that faces a free regression gains λ ρ²: they swap at
    λ = (Δμ_1 + Δμ_2)/(2ρ) = ρ (λ_1 + λ_2)/2. Of InfoNCE only the positives, −E[z_1·z_2]/(‖z_1‖‖z_2‖τ) ≈
    −tr W_1 S12 W_2ᵀ/(kτ), depend on the choice of directions, negatives being independent: its weight is 2kτ times λ.
    Trained whitened encoders cross 10 % above it; free ones swap one direction at a time, on average at 1.4 times this
    weight at τ = 0.5 and 2.2 times at τ = 0.1, where single cells are up to 5 times off, the order of the cells kept
    (`tests/bench/theory.py`). With k = 1 InfoNCE has no gradient, a cosine of numbers being a sign.

    Raises:
        ValueError: k is below 2 or the temperature is not above 0.
    """
    if k < 2 or not temperature > 0:
        raise ValueError(
            f"k is {k} and temperature {temperature}; InfoNCE needs k of at least 2 and a temperature above 0"
        )
    return k * temperature * (first.correlation * first.strength + second.correlation * second.strength)


def crossings_of(problem: JointProblem, *, k: int, smallest_loss: float = 0.05) -> tuple[Crossing, ...]:
    """`crossings` of a problem that is already whitened."""
    if not 0 < smallest_loss < 1:
        raise ValueError(f"smallest_loss is {smallest_loss}; give a share between 0 and 1")

    def explained(log_strength: float) -> float:
        return problem.explained(problem.leading(float(np.exp(log_strength)), k=k)[1])

    start, end = (problem.explained(problem.leading(limit, k=k)[1]) for limit in (0.0, np.inf))
    if start - end < smallest_loss * start or start <= 0:
        return ()
    low = float(np.log(0.1 * smallest_loss * start / problem.squared_correlations[:k].sum()))
    samples = _sample(explained, low=low, start=start, end=end, resolution=smallest_loss * start)
    logs = np.array(sorted(samples))
    values = np.array([samples[log] for log in logs])
    falling = -np.diff(values) >= _SLOPE * start * np.diff(logs)
    edges = np.flatnonzero(np.diff(np.concatenate([[False], falling, [False]]).astype(int)))
    crossed = []
    for left, right in edges.reshape(-1, 2):
        lost = values[left] - values[right]
        if lost >= smallest_loss * start:
            half = (values[left] + values[right]) / 2
            log = brentq(lambda at: explained(at) - half, logs[left], logs[right], xtol=1e-10)  # noqa: B023
            before, after = (problem.leading(float(np.exp(logs[edge])), k=k)[1] for edge in (left, right))
            exchanged = k - float(np.sum((before.T @ after) ** 2))
            rise = problem.aligned(after) - problem.aligned(before)
            crossed.append(
                Crossing(
                    strength=float(np.exp(log)),
                    lost=min(1.0, float(lost / start)),
                    correlation=float(np.sqrt(np.clip(rise / exchanged, 0.0, 1.0))),
                )
            )
    return tuple(crossed)


def _sample(
    explained: Callable[[float], float], *, low: float, start: float, end: float, resolution: float
) -> dict[float, float]:
    """Samples of e by log λ, upward until only `resolution` is left to lose, dense where e falls."""
    samples = {low: start}
    log, limit = low, low + np.log(_LARGEST_STRENGTH)
    while samples[log] - end > resolution and log < limit:
        log += _FIRST_STEP
        samples[log] = explained(log)
    logs = sorted(samples)
    pending = list(pairwise(logs))
    while pending:
        left, right = pending.pop()
        if samples[left] - samples[right] > resolution and right - left > _SMALLEST_STEP:
            middle = (left + right) / 2
            samples[middle] = explained(middle)
            pending += [(left, middle), (middle, right)]
    return samples
