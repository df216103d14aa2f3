"""What replicas minimise: alignment objectives between two representations, and task losses of one encoder.

Every function is pure and has the replica axis K in front: projections z of shape (K, N, D) in, one loss per replica
(K,) out, and no replica's loss or gradient depends on another's. Alignment objectives take raw projections and
normalise them themselves where their definition says so.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Mapping
from typing import Any, Protocol, get_args

import torch
from torch import Tensor
from torch.nn import functional

from trainables.objectives.gradients import clear_, differentiate, scale_gradient, scale_value, unit_rows
from trainables.objectives.info_nce import info_nce as _fused_info_nce
from trainables.objectives.info_nce import info_nce_and_gradients, smallest_temperature
from trainables.objectives.targets import match_target
from trainables.spec import Direction


class Objective(Protocol):
    """An alignment objective: raw projections (K, N, D) of N paired samples in, (K,) out, lower is more aligned.

    `temperature` is a float or a (K,) tensor; objectives without one ignore it. `direction` says which projection is
    pulled: with `to_1` the second is detached, so that only encoder 1 gets a gradient; `to_2` the reverse.
    """

    def __call__(  # noqa: D102
        self, z_1: Tensor, z_2: Tensor, temperature: float | Tensor, /, *, direction: Direction = "both"
    ) -> Tensor: ...


def symmetric_info_nce(
    z_1: Tensor, z_2: Tensor, temperature: float | Tensor, *, direction: Direction = "both"
) -> Tensor:
    """Mean of both directions' cross-entropies over in-batch negatives, in nats, (K,).

    L = (L_A→B + L_B→A) / 2, L_A→B = −1/N Σ_i log( exp(s_ii/τ) / Σ_j exp(s_ij/τ) ) with s_ij = z_1i · z_2j
    (Fang, Zhang, Chan 2026, eqs. 3–4, with InfoNCE of van den Oord et al. 2018). Range [0, 2/τ + log N]; collapsed
    embeddings (all rows equal) give log N.

    `z_1`, `z_2` are (K, N, D) with rows of L2 norm at most 1 (larger ones may overflow); `temperature` τ > 0 is a
    float or a (K,) tensor, a constant without gradient. Any τ from 0.01 to 10 is safe. Computed in float32 at least,
    whatever the autocast state (a TF32 setting is respected); memory is O(K N D) plus a fixed budget, never O(K N²).
    Can be differentiated once.

    Raises:
        ValueError: shapes, temperature or direction are not as above.
    """
    _check_pair(z_1, z_2)
    return _fused_info_nce(*_one_sided(z_1, z_2, direction), temperature)


def info_nce(z_1: Tensor, z_2: Tensor, temperature: float | Tensor, *, direction: Direction = "both") -> Tensor:
    """`symmetric_info_nce` of the L2-normalised projections, in nats, (K,).

    A zero row has no direction: its similarities are 0 and it receives no gradient.
    """
    z_1, z_2 = _one_sided(z_1, z_2, direction)
    return symmetric_info_nce(unit_rows(z_1), unit_rows(z_2), temperature)


def siglip(z_1: Tensor, z_2: Tensor, temperature: float | Tensor, *, direction: Direction = "both") -> Tensor:
    """Sigmoid loss over all N² combinations of L2-normalised projections, in nats per sample, (K,).

    L = −1/N Σ_ij log σ( y_ij (s_ij/τ + b) ), y_ij = 1 where i = j, else −1 (Zhai et al. 2023, eq. 1). The paper
    learns b; here it is the constant b = −log(N − 1), the log-odds of a match in the batch (the paper's initial −10
    is that at its batch size), so that the loss has no parameters. Mutually orthogonal projections give
    log N + (N − 1) log(N / (N − 1)).

    Raises:
        ValueError: as `symmetric_info_nce`.
    """
    _check_pair(z_1, z_2)
    smallest_temperature(temperature, n_replicas=len(z_1))
    z_1, z_2 = _one_sided(z_1, z_2, direction)
    n = z_1.shape[1]
    inverse = 1 / (temperature.to(z_1).view(-1, 1, 1) if isinstance(temperature, Tensor) else temperature)
    logits = torch.bmm(unit_rows(z_1) * inverse, unit_rows(z_2).mT) - math.log(max(n - 1, 1))
    # −log σ(x) = −log σ(−x) − x turns the diagonal into one of the negatives and a correction.
    negatives = -functional.logsigmoid(-logits).sum((1, 2))
    return (negatives - logits.diagonal(dim1=1, dim2=2).sum(1)) / n


def vicreg(z_1: Tensor, z_2: Tensor, _temperature: float | Tensor, *, direction: Direction = "both") -> Tensor:
    """Variance, invariance and covariance terms of raw projections, (K,), range [0, ∞); has no temperature.

    L = s(z_1, z_2) + v(z_1) + v(z_2) + (c(z_1) + c(z_2)) / 25 with s the mean squared difference,
    v(z) = 1/D Σ_d max(0, 1 − √(Var z_d + 10⁻⁴)) and c(z) = 1/D Σ_{d≠e} Cov(z_d, z_e)² (Bardes, Ponce, LeCun 2022,
    Algorithm 1 and its weights 25, 25, 1, divided by 25 so that the strength weighs the invariance). Collapsed
    projections give 2 · 0.99. Needs N ≥ 2.

    Raises:
        ValueError: shapes or direction are not as above.
    """
    _check_pair(z_1, z_2, at_least=2)
    z_1, z_2 = _one_sided(z_1, z_2, direction)
    loss: Tensor = (z_1 - z_2).square().mean((1, 2))
    for z in (z_1, z_2):
        _, n, width = z.shape
        centred = z - z.mean(1, keepdim=True)
        covariance = torch.bmm(centred.mT, centred) / (n - 1)
        variance = covariance.diagonal(dim1=1, dim2=2)
        loss = loss + functional.relu(1 - (variance + 1e-4).sqrt()).mean(1)
        loss = loss + (covariance.square().sum((1, 2)) - variance.square().sum(1)) / (25 * width)
    return loss


def cka_distance(z_1: Tensor, z_2: Tensor, _temperature: float | Tensor, *, direction: Direction = "both") -> Tensor:
    """1 − linear CKA of raw projections, (K,), range [0, 1]; has no temperature.

    CKA = ‖Z_2ᵀ Z_1‖²_F / (‖Z_1ᵀ Z_1‖_F ‖Z_2ᵀ Z_2‖_F) of centred columns (Kornblith et al. 2019, section 3, linear
    kernel; biased). Invariant to rotation and scale of either side; a collapsed side gives 1 and no gradient.

    Raises:
        ValueError: shapes or direction are not as above.
    """
    _check_pair(z_1, z_2)
    z_1, z_2 = (_centred(z) for z in _one_sided(z_1, z_2, direction))
    shared = torch.bmm(z_2.mT, z_1).square().sum((1, 2))
    own_1, own_2 = (torch.linalg.vector_norm(torch.bmm(z.mT, z), dim=(1, 2)) for z in (z_1, z_2))
    alignment: Tensor = shared / (own_1 * own_2).clamp_min(1e-12)
    return 1 - alignment


def cosine_distance(z_1: Tensor, z_2: Tensor, _temperature: float | Tensor, *, direction: Direction = "both") -> Tensor:
    """1 − mean cosine similarity of the pairs, (K,), range [0, 2]; without negatives, so collapse gives 0.

    Half the mean squared distance of the L2-normalised projections: the regression between representations. Has no
    temperature.

    Raises:
        ValueError: shapes or direction are not as above.
    """
    _check_pair(z_1, z_2)
    z_1, z_2 = _one_sided(z_1, z_2, direction)
    return 1 - (unit_rows(z_1) * unit_rows(z_2)).sum(-1).mean(-1)


def whitened_mse(z_1: Tensor, z_2: Tensor, _temperature: float | Tensor, *, direction: Direction = "both") -> Tensor:
    """Mean squared difference of the batch-whitened projections, (K,), range [0, 4]; has no temperature.

    L = 1/(N D) ‖Z_1 T_1 − Z_2 T_2‖²_F = 2 − 2/D tr Corr(Z_1 T_1, Z_2 T_2): alignment as a regression between the
    representations under the constraint that excludes collapse, as in the linear theory (`study.theory`); uncorrelated
    projections give 2. T is the inverse Cholesky factor of the centred columns' covariance (Ermolov et al. 2021,
    W-MSE, without its L2 normalisation), to which 10⁻⁴ of the mean variance is added, so that it exists; a
    collapsed side counts as zeros and gets no gradient. Invariant to shift and scale of either side.

    Raises:
        ValueError: shapes or direction are not as above.
    """
    _check_pair(z_1, z_2)
    z_1, z_2 = (_whitened(z) for z in _one_sided(z_1, z_2, direction))
    return (z_1 - z_2).square().mean((1, 2))


ALIGNMENT_OBJECTIVES: Mapping[str, Objective] = {
    "info_nce": info_nce,
    "siglip": siglip,
    "vicreg": vicreg,
    "linear_cka": cka_distance,
    "cosine": cosine_distance,
    "whitened_mse": whitened_mse,
}


def alignment_loss(
    z_1: Tensor,
    z_2: Tensor,
    strength_1: float | Tensor,
    strength_2: float | Tensor,
    temperature: float | Tensor,
    *,
    objective: str = "info_nce",
    direction: Direction = "both",
) -> Tensor:
    """The alignment term of a pair, (K,): encoder 1 is pulled with strength λ₁, encoder 2 with λ₂.

    Its gradient is that of λ₁ A(z_1, stop z_2) + λ₂ A(stop z_1, z_2), where A is the objective: the gradient of A with
    respect to z_1 does not care whether z_2 is detached, so one evaluation of A serves both, its gradients scaled by
    λ₁ and λ₂. Its value is (λ₁ + λ₂) A / 2, so that equal strengths give λ A, the papers' term; a one-sided term
    (`to_1`, `to_2`) is worth λ₁ A or λ₂ A.

    `strength_1`, `strength_2` ≥ 0 are floats or (K,) tensors. Strength 0 gives exactly zero, in gradient and value,
    even where A is not finite: training goes as without the term. Computed in float32 at least, whatever the autocast
    state: similarities over a small τ have no room for the rounding of bfloat16.

    Raises:
        ValueError: unknown objective, or as the objective.
    """
    if objective not in ALIGNMENT_OBJECTIVES:
        raise ValueError(f"unknown alignment objective {objective!r}; choose one of {', '.join(ALIGNMENT_OBJECTIVES)}")
    z_1, z_2 = (z.to(torch.promote_types(z.dtype, torch.float32)) for z in _one_sided(z_1, z_2, direction))
    z_1, z_2 = scale_gradient(z_1, strength_1), scale_gradient(z_2, strength_2)
    with _full_precision(z_1.device):
        value = ALIGNMENT_OBJECTIVES[objective](z_1, z_2, temperature)
    return scale_value(value, _weight(strength_1, strength_2, direction))


def alignment_and_gradients(
    z_1: Tensor,
    z_2: Tensor,
    strength_1: Tensor,
    strength_2: Tensor,
    temperature: float | Tensor,
    *,
    objective: str = "info_nce",
    direction: Direction = "both",
    positive: bool = False,
) -> tuple[Tensor, list[Tensor | None]]:
    """`alignment_loss` (K,) and its gradients for z_1 and z_2, None for one that is not pulled; written out if InfoNCE.

    `positive` says that no strength is 0, which saves the guard against what is not finite there.
    """
    pulled = direction != "to_2", direction != "to_1"
    if objective != "info_nce":

        def loss(z_1: Tensor, z_2: Tensor) -> Tensor:
            strengths = strength_1, strength_2
            return alignment_loss(z_1, z_2, *strengths, temperature, objective=objective, direction=direction)

        return differentiate(loss, z_1, z_2, asked=pulled)
    _check_pair(z_1, z_2)
    strengths = strength_1, strength_2
    factors = [strength if each else None for strength, each in zip(strengths, pulled, strict=True)]
    value, gradients = info_nce_and_gradients(z_1, z_2, temperature, factors)
    weight = _weight(*strengths, direction)
    value *= weight
    if not positive:
        clear_(value, weight)
        for gradient, strength in zip(gradients, strengths, strict=True):
            if gradient is not None:
                clear_(gradient, strength)
    return value, gradients


def cross_entropy(outputs: Tensor, target: Tensor) -> Tensor:
    """Mean cross-entropy of class logits (K, N, C) and classes (N,) or (K, N), in nats, (K,)."""
    # Class by class in memory: a softmax over few classes then runs along many samples, up to 7 times faster.
    losses = functional.cross_entropy(outputs.mT.contiguous(), target.expand(outputs.shape[:2]), reduction="none")
    return losses.mean(1)


def l1(outputs: Tensor, target: Tensor) -> Tensor:
    """Mean absolute error of outputs (K, N, m), (K,); target (N, m) or (K, N, m), or without the m where it is 1."""
    return (outputs - match_target(target, outputs)).abs().mean((1, 2))


def mse(outputs: Tensor, target: Tensor) -> Tensor:
    """Mean squared error of outputs (K, N, m), (K,); target as in `l1`."""
    return (outputs - match_target(target, outputs)).square().mean((1, 2))


TASK_LOSSES: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = {"cross_entropy": cross_entropy, "l1": l1, "mse": mse}


def task_loss_and_gradient(name: str, outputs: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """A task loss (K,) and its gradient for the outputs (K, N, m), which is written out for the cross-entropy."""
    if name == "cross_entropy":
        logarithms, classes = outputs.mT.log_softmax(1), target.unsqueeze(1)
        own = logarithms.gather(1, classes)
        gradient = logarithms.exp_().scatter_(1, classes, own.expm1()).div_(outputs.shape[1])
        return own.mean((1, 2)).neg_(), gradient.mT
    value, (found,) = differentiate(lambda leaf: TASK_LOSSES[name](leaf, target), outputs, asked=(True,))
    assert found is not None
    return value, found


def _weight(strength_1: Any, strength_2: Any, direction: Direction) -> Any:
    return {"both": (strength_1 + strength_2) / 2, "to_1": strength_1, "to_2": strength_2}[direction]


def _one_sided(z_1: Tensor, z_2: Tensor, direction: Direction) -> tuple[Tensor, Tensor]:
    """The projections, the one that is not pulled detached."""
    match direction:
        case "both":
            return z_1, z_2
        case "to_1":
            return z_1, z_2.detach()
        case "to_2":
            return z_1.detach(), z_2
    raise ValueError(f"unknown direction {direction!r}; choose one of {', '.join(get_args(Direction))}")


def _full_precision(device: torch.device) -> contextlib.AbstractContextManager[None]:
    if torch.is_autocast_enabled(device.type):
        return torch.autocast(device.type, enabled=False)
    return contextlib.nullcontext()


def _check_pair(z_1: Tensor, z_2: Tensor, *, at_least: int = 1) -> None:
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
