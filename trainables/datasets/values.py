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
_SAMPLE = 256  # rows that rule out almost every turned mask, so that few are read whole; and that are looked at at once
_MISPLACED = 0.01  # of the rows: a real step may be empty, too
_PADDED, _EMPTY_INSIDE = 0.1, 0.02  # of the rows whose ends are zeros, and of the steps before those that are


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
    return _decoded(array) if array.dtype.kind == "S" else array


def _decoded(array: NDArray[Any]) -> NDArray[Any]:
    """Bytes as the texts that they are in UTF-8 or, where they are none, in Latin-1, which has one for any byte."""
    try:
        return np.char.decode(array, "utf-8")
    except UnicodeDecodeError:
        return np.char.decode(array, "latin-1")


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
        # float32 holds no sum of many large numbers
        fill = np.nanmean(train, axis=0, dtype=np.float64) if how == "mean" else np.nanmedian(train, axis=0)
    filled = np.where(missing, fill, values)
    return filled.astype(np.float64) if values.dtype == np.float64 else filled.astype(np.float32)


def read_real_steps(dataset: str, name: str, mask: NDArray[Any], values: Numbers) -> NDArray[np.bool_]:
    """True at real time steps, (N, T), from such a mask or from lengths (N,)."""
    where, real = f"{dataset}: the mask of {name}", "real steps are 1 (True), padding is 0"
    if values.ndim == 3 and mask.shape == values.shape[:2] and mask.dtype.kind in "biu":
        if mask.min() < 0:
            raise DataError(f"{where} has {mask.min()}; {real}")
        mask = mask.astype(np.bool_)
        if _is_turned(mask, values):
            raise DataError(f"{where} calls steps real that are all the same, and padding those that differ; {real}")
        return mask
    if values.ndim == 3 and mask.shape == values.shape[:1] and mask.dtype.kind in "iu":
        if mask.min() < 1:
            raise DataError(f"{where} has the length {mask.min()}; each row has a real step")
        return np.arange(values.shape[1]) < mask[:, None]
    raise DataError(
        f"{where} has shape {mask.shape} and holds {mask.dtype}; it must be (N, T) of booleans or (N,) integer lengths "
        f"for values of shape {values.shape}"
    )


def _is_turned(mask: NDArray[np.bool_], values: Numbers) -> bool:
    """Whether all steps that a mask calls real are alike, and those that it calls padding are not."""
    few = np.unique(np.linspace(0, len(mask) - 1, _SAMPLE).astype(np.int64))
    if mask[few].all() or not _is_one_step(values[few][mask[few]]):
        return False
    return _is_one_step(values[mask]) and not _is_one_step(values[~mask])


def longer_lengths(where: str, lengths: NDArray[Any], values: Numbers) -> tuple[str, ...]:
    """A line on lengths beyond the steps that there are."""
    steps = values.shape[1]
    if lengths.ndim != 1 or not (count := int((lengths > steps).sum())):
        return ()
    return (f"{where} has lengths up to {lengths.max()}, {count} of them beyond its {steps} steps: taken as {steps}",)


def misplaced_steps(where: str, mask: NDArray[np.bool_], values: Numbers) -> tuple[str, ...]:
    """A line on rows whose real steps, by the mask, are empty (0 or NaN) where its padded ones hold numbers."""
    count = 0
    for start in range(0, len(values), _SAMPLE):
        rows = slice(start, start + _SAMPLE)
        empty = ((values[rows] == 0) | np.isnan(values[rows])).all(axis=2)
        count += int(((empty & mask[rows]).any(axis=1) & (~empty & ~mask[rows]).any(axis=1)).sum())
    if count < _MISPLACED * len(values):
        return ()
    return (f"{where} calls empty steps real, and steps with numbers padding, in {count} of {len(values)} rows; check "
            "at which end the sequences are padded",)  # fmt: skip


def unmasked_padding(where: str, values: Numbers) -> tuple[str, ...]:
    """A line on sequences without a mask that seem to be padded: zeros at one end, to a length that differs by row."""
    if values.ndim != 3 or values.shape[1] < 2:
        return ()
    rows = np.unique(np.linspace(0, len(values) - 1, _SAMPLE).astype(np.int64))
    filled = (values[rows] != 0).any(axis=2)
    steps = values.shape[1]
    for end, turned in (("end", filled), ("start", filled[:, ::-1])):
        lengths = np.where(turned.any(axis=1), steps - turned[:, ::-1].argmax(axis=1), 0)
        short = (lengths > 0) & (lengths < steps)
        inside = np.arange(steps) < lengths[:, None]
        at_one_end = turned[:, 0].mean() > 1 - _EMPTY_INSIDE  # pictures are empty at both
        if (
            at_one_end
            and short.mean() >= _PADDED
            and len(np.unique(lengths)) > 2
            and turned[inside].mean() > 1 - _EMPTY_INSIDE
        ):
            return (f"{where} has zeros at the {end} of its sequences, to other lengths in other rows: taken as data; "
                    "if they are padding, give `mask`",)  # fmt: skip
    return ()


def _is_one_step(steps: Numbers) -> bool:
    """Whether steps (n, d) are all the same numbers, or none."""
    return bool(((steps == steps[:1]) | np.isnan(steps)).all())
