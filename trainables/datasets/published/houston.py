"""Houston 2013 (IEEE GRSS data fusion contest): hyperspectral bands and LiDAR profiles of pixels, 15 kinds of land.

Layout: the .mat files of Hong et al. 2021 (HSI_TrSet, LiDAR_TrSet, TrLabel and, optionally, HSI_TeSet, LiDAR_TeSet,
TeLabel), one variable each; or one .npz with hsi, lidar, `y` and, optionally, `split`. Neighbouring pixels are alike,
and rows of a class follow the raster: where no split is given, it is made of blocks of rows within each class.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainables.datasets.assemble import assemble
from trainables.datasets.base import DataError, MultimodalData
from trainables.datasets.files.matlab import read_mat
from trainables.datasets.files.reading import find_file, open_arrays
from trainables.datasets.generated.stand_in import STAND_IN, Generated, StandInPlan, mark
from trainables.datasets.splits import THREE_SPLITS, block_split
from trainables.datasets.table import Dataset, Option

_ORIGIN = "github.com/danfenghong/IEEE_TGRS_MDL-RS (folder HSI_LiDAR_FC), or the IEEE GRSS data fusion contest 2013"
_PLAN = StandInPlan(
    rows=(1701, 425, 706),
    shapes={"hsi": (144,), "lidar": (21,)},
    classes=15,
    relevance={"hsi": 0.95, "lidar": 0.85},
    given_score={("hsi", "lidar"): -0.2},
)


def load_houston(options: Mapping[str, Any]) -> MultimodalData:
    """Modalities hsi (N, 144) and lidar (N, 21), 15 classes; with the test files of the contest, its test split."""
    names = {"hsi": "hsi", "lidar": "lidar"}
    arrays: dict[str, NDArray[Any]]
    if options["stand_in"]:
        plan = _PLAN.sized(options["stand_in"])
        drawn = Generated(plan)
        arrays = {name: drawn.modality(name) for name in names} | {"y": drawn.labels, "split": drawn.split}
        return mark(assemble("houston", arrays, names, {}), plan)
    path = find_file(options["path"], origin=_ORIGIN)
    arrays = _read_mats(path) if path.is_dir() else dict(open_arrays(path))
    if "y" in arrays and "split" not in arrays:
        arrays["split"] = block_split(arrays["y"].reshape(-1))
    return assemble("houston", arrays, names, {})


def _read_mats(folder: Path) -> dict[str, NDArray[Any]]:
    train = _read_part(folder, "Tr")
    if not (folder / "TeLabel.mat").exists():
        return train
    test = _read_part(folder, "Te")
    for name in ("hsi", "lidar"):
        if train[name].shape[1] != test[name].shape[1]:
            raise DataError(f"houston: {name} has {train[name].shape[1]} features in Tr, {test[name].shape[1]} in Te")
    fit = THREE_SPLITS[0] + THREE_SPLITS[1]
    split = block_split(train["y"], fractions=(THREE_SPLITS[0] / fit, THREE_SPLITS[1] / fit, 0.0))
    joined = {name: np.concatenate([train[name], test[name]]) for name in train}
    return joined | {"split": np.concatenate([split, np.full(len(test["y"]), 2, dtype=np.int8)])}


def _read_part(folder: Path, part: str) -> dict[str, NDArray[Any]]:
    """Hsi and lidar (N, d), y (N,), of the training (`Tr`) or test (`Te`) files; labels may be one-hot rows."""
    label = read_mat(folder / f"{part}Label.mat")
    y = label.reshape(-1) if 1 in label.shape else label.argmax(axis=int(label.shape[0] > label.shape[1]))
    arrays = {name: read_mat(folder / f"{file}_{part}Set.mat") for name, file in (("hsi", "HSI"), ("lidar", "LiDAR"))}
    for name, array in arrays.items():
        if len(array) != len(y):
            if array.shape[-1] != len(y):
                raise DataError(f"houston: {name} of {part} has shape {array.shape} for {len(y)} labels")
            arrays[name] = array.T  # some copies have one pixel a column
    return arrays | {"y": y.astype(np.int64)}


HOUSTON = Dataset(
    load=load_houston,
    description="Houston 2013: hyperspectral and LiDAR features of pixels; 15 classes of land cover",
    licence="IEEE GRSS data fusion contest 2013: research use",
    shapes=_PLAN.shapes,
    options={
        "path": Option(doc="folder of the .mat files, or an .npz", types=(str,), default="data/houston"),
        "stand_in": STAND_IN,
    },
    origin=_ORIGIN,
)
