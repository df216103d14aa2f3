"""Alignment objectives between two representations, by name.

Every function is pure and has the replica axis K in front: projections z of shape (K, N, D) in, one loss per replica
(K,) out, and no replica's loss or gradient depends on another's. They take raw projections and normalise them
themselves where their definition says so. `ALIGNMENT_OBJECTIVES` is the whole list: a new objective is one function and
one line there.
"""

from __future__ import annotations

import math
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional

from trainables.objectives.gradients import unit_rows
from trainables.objectives.info_nce import info_nce as _fused_info_nce
from trainables.objectives.info_nce import smallest_temperature


class Objective(Protocol):
    """An alignment objective: raw projections (K, N, D) of N paired samples in, (K,) out, lower is more aligned.

    `temperature` is a float or a (K,) tensor; objectives without one ignore it. A projection that is not to be pulled
    is given detached.
    """

    def __call__(self, z_1: Tensor, z_2: Tensor, temperature: float | Tensor, /) -> Tensor: ...  # noqa: D102


def symmetric_info_nce(z_1: Tensor, z_2: Tensor, temperature: float | Tensor) -> Tensor:
    """Mean of both directions' cross-entropies over in-batch negatives, in nats, (K,).

    L = (L_A→B + L_B→A) / 2, L_A→B = −1/N Σ_i log( exp(s_ii/τ) / Σ_j exp(s_ij/τ) ) with s_ij = z_1i · z_2j
    (Fang, Zhang, Chan 2026, eqs. 3–4, with InfoNCE of van den Oord et al. 2018). Range [0, 2/τ + log N]; collapsed
    embeddings (all rows equal) give log N.

    `z_1`, `z_2` are (K, N, D) with rows of L2 norm at most 1 (larger ones may overflow); `temperature` τ > 0 is a
    float or a (K,) tensor, a constant without gradient. Any τ from 0.01 to 10 is safe. Computed in float32 at least,
    whatever the autocast state (a TF32 setting is respected); memory is O(K N D) plus a fixed budget, never O(K N²).
    Can be differentiated once.

    Raises:
        ValueError: shapes or temperature are not as above.
    """
    check_pair(z_1, z_2)
    return _fused_info_nce(z_1, z_2, temperature)


def info_nce(z_1: Tensor, z_2: Tensor, temperature: float | Tensor) -> Tensor:
    """`symmetric_info_nce` of the L2-normalised projections, in nats, (K,).

    A zero row has no direction: its similarities are 0 and it receives no gradient.
    """
    return symmetric_info_nce(unit_rows(z_1), unit_rows(z_2), temperature)


def siglip(z_1: Tensor, z_2: Tensor, temperature: float | Tensor) -> Tensor:
    """Sigmoid loss over all N² combinations of L2-normalised projections, in nats per sample, (K,).

    L = −1/N Σ_ij log σ( y_ij (s_ij/τ + b) ), y_ij = 1 where i = j, else −1 (Zhai et al. 2023, eq. 1). The paper
    learns b; here it is the constant b = −log(N − 1), the log-odds of a match in the batch (the paper's initial −10
    is that at its batch size), so that the loss has no parameters. Mutually orthogonal projections give
    log N + (N − 1) log(N / (N − 1)).

    Raises:
        ValueError: as `symmetric_info_nce`.
    """
    check_pair(z_1, z_2)
    smallest_temperature(temperature, n_replicas=len(z_1))
    n = z_1.shape[1]
    inverse = 1 / (temperature.to(z_1).view(-1, 1, 1) if isinstance(temperature, Tensor) else temperature)
    logits = torch.bmm(unit_rows(z_1) * inverse, unit_rows(z_2).mT) - math.log(max(n - 1, 1))
    # −log σ(x) = −log σ(−x) − x turns the diagonal into one of the negatives and a correction.
    negatives = -functional.logsigmoid(-logits).sum((1, 2))
    return (negatives - logits.diagonal(dim1=1, dim2=2).sum(1)) / n


def vicreg(z_1: Tensor, z_2: Tensor, _temperature: float | Tensor) -> Tensor:
    """Variance, invariance and covariance terms of raw projections, (K,), range [0, ∞); has no temperature.

    L = s(z_1, z_2) + v(z_1) + v(z_2) + (c(z_1) + c(z_2)) / 25 with s the mean squared difference,
    v(z) = 1/D Σ_d max(0, 1 − √(Var z_d + 10⁻⁴)) and c(z) = 1/D Σ_{d≠e} Cov(z_d, z_e)² (Bardes, Ponce, LeCun 2022,
    Algorithm 1 and its weights 25, 25, 1, divided by 25 so that the strength weighs the invariance). Collapsed
    projections give 2 · 0.99. Needs N ≥ 2.

    Raises:
        ValueError: the shapes are not as above.
    """
    check_pair(z_1, z_2, at_least=2)
    loss: Tensor = (z_1 - z_2).square().mean((1, 2))
    for z in (z_1, z_2):
        _, n, width = z.shape
        centred = z - z.mean(1, keepdim=True)
        covariance = torch.bmm(centred.mT, centred) / (n - 1)
        variance = covariance.diagonal(dim1=1, dim2=2)
        loss = loss + functional.relu(1 - (variance + 1e-4).sqrt()).mean(1)
        loss = loss + (covariance.square().sum((1, 2)) - variance.square().sum(1)) / (25 * width)
    return loss


