"""Features that are none: the target by another name, such as its one-hot columns beside it in a file, the number of
the row, or what two modalities share.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainables.datasets.columns import columns_of
from trainables.datasets.labels import Labels

_FEWEST, _TOLERANCE = 4, 1e-9
_FEWEST_COUNTED = 10  # rows that chance does not number
_SAMPLE = 256  # rows that rule out almost every column, so that few are read whole


def columns_of_target(values: NDArray[np.floating[Any]], labels: Labels) -> NDArray[np.int64]:
    """Columns of a modality (N, d), or (N, T, d) at any step, that follow from the target without error, ascending;
    constant ones do not count.

    For classes that is a column with one value in each class, for numbers (N,) the number itself in any unit and from
    any zero, to a correlation within 1e-9 of ±1, and for numbers (N, m) any of these. Where there are fewer than two
    rows a class on average, or than four rows, chance could do that: none is named.
    """
    target = labels.values
    none = np.empty(0, dtype=np.int64)
    if values.ndim == 3:
        steps = columns_of_target(values.reshape(len(values), -1), labels)
        return np.unique(steps % values.shape[2])
    if values.ndim != 2 or len(values) != len(target):
        return none
    if target.ndim == 2:
        each = [columns_of_target(values, replace(labels, values=column)) for column in target.T]
        return np.unique(np.concatenate([none, *each]))
    rows = np.unique(np.linspace(0, len(values) - 1, _SAMPLE).astype(np.int64))
    if labels.kind == "real":
        if len(values) < _FEWEST:
            return none
        rows = np.unique([*rows, target.argmin(), target.argmax()])  # most of it may be one number
        near = np.flatnonzero(_are_lines(values[rows], target[rows]))
        straight: NDArray[np.int64] = near[_are_lines(values[:, near], target)]
        return straight
    _, first, code = np.unique(target, return_index=True, return_inverse=True)
    if len(values) < 2 * len(first):
        return none
    near = np.flatnonzero((values[rows] == values[first[code[rows]]]).all(axis=0))
    kept = values[:, near]
    varies = (kept[first] != kept[first[0]]).any(axis=0)  # no difference, of which infinite values have none
    codes: NDArray[np.int64] = near[(kept == kept[first[code]]).all(axis=0) & varies]
    return codes


def _are_lines(values: NDArray[Any], target: NDArray[Any]) -> NDArray[np.bool_]:
    """Which columns (N, d) are a multiple of the target (N,) and a constant; none, where the target is one number."""
    t = columns_of(target[:, None])
    if not t.varies[0]:
        return np.zeros(values.shape[1], dtype=np.bool_)
    finite = np.flatnonzero(np.isfinite(values).all(axis=0))
    kept = values[:, finite]
    x = columns_of(kept)
    scaled = (kept.astype(np.float64) - x.mean) / np.where(x.varies, x.deviation, 1.0)
    correlation = ((target.astype(np.float64) - t.mean) / t.deviation) @ scaled / len(target)
    lines = np.zeros(values.shape[1], dtype=np.bool_)
    lines[finite] = x.varies & (np.abs(correlation) > 1 - _TOLERANCE)
    return lines


def leak_note(dataset: str, modality: str, source: str, columns: NDArray[np.int64]) -> tuple[str, ...]:
    """The line to say of such columns; none where there are none."""
    if not len(columns):
        return ()
    return (
        f"{dataset}: of {modality}, column {_shown(columns)} follows from the target {source} in every row; leave out "
        "what is the label by another name",
    )


def counting_note(dataset: str, modality: str, values: NDArray[np.floating[Any]]) -> tuple[str, ...]:
    """A line on columns of a modality (N, d) that count the rows, from any number in any step."""
    if values.ndim != 2 or len(values) < _FEWEST_COUNTED:
        return ()
    rows = np.unique(np.linspace(0, len(values) - 1, _SAMPLE).astype(np.int64))
    near = np.flatnonzero(_are_lines(values[rows], rows))
    columns = near[_are_lines(values[:, near], np.arange(len(values)))]
    if not len(columns):
        return ()
    return (
        f"{dataset}: of {modality}, column {_shown(columns)} counts the rows, and so tells how they are sorted; leave "
        "it out unless it is measured",
    )


def _shown(columns: NDArray[np.int64]) -> str:
    return ", ".join(str(column + 1) for column in columns[:4]) + (", …" if len(columns) > 4 else "")


def shared_note(dataset: str, modalities: Mapping[str, NDArray[np.floating[Any]]]) -> tuple[str, ...]:
    """A line for each two modalities (N, d) of which some columns that vary hold the same numbers."""
    flat = {name: values for name, values in modalities.items() if values.ndim == 2}
    told = []
    for (first, one), (second, other) in combinations(flat.items(), 2):
        if count := _n_shared(one, other):
            told.append(
                f"{dataset}: {first} and {second} share {count} column{'s' * (count > 1)}, which makes them redundant "
                "by construction; leave what is shared out of one of them"
            )
    return tuple(told)


def _n_shared(one: NDArray[Any], other: NDArray[Any]) -> int:
    rows = np.unique(np.linspace(0, len(one) - 1, _SAMPLE).astype(np.int64))
    known = {column.tobytes(): place for place, column in enumerate(_as_columns(other[rows]))}
    count = 0
    for place, column in enumerate(_as_columns(one[rows])):
        match = known.get(column.tobytes())
        if match is not None and np.ptp(column) > 0:
            count += bool(np.array_equal(one[:, place], other[:, match]))
    return count


def _as_columns(values: NDArray[Any]) -> NDArray[np.float64]:
    return np.ascontiguousarray(values.T, dtype=np.float64)
