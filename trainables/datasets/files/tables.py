"""Tables of the user, Parquet or CSV, as one array per modality and one per other column."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date
from decimal import Decimal
from fnmatch import fnmatchcase
from functools import partial
from math import isfinite
from numbers import Real
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from trainables.datasets.base import DataError
from trainables.datasets.files.arrow import is_vectors, read_vectors
from trainables.datasets.files.delimited import DELIMITED, THOUSANDS, read_delimited
from trainables.datasets.files.reading import MAX_BYTES, first_line, size_text
from trainables.datasets.files.regular import check_file
from trainables.datasets.table import unknown

if TYPE_CHECKING:
    import pandas as pd

TABLES = (*DELIMITED, ".parquet", ".pq")

Columns = Mapping[str, NDArray[Any]]
Read = Callable[[], NDArray[Any]]  # of one column
LARGE_BYTES = 2**30  # of a modality: below that float64 costs little, and studies know it as such by its digest
_PIECE = 2**14  # rows of a column of vectors that are read at once


class Table(Mapping[str, NDArray[Any]]):
    """The columns of a table as arrays, each made when it is asked for: what nobody uses may hold anything.

    `names` are those of the columns in each group of which every column is one of numbers.
    """

    def __init__(
        self,
        columns: Mapping[str, Read],
        *,
        groups: Columns | None = None,
        names: Mapping[str, tuple[str, ...]] | None = None,
    ) -> None:
        self.names = dict(names or {})
        self._columns = columns
        self._names = [*columns, *(name for name in groups or {} if name not in columns)]
        self._arrays: dict[str, NDArray[Any]] = dict(groups or {})

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def __getitem__(self, name: str) -> NDArray[Any]:
        if name not in self._arrays:
            self._arrays[name] = self._columns[name]()
        return self._arrays[name]


def is_table(path: Path) -> bool:
    """Whether the name says that it is one, in capitals or not."""
    return path.name.lower().endswith(TABLES)


def read_table(
    path: Path,
    groups: Mapping[str, str | Sequence[str]],
    *,
    in_use: Callable[[Columns], Mapping[str, str]] | None = None,
) -> Table:
    """Each group of columns as one (N, d) float array under its name, and every column as (N,) under its own.

    A group is a list of columns, one of them, or a pattern such as `v_*`, taken in the table's order. A column of
    vectors is (N, d), and each entry of it one of a group's columns. Missing numbers are NaN. `in_use` says, given the
    columns, which of them are no features, such as the target, and what they are: no pattern takes them.

    Raises:
        DataError: the table is not readable, a column is unknown, no number, or in use, or a pattern matches none.
    """
    check_file(path)
    try:
        read = _delimited(path) if path.name.lower().endswith(DELIMITED) else _parquet(path)
    except DataError:
        raise
    except (ValueError, OSError, ImportError, NotImplementedError, MemoryError) as error:
        raise DataError(
            f"{path} is no readable table ({first_line(error)}); give Parquet, or CSV in UTF-8 with a header"
        ) from None
    columns = Table(read)
    used = in_use(columns) if in_use is not None else {}
    for group in groups:
        if group in used:
            raise DataError(f"{path}: modality {group} has the name of the {used[group]}; give it another name")
    names = {group: _names(path, group, wanted, columns, used) for group, wanted in groups.items()}
    stacked = {group: _stack(path, group, own, columns) for group, own in names.items()}
    flat = {group: tuple(own) for group, own in names.items() if all(columns[name].ndim == 1 for name in own)}
    return Table(read, groups=stacked, names=flat)


def _names(path: Path, group: str, wanted: str | Sequence[str], columns: Columns, used: Mapping[str, str]) -> list[str]:
    """The columns of a group, all of them numbers."""
    where = f"{path}: modality {group}"
    if not isinstance(wanted, str) or wanted in columns:
        names = [wanted] if isinstance(wanted, str) else list(wanted)
    else:
        names = [name for name in columns if fnmatchcase(name, wanted) and name not in used and name != "split"]
    if not names:
        raise DataError(f"{path}: no column matches {wanted!r} for modality {group}; columns: {', '.join(columns)}")
    for name in names:
        if name not in columns:
            raise DataError(f"{where}: " + unknown("column", name, columns))
        if name in used:
            raise DataError(f"{where}: column {name!r} is the {used[name]}, not a feature; leave it out")
        if columns[name].dtype.kind not in "biuf":
            raise DataError(f"{path}: column {name!r} of modality {group} {_no_numbers(columns[name])}")
    return names


def _stack(path: Path, group: str, names: Sequence[str], columns: Columns) -> NDArray[np.floating[Any]]:
    stacked = [columns[name] if columns[name].ndim > 1 else columns[name][:, None] for name in names]
    if len(stacked) > 1 and max(array.ndim for array in stacked) > 2:
        raise DataError(f"{path}: modality {group}: a column of matrices is a modality by itself; name it alone")
    whole = stacked[0] if len(stacked) == 1 else np.concatenate(stacked, axis=1)
    is_kept = whole.dtype == np.float32 and 2 * whole.nbytes > LARGE_BYTES
    return whole if is_kept else np.asarray(whole, dtype=np.float64)


def _no_numbers(column: NDArray[Any]) -> str:
    """What a column holds in place of numbers, and what to do."""
    if column.dtype.kind in "mM":
        return "holds dates; turn them into numbers, such as days"
    texts = [str(text) for text in np.unique(column) if text]
    bad = next((text for text in texts if not _is_number(text)), None)
    if bad is None:
        if pointed := next((text for text in texts if re.fullmatch(THOUSANDS, text.strip())), None):
            return f"holds {pointed!r}, whose point may mark thousands; write numbers with a decimal point, 1234.5"
        return f"holds numbers as text ({texts[0]!r}); save them as numbers" if texts else "holds empty texts"
    if {text.strip().lower() for text in texts} <= {"true", "false"}:
        return "holds true and false, and empty cells among them; write 1 and 0"
    if _is_number(bad.replace(",", "").replace("_", "")) or _is_number(bad.replace(".", "").replace(",", ".")):
        return f"holds {bad!r}: write numbers with a decimal point and without marks of thousands, 1234.5"
    return f"holds text ({bad[:40]!r}); modalities are numbers"


def _is_number(text: str) -> bool:
    try:
        return isfinite(float(text)) and text.isascii() and "_" not in text  # others are read by Python alone
    except ValueError:
        return False


def column_of(series: pd.Series) -> NDArray[Any]:
    """A column of a data frame as numbers, dates, or texts, with what is missing as NaN, NaT, or an empty text."""
    import pandas as pd

    if isinstance(series.dtype, pd.CategoricalDtype):
        series = series.astype(series.cat.categories.dtype if not series.isna().any() else object)
    kind = series.dtype
    if pd.api.types.is_datetime64_any_dtype(kind):
        zone = getattr(kind, "tz", None)
        return (series if zone is None else series.dt.tz_convert(None)).to_numpy("datetime64[ns]")
    if pd.api.types.is_timedelta64_dtype(kind):
        return series.to_numpy("timedelta64[ns]")
    if pd.api.types.is_numeric_dtype(kind):
        whole = pd.api.types.is_bool_dtype(kind) or pd.api.types.is_integer_dtype(kind)
        return series.to_numpy() if whole and not series.isna().any() else series.to_numpy(dtype=float, na_value=np.nan)
    given = series.dropna()
    first = given.iloc[0] if len(given) else None
    if first is None:
        return np.full(len(series), np.nan)
    if isinstance(first, Decimal | Real):  # booleans with some missing are such
        try:
            return series.to_numpy(dtype=float, na_value=np.nan)
        except (TypeError, ValueError):
            pass  # numbers among texts are texts
    if isinstance(first, date):
        return series.to_numpy("datetime64[ns]")
    if isinstance(first, bytes):
        series = series.map(lambda one: one.decode("utf-8", "backslashreplace") if isinstance(one, bytes) else one)
    return np.where(series.isna(), "", series.astype(str)).astype(str)


def _delimited(path: Path) -> dict[str, Read]:
    return {name: partial(column_of, series) for name, series in read_delimited(path).items()}


def _parquet(path: Path) -> dict[str, Read]:
    """Each column of the file; those of vectors are read when they are asked for, all others together and now."""
    import pandas as pd  # here: it takes longer to import than most tables to read
    from pyarrow import parquet

    schema = parquet.read_schema(path)
    _check_parquet(path)
    index = {name for name in (schema.pandas_metadata or {}).get("index_columns", ()) if isinstance(name, str)}
    names = [name for name in schema.names if name not in index]
    if twice := [name for name, count in Counter(names).items() if count > 1]:
        raise DataError(f"{path} has two columns named {twice[0]!r}; give every column a name of its own")
    vectors = [name for name in names if is_vectors(schema.field(name).type)]
    others = [name for name in names if name not in vectors]
    frame = pd.read_parquet(path, columns=others)
    series = {str(name): frame.iloc[:, place] for place, name in enumerate(frame.columns)}
    return {
        name: partial(_vectors, path, name) if name in vectors else partial(column_of, series[name])
        for name in names
        if name in vectors or name in series
    }


def _vectors(path: Path, name: str) -> NDArray[Any]:
    """A column of equal vectors or matrices as (N, d) or (N, T, d) numbers."""
    from pyarrow import parquet

    where = f"{path}: column {name!r}"
    try:
        with parquet.ParquetFile(path, memory_map=True, pre_buffer=False) as file:
            batches = file.iter_batches(batch_size=_PIECE, columns=[name], use_threads=False)
            pieces = (batch.column(batch.schema.get_field_index(name)) for batch in batches)
            return read_vectors(where, pieces, rows=file.metadata.num_rows)
    except DataError:
        raise
    except (ValueError, OSError, TypeError, NotImplementedError, MemoryError) as error:
        raise DataError(f"{where} cannot be read ({first_line(error)}); the file is damaged") from None


def _check_parquet(path: Path) -> None:
    from pyarrow import parquet

    metadata = parquet.read_metadata(path)
    if not metadata.num_rows:
        raise DataError(f"{path} has no rows; give a row for each sample")
    unpacked = sum(metadata.row_group(i).total_byte_size for i in range(metadata.num_row_groups))
    if max(unpacked, metadata.num_rows * metadata.num_columns) > MAX_BYTES:
        raise DataError(f"{path} would unpack to {size_text(unpacked)}; save the modalities as .npy files instead")
