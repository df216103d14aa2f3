"""Tables of the user, Parquet or CSV, as one array per modality and one per other column."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainables.datasets.base import DataError
from trainables.datasets.files import MAX_BYTES, first_line, size_text
from trainables.datasets.table import unknown

TABLES = (".csv", ".parquet", ".pq")


def read_table(path: Path, groups: Mapping[str, str | Sequence[str]]) -> dict[str, NDArray[Any]]:
    """Each group of columns as one (N, d) float array under its name, and every column as (N,) under its own.

    A group is a list of columns, or a pattern such as `v_*`, taken in the table's order. Missing numbers are NaN.

    Raises:
        DataError: the table is not readable, a column is unknown, no number, or a pattern matches none.
    """
    import pandas as pd  # here: it takes longer to import than most tables to read

    try:
        if path.suffix == ".csv":
            frame = pd.read_csv(path)
        else:
            _check_parquet(path)
            frame = pd.read_parquet(path)
    except (ValueError, OSError, ImportError, NotImplementedError, MemoryError) as error:
        raise DataError(
            f"{path} is no readable table ({first_line(error)}); give Parquet, or CSV with a header"
        ) from None
    frame.columns = [str(column) for column in frame.columns]
    if frame.columns.has_duplicates:
        twice = frame.columns[frame.columns.duplicated()][0]
        raise DataError(f"{path} has two columns named {twice!r}; give every column a name of its own")
    columns: dict[str, NDArray[Any]] = {}
    for name in frame.columns:
        series = frame[name]
        if pd.api.types.is_bool_dtype(series.dtype) or pd.api.types.is_integer_dtype(series.dtype):
            has_missing = bool(series.isna().any())
            columns[name] = series.to_numpy(dtype=float, na_value=np.nan) if has_missing else series.to_numpy()
        elif pd.api.types.is_numeric_dtype(series.dtype):
            columns[name] = series.to_numpy(dtype=float, na_value=np.nan)
        else:
            columns[name] = np.where(series.isna(), "", series.astype(str)).astype(str)
    stacked = {group: _stack(path, group, wanted, columns) for group, wanted in groups.items()}
    return {**columns, **stacked}


def _stack(
    path: Path, group: str, wanted: str | Sequence[str], columns: Mapping[str, NDArray[Any]]
) -> NDArray[np.float64]:
    names = [name for name in columns if fnmatchcase(name, wanted)] if isinstance(wanted, str) else list(wanted)
    if not names:
        raise DataError(f"{path}: no column matches {wanted!r} for modality {group}; columns: {', '.join(columns)}")
    for name in names:
        if name not in columns:
            raise DataError(f"{path}: modality {group}: " + unknown("column", name, columns))
        if columns[name].dtype.kind not in "biuf":
            raise DataError(f"{path}: column {name!r} of modality {group} holds text; modalities are numbers")
    return np.stack([columns[name] for name in names], axis=1).astype(np.float64)


def _check_parquet(path: Path) -> None:
    from pyarrow import parquet

    metadata = parquet.ParquetFile(path).metadata
    unpacked = sum(metadata.row_group(i).total_byte_size for i in range(metadata.num_row_groups))
    if max(unpacked, metadata.num_rows * metadata.num_columns) > MAX_BYTES:
        raise DataError(f"{path} would unpack to {size_text(unpacked)}; save the modalities as .npy files instead")
