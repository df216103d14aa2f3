"""Hand-written gradients that every alignment objective shares: cheaper, and safe where the plain ones are not."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

_SMALLEST_NORM = 1e-12


def unit_rows(z: Tensor) -> Tensor:
    """Rows of (K, N, D) over their L2 norms; a row of norm below 1e-12 becomes zero and receives no gradient."""
    return _UnitRows.apply(z)  # type: ignore[no-any-return,no-untyped-call]


def scale_gradient(z: Tensor, factor: float | Tensor) -> Tensor:
    """`z` (K, N, D) itself, whose gradient is multiplied by a factor, one or (K,); 0 gives 0 even for a NaN."""
    if not z.requires_grad:
        return z
    return _ScaleGradient.apply(z, _factor(factor, z))  # type: ignore[no-any-return,no-untyped-call]


def scale_value(loss: Tensor, factor: float | Tensor) -> Tensor:
    """`loss` (K,) times a factor, one or (K,), whose gradient is that of `loss`; 0 gives 0 even for a NaN."""
    return _ScaleValue.apply(loss, _factor(factor, loss))  # type: ignore[no-any-return,no-untyped-call]


def _factor(factor: float | Tensor, like: Tensor) -> Tensor:
    return factor.to(like) if isinstance(factor, Tensor) else like.new_full((), factor)


class _UnitRows(torch.autograd.Function):
    """Half the passes over memory of `functional.normalize`."""

    @staticmethod
    def forward(ctx: Any, z: Tensor) -> Tensor:
        inverse = torch.linalg.vector_norm(z, dim=-1, keepdim=True).reciprocal_()
        inverse.masked_fill_(inverse > 1 / _SMALLEST_NORM, 0)
        unit: Tensor = z * inverse
        ctx.save_for_backward(unit, inverse)
        return unit

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> Tensor:
        unit, inverse = ctx.saved_tensors
        along = (upstream * unit).sum(-1, keepdim=True)
        gradient: Tensor = torch.addcmul(upstream, unit, along, value=-1).mul_(inverse)
        return gradient


class _ScaleGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, z: Tensor, factor: Tensor) -> Tensor:
        ctx.save_for_backward(factor)
        return z.view_as(z)

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, None]:
        factor = ctx.saved_tensors[0].view(-1, 1, 1)
        return (upstream * factor).masked_fill_(factor == 0, 0), None


class _ScaleValue(torch.autograd.Function):
    @staticmethod
    def forward(_ctx: Any, loss: Tensor, factor: Tensor) -> Tensor:
        return (loss * factor).masked_fill_(factor == 0, 0)

    @staticmethod
    def backward(_ctx: Any, upstream: Tensor) -> tuple[Tensor, None]:
        return upstream, None