def cka_distance(z_1: Tensor, z_2: Tensor, _temperature: float | Tensor) -> Tensor:
    """1 − linear CKA of raw projections, (K,), range [0, 1]; has no temperature.

    CKA = ‖Z_2ᵀ Z_1‖²_F / (‖Z_1ᵀ Z_1‖_F ‖Z_2ᵀ Z_2‖_F) of centred columns (Kornblith et al. 2019, section 3, linear
    kernel; biased). Invariant to rotation and scale of either side; a collapsed side gives 1 and no gradient.

    Raises:
        ValueError: the shapes are not as above.
    """
    check_pair(z_1, z_2)
    z_1, z_2 = (_centred(z) for z in (z_1, z_2))
    shared = torch.bmm(z_2.mT, z_1).square().sum((1, 2))
    own_1, own_2 = (torch.linalg.vector_norm(torch.bmm(z.mT, z), dim=(1, 2)) for z in (z_1, z_2))
    alignment: Tensor = shared / (own_1 * own_2).clamp_min(1e-12)
    return 1 - alignment


def cosine_distance(z_1: Tensor, z_2: Tensor, _temperature: float | Tensor) -> Tensor:
    """1 − mean cosine similarity of the pairs, (K,), range [0, 2]; without negatives, so collapse gives 0.

    Half the mean squared distance of the L2-normalised projections: the regression between representations. Has no
    temperature.

    Raises:
        ValueError: the shapes are not as above.
    """
    check_pair(z_1, z_2)
    return 1 - (unit_rows(z_1) * unit_rows(z_2)).sum(-1).mean(-1)


def whitened_mse(z_1: Tensor, z_2: Tensor, _temperature: float | Tensor) -> Tensor:
    """Mean squared difference of the batch-whitened projections, (K,), range [0, 4]; has no temperature.

    L = 1/(N D) ‖Z_1 T_1 − Z_2 T_2‖²_F = 2 − 2/D tr Corr(Z_1 T_1, Z_2 T_2): alignment as a regression between the
    representations under the constraint that excludes collapse, as in the linear theory (`study.theory`); uncorrelated
    projections give 2. T is the inverse Cholesky factor of the centred columns' covariance (Ermolov et al. 2021,
    W-MSE, without its L2 normalisation), to which 10⁻⁴ of the mean variance is added, so that it exists; a
    collapsed side counts as zeros and gets no gradient. Invariant to shift and scale of either side.

    Raises:
        ValueError: the shapes are not as above.
    """
    check_pair(z_1, z_2)
    z_1, z_2 = (_whitened(z) for z in (z_1, z_2))
    return (z_1 - z_2).square().mean((1, 2))


ALIGNMENT_OBJECTIVES: dict[str, Objective] = {
    "info_nce": info_nce,
    "siglip": siglip,
    "vicreg": vicreg,
    "linear_cka": cka_distance,
    "cosine": cosine_distance,
    "whitened_mse": whitened_mse,
}


def check_pair(z_1: Tensor, z_2: Tensor, *, at_least: int = 1) -> None:
    """Refuses projections that are not two of one shape (K, N, D) with N samples at least."""
    if z_1.ndim != 3 or z_1.shape != z_2.shape or z_1.shape[1] < at_least:
        raise ValueError(
            f"projections have shapes {tuple(z_1.shape)} and {tuple(z_2.shape)}; give two of one shape (K, N, D) "
            f"with N ≥ {at_least}"
        )


def _centred(z: Tensor) -> Tensor:
    """Columns of mean zero, scaled to entries of the order of one (CKA ignores the scale, its fourth powers do not).

    What is left of equal rows after centring is rounding noise: exactly zero, without gradient.
    """
    centred = z - z.mean(1, keepdim=True)
    rms, noise = (v.detach().square().mean((1, 2), keepdim=True).sqrt() for v in (centred, z))
    return centred * torch.where(rms > 1e-6 * noise, 1 / rms, 0)


def _whitened(z: Tensor) -> Tensor:
    """Columns of mean zero, variance one and no correlation over the batch, up to the ridge; zero where collapsed."""
    z = _centred(z)
    covariance = torch.bmm(z.mT, z) / z.shape[1]
    ridge = 1e-4 * torch.eye(z.shape[2], dtype=z.dtype, device=z.device)
    variance = covariance.diagonal(dim1=1, dim2=2).mean(1).clamp_min(1e-12).view(-1, 1, 1)
    # `cholesky_ex` leaves NaN in a replica that is not finite; `cholesky` would raise for all of them.
    factor = torch.linalg.cholesky_ex(covariance / variance + ridge)[0]
    whitened: Tensor = torch.linalg.solve_triangular(factor, z.mT / variance.sqrt(), upper=False).mT
    return whitened
