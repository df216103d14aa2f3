"""Delimited text, .csv and .tsv, plain or packed: every cell under the header that it was written under."""

from __future__ import annotations

import csv
import gzip
import re
import warnings
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from trainables.datasets.base import DataError
from trainables.datasets.files.reading import plausible_size, size_text
from trainables.datasets.missing import MISSING_WORDS

if TYPE_CHECKING:
    import pandas as pd

DELIMITED = (".csv", ".tsv", ".csv.gz", ".tsv.gz")

_DECIMAL_COMMA = r"[+-]?\d+(,\d+)?([eE][+-]?\d+)?"
_THOUSANDS = r"[+-]?([1-9]\d{0,2},\d{3}|\d+)"  # or three decimals
THOUSANDS = r"[+-]?[1-9]\d{0,2}(\.\d{3})+"  # with points
_SEPARATOR = re.compile(r"sep=([,;\t])[,;\t]*\s*")  # which Excel reads in a row before the header
_LONGEST = 60  # characters of a header that are shown
_PIECE = 1 << 20  # bytes of a packed file that are counted at once


def read_delimited(path: Path) -> dict[str, pd.Series]:
    """The columns of the table at `path` by their names in its header; one without a name is left out.

    Cells are separated by commas, semicolons or tabs, whichever the header has most of, or as a row `sep=;` before it
    says; without commas between cells, numbers may have a decimal comma, unless each of them could as well be a mark of
    thousands. Where some have, columns whose every point could mark thousands stay text. In a column of numbers an
    empty cell, NA, nan, None and the like are missing; in a column with any other text, where they may be labels, only
    empty cells are.

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
    if len(header) == 1 and len(re.split(r"[|:\s]+", header[0])) > 1:
        raise DataError(
            f"{path} has one column, {header[0][:_LONGEST]!r}; cells are separated by commas, semicolons or tabs"
        )
    try:
        frame = read()
        if frame.empty:
            raise DataError(f"{path} has a header and no rows; give a row for each sample")
        columns = {name: frame[place] for name, place in at.items()}
        is_number = {name: pd.api.types.is_numeric_dtype(column.dtype) for name, column in columns.items()}
        doubtful = [name for name, column in columns.items() if not is_number[name] or column.isna().all()]
        if doubtful:
            cells = read(usecols=[at[name] for name in doubtful], dtype=str, keep_default_na=False)
            written = {name: cells[at[name]] for name in doubtful}
            decimal_comma = separator != "," and not _may_be_thousands(written)
            for name in doubtful:
                columns[name] = _as_written(written[name], decimal_comma=decimal_comma, may_be_empty=is_number[name])
            if decimal_comma and any(_has_commas(written[name]) and columns[name].dtype == float for name in doubtful):
                pointed = [name for name in columns if name not in doubtful and columns[name].dtype == float]
                cells = read(usecols=[at[name] for name in pointed], dtype=str, keep_default_na=False)
                columns |= {name: cells[at[name]] for name in pointed if _marks_thousands(cells[at[name]])}
    except pd.errors.ParserWarning:
        raise DataError(f"{path} has rows with more cells than its header, {len(header)}; name every column") from None
    except pd.errors.EmptyDataError:
        raise DataError(f"{path} has a header and no rows; give a row for each sample") from None
    return columns


def _may_be_thousands(columns: Mapping[str, pd.Series]) -> bool:
    """Whether each comma in a number could be a mark of thousands as well, as in 1,234, in every one of the columns."""
    given = [cells[~_is_missing(cells)] for cells in columns.values()]
    numbers = [cells for cells in given if len(cells) and cells.str.fullmatch(_DECIMAL_COMMA).all()]
    if not any(cells.str.contains(",", regex=False).any() for cells in numbers):
        return False
    return all(bool(cells.str.fullmatch(_THOUSANDS).all()) for cells in numbers)


def _has_commas(cells: pd.Series) -> bool:
    return bool(cells.str.contains(",", regex=False).any())


def _marks_thousands(cells: pd.Series) -> bool:
    """Whether every point could mark thousands, as in 1.234, as it does where other numbers have a decimal comma."""
    pointed = cells[cells.str.contains(".", regex=False)]
    return len(pointed) > 0 and bool(pointed.str.strip().str.fullmatch(THOUSANDS).all())


def _is_missing(cells: pd.Series) -> pd.Series:
    words = cells.str.strip().str.lower()
    return (words == "") | words.isin(MISSING_WORDS)


def _as_written(cells: pd.Series, *, decimal_comma: bool, may_be_empty: bool) -> pd.Series:
    """Texts with empty cells missing; as numbers, if all have a decimal comma, or there are none and `may_be_empty`."""
    given = cells[cells.str.strip() != ""]
    if may_be_empty and given.nunique() < 2:  # nothing in it, or one word for that
        return cells.mask(cells == cells).astype(float)
    given = given[~_is_missing(given)]
    if decimal_comma and len(given) and given.str.fullmatch(_DECIMAL_COMMA).all():
        return given.str.replace(",", ".", regex=False).astype(float).reindex(cells.index)
    return cells.mask(cells.str.strip() == "")


def _header(path: Path) -> tuple[list[str], str, int]:
    """The names in the first row that is not empty, what separates them, and how many rows end with it.

    A row `sep=;`, as Excel reads it, is none of them, and says what separates.
    """
    rows: dict[str, tuple[list[str], int]] = {}
    error = ""
    with _opened(path) as file:
        told = _SEPARATOR.fullmatch(file.readline(_LONGEST))
    for separator in (told[1],) if told else (",", ";", "\t"):
        with _opened(path) as file:
            reader = csv.reader(file, delimiter=separator, skipinitialspace=True)
            try:
                filled = (
                    (n, row)
                    for n, row in enumerate(reader, 1)
                    if any(cell.strip() for cell in row) and not (told and n == 1)
                )
                n_rows, row = next(filled, (0, []))
            except csv.Error as problem:  # such as a header without this separator that is too long for one cell
                error = str(problem)
                continue
            rows[separator] = [cell.strip() for cell in row], n_rows
    if not rows:
        raise ValueError(error)
    separator = max(rows, key=lambda mark: len(rows[mark][0]))
    return rows[separator][0], separator, rows[separator][1]


def _opened(path: Path) -> IO[str]:
    if _is_packed(path):
        return gzip.open(path, "rt", encoding="utf-8-sig", newline="")
    return path.open("rt", encoding="utf-8-sig", newline="")


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
