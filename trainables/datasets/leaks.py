"""Features that are the target by another name, such as its one-hot columns beside it in a file."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainables.datasets.labels import Labels

_SAMPLE = 256  # rows that rule out almost every column, so that few are read whole


def columns_of_target(values: NDArray[np.floating[Any]], labels: Labels) -> NDArray[np.int64]:
    """Columns of a modality (N, d) that follow from the target without error, ascending; constant ones do not count.

    For classes that is a column with one value in each class, for numbers (N,) the very same number in each row. Where
    there are fewer than two rows a class on average, chance could do that: none is named.
    """
    target = labels.values
    none = np.empty(0, dtype=np.int64)
    if values.ndim != 2 or target.ndim != 1 or len(values) != len(target):
        return none
    if labels.kind == "real":
        same = target.astype(values.dtype)
        near = np.flatnonzero((values[:_SAMPLE] == same[:_SAMPLE, None]).all(axis=0))
        equal: NDArray[np.int64] = near[(values[:, near] == same[:, None]).all(axis=0)]
        return equal
    _, first, code = np.unique(target, return_index=True, return_inverse=True)
    if len(values) < 2 * len(first):
        return none
    rows = np.unique(np.linspace(0, len(values) - 1, _SAMPLE).astype(np.int64))
    near = np.flatnonzero((values[rows] == values[first[code[rows]]]).all(axis=0))
    kept = values[:, near]
    found: NDArray[np.int64] = near[(kept == kept[first[code]]).all(axis=0) & (np.ptp(kept[first], axis=0) > 0)]
    return found


def leak_note(dataset: str, modality: str, source: str, columns: NDArray[np.int64]) -> tuple[str, ...]:
    """The line to say of such columns; none where there are none."""
    if not len(columns):
        return ()
    shown = ", ".join(str(column + 1) for column in columns[:4]) + (", …" if len(columns) > 4 else "")
    return (
        f"{dataset}: of {modality}, column {shown} follows from the target {source} in every row; leave out what is "
        "the label by another name",
    )
