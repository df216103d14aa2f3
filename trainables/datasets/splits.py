"""Splits of rows into train, validation and test: stratified, or by group; deterministic given a seed."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainables.datasets.base import DataError, Target

Fractions = tuple[float, ...]
THREE_SPLITS: Fractions = (0.6, 0.15, 0.25)  # train, valid, test
_RECURS = 4  # rows of each combination of labels that a split in proportion to them needs


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


def carve_validation(
    labels: NDArray[np.integer], split: NDArray[np.int8], *, groups: NDArray[Any] | None = None, seed: int = 0
) -> NDArray[np.int8]:
    """Split codes (N,) as in `split`, but for validation, which a share of the training rows becomes.

    The share is that of `THREE_SPLITS`; classes are in proportion, and groups, where there are any, stay whole.

    Raises:
        DataError: all training rows are of one group.
    """
    train = np.flatnonzero(split == 0)
    share = THREE_SPLITS[1] / (THREE_SPLITS[0] + THREE_SPLITS[1])
    if groups is None:
        rows = stratified_rows(labels[train], _ceil(share * len(train)), rng=np.random.default_rng(seed))
    else:
        rows = np.flatnonzero(group_split(labels[train], groups[train], fractions=(1 - share, share), seed=seed))
    carved = split.copy()
    carved[train[rows]] = 1
    return carved


def block_split(labels: NDArray[np.integer], *, fractions: Fractions = THREE_SPLITS) -> NDArray[np.int8]:
    """Split codes (N,): of each class the first rows train, the next ones validate, the last ones test."""
    split = np.empty(len(labels), dtype=np.int8)
    edges = np.cumsum(fractions)[:2]
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label)
        split[rows] = np.searchsorted(edges, (np.arange(len(rows)) + 0.5) / len(rows))
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


def strata(target: Target, *, quantiles: int = 10) -> NDArray[Any]:
    """What rows are split in proportion to: their classes, whole rows of labels where these recur, else the rarest
    label, or quantiles of a real target's first column, (N,).
    """
    if target.kind == "multi_label":
        _, code, counts = np.unique(target.values, axis=0, return_inverse=True, return_counts=True)
        share = target.values.mean(axis=0)
        rarest = target.values[:, int(np.minimum(share, 1 - share).argmin())]
        return code.reshape(-1) if counts.min() >= _RECURS else rarest.astype(np.int64)
    first = target.values if target.values.ndim == 1 else target.values[:, 0]
    return first if target.kind == "classes" else quantile_classes(first, quantiles)


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


def group_split(
    labels: NDArray[np.integer], groups: NDArray[Any], *, fractions: Fractions = THREE_SPLITS, seed: int = 0
) -> NDArray[np.int8]:
    """Split codes (N,), as many as `fractions`: a group lies in one split, classes are as much in proportion as can be.

    Greedy: from the largest group to the smallest (ties at random), each goes where the counts of its classes come
    nearest to their targets; a split that is still empty when just enough groups are left gets one of them.

    Raises:
        DataError: there are fewer groups than splits.
    """
    _, code, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    n_groups = len(sizes)
    if n_groups < len(fractions):
        parts = {2: "two", 3: "three"}.get(len(fractions), str(len(fractions)))
        raise DataError(
            f"{n_groups} group{'s' * (n_groups > 1)} cannot be split in {parts} without straddling; "
            f"give at least {len(fractions)} groups"
        )
    classes, label = np.unique(labels, return_inverse=True)
    counts = np.zeros((n_groups, len(classes)))
    np.add.at(counts, (code, label), 1)
    wanted = np.outer(fractions, counts.sum(axis=0))
    order = np.random.default_rng(seed).permutation(n_groups)
    order = order[np.argsort(-sizes[order], kind="stable")]
    of_group = np.zeros(n_groups, dtype=np.int8)
    filled = np.zeros_like(wanted)
    for done, group in enumerate(order):
        empty = np.flatnonzero(filled.sum(axis=1) == 0)
        allowed = empty if n_groups - done <= len(empty) else np.arange(len(fractions))
        before, after = wanted - filled, wanted - filled - counts[group]
        cost = (after**2 - before**2).sum(axis=1)
        choice = allowed[np.argmin(cost[allowed])]
        of_group[group] = choice
        filled[choice] += counts[group]
    return of_group[code]
