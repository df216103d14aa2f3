"""AV-MNIST: MNIST images paired by digit with spoken digits, from the folder that MultiBench publishes.

Layout: image/train_data.npy, image/test_data.npy, audio/train_data.npy, audio/test_data.npy, train_labels.npy and
test_labels.npy. Of the training rows the last twelfth (5,000 of 60,000) validate, as there. Images are (N, 784) or
(N, 28, 28); audio is (N, 112, 112), or (N, 20, 36) in the variant of cepstral coefficients.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import isqrt
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainables.datasets.base import DataError, Modality, MultimodalData, Target
from trainables.datasets.files.reading import find_file, read_npy
from trainables.datasets.generated.stand_in import STAND_IN, Generated, StandInPlan, mark
from trainables.datasets.table import Dataset, Option
from trainables.spec import EncoderSpec

_ORIGIN = "Google Drive, avmnist.tar.gz, linked in the README of github.com/pliang279/MultiBench"
_PLAN = StandInPlan(
    rows=(55_000, 5_000, 10_000),
    shapes={"image": (28, 28), "audio": (20, 36)},
    classes=10,
    relevance={"image": 0.96, "audio": 0.55},
    given_score={("image", "audio"): -0.15},
)


def load_avmnist(options: Mapping[str, Any]) -> MultimodalData:
    """Image (N, 28, 28) and audio (N, frames, features), ten classes; bytes are scaled to 0..1."""
    if options["stand_in"]:
        plan = _PLAN.sized(options["stand_in"])
        drawn = Generated(plan)
        return mark(_data({name: drawn.modality(name) for name in plan.shapes}, drawn.labels, drawn.split), plan)
    folder = find_file(options["path"], origin=_ORIGIN)
    labels = [_read(folder, f"{part}_labels.npy").reshape(-1) for part in ("train", "test")]
    n_train, n_test = map(len, labels)
    n_valid = round(n_train / 12)
    split = np.repeat(np.arange(3, dtype=np.int8), [n_train - n_valid, n_valid, n_test])
    values = {name: _modality(folder, name, (n_train, n_test)) for name in ("image", "audio")}
    return _data(values, np.concatenate(labels), split)


def _data(values: Mapping[str, NDArray[np.float32]], labels: NDArray[Any], split: NDArray[np.int8]) -> MultimodalData:
    if labels.dtype.kind not in "iuf" or not np.isin(labels, range(10)).all():
        raise DataError(f"avmnist: labels must be the digits 0 to 9, given {labels.dtype} with others")
    target = Target(values=labels.astype(np.int64), kind="classes", n_classes=10)
    return MultimodalData(
        name="avmnist",
        modalities={name: Modality(name=name, values=value) for name, value in values.items()},
        targets=dict.fromkeys(values, target),
        split=split,
        split_is_given=True,
    )


def _modality(folder: Path, name: str, rows: tuple[int, int]) -> NDArray[np.float32]:
    """Training and test rows of one modality, converted once, straight from the memory-mapped files."""
    parts = [_read(folder, f"{name}/{part}_data.npy") for part in ("train", "test")]
    for array, n in zip(parts, rows, strict=True):
        if len(array) != n or array.shape[1:] != parts[0].shape[1:]:
            raise DataError(f"avmnist: {name} has shapes {parts[0].shape} and {parts[1].shape} for {rows} labels")
    shape = parts[0].shape[1:]
    if len(shape) == 1 and isqrt(shape[0]) ** 2 == shape[0]:
        shape = (isqrt(shape[0]),) * 2
    values = np.empty((sum(rows), *shape), dtype=np.float32)
    values[: rows[0]], values[rows[0] :] = (array.reshape(-1, *shape) for array in parts)
    if parts[0].dtype == np.uint8 or (values.min() >= 0 and values.max() > 1.5):
        values /= 255
    return values


def _read(folder: Path, name: str) -> NDArray[Any]:
    path = folder / name
    if not path.exists():
        raise DataError(f"avmnist: {folder} has no {name}; image/, audio/ and both label files are needed")
    array = read_npy(path)
    if array.dtype.kind not in "iuf" or array.ndim == 0:
        raise DataError(f"avmnist: {name} holds {array.dtype} of shape {array.shape}, not an array of numbers")
    return array


AV_MNIST = Dataset(
    load=load_avmnist,
    description="AV-MNIST: images of digits and spoken digits, paired by class; 70,000 rows, 10 classes",
    licence="as MNIST (CC BY-SA 3.0) and FSDD (CC BY-SA 4.0)",
    shapes=_PLAN.shapes,
    encoders={
        "image": EncoderSpec(kind="vit", layers=2, width=16, patch=4, heads=1, pooling="cls", dropout=0.1),
        "audio": EncoderSpec(kind="transformer", layers=2, width=36, heads=1, pooling="cls", dropout=0.1),
    },
    options={
        "path": Option(doc="the unpacked folder", types=(str,), default="data/avmnist"),
        "stand_in": STAND_IN,
    },
    origin=_ORIGIN,
)
