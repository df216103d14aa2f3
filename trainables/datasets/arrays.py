"""The user's own arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from trainables.datasets.assemble import ARRAY_OPTIONS, Arrays, assemble
from trainables.datasets.base import DataError, MultimodalData
from trainables.datasets.files import ArrayArchive, ArrayFolder, open_arrays
from trainables.datasets.table import Dataset, Option
from trainables.datasets.tables import TABLES, read_table


def load_arrays(options: Mapping[str, Any]) -> MultimodalData:
    """The arrays at `path`: an .npz file, a folder of .npy files (memory-mapped), or a Parquet or CSV table."""
    path = Path(options["path"])
    if not path.exists():
        raise DataError(f"there is no {path}; give `path`: an .npz file, a folder of .npy files, a .parquet or a .csv")
    modalities = options["modalities"]
    arrays: Arrays
    if path.suffix in TABLES:
        if modalities is None:
            raise DataError(f"{path}: say which columns make a modality: modalities: {{vision: 'v_*', text: [t1, t2]}}")
        groups = modalities if isinstance(modalities, dict) else {name: f"{name}_*" for name in modalities}
        arrays = read_table(path, groups)
        modalities = {name: name for name in groups}
    else:
        arrays = open_arrays(path)
        modalities = _named(modalities) if modalities is not None else _all_modalities(arrays, options)
    return assemble(path.stem, arrays, modalities, options)


def _named(modalities: Mapping[str, str] | Sequence[str]) -> dict[str, str]:
    return dict(modalities) if isinstance(modalities, Mapping) else {name: name for name in modalities}


def _all_modalities(arrays: ArrayFolder | ArrayArchive, options: Mapping[str, Any]) -> dict[str, str]:
    """Every array of two axes or more that is no target, split, group or mask; all must have the target's rows."""
    target = options["target"]
    used = {*(target.values() if isinstance(target, dict) else [target]), *(options["mask"] or {}).values()}
    used |= {options["split"], options["group"], "split"}
    shapes = {name: arrays.shape(name) for name in arrays if name not in used}
    found = {name: shape for name, shape in shapes.items() if len(shape) >= 2}
    if len({shape[0] for shape in found.values()}) > 1:
        shown = ", ".join(f"{name} {shape}" for name, shape in found.items())
        raise DataError(f"arrays of different lengths ({shown}): name those that are modalities, modalities: [a, b]")
    return {name: name for name in found}


ARRAYS = Dataset(
    load=load_arrays,
    description="your own arrays: .npz, a folder of .npy, Parquet or CSV",
    licence="yours",
    options={
        "path": Option(doc=".npz, folder of .npy, .parquet or .csv", types=(str,), required=True),
        "modalities": Option(
            doc="arrays by name, or {modality: array}; in a table {modality: pattern or list of columns}",
            types=(list, dict),
        ),
        **ARRAY_OPTIONS,
    },
)
