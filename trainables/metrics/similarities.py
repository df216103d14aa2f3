"""Similarities of two representations, by name; nothing here has a gradient.

They take features x (N, d) and y (N, e) of the same N samples, NumPy arrays or tensors, optionally with a
replica axis K in front of both, and give one number, or (K,), of the same kind; they compute in float64. A replica
whose features are not finite scores NaN; one of which either side does not vary, but for rounding, scores 0, since
nothing is shared where there is nothing. They follow the definitions of Huh et al. 2024 (the platonic representation
hypothesis, its public `metrics.py`), which apply `prepare_features` first.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

Array = TypeVar("Array", Tensor, NDArray[Any])

ROW_BLOCK_BYTES = 2**24
_ROUNDINGS = 64  # of which a number that went through a network may be off


def prepare_features(x: Array, *, quantile: float = 1.0, exact: bool = True, normalise: bool = True) -> Array:
    """Features with outliers clipped and rows scaled to unit L2 norm, as (…, N, d) float64.

    Clipping is at ±q, the `quantile` of |x|: of all entries at once (`exact`), or the mean over rows of each row's own.
    Huh et al. 2024 clip at 0.95, exactly; Tjandrasuwita et al. 2025 do not clip. Both normalise.

    Raises:
        ValueError: a quantile outside (0, 1], or x is not (N, d) or (K, N, d).
    """
    if not 0 < quantile <= 1:
        raise ValueError(f"quantile is {quantile}; give one above 0 and at most 1 (1: no clipping)")
    features = _features(x)
    if quantile < 1:
        sizes = features.abs()
        if exact:
            ranked = sizes.flatten(1).sort(dim=1).values
            limit = ranked[:, int(quantile * ranked.shape[1])]
        else:
            limit = torch.stack([torch.quantile(rows, quantile, dim=1).mean() for rows in sizes])
        limit = limit.view(-1, 1, 1)
        features = features.clamp(-limit, limit)
    if normalise:
        features = functional.normalize(features, dim=-1)
    return _like(x, features)


def linear_cka(
    x: Array, y: Array, unbiased: bool = False, *, clip_negative: bool = False, epsilon: float = 1e-6
) -> Array:
    """Centred kernel alignment of the kernels K = x xᵀ and L = y yᵀ: HSIC(K, L) / (√(HSIC(K, K) HSIC(L, L)) + ε).

    1 for features that are equal up to rotation, shift and scale. HSIC is tr(K H L H) (Kornblith et al. 2019; range
    [0, 1]), or the U-statistic of Song et al. 2012, eq. 5, which is 0 on average for independent features of any width
    (the biased one grows with d/N), so that it may be slightly negative (range [−1, 1]); it needs N ≥ 4. ε as Huh et
    al. 2024: it matters only where features are so small that HSIC is near it. Tjandrasuwita et al. 2025 is
    `unbiased=True, clip_negative=True, epsilon=0`, where a zero denominator gives 0.

    Raises:
        ValueError: shapes do not match, or N is too small.
    """

    def measure(x: Tensor, y: Tensor) -> Tensor:
        x, y = x - x.mean(1, keepdim=True), y - y.mean(1, keepdim=True)
        hsic = _hsic_unbiased if unbiased else _hsic_biased
        shared = hsic(x, y).clamp_min(0) if clip_negative else hsic(x, y)
        denominator = (hsic(x, x).clamp_min(0) * hsic(y, y).clamp_min(0)).sqrt() + epsilon
        return torch.where(denominator == 0, 0, shared / denominator)

    return _compare(measure, x, y, at_least=4 if unbiased else 2)


def _hsic_biased(x: Tensor, y: Tensor) -> Tensor:
    """tr(K H L H) of centred features: ‖xᵀ y‖²_F, by whichever of features and samples is the smaller matrix."""
    n, width_x, width_y = *x.shape[1:], y.shape[2]
    if width_x * width_y <= n * n:
        return (x.mT @ y).square().sum((1, 2))
    return ((x @ x.mT) * (y @ y.mT)).sum((1, 2))


def _hsic_unbiased(x: Tensor, y: Tensor) -> Tensor:
    """Song et al. 2012, eq. 5. It ignores shifts, so the features may be centred; then K's rows sum to zero."""
    n = x.shape[1]
    diagonal_k, diagonal_l = x.square().sum(2), y.square().sum(2)
    diagonals = (diagonal_k * diagonal_l).sum(1)
    traces = diagonal_k.sum(1) * diagonal_l.sum(1)
    total = _hsic_biased(x, y) - diagonals + traces / ((n - 1) * (n - 2)) - 2 * diagonals / (n - 2)
    return total / (n * (n - 3))


