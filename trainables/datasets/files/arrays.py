"""The user's own arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from trainables.datasets.assemble import ARRAY_OPTIONS, assemble, in_use
from trainables.datasets.base import DataError, MultimodalData
from trainables.datasets.files.reading import ArrayArchive, ArrayFolder, find, open_arrays
from trainables.datasets.files.tables import is_table, read_table
from trainables.datasets.table import Dataset, Option

_PATHS = "an .npz file, a folder of .npy files, or a table: .parquet, .csv or .tsv, also .gz"


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
    arrays = open_arrays(path)
    modalities = _named(path, modalities) if modalities is not None else _all_modalities(arrays, options)
    return assemble(name, arrays, modalities, options)


def _named(path: Path, modalities: Mapping[str, str] | Sequence[str]) -> dict[str, str]:
    if not isinstance(modalities, Mapping):
        return {name: name for name in modalities}
    for name, array in modalities.items():
        if not isinstance(array, str):
            raise DataError(
                f"{path}: modality {name} is a list, which is for columns of a table; give one array's name"
            )
    return dict(modalities)


def _all_modalities(arrays: ArrayFolder | ArrayArchive, options: Mapping[str, Any]) -> dict[str, str]:
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
    description="your own arrays: .npz, a folder of .npy, Parquet or CSV",
    licence="yours",
    options={
        "path": Option(doc=_PATHS, types=(str,), required=True),
        "modalities": Option(
            doc="arrays by name, or {modality: array}; in a table {modality: pattern or list of columns}",
            types=(list, dict),
            of=(str, list),
        ),
        **ARRAY_OPTIONS,
    },
)
