"""Hand-written gradients that every alignment objective shares: cheaper, and safe where the plain ones are not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

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


def unit(z: Tensor) -> tuple[Tensor, Tensor]:
    """`unit_rows` without a gradient, and what the rows (K, N, 1) were multiplied by."""
    # Not vector_norm: across features that lie apart in memory it is far slower.
    square = functional.threshold(z.square().sum(-1, keepdim=True), _SMALLEST_NORM**2, torch.inf, inplace=True)
    inverse = square.rsqrt_()
    return z * inverse, inverse


def unit_backward(upstream: Tensor, unit: Tensor, inverse: Tensor) -> Tensor:
    """The gradient before `unit` of the one behind it."""
    along = (upstream * unit).sum(-1, keepdim=True)
    gradient: Tensor = torch.addcmul(upstream, unit, along, value=-1).mul_(inverse)
    return gradient


def clear_(values: Tensor, factor: Tensor) -> Tensor:
    """Set `values` (K, …) to 0, even a NaN, where a factor, () or (K,), is 0."""
    # On a CPU masked_fill_ with a mask of another shape is five times slower than arithmetic.
    bits = values.view(torch.int32 if values.itemsize == 4 else torch.int64)
    kept = (factor != 0).to(bits.dtype).neg_()  # no bit or all of them
    bits.bitwise_and_(kept.view(-1, *[1] * (values.ndim - 1)))
    return values


def differentiate(
    loss: Callable[..., Tensor], *inputs: Tensor, asked: Sequence[bool]
) -> tuple[Tensor, list[Tensor | None]]:
    """A loss (K,) of tensors (K, …), and by autograd its gradients for those that are asked for."""
    leaves = [z.detach().requires_grad_(each) for z, each in zip(inputs, asked, strict=True)]
    with torch.enable_grad():
        value = loss(*leaves)
    gradients = iter(torch.autograd.grad(value, [z for z in leaves if z.requires_grad], torch.ones_like(value)))
    return value.detach(), [next(gradients) if each else None for each in asked]


def _factor(factor: float | Tensor, like: Tensor) -> Tensor:
    return factor.to(like) if isinstance(factor, Tensor) else like.new_full((), factor)


class _UnitRows(torch.autograd.Function):
    """`unit_rows` with half the passes over memory of `functional.normalize`."""

    @staticmethod
    def forward(ctx: Any, z: Tensor) -> Tensor:
        rows, inverse = unit(z)
        ctx.save_for_backward(rows, inverse)
        return rows

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> Tensor:
        return unit_backward(upstream, *ctx.saved_tensors)


class _ScaleGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, z: Tensor, factor: Tensor) -> Tensor:
        ctx.save_for_backward(factor)
        return z.view_as(z)

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, None]:
        (factor,) = ctx.saved_tensors
        return clear_(upstream * factor.view(-1, 1, 1), factor), None


class _ScaleValue(torch.autograd.Function):
    @staticmethod
    def forward(_ctx: Any, loss: Tensor, factor: Tensor) -> Tensor:
        return clear_(loss * factor, factor)

    @staticmethod
    def backward(_ctx: Any, upstream: Tensor) -> tuple[Tensor, None]:
        return upstream, None
