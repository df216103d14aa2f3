"""Datasets that Hugging Face's `datasets` saved to disk, read through that library, which is imported here alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from trainables.datasets.base import DataError
from trainables.datasets.files.arrow import is_vectors, read_vectors
from trainables.datasets.files.libraries import needed
from trainables.datasets.files.reading import NamedArrays, first_line

if TYPE_CHECKING:
    import datasets
    import pyarrow as pa

_FILES = ("dataset_dict.json", "state.json")  # of several parts, of one
SPLIT = "split"


def is_saved_dataset(path: Path) -> bool:
    """Whether a folder is one that `save_to_disk` made."""
    return path.is_dir() and any((path / name).is_file() for name in _FILES)


class SavedDataset(NamedArrays):
    """The columns of a dataset; where it has parts (train, validation, test), their rows one after the other.

    The part of each row is the column `split`, unless there is one of that name. A label (`ClassLabel`) is the text of
    its name, and an empty one where it is missing; fields of a nested column are `column.field`. Files stay
    memory-mapped by Arrow until a column is asked for, which then is one copy in memory.

    Raises:
        DataError: the library is not installed, or cannot read the folder; its parts have other columns.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        with needed("datasets", extra="datasets", path=path):
            import datasets
        shows_progress = not datasets.are_progress_bars_disabled()
        try:
            datasets.disable_progress_bars()
            loaded = datasets.load_from_disk(str(path))
            parts = loaded if isinstance(loaded, datasets.DatasetDict) else {"": loaded}
            self._parts: dict[str, datasets.Dataset] = {name: part.flatten() for name, part in parts.items()}
        except Exception as error:  # noqa: BLE001  the library raises anything for files of another version
            raise DataError(
                f"{path} cannot be read by datasets {datasets.__version__} ({type(error).__name__}: "
                f"{first_line(error)[:300]}); it is damaged, or of a newer version: pip install -U datasets"
            ) from None
        finally:
            if shows_progress:
                datasets.enable_progress_bars()
        self._parts = {name: part for name, part in self._parts.items() if len(part)}
        if not self._parts:
            raise DataError(f"{path} has no rows; give a row for each sample")
        first, *others = self._parts.items()
        self._features: Mapping[str, Any] = first[1].features
        for name, part in others:
            if part.features != self._features:
                names = sorted({*part.features, *self._features})
                other = [key for key in names if part.features.get(key) != self._features.get(key)]
                raise DataError(
                    f"{path}: {', '.join(other)} differ between its parts {first[0]} and {name}; give all the same"
                    " columns"
                )
        self._names = list(self._features)
        if len(self._parts) > 1 and SPLIT not in self._features:
            self._names.append(SPLIT)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def __getitem__(self, name: str) -> NDArray[Any]:
        if name not in self._names:
            raise KeyError(name)
        if name not in self._features:
            return np.repeat(np.array(list(self._parts)), [len(part) for part in self._parts.values()])
        where = f"{self._path}: column {name!r}"
        columns = [self._column(part, name) for part in self._parts.values()]
        try:
            if is_vectors(columns[0].type):
                pieces = (piece for column in columns for piece in column.chunks)
                return read_vectors(where, pieces, rows=sum(map(len, columns)))
            return self._scalars(where, name, columns)
        except DataError:
            raise
        except (ValueError, OSError, TypeError, NotImplementedError, MemoryError) as error:
            raise DataError(f"{where} cannot be read ({first_line(error)}); the folder is damaged") from None

    def shape(self, name: str) -> tuple[int, ...]:
        """Shape of a column by its first row."""
        rows = sum(map(len, self._parts.values()))
        if name not in self._features:
            return (rows,)
        first = self._column(next(iter(self._parts.values())).select(range(1)), name)
        if not is_vectors(first.type):
            return (rows,)
        try:
            return (rows, *read_vectors(name, first.chunks, rows=1).shape[1:])
        except DataError:  # of something else than numbers, which nobody may use
            return (rows,)

    @staticmethod
    def _column(part: datasets.Dataset, name: str) -> pa.ChunkedArray:
        return part.select_columns([name]).with_format("arrow")[:].column(0)

    def _scalars(self, where: str, name: str, columns: list[pa.ChunkedArray]) -> NDArray[Any]:
        import pyarrow as pa

        from trainables.datasets.files.tables import column_of

        column = pa.chunked_array([piece for one in columns for piece in one.chunks], type=columns[0].type)
        names = getattr(self._features[name], "names", None)
        if names is not None and pa.types.is_integer(column.type):
            return _named(where, column, names)
        kind = column.type
        if pa.types.is_nested(kind) or isinstance(kind, pa.ExtensionType):
            told = type(self._features[name]).__name__
            raise DataError(f"{where} is of {told}, and not numbers, vectors or texts; save its embeddings as vectors")
        return column_of(column.to_pandas())


def _named(where: str, column: pa.ChunkedArray, names: list[str]) -> NDArray[Any]:
    """The names of labels by their numbers, of which -1 is none."""
    codes = column.fill_null(-1).to_numpy()
    if codes.max() >= len(names) or codes.min() < -1:
        raise DataError(f"{where} has the label {codes.max() if codes.max() >= len(names) else codes.min()}, and "
                        f"names for 0 to {len(names) - 1}; give every label a name")  # fmt: skip
    named: NDArray[Any] = np.array([*names, ""])[codes]
    return named
