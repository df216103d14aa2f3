"""Arrow's columns of vectors, as Parquet and Hugging Face's datasets have them, as one array of numbers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from trainables.datasets.base import DataError

if TYPE_CHECKING:
    import pyarrow as pa


def is_vectors(kind: pa.DataType) -> bool:
    """Whether each entry of a column of this type is a vector, or a matrix."""
    from pyarrow import types

    kind = getattr(kind, "storage_type", kind)
    return bool(types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind))


def read_vectors(where: str, pieces: Iterable[pa.Array], *, rows: int) -> NDArray[Any]:
    """The vectors (N, d), or matrices (N, T, d), of a column that comes in `pieces`, in the column's precision.

    Each piece is copied into its place as it comes, so that one copy of the whole is in memory; a piece that is the
    whole is not copied, and stays memory-mapped where it is. Missing numbers are NaN.

    Raises:
        DataError: there is a row without a vector, rows of different lengths, or something else than numbers.
    """
    whole: NDArray[Any] | None = None
    start = 0
    for piece in pieces:
        if not len(piece):
            continue
        values = _numbers(where, piece, first=start)
        if len(values) == rows:
            return values
        if whole is None:
            whole = np.empty((rows, *values.shape[1:]), values.dtype)
        if values.shape[1:] != whole.shape[1:]:
            raise DataError(
                f"{where} holds vectors of different lengths: {_shape(whole)} in row 1, {_shape(values)} in row "
                f"{start + 1}; make them equal"
            )
        if not np.can_cast(values.dtype, whole.dtype):  # whole numbers, of which the first are missing here
            whole = whole.astype(values.dtype)
        whole[start : start + len(values)] = values
        start += len(values)
    if whole is None or start != rows:
        raise DataError(f"{where} has {start} rows of {rows}; the file is damaged")
    return whole


def _numbers(where: str, piece: pa.Array, *, first: int) -> NDArray[Any]:
    """The vectors of one piece, whose rows count from `first`."""
    from pyarrow import types

    shape = [len(piece)]
    while is_vectors(piece.type):
        piece = getattr(piece, "storage", piece)
        if piece.null_count:
            missing = int(np.flatnonzero(piece.is_null().to_numpy(zero_copy_only=False))[0]) // _size(shape[1:])
            raise DataError(f"{where} has no vector in row {first + missing + 1}; remove such rows")
        if types.is_fixed_size_list(piece.type):
            size = piece.type.list_size
        else:
            lengths = np.diff(piece.offsets.to_numpy())
            size = int(lengths[0])
            if (other := np.flatnonzero(lengths != size)).size:
                row = first + int(other[0]) // _size(shape[1:]) + 1
                raise DataError(
                    f"{where} holds vectors of different lengths: {size} in row {first + 1}, {lengths[other[0]]} in "
                    f"row {row}; make them equal"
                )
        shape.append(size)
        piece = piece.flatten()
    kind = piece.type
    if not (types.is_floating(kind) or types.is_integer(kind) or types.is_boolean(kind)):
        raise DataError(f"{where} holds vectors of {kind}, which are no numbers")
    values: NDArray[Any] = piece.to_numpy(zero_copy_only=False)
    return values.reshape(shape) if values.dtype.kind in "biuf" else values.astype(np.float64).reshape(shape)


def _size(shape: list[int]) -> int:
    return max(1, int(np.prod(shape, dtype=np.int64)))


def _shape(values: NDArray[Any]) -> str:
    return " × ".join(map(str, values.shape[1:]))
