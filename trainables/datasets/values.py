"""Named arrays as people write them: numbers in their precision, missing ones replaced, masks of real steps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainables.datasets.base import TRAIN, DataError
from trainables.datasets.table import unknown

Arrays = Mapping[str, NDArray[Any]]
Numbers = NDArray[np.float32] | NDArray[np.float64]


def get_array(dataset: str, arrays: Arrays, name: str) -> NDArray[Any]:
    """The array of this name.

    Raises:
        DataError: there is none, or it has no rows.
    """
    if not isinstance(name, str) or name not in arrays:
        raise DataError(f"{dataset}: " + unknown("array", name, arrays))
    array = arrays[name]
    if array.ndim == 0 or array.size == 0:
        what = "is one value" if array.ndim == 0 else "is empty"
        raise DataError(f"{dataset}: array {name} has shape {array.shape}, so it {what}; give one entry for each row")
    return array


def read_numbers(dataset: str, name: str, array: NDArray[Any], *, scaled: bool) -> Numbers:
    """`array` as float32; itself, and still memory-mapped, where it is that already.

    What will be `scaled` and float32 cannot hold in every unit is float64 until then.
    """
    if array.dtype.kind not in "biuf":
        instead = {"U": "text", "S": "text", "M": "dates", "m": "times", "c": "complex numbers"}
        what = instead.get(array.dtype.kind, str(array.dtype))
        raise DataError(f"{dataset}: modality {name} holds {what}, not numbers; turn it into real numbers")
    if array.ndim < 2:
        raise DataError(f"{dataset}: modality {name} has shape {array.shape}; at least (N, d) is needed: reshape it")
    with np.errstate(over="ignore"):  # what does not fit into float32 becomes infinite, and is then refused
        if scaled and not np.can_cast(array.dtype, np.float32):
            return np.asarray(array, dtype=np.float64)
        return np.asarray(array, dtype=np.float32)


def impute(
    dataset: str, name: str, values: Numbers, split: NDArray[np.int8], how: str, *, mask: NDArray[np.bool_] | None
) -> Numbers:
    """`values` with NaN replaced by zero, or by the feature's mean or median over the training rows' real steps."""
    if how == "none":
        return values
    missing = np.isnan(values)
    if not missing.any():
        return values
    fill: Any = values.dtype.type(0)
    if how != "zero":
        rows = split == TRAIN
        train = values[rows].reshape(-1, values.shape[-1]) if mask is None else values[rows][mask[rows]]
        if np.isnan(train).all(axis=0).any():
            real = "" if mask is None else "real steps of the "
            raise DataError(
                f"{dataset}: modality {name} has a feature without a value in the {real}training split; drop it"
            )
        fill = np.nanmean(train, axis=0) if how == "mean" else np.nanmedian(train, axis=0)
    filled = np.where(missing, fill, values)
    return filled.astype(np.float64) if values.dtype == np.float64 else filled.astype(np.float32)


def read_real_steps(dataset: str, name: str, mask: NDArray[Any], values: Numbers) -> NDArray[np.bool_]:
    """True at real time steps, (N, T), from such a mask or from lengths (N,)."""
    if values.ndim == 3 and mask.shape == values.shape[:2] and mask.dtype.kind in "biu":
        return mask.astype(np.bool_)
    if values.ndim == 3 and mask.shape == values.shape[:1] and mask.dtype.kind in "iu":
        return np.arange(values.shape[1]) < mask[:, None]
    raise DataError(
        f"{dataset}: the mask of {name} has shape {mask.shape}; it must be (N, T) of booleans or (N,) integer lengths "
        f"for values of shape {values.shape}"
    )
