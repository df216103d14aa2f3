"""What AnnData writes as groups of HDF5 rather than as arrays: sparse matrices, categories, columns with gaps, frames.

Read from the published format (anndata, "On-disk format", encodings 0.1 and 0.2) rather than by anndata: an array is
then read alone, memory-mapped if it can be, whatever version wrote the file and whatever pandas is installed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from trainables.datasets.base import DataError
from trainables.datasets.files.hdf5 import check_memory, is_array, names_in, read_array
from trainables.datasets.files.reading import MAX_BYTES, size_text

if TYPE_CHECKING:
    import h5py

_STEP = 2**24  # numbers of a sparse matrix that are looked at at once
_LARGEST_WHOLE = 2**24  # up to which float32 holds every whole number


def encoding_of(node: Any) -> str:
    """How AnnData says that a member of a file is stored; empty where it says nothing."""
    return text_of(node.attrs.get("encoding-type", ""))


def text_of(value: Any) -> str:
    """A text of an attribute, which other libraries may write as bytes."""
    return value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else str(value)


def shape_of(node: Any) -> tuple[int, ...] | None:
    """The shape of the array that a member of a file stands for, its data unread; None where it stands for none."""
    if is_array(node):
        return None if node.shape is None else tuple(node.shape)
    encoding = encoding_of(node)
    if encoding in _SPARSE:
        return tuple(int(size) for size in node.attrs["shape"])
    if encoding == "dataframe":
        columns = frame_columns(node)
        first = shape_of(node[columns[0]]) if columns else None
        return None if first is None else (first[0], len(columns))
    part = {"categorical": "codes"}.get(encoding, "values" if encoding.startswith("nullable-") else "")
    return tuple(node[part].shape) if part else None


def frame_columns(node: Any) -> list[str]:
    """The columns of a data frame in their order, its index aside."""
    names = [text_of(one) for one in node.attrs.get("column-order", ())] or names_in(node)
    return [name for name in names if name in node and name != frame_index(node) and not name.startswith("__")]


def frame_index(node: Any) -> str:
    """The column of a data frame that names its rows."""
    return text_of(node.attrs.get("_index", "_index"))


def read_member(where: str, path: Path, node: Any) -> NDArray[Any]:
    """A member of the file at `path` as an array: sparse ones dense, categories as texts, gaps as NaN or empty texts.

    Raises:
        DataError: it holds something else, is damaged, or does not fit into memory.
    """
    if is_array(node):
        values = read_array(where, path, node)
        if "categories" in node.attrs:  # as anndata 0.7 wrote them
            return _named(where, values, read_array(where, path, node.file[node.attrs["categories"]]))
        return values
    encoding = encoding_of(node)
    read = _READERS.get(encoding)
    if read is None:
        what = (
            f"is stored as {encoding!r}" if encoding else f"is a group, of {', '.join(names_in(node)[:6]) or 'nothing'}"
        )
        raise DataError(f"{where} {what}, and not as an array; give one of plain numbers or texts")
    return read(where, path, node)


def _sparse(where: str, path: Path, node: h5py.Group) -> NDArray[Any]:
    """A sparse matrix (N, d) as a dense one, in float32 if that holds its numbers; its non-zeros come in pieces."""
    from scipy import sparse

    n, width = (int(size) for size in node.attrs["shape"])
    data, indices = node["data"], node["indices"]
    ends = np.asarray(read_array(where, path, node["indptr"]))
    by_rows = encoding_of(node) == "csr_matrix"
    lines, length = (n, width) if by_rows else (width, n)
    kinds = (data.dtype.kind in "biuf", *(part.dtype.kind in "iu" for part in (indices, ends)))
    ascend = len(ends) == lines + 1 and ends[0] == 0 and not (np.diff(ends) < 0).any()
    if not (all(kinds) and ascend and ends[-1] == len(data) == len(indices)):
        raise DataError(f"{where} is a sparse matrix whose parts do not fit one another; it is damaged")
    dtype = _precision(data)
    n_bytes = n * width * dtype.itemsize
    told = f"{where} is sparse ({n} × {width}, {len(data) / max(1, n * width):.1%} of it not 0) and dense"
    remedy = "reduce it first, such as to its principal components, or keep fewer columns"
    if n_bytes > MAX_BYTES:
        raise DataError(
            f"{told} takes {size_text(n_bytes)}, more than the {size_text(MAX_BYTES)} that are read; {remedy}"
        )
    check_memory(told, n_bytes, instead=remedy)
    dense = np.zeros((n, width), dtype)
    target = dense if by_rows else dense.T
    start = 0
    while start < lines:
        stop = max(start + 1, int(np.searchsorted(ends, ends[start] + _STEP, side="right")) - 1)
        part = slice(int(ends[start]), int(ends[stop]))
        form = (data[part].astype(dtype), indices[part], ends[start : stop + 1] - ends[start])
        piece = sparse.csr_matrix(form, shape=(stop - start, length))
        piece.check_format(full_check=True)
        piece.sum_duplicates()
        rows = np.repeat(np.arange(start, stop), np.diff(piece.indptr))
        target[rows, piece.indices] = piece.data
        start = stop
    return dense


def _precision(data: Any) -> np.dtype[Any]:
    """Float64 for numbers that float32 does not hold: those of more digits, and whole ones beyond 2^24."""
    if np.can_cast(data.dtype, np.float32):
        return np.dtype(np.float32)
    if data.dtype.kind == "f":
        return np.dtype(np.float64)
    pieces = (data[start : start + _STEP] for start in range(0, len(data), _STEP))
    exact = all(piece.min() >= -_LARGEST_WHOLE and piece.max() <= _LARGEST_WHOLE for piece in pieces)
    return np.dtype(np.float32 if exact else np.float64)


def _categories(where: str, path: Path, node: h5py.Group) -> NDArray[Any]:
    codes, categories = (read_array(where, path, node[part]) for part in ("codes", "categories"))
    return _named(where, codes, categories)


def _named(where: str, codes: NDArray[Any], categories: NDArray[Any]) -> NDArray[Any]:
    """Categories by their codes, of which -1 is none: NaN among numbers, else an empty text."""
    whole = codes.dtype.kind in "iu"
    codes = np.asarray(codes).astype(np.int64)
    if not whole or categories.ndim != 1 or (len(codes) and (codes.max() >= len(categories) or codes.min() < -1)):
        raise DataError(f"{where} has codes of categories that are not there; it is damaged")
    if (codes < 0).any():
        numbers = categories.dtype.kind in "iuf"
        categories = np.append(categories.astype(np.float64 if numbers else str), np.nan if numbers else "")
    named: NDArray[Any] = categories[codes]
    return named


def _with_gaps(where: str, path: Path, node: h5py.Group) -> NDArray[Any]:
    values, gaps = (np.asarray(read_array(where, path, node[part])) for part in ("values", "mask"))
    if values.shape != gaps.shape:
        raise DataError(f"{where} has {values.shape} values and gaps {gaps.shape}; it is damaged")
    if not gaps.any():
        return values
    return np.where(gaps, "" if values.dtype.kind == "U" else np.nan, values)


def _frame(where: str, path: Path, node: h5py.Group) -> NDArray[Any]:
    """A data frame of numbers (N, d)."""
    columns = {name: read_member(f"{where}, column {name!r}", path, node[name]) for name in frame_columns(node)}
    for name, values in columns.items():
        if values.dtype.kind not in "biuf":
            raise DataError(f"{where} has the column {name!r}, which holds no numbers; leave it out of the frame")
    if not columns:
        raise DataError(f"{where} is a frame without columns")
    return np.column_stack(list(columns.values()))


_SPARSE = ("csr_matrix", "csc_matrix")
_READERS: Mapping[str, Callable[[str, Path, Any], NDArray[Any]]] = {
    "csr_matrix": _sparse,
    "csc_matrix": _sparse,
    "categorical": _categories,
    "nullable-integer": _with_gaps,
    "nullable-boolean": _with_gaps,
    "nullable-string-array": _with_gaps,
    "dataframe": _frame,
}
