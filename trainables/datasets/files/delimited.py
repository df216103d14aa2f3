"""Delimited text, .csv and .tsv, plain or packed: every cell under the header that it was written under."""

from __future__ import annotations

import csv
import gzip
import warnings
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainables.datasets.base import DataError
from trainables.datasets.files.reading import plausible_size, size_text
from trainables.datasets.missing import MISSING_WORDS

if TYPE_CHECKING:
    import pandas as pd

DELIMITED = (".csv", ".tsv", ".csv.gz", ".tsv.gz")

_DECIMAL_COMMA = r"[+-]?\d+(,\d+)?([eE][+-]?\d+)?"
_PIECE = 1 << 20  # bytes of a packed file that are counted at once


def read_delimited(path: Path) -> dict[str, pd.Series]:
    """The columns of the table at `path` by their names in its header; one without a name is left out.

    Cells are separated by commas, semicolons or tabs, whichever the header has most of; without commas between cells,
    numbers may have a decimal comma. In a column of numbers an empty cell, NA, nan, None and the like are missing; in
    a column with any other text, where they may be labels, only empty cells are.

    Raises:
        DataError: a name stands twice in the header, a row has more cells than that, or there are no rows.
        OSError, ValueError: it is no such text.
    """
    import pandas as pd  # here: it takes longer to import than most tables to read

    if _is_packed(path):
        _check_packed(path)
    header, separator, n_rows = _header(path)
    at: dict[str, int] = {}
    for place, name in enumerate(header):
        if name and at.setdefault(name, place) != place:
            raise DataError(
                f"{path} has two columns named {name!r} (columns {at[name] + 1} and {place + 1}); give every column a "
                "name of its own"
            )

    def read(**how: Any) -> pd.DataFrame:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)
            frame: pd.DataFrame = pd.read_csv(
                path, sep=separator, header=None, names=list(range(len(header))), skiprows=n_rows, index_col=False,
                compression="gzip" if _is_packed(path) else None, encoding="utf-8-sig", skipinitialspace=True,
                low_memory=False, **how,
            )  # fmt: skip
            return frame

    if not header:
        raise DataError(f"{path} is no readable table: it is empty")
    try:
        frame = read()
        if frame.empty:
            raise DataError(f"{path} has a header and no rows; give a row for each sample")
        columns = {name: frame[place] for name, place in at.items()}
        is_number = {name: pd.api.types.is_numeric_dtype(column.dtype) for name, column in columns.items()}
        doubtful = [name for name, column in columns.items() if not is_number[name] or column.isna().all()]
        if doubtful:
            cells = read(usecols=[at[name] for name in doubtful], dtype=str, keep_default_na=False)
            for name in doubtful:
                columns[name] = _as_written(
                    cells[at[name]], decimal_comma=separator != ",", may_be_empty=is_number[name]
                )
    except pd.errors.ParserWarning:
        raise DataError(f"{path} has rows with more cells than its header, {len(header)}; name every column") from None
    except pd.errors.EmptyDataError:
        raise DataError(f"{path} has a header and no rows; give a row for each sample") from None
    return columns


def _as_written(cells: pd.Series, *, decimal_comma: bool, may_be_empty: bool) -> pd.Series:
    """Texts with empty cells missing; as numbers, if all have a decimal comma, or there are none and `may_be_empty`."""
    given = cells[cells.str.strip() != ""]
    if may_be_empty and given.nunique() < 2:  # nothing in it, or one word for that
        return cells.mask(cells == cells).astype(float)
    given = given[~given.str.strip().str.lower().isin(MISSING_WORDS)]
    if decimal_comma and len(given) and given.str.fullmatch(_DECIMAL_COMMA).all():
        return given.str.replace(",", ".", regex=False).astype(float).reindex(cells.index)
    return cells.mask(cells.str.strip() == "")


def _header(path: Path) -> tuple[list[str], str, int]:
    """The names in the first row that is not empty, what separates them, and how many rows end with it."""
    rows: dict[str, tuple[list[str], int]] = {}
    for separator in (",", ";", "\t"):
        with (gzip.open if _is_packed(path) else open)(path, "rt", encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, delimiter=separator, skipinitialspace=True)
            try:
                filled = ((n, row) for n, row in enumerate(reader, 1) if any(cell.strip() for cell in row))
                n_rows, row = next(filled, (0, []))
            except csv.Error as error:
                raise ValueError(str(error)) from None
            rows[separator] = [cell.strip() for cell in row], n_rows
    separator = max(rows, key=lambda mark: len(rows[mark][0]))
    return rows[separator][0], separator, rows[separator][1]


def _is_packed(path: Path) -> bool:
    return path.name.lower().endswith(".gz")


def _check_packed(path: Path) -> None:
    """Refuses what would unpack to more than is plausible, before it is unpacked into memory."""
    packed, unpacked = path.stat().st_size, 0
    try:
        with gzip.open(path) as file:
            while piece := file.read(_PIECE):
                unpacked += len(piece)
                if unpacked > plausible_size(packed):
                    raise DataError(f"{path} would unpack from {size_text(packed)} to more than is plausible")
    except (EOFError, zlib.error, OSError) as error:
        raise DataError(f"{path} cannot be unpacked ({error}); it is damaged or no gzip file") from None
