"""The user's own arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from trainables.datasets.assemble import ARRAY_OPTIONS, assemble, in_use
from trainables.datasets.base import DataError, MultimodalData
from trainables.datasets.files.hdf5 import is_hdf5
from trainables.datasets.files.hierarchies import HdfArrays
from trainables.datasets.files.huggingface import SavedDataset, is_saved_dataset
from trainables.datasets.files.reading import NamedArrays, find, open_arrays
from trainables.datasets.files.tables import is_table, read_table
from trainables.datasets.table import Dataset, Option

_PATHS = (
    "an .npz file, a folder of .npy files, a table (.parquet, .csv or .tsv, also .gz), HDF5 (.h5, .h5ad, .h5mu), or a "
    "folder that datasets.save_to_disk made"
)
_NAMES = ("target", "split", "group", "mask")  # options that name arrays


def load_arrays(options: Mapping[str, Any]) -> MultimodalData:
    """The arrays at `path`: an .npz file, a folder of .npy files (memory-mapped), or a Parquet or CSV table."""
    path = find(options["path"], missing=f"give `path`: {_PATHS}")
    modalities = options["modalities"]
    name = Path(path.stem).stem if path.suffix.lower() == ".gz" else path.stem
    if is_table(path) and not path.is_dir():
        if modalities is None:
            raise DataError(f"{path}: say which columns make a modality: modalities: {{vision: 'v_*', text: [t1, t2]}}")
        groups = modalities if isinstance(modalities, dict) else {one: f"{one}_*" for one in modalities}
        table = read_table(path, groups, in_use=lambda columns: in_use(columns, options))
        data = assemble(name, table, {one: one for one in groups}, options)
        named = {key: replace(one, columns=table.names.get(key, ())) for key, one in data.modalities.items()}
        return replace(data, modalities=named)
    arrays = _opened(path)
    options = {**options, **{key: _keys(arrays, options[key]) for key in _NAMES}}
    if modalities is not None:
        modalities = _named(path, arrays, modalities)
    else:
        modalities = arrays.default_modalities() or _all_modalities(arrays, options)
    return assemble(name, arrays, modalities, options)


def contents(path: str) -> dict[str, tuple[int, ...]]:
    """The shapes of all arrays, or columns, of a file or folder, by the names that the options take.

    Raises:
        DataError: nothing is there, it is not readable, or a column of vectors is not.
    """
    place = find(path, missing=f"give {_PATHS}")
    if is_table(place) and not place.is_dir():
        return {name: column.shape for name, column in read_table(place, {}).items()}
    arrays = _opened(place)
    return {name: arrays.shape(name) for name in arrays}


def _opened(path: Path) -> NamedArrays:
    if is_saved_dataset(path):
        return SavedDataset(path)
    return HdfArrays(path) if is_hdf5(path) else open_arrays(path)


def _keys(arrays: NamedArrays, given: Any) -> Any:
    """An option that names arrays, one or one for each modality, with the names under which these are listed."""
    if isinstance(given, dict):
        return {modality: _keys(arrays, name) for modality, name in given.items()}
    return arrays.key(given) if isinstance(given, str) else given


def _named(path: Path, arrays: NamedArrays, modalities: Mapping[str, str] | Sequence[str]) -> dict[str, str]:
    if not isinstance(modalities, Mapping):
        keys = {one: arrays.key(one) for one in modalities}
        return {one if key == one or "/" not in one else key.strip("/"): key for one, key in keys.items()}
    for name, array in modalities.items():
        if not isinstance(array, str):
            raise DataError(
                f"{path}: modality {name} is a list, which is for columns of a table; give one array's name"
            )
    return {name: arrays.key(array) for name, array in modalities.items()}


def _all_modalities(arrays: NamedArrays, options: Mapping[str, Any]) -> dict[str, str]:
    """Every array of two axes or more that is no target, split, group or mask; all must have the target's rows."""
    used = {*in_use(arrays, options), "split"}
    shapes = {name: arrays.shape(name) for name in arrays if name not in used}
    tables = {name: shape for name, shape in shapes.items() if len(shape) >= 2}
    if len({shape[0] for shape in tables.values()}) > 1:
        shown = ", ".join(f"{name} {shape}" for name, shape in tables.items())
        raise DataError(f"arrays of different lengths ({shown}): name those that are modalities, modalities: [a, b]")
    return {name: name for name in tables}


ARRAYS = Dataset(
    load=load_arrays,
    description="your own arrays: .npz, a folder of .npy, Parquet, CSV, HDF5, AnnData, MuData or a saved dataset",
    licence="yours",
    options={
        "path": Option(doc=_PATHS, types=(str,), required=True),
        "modalities": Option(
            doc="arrays by name, or {modality: array}; in a table {modality: pattern, list of columns or a column of "
            "vectors}; not given: all of two axes or more, of MuData the X of each; --contents PATH lists their names",
            types=(list, dict),
            of=(str, list),
        ),
        **ARRAY_OPTIONS,
    },
)
