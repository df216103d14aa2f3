"""Splits of rows into train, validation and test: stratified, or by group; deterministic given a seed."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Fractions = tuple[float, float, float]
THREE_SPLITS: Fractions = (0.6, 0.15, 0.25)  # train, valid, test


def stratified_split(
    labels: NDArray[np.integer], *, fractions: Fractions = THREE_SPLITS, seed: int = 0
) -> NDArray[np.int8]:
    """Split codes (N,) with every class in proportion; the sizes are those of scikit-learn's `train_test_split`.

    That is: ceil((1 - train) N) rows are set aside from the training rows, and of these the test split gets the ceiling
    of its share.
    """
    rng = np.random.default_rng(seed)
    n = len(labels)
    n_rest = _ceil((1 - fractions[0]) * n)
    n_test = _ceil(n_rest * fractions[2] / (fractions[1] + fractions[2]))
    rest = stratified_rows(labels, n_rest, rng=rng)
    test = rest[stratified_rows(labels[rest], n_test, rng=rng)]
    split = np.zeros(n, dtype=np.int8)
    split[rest] = 1
    split[test] = 2
    return split


def stratified_rows(labels: NDArray[np.integer], size: int, *, rng: np.random.Generator) -> NDArray[np.int64]:
    """Random `size` of the rows of `labels` (N,), ascending, each class in proportion to within one row."""
    _, code, counts = np.unique(labels, return_inverse=True, return_counts=True)
    take = _apportion(counts, size)
    order = rng.permutation(len(labels))
    order = order[np.argsort(code[order], kind="stable")]
    starts = np.cumsum(counts) - counts
    chosen = [order[start : start + k] for start, k in zip(starts, take, strict=True)]
    return np.sort(np.concatenate(chosen))


def quantile_classes(score: NDArray[np.floating], classes: int) -> NDArray[np.int64]:
    """Classes 0..classes-1 of a score (N,), as equal in size as can be, ascending with it."""
    rank = np.empty(len(score), dtype=np.int64)
    rank[np.argsort(score, kind="stable")] = np.arange(len(score))
    return rank * classes // len(score)


def _apportion(counts: NDArray[np.int64], total: int) -> NDArray[np.int64]:
    """Integers in proportion to `counts` that sum to `total`, by largest remainder."""
    share = counts * (total / counts.sum())
    floor: NDArray[np.int64] = np.floor(share + 1e-9).astype(np.int64)
    largest = np.argsort(-(share - floor), kind="stable")[: total - int(floor.sum())]
    floor[largest] += 1
    return floor


def _ceil(value: float) -> int:
    """Smallest integer not below `value`, forgiving of rounding in products such as 0.15 × 20."""
    return int(np.ceil(value - 1e-9))
