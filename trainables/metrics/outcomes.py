"""How well one training did on each unit of the split it was scored on, compact enough to stand on record.

A unit is a row, or all rows of a group where the data have groups, or a block of rows where the score is no mean over
rows (`trainables.metrics.jackknife`). The mean of the values by the weights is the score.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class ByUnit:
    """Values (N,) of both encoders on the N units, and the units' rows (N,), None where each is one row.

    A value is what the unit adds to the score, times the number of units for rows: 0 or 1 for a class, for R² the row's
    part of what is explained; of `blocks` it is a pseudo-value.
    """

    values: tuple[Floats, Floats]
    rows: NDArray[np.int64] | None = None
    blocks: bool = False

    @property
    def weights(self) -> Floats:
        """Share of the rows (N,) that each unit has."""
        if self.rows is None:
            return np.full(len(self.values[0]), 1 / len(self.values[0]))
        return np.asarray(self.rows / self.rows.sum(), np.float64)

    @classmethod
    def of(cls, first: Floats, second: Floats, groups: NDArray[np.int64] | None) -> ByUnit:
        """The outcomes of both encoders (N,) on rows, by group (N,) where there are groups."""
        if groups is None:
            return cls(values=(first, second))
        _, code, rows = np.unique(groups, return_inverse=True, return_counts=True)
        one, two = (np.bincount(code, values) / rows for values in (first, second))
        return cls(values=(one, two), rows=rows.astype(np.int64))

    def to_json(self) -> dict[str, Any]:
        """Plain containers: zeros and ones as bits, anything else in single precision; the inverse of `from_json`."""
        rows = None if self.rows is None else self.rows.tolist()
        kept = {"values": [_encode(values) for values in self.values], "rows": rows}
        return {**kept, "blocks": True} if self.blocks else kept

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> ByUnit:
        """The outcomes that `to_json` was called on.

        Raises:
            ValueError: the text is damaged.
        """
        first, second = map(_decode, value["values"])
        rows = None if value.get("rows") is None else np.array(value["rows"], np.int64)
        return cls(values=(first, second), rows=rows, blocks=bool(value.get("blocks", False)))


def _encode(values: Floats) -> str:
    if np.isin(values, (0.0, 1.0)).all():
        return f"bits:{len(values)}:{_text(np.packbits(values.astype(bool)))}"
    return f"float32:{len(values)}:{_text(values.astype('<f4'))}"


def _decode(text: str) -> Floats:
    try:
        kind, count, body = text.split(":")
        data = base64.b64decode(body, validate=True)
        if kind == "bits":
            return np.unpackbits(np.frombuffer(data, np.uint8), count=int(count)).astype(np.float64)
        values = np.frombuffer(data, {"float32": "<f4"}[kind]).astype(np.float64)
    except (binascii.Error, KeyError, ValueError) as error:
        raise ValueError(f"damaged outcomes {text[:40]!r}: {error}") from None
    if len(values) != int(count):
        raise ValueError(f"damaged outcomes: {len(values)} values where {count} are named")
    return values


def _text(array: NDArray[Any]) -> str:
    return base64.b64encode(array.tobytes()).decode("ascii")