def svcca(x: Array, y: Array, rank: int = 10) -> Array:
    """Mean canonical correlation between the leading `rank` singular directions of both, range [0, 1].

    Columns are standardised, and only the left singular vectors compared, not scaled by their singular values (Huh et
    al. 2024's variant of Raghu et al. 2017; its randomised decomposition is exact here). The rank is reduced to what
    the narrower side has: its width, N − 1, or the directions in which it varies at all (dead units, copies), per
    replica.

    Raises:
        ValueError: shapes do not match, or the rank is below 1.
    """
    if rank < 1:
        raise ValueError(f"rank is {rank}; give one of at least 1")
    precision = max(_precision(x), _precision(y))

    def directions(x: Tensor) -> tuple[Tensor, Tensor]:
        x = x - x.mean(1, keepdim=True)
        x = x / (x.std(1, keepdim=True) + 1e-8)
        u, s, _ = torch.linalg.svd(x, full_matrices=False)
        u, s = u[..., :rank], s[:, :rank]
        noise = s[:, :1] * precision * max(x.shape[1:])
        varies = s > noise.clamp_min(1e-6)
        return u * varies.unsqueeze(1), varies.sum(1)

    def measure(x: Tensor, y: Tensor) -> Tensor:
        (u_x, rank_x), (u_y, rank_y) = directions(x), directions(y)
        correlations = torch.linalg.svdvals(u_x.mT @ u_y).clamp_max(1)
        mean: Tensor = correlations.sum(1) / torch.minimum(rank_x, rank_y).clamp_min(1)
        return mean

    return _compare(measure, x, y, at_least=2)


def mutual_knn(x: Array, y: Array, k: int = 10) -> Array:
    """Mean share of its k nearest neighbours that a sample has in both spaces, range [0, 1].

    Neighbours have the largest inner products, the sample itself excluded (Huh et al. 2024, k = 10; Tjandrasuwita et
    al. 2025, k = 100); normalise the rows for neighbours by angle. Unrelated features score k / (N − 1) on average.
    Ties are broken arbitrarily, alike on both sides.

    Raises:
        ValueError: shapes do not match, or k is not from 1 to N − 1.
    """

    def neighbours(x: Tensor, rows: slice) -> Tensor:
        similarities = x[rows] @ x.T
        similarities.diagonal(rows.start).fill_(-torch.inf)
        if similarities.is_cpu:  # NumPy's selection is vectorised: half the time of topk on rows of hundreds
            return torch.from_numpy(np.argpartition(similarities.numpy(), -k, axis=1)[:, -k:])
        return similarities.topk(k, sorted=False).indices

    def overlap(x: Tensor, y: Tensor) -> Tensor:
        n = len(x)
        block = max(1, ROW_BLOCK_BYTES // (n * x.element_size()))
        shared = x.new_zeros(())
        for start in range(0, n, block):
            rows = slice(start, min(start + block, n))
            in_x, in_y = neighbours(x, rows), neighbours(y, rows)
            near_x = torch.zeros(len(in_x), n, dtype=torch.bool, device=x.device).scatter_(1, in_x, True)
            shared += near_x.gather(1, in_y).sum()
        return shared / (n * k)

    def measure(x: Tensor, y: Tensor) -> Tensor:
        return torch.stack([overlap(*replica) for replica in zip(x, y, strict=True)])

    n = x.shape[-2] if x.ndim >= 2 else 0
    if n and not 1 <= k < n:
        raise ValueError(f"k is {k} for {n} samples; give one from 1 to {n - 1}")
    return _compare(measure, x, y, at_least=2)


def _unbiased_cka(x: Tensor, y: Tensor) -> Tensor:
    """Unbiased CKA clipped at 0, so that wide and narrow encoders compare."""
    return linear_cka(x, y, unbiased=True, clip_negative=True, epsilon=0)


def _ten_neighbours(x: Tensor, y: Tensor) -> Tensor:
    """`mutual_knn` with k = 10, or N − 1 where that is less."""
    return mutual_knn(x, y, k=min(10, x.shape[-2] - 1))


# What a result says of its two encoders' features (K, N, d) and (K, N, e), whose rows have norm 1: (K,) each.
SIMILARITIES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "cka": _unbiased_cka,
    "svcca": svcca,
    "mutual_knn": _ten_neighbours,
}


