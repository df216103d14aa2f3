"""What alignment keeps, what prediction needs, and the encoder that does both at a given strength, in closed form.

Zero means, S_ab = E[a bᵀ]; encoder 1 is z_1 = W x_1 with k rows under the whitening constraint W S11 Wᵀ = I, which
rules out collapse; encoder 2 has the indices 1 and 2 exchanged throughout. Alignment is a regression between the
modalities (Thoreau, Levillain and Derksen 2025, arXiv 2509.17943; its generalised eigenproblems are rebuilt here from
canonical correlation analysis and reduced-rank regression). Losses are in squared target units, summed over columns.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from study.theory.moments import EncoderNumber, Matrix, Moments
from study.theory.problem import joint_problem
from trainables.training.threads import on_one_thread


@dataclass(frozen=True, kw_only=True, eq=False)
class AlignmentDirections:
    """The k most correlated directions: rows of `encoder_1` (k, d_1) and `encoder_2` (k, d_2); `correlations` (k,)."""

    encoder_1: Matrix
    encoder_2: Matrix
    correlations: Matrix


@dataclass(frozen=True, kw_only=True, eq=False)
class Directions:
    """`encoder` (k, d), whitened rows in descending order of their `values` (k,)."""

    encoder: Matrix
    values: Matrix


@dataclass(frozen=True, kw_only=True)
class InformationLoss:
    """What an encoder lost against the best linear encoder with as many rows.

    `excess_risk` ≥ 0 in squared target units; `r2` of a linear probe on the encoder, `best_r2` on that best encoder.
    """

    excess_risk: float
    r2: float
    best_r2: float


def alignment_directions(moments: Moments, *, k: int) -> AlignmentDirections:
    """Encoders that minimise E‖W_1 x_1 − W_2 x_2‖², both whitened: canonical correlation analysis.

    The rows of W_1 are the leading solutions of S12 S22⁻¹ S21 w = ρ² S11 w, those of W_2 of S21 S11⁻¹ S12 w = ρ² S22 w
    (Hotelling 1936); matching rows correlate by ρ ≥ 0. Directions in which a modality does not vary are never taken.

    Raises:
        ValueError: k is below 1 or above the rank of a modality.
    """
    first, second = (joint_problem(moments, encoder=encoder) for encoder in (1, 2))
    rank = min(first.rank, second.rank)
    _check_size(k, rank)
    u, correlations, v = np.linalg.svd(first.whiten @ moments.s12 @ second.whiten.T, full_matrices=False)
    encoder_1, sign = _signed(u[:, :k].T @ first.whiten)
    return AlignmentDirections(
        encoder_1=encoder_1, encoder_2=sign * (v[:k] @ second.whiten), correlations=np.minimum(correlations[:k], 1.0)
    )


def prediction_directions(moments: Moments, *, encoder: EncoderNumber) -> Directions:
    """All directions that predict the encoder's target: solutions of S1y Sy1 w = μ S11 w with μ > 0, by descending μ.

    The k leading ones are the encoder of reduced-rank regression (Izenman 1975); μ (squared target units) is the part
    of the target's power that one of them explains. There are at most as many as the target has columns.

    Raises:
        ValueError: `encoder` is not 1 or 2, or a modality does not vary.
    """
    problem = joint_problem(moments, encoder=encoder)
    basis, values, _ = np.linalg.svd(problem.prediction, full_matrices=False)
    keep = values > problem.rank * np.finfo(np.float64).eps * max(values[0], np.sqrt(problem.target_power))
    return Directions(encoder=_signed(basis[:, keep].T @ problem.whiten)[0], values=values[keep] ** 2)


@on_one_thread
def joint_optimum(moments: Moments, strength: float, *, k: int, encoder: EncoderNumber) -> Directions:
    """The encoder W (k, d) that minimises E‖B W x_1 − y_1‖² + λ E‖W x_1 − V x_2‖² over W whitened, B and V.

    W = Vᵀ S11^{−1/2} with V the k leading eigenvectors of

        M(λ) = S11^{−1/2} [S1y Sy1 + λ (S12 S22⁻¹ S21 − S11)] S11^{−1/2}.

    `values` holds the whole spectrum of M(λ) (r,), descending, so that the minimum is tr S_yy − Σ of the first k.
    λ = 0 is the limit λ → 0 (reduced-rank regression; alignment chooses among what prediction leaves open) and λ = ∞
    the limit λ → ∞ (canonical correlation analysis; the spectrum is that of M(λ)/λ).

    Source: M(λ) is github IlayMalinyak/mm_align_vs_pred's, whose target is the other modality; a target per modality,
    the other encoder as a free regression, and the limits are this project's derivation.

    Raises:
        ValueError: the strength is negative or not a number, `encoder` is not 1 or 2, or k exceeds the modality's rank.
    """
    if not strength >= 0:
        raise ValueError(f"strength is {strength}; give a number from 0 to infinity")
    problem = joint_problem(moments, encoder=encoder)
    _check_size(k, problem.rank)
    values, basis = problem.leading(strength, k=k)
    shift = 1.0 if strength == np.inf else strength
    return Directions(encoder=_signed(basis.T @ problem.whiten)[0], values=values - shift)


def risk(moments: Moments, weights: Matrix, *, encoder: EncoderNumber) -> float:
    """Least E‖B W x_1 − y_1‖² over linear probes B, for any encoder W = `weights` (k, d), whitened or not.

    tr S_yy − tr Sy1 Wᵀ (W S11 Wᵀ)⁺ W S1y: least squares. For whitened W the middle factor is the identity.

    Raises:
        ValueError: `weights` does not have the modality's number of columns.
    """
    s11, s1y, syy = _own(moments, encoder)
    if weights.ndim != 2 or weights.shape[1] != len(s11):
        raise ValueError(f"weights have shape {weights.shape}; give (k, {len(s11)}) for encoder {encoder}")
    cross = weights @ s1y
    probe = np.linalg.pinv(weights @ s11 @ weights.T, hermitian=True, rcond=1e-12) @ cross
    return float(np.trace(syy) - np.sum(cross * probe))


def information_loss(moments: Moments, weights: Matrix, *, encoder: EncoderNumber) -> InformationLoss:
    """Excess risk and R² of a linear probe on the encoder W = `weights` (k, d), against the best k-row encoder.

    The excess risk is Σ_{i ≤ k} μ_i − tr Sy1 Wᵀ (W S11 Wᵀ)⁺ W S1y, the μ being those of `prediction_directions`: zero
    exactly if the row space of W holds the k leading ones.

    Raises:
        ValueError: as for `risk`; or the target does not vary.
    """
    attained = risk(moments, weights, encoder=encoder)
    problem = joint_problem(moments, encoder=encoder)
    if problem.target_power <= 0:
        raise ValueError(f"the target of encoder {encoder} does not vary; there is nothing to predict")
    values = np.linalg.svd(problem.prediction, compute_uv=False)[: len(weights)]
    best = problem.target_power - float(np.sum(values**2))
    return InformationLoss(
        excess_risk=max(attained - best, 0.0),
        r2=1.0 - attained / problem.target_power,
        best_r2=1.0 - best / problem.target_power,
    )


def _own(moments: Moments, encoder: EncoderNumber) -> tuple[Matrix, Matrix, Matrix]:
    if encoder not in (1, 2):
        raise ValueError(f"encoder is {encoder!r}; the encoders of a pair are 1 and 2")
    if encoder == 1:
        return moments.s11, moments.s1y, moments.syy_1
    return moments.s22, moments.s2y, moments.syy_2


def _check_size(k: int, rank: int) -> None:
    if not 1 <= k <= rank:
        raise ValueError(f"latent dimension k is {k}; it may be 1 to {rank}, the rank of the modality's covariance")


def _signed(rows: Matrix) -> tuple[Matrix, Matrix]:
    """The rows with their largest entry made positive, and the signs (k, 1): one answer on every machine."""
    largest = np.take_along_axis(rows, np.abs(rows).argmax(axis=1)[:, None], axis=1)
    sign = np.where(largest < 0, -1.0, 1.0)
    return sign * rows, sign
