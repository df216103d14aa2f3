"""Columns of numbers in whatever unit: where they lie, how far they spread, and whether they vary at all.

Training, profile and theory ask here, so that none of them reads a column that another one calls constant, and no
answer depends on the unit of a modality or a target. Everything is computed in float64; only what is centred and of
spread 1 is cast to less.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from trainables.datasets.base import Target
from trainables.metrics.scores import SCORES

Array = NDArray[np.float64]

_PIECE = 1024  # rows of sequences that are in memory as float64 at once
_SAMPLE = 255  # sequences that show where a feature lies
_SMALLEST = 4  # times the smallest full number: what spreads less has no inverse
_ROUNDINGS = 2  # of its mean: a column that spreads less differs from a constant by rounding alone


@dataclass(frozen=True, kw_only=True, eq=False)
class Columns:
    """Mean and standard deviation (features,) of columns over some rows, and which of them vary.

    A column varies where it spreads by more than twice the rounding of its mean in the precision in which it is given,
    and by more than the smallest numbers of that precision: the same columns in any unit and from any zero, as long as
    that precision holds them.
    """

    mean: Array
    deviation: Array
    varies: NDArray[np.bool_]


def columns_of(values: NDArray[Any], *, precision: DTypeLike | None = None) -> Columns:
    """Columns of `values` (N, features), given in `precision` at first (None: in their own)."""
    return columns_of_pieces(
        lambda: [values], features=values.shape[1], precision=values.dtype if precision is None else precision
    )


def columns_of_pieces(pieces: Callable[[], Iterable[NDArray[Any]]], *, features: int, precision: DTypeLike) -> Columns:
    """Columns of rows that come in `pieces` (n, features), which is called twice, so that float64 costs no memory.

    Sums are of differences from the first row and of shares of the largest: a constant column has the deviation 0, and
    squares neither overflow nor vanish.
    """
    total, peak, squares, count = np.zeros(features), np.zeros(features), np.zeros(features), 0
    first: Array | None = None
    for piece in _in_float64(pieces()):
        first = piece[0].copy() if first is None else first
        differences = piece - first
        total += differences.sum(axis=0)
        np.maximum(peak, np.abs(differences, out=differences).max(axis=0), out=peak)
        count += len(piece)
    if first is None:
        return Columns(mean=total, deviation=peak, varies=np.zeros(features, dtype=np.bool_))
    mean = first + total / count
    unit = np.where(peak > 0, peak, 1.0)
    for piece in _in_float64(pieces()):
        squares += (((piece - mean) / unit) ** 2).sum(axis=0)
    deviation = peak * np.sqrt(squares / count)
    limits = _limits(precision)
    least = np.maximum(_ROUNDINGS * float(limits.eps) * np.abs(mean), _SMALLEST * float(limits.tiny))
    return Columns(mean=mean, deviation=deviation, varies=deviation > least)


@dataclass(frozen=True, kw_only=True, eq=False)
class TargetUnit:
    """The unit of a real target: each column is trained as (value - `centre`) / `scale`, both (outputs,)."""

    centre: Array
    scale: Array

    def apply(self, values: NDArray[Any]) -> Array:
        """Columns (N, outputs) of `values` (N,) or (N, outputs) in this unit."""
        return np.asarray((np.asarray(values, dtype=np.float64).reshape(len(values), -1) - self.centre) / self.scale)

    def undo(self, values: NDArray[Any]) -> Array:
        """What `apply` was given, from (N, outputs)."""
        return np.asarray(np.asarray(values, dtype=np.float64) * self.scale + self.centre)


def target_unit(target: Target, rows: NDArray[np.int64]) -> TargetUnit:
    """The unit in which a real target is learned, by these rows: mean 0 and variance 1 of every column.

    Where the score is `signed` zero stays zero, and the mean square is 1. A column that does not
    vary keeps its scale.
    """
    values = np.asarray(target.values)[rows].reshape(len(rows), -1)
    columns = columns_of(values)
    if SCORES[target.metric].signed:
        centre, scale = np.zeros_like(columns.mean), np.hypot(columns.mean, columns.deviation)
        return TargetUnit(centre=centre, scale=np.where(scale > 0, scale, 1.0))
    return TargetUnit(centre=columns.mean, scale=np.where(columns.varies, columns.deviation, 1.0))


def mean_over_steps(values: NDArray[Any], mask: NDArray[np.bool_] | None) -> Array:
    """The mean (N, features) of a sequence (N, T, features) over its real steps, 0 where it has none.

    Differences from one and the same number are averaged, so that a constant stays one, to the last bit, and what
    stands in padded steps rounds nothing.
    """
    means = np.empty((len(values), values.shape[2]))
    origin = _middle_steps(values, mask)
    for start in range(0, len(values), _PIECE):
        rows = slice(start, start + _PIECE)
        differences = np.asarray(values[rows], dtype=np.float64) - origin
        if mask is not None:
            differences[~mask[rows]] = 0.0
        count = np.full(len(differences), values.shape[1]) if mask is None else mask[rows].sum(axis=1)
        means[rows] = differences.sum(axis=1) / np.maximum(count, 1)[:, None] + origin[:, 0]
        means[rows][count == 0] = 0.0
    return means


def _middle_steps(values: NDArray[Any], mask: NDArray[np.bool_] | None) -> Array:
    """For each feature one of its numbers (1, 1, features) at real steps, from the middle of some of them.

    An outlier would do for a constant, and round all else away.
    """
    rows = np.unique(np.linspace(0, max(0, len(values) - 1), _SAMPLE).astype(np.int64))[: len(values)]
    if mask is not None:
        rows = rows[mask[rows].any(axis=1)]
        rows = rows if len(rows) else np.flatnonzero(mask.any(axis=1))[:1]
    if not len(rows):
        return np.zeros((1, 1, values.shape[2]))
    steps = np.zeros(len(rows), dtype=np.int64) if mask is None else mask[rows].argmax(axis=1)
    found = np.asarray(values[rows, steps], dtype=np.float64)
    middle = len(rows) // 2
    return np.asarray(np.partition(found, middle, axis=0)[middle][None, None])


def _in_float64(pieces: Iterable[NDArray[Any]]) -> Iterable[Array]:
    return (np.asarray(piece, dtype=np.float64) for piece in pieces if len(piece))


def _limits(precision: DTypeLike) -> np.finfo[Any]:
    """Limits of the numbers; integers count as the float64 in which they are computed."""
    dtype = np.dtype(precision)
    return np.finfo(np.float32 if dtype.kind == "f" and dtype.itemsize <= 4 else np.float64)
