"""The alignment term of a pair: an objective, the strength with which it pulls each encoder, and its gradients."""

from __future__ import annotations

import contextlib
from typing import Any, get_args

import torch
from torch import Tensor

from trainables.objectives.alignment import ALIGNMENT_OBJECTIVES, check_pair
from trainables.objectives.gradients import clear_, differentiate, scale_gradient, scale_value
from trainables.objectives.info_nce import info_nce_and_gradients
from trainables.spec import Direction


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
    check_pair(z_1, z_2)
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
