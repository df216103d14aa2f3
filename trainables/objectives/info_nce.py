"""Symmetric InfoNCE of K replicas, whose gradient is computed beside its value.

With S the similarities over τ of one replica, the two cross-entropies need the row sums r and the column sums c of
exp S, and both gradients need W = exp S ∘ (1/r + 1/c) − 2I: dL/dz₁ = W z₂ / (2Nτ), dL/dz₂ = Wᵀ z₁ / (2Nτ). Cosine
similarities are bounded by 1, so one exponential without a running maximum serves rows and columns, value and
gradient. Forming W while exp S is still in the cache, a few replicas at a time, is what makes this fast: nothing of
size (K, N, N) is ever stored, only the two gradients of size (K, N, D).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, MutableMapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils.weak import WeakIdKeyDictionary

from trainables.objectives.gradients import unit, unit_backward

# A chunk of (N, N) matrices, and as much again for scratch, should stay in a core's second-level cache on a CPU; on
# an accelerator it bounds the memory, and is large enough that the launches of its kernels do not count.
CPU_CHUNK_BYTES = 2**20
_DEVICE_CHUNK_BYTES = 2**28

# exp of this is nothing beside the 1 of a maximum, yet a normal number: arithmetic on subnormal ones is slow.
_NEGLIGIBLE = -70.0

_Weigh = Callable[[Tensor, Tensor], Tensor]

_smallest_seen: MutableMapping[Tensor, tuple[int, float]] = WeakIdKeyDictionary()


def info_nce(z_1: Tensor, z_2: Tensor, temperature: float | Tensor) -> Tensor:
    """(K,) nats, of L2-normalised (K, N, D); see `trainables.objectives.alignment.symmetric_info_nce`."""
    dtype = z_1.dtype
    if z_2.dtype != dtype or dtype != torch.float32:
        dtype = torch.promote_types(torch.promote_types(dtype, z_2.dtype), torch.float32)
        z_1, z_2 = z_1.to(dtype), z_2.to(dtype)
    if not torch.is_grad_enabled():
        z_1, z_2 = z_1.detach(), z_2.detach()
    return _InfoNCE.apply(z_1, z_2, *_scale(z_1, temperature))  # type: ignore[no-any-return,no-untyped-call]


def info_nce_and_gradients(
    z_1: Tensor, z_2: Tensor, temperature: float | Tensor, factors: Sequence[Tensor | None]
) -> tuple[Tensor, list[Tensor | None]]:
    """The loss (K,) of projections (K, N, D), which are normalised here, and its gradients times a factor (K,) each.

    There is none for a projection whose factor is None.
    """
    inverse, weigh = _scale(z_1, temperature)
    rate = _rate(inverse, z_1.shape[1])
    units = unit(z_1), unit(z_2)
    asked = factors[0] is not None, factors[1] is not None
    loss, products = _loss_and_products(units[0][0], units[1][0], inverse, weigh, asked)
    gradients: list[Tensor | None] = []
    for product, (rows, length), factor in zip(products, units, factors, strict=True):
        if product is None or factor is None:
            gradients.append(None)
        else:
            gradients.append(unit_backward(product, rows, length * (factor * rate).view(-1, 1, 1)))
    return loss, gradients


def _scale(z: Tensor, temperature: float | Tensor) -> tuple[float | Tensor, _Weigh]:
    """1 / τ, one or (K, 1, 1), and how to weigh similarities that are multiplied by it."""
    smallest = smallest_temperature(temperature, n_replicas=len(z))
    weigh = _weigh_bounded if _is_bounded(smallest, z.shape[1], z.dtype) else weigh_shifted
    inverse = temperature.to(z).reciprocal().view(-1, 1, 1) if isinstance(temperature, Tensor) else 1 / temperature
    return inverse, weigh


def smallest_temperature(temperature: float | Tensor, *, n_replicas: int) -> float:
    """The smallest of the temperatures; a tensor on an accelerator is read by the host once, not at every step.

    Raises:
        ValueError: not a float above 0, or a tensor of such, () or (K,), without gradient.
    """
    if isinstance(temperature, Tensor):
        if temperature.requires_grad or temperature.shape not in ((), (n_replicas,)):
            raise ValueError(
                f"temperature has shape {tuple(temperature.shape)} and requires_grad={temperature.requires_grad}; "
                f"give a float or a constant tensor of shape ({n_replicas},)"
            )
        smallest = _read_once(temperature)
    else:
        smallest = temperature
    if not smallest > 0:
        raise ValueError(f"temperature is {smallest}; give one above 0")
    return smallest


def _read_once(temperature: Tensor) -> float:
    if temperature.is_cpu or temperature.is_inference():  # nothing to save, or no version to tell a change by
        return float(temperature.min())
    version, smallest = _smallest_seen.get(temperature, (-1, 0.0))
    if version != temperature._version:
        smallest = float(temperature.min())
        _smallest_seen[temperature] = temperature._version, smallest
    return smallest


class _InfoNCE(torch.autograd.Function):
    """The products W z₂ and Wᵀ z₁ exist before anyone asks for a gradient; the backward pass only scales them."""

    @staticmethod
    def forward(ctx: Any, z_1: Tensor, z_2: Tensor, inverse: float | Tensor, weigh: _Weigh) -> Tensor:
        first, second = ctx.needs_input_grad[:2]
        loss, products = _loss_and_products(z_1, z_2, inverse, weigh, (first, second))
        ctx.rate = _rate(inverse, z_1.shape[1])
        ctx.save_for_backward(*products)
        return loss

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        if torch.is_grad_enabled():
            raise RuntimeError("symmetric InfoNCE can be differentiated once only: do without create_graph=True")
        scale = (upstream * ctx.rate).view(-1, 1, 1)
        return *(None if product is None else product * scale for product in ctx.saved_tensors), None, None


def _loss_and_products(
    z_1: Tensor, z_2: Tensor, inverse: float | Tensor, weigh: _Weigh, asked: tuple[bool, bool]
) -> tuple[Tensor, list[Tensor | None]]:
    """The loss (K,), and W z₂ and Wᵀ z₁ (K, N, D) where they are asked for."""
    n_replicas, n, _ = z_1.shape
    size = min(_chunk_size(z_1), n_replicas)
    # One workspace for all chunks: fresh memory would cost as much as the work in it.
    weights, scratch = z_1.new_empty(size, n, n), z_1.new_empty(size, n, n)
    loss = z_1.new_empty(n_replicas)
    # Feature by feature in memory: the product that has the samples along its rows is the faster one.
    products = [z_1.new_empty(z_1.mT.shape).mT if each else None for each in asked]
    whole: tuple[Any, ...] = (z_1 * inverse, z_1, z_2, loss, *products)
    for scaled, first, second, mean, for_1, for_2 in [whole] if size == n_replicas else _chunks(whole, size):
        if len(mean) < size:
            weights, scratch = weights[: len(mean)], scratch[: len(mean)]
        torch.bmm(scaled, second.mT, out=weights)  # with an `out`, autocast leaves it in full precision
        torch.mean(weigh(weights, scratch), (1, 2), out=mean)
        if for_1 is not None:
            torch.bmm(second.mT, weights.mT, out=for_1.mT)
        if for_2 is not None:
            torch.bmm(first.mT, weights, out=for_2.mT)
    return loss, products


def _rate(inverse: float | Tensor, n: int) -> float | Tensor:
    """What the products are multiplied by to be gradients, one or (K,)."""
    return (inverse.view(-1) if isinstance(inverse, Tensor) else inverse) / (2 * n)


def _chunks(tensors: tuple[Any, ...], size: int) -> Iterator[tuple[Any, ...]]:
    """Views of `size` replicas of each tensor, fewer in the last ones."""
    for start in range(0, len(tensors[0]), size):
        yield tuple(None if tensor is None else tensor[start : start + size] for tensor in tensors)


def _weigh_bounded(logits: Tensor, scratch: Tensor) -> Tensor:
    """The cross-entropies of rows and columns (K, 2, N); turns `logits` S into W."""
    exponentials = logits.exp_()
    diagonal = exponentials.diagonal(dim1=1, dim2=2)
    row_sum, column_sum = exponentials.sum(2, keepdim=True), exponentials.sum(1, keepdim=True)
    # The logarithm of the ratio: the difference of logarithms would cancel where the pairs are well aligned.
    losses = torch.cat((row_sum.mT, column_sum), 1).div_(diagonal.unsqueeze(1)).log_()
    exponentials.mul_(torch.add(row_sum.reciprocal_(), column_sum.reciprocal_(), out=scratch))
    diagonal.sub_(2)
    return losses


def weigh_shifted(logits: Tensor, scratch: Tensor) -> Tensor:
    """The losses and W as in `_weigh_bounded`, where τ is so small that each row and column needs its own maximum."""
    diagonal = logits.diagonal(dim1=1, dim2=2)
    row_max, column_max = logits.amax(2, keepdim=True), logits.amax(1, keepdim=True)
    below_max = diagonal.unsqueeze(1) - torch.cat((row_max.mT, column_max), 1)
    rows = torch.sub(logits, row_max, out=scratch).clamp_min_(_NEGLIGIBLE).exp_()
    columns = logits.sub_(column_max).clamp_min_(_NEGLIGIBLE).exp_()
    row_sum, column_sum = rows.sum(2, keepdim=True), columns.sum(1, keepdim=True)
    losses = torch.cat((row_sum.mT, column_sum), 1).log_().sub_(below_max)
    columns.div_(column_sum).add_(rows.div_(row_sum))
    diagonal.sub_(2)
    return losses


def _chunk_size(z: Tensor) -> int:
    """How many replicas to take at a time, at least one."""
    budget = CPU_CHUNK_BYTES * torch.get_num_threads() if z.device.type == "cpu" else _DEVICE_CHUNK_BYTES
    return max(1, budget // (z.shape[1] ** 2 * z.element_size()))


def _is_bounded(temperature: float, n: int, dtype: torch.dtype) -> bool:
    """Whether exp(s/τ) / Σ exp(s/τ) is a normal number for all s in [−1, 1] (τ ≥ 0.025 for N ≤ 1000 in float32)."""
    return 2 / temperature + math.log(n) < -math.log(torch.finfo(dtype).tiny) - 1