def similarities(x: Array, y: Array) -> dict[str, Array]:
    """All of `SIMILARITIES` of features, whose rows are scaled to unit norm.

    Raises:
        ValueError: shapes do not match, or fewer than 4 samples.
    """
    prepared_x, prepared_y = _prepared(x), _prepared(y)
    return {name: _like(x, measure(prepared_x, prepared_y)) for name, measure in SIMILARITIES.items()}


def _prepared(x: Array) -> Tensor:
    """Prepared features (K, N, d), all zero for a replica that varies by no more than rounding of what was given."""
    features = _features(prepare_features(x))
    steady = ~_varies(features, precision=_precision(x))
    return features.masked_fill(steady.view(-1, 1, 1), 0)


def _compare(measure: Callable[[Tensor, Tensor], Tensor], x: Array, y: Array, *, at_least: int) -> Array:
    """`measure` on (K, N, d) and (K, N, e), and its (K,) in the form of x."""
    features_x, features_y = _features(x), _features(y)
    if x.ndim != y.ndim or features_x.shape[:2] != features_y.shape[:2] or features_x.shape[1] < at_least:
        raise ValueError(
            f"features have shapes {tuple(x.shape)} and {tuple(y.shape)}; give (N, d) and (N, e), or (K, N, d) and "
            f"(K, N, e), with N ≥ {at_least}"
        )
    finite = (features_x.isfinite().all(2) & features_y.isfinite().all(2)).all(1)
    keep = finite.view(-1, 1, 1)  # decompositions raise on NaN, for all replicas because of one
    value = measure(torch.where(keep, features_x, 0), torch.where(keep, features_y, 0))
    both_vary = _varies(features_x, precision=_precision(x)) & _varies(features_y, precision=_precision(y))
    return _like(x, value.masked_fill(~both_vary, 0).masked_fill(~finite, torch.nan))


def _varies(features: Tensor, *, precision: float) -> Tensor:
    """(K,) whether any column of (K, N, d) spans more than sums of numbers of this relative precision are off by."""
    span, size = features.amax(1) - features.amin(1), features.abs().amax(1)
    return (span > _ROUNDINGS * precision * size).any(1)


def _features(x: Array) -> Tensor:
    """(K, N, d) in float64, K = 1 where there is no replica axis."""
    if x.ndim not in (2, 3) or x.shape[-1] == 0:
        raise ValueError(f"features have shape {tuple(x.shape)}; give (N, d) or (K, N, d)")
    # A copy where it is an array: it may be read-only, which tensors do not know.
    features = x.detach().double() if isinstance(x, Tensor) else torch.from_numpy(np.array(x, dtype=np.float64))
    return features if x.ndim == 3 else features.unsqueeze(0)


def _like(x: Array, value: Tensor) -> Array:
    """`value` (K, …) without its replica axis where x has none, as an array where x is one."""
    value = value if x.ndim == 3 else value[0]
    if isinstance(x, Tensor):
        return value
    return value.numpy()[()]


def _precision(x: Array) -> float:
    """Relative rounding error of what was given: directions below it are noise."""
    if isinstance(x, Tensor):
        return torch.finfo(x.dtype if x.is_floating_point() else torch.float64).eps
    return float(np.finfo(x.dtype if np.issubdtype(x.dtype, np.floating) else np.float64).eps)
