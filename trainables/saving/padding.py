"""Padding of sequences: which steps of raw inputs are real, told by a mask or by the value that the data pad with."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

_ROWS = 1024  # looked at together, so that large data need no copy


@dataclass(frozen=True, kw_only=True)
class Padding:
    """How the raw inputs of an encoder that was trained with a mask say which of their steps are padding.

    `value` is what the data hold there, one number or one for each feature; empty where they hold nothing that tells
    padding from data, so that a mask has to be given. If `trailing`, only the steps behind the last other one are
    padding: the value occurs before it, too. A step of nothing but NaN is padding, too, unless a mask says what is.
    """

    value: tuple[float, ...] = ()
    trailing: bool = False

    @property
    def needs_mask(self) -> bool:
        """Whether the inputs alone do not tell."""
        return not self.value

    def real(self, values: NDArray[np.floating[Any]]) -> NDArray[np.bool_]:
        """True at the real steps (N, T) of sequences (N, T, features)."""
        missing = np.isnan(values).all(axis=2)
        if self.needs_mask:
            return np.asarray(~missing)
        padded = missing | (values == np.asarray(self.value, dtype=values.dtype)).all(axis=2)
        if self.trailing:
            last_first = np.logical_or.accumulate(~padded[:, ::-1], axis=1)
            return np.asarray(last_first[:, ::-1] & ~missing)
        return np.asarray(~padded)

    @property
    def told(self) -> str:
        """The convention in one sentence."""
        if self.needs_mask:
            return "Padding has no value of its own: give a mask (N, T), true at real steps, or the lengths (N,)."
        if np.isnan(self.value).all():
            return "Steps of nothing but NaN are padding."
        numbers = [f"{number:g}" for number in self.value]
        shown = numbers[0] if len(numbers) == 1 else f"[{', '.join(numbers[:8])}{', …' * (len(numbers) > 8)}]"
        where = "Behind the last other one, steps" if self.trailing else "Steps"
        return f"{where} of nothing but {shown}, or of NaN, are padding."


def find_padding(values: NDArray[np.floating[Any]], mask: NDArray[np.bool_]) -> Padding:
    """How sequences (N, T, features) with a mask (N, T) are padded: the first of the rules that gives this very mask.

    Where no step is padded by anything else, NaN is the value. It is one number where all features have the same.
    """
    value = _padded_value(values, mask)
    if value is None:
        return Padding()
    plain = Padding(value=value)
    for padding in (plain, replace(plain, trailing=True)):
        parts = range(0, len(values), _ROWS)
        if all(np.array_equal(padding.real(values[i : i + _ROWS]), mask[i : i + _ROWS]) for i in parts):
            return padding
    return Padding()


def read_mask(mask: ArrayLike, *, shape: tuple[int, int], name: str) -> NDArray[np.bool_]:
    """A mask (N, T) from such a one, or from lengths (N,).

    Raises:
        ValueError: it is neither.
    """
    given = np.asarray(mask)
    if given.shape == shape and given.dtype.kind in "biuf" and np.isin(given, (0, 1)).all():
        return given.astype(np.bool_)
    if given.shape == shape[:1] and given.dtype.kind in "iu" and (given >= 0).all() and (given <= shape[1]).all():
        return np.asarray(np.arange(shape[1]) < given[:, None])
    raise ValueError(
        f"the mask of {name} must be {shape} of true and false, or {shape[:1]} whole lengths up to {shape[1]}; given "
        f"{given.dtype} of shape {given.shape}"
    )


def _padded_value(values: NDArray[np.floating[Any]], mask: NDArray[np.bool_]) -> tuple[float, ...] | None:
    first: NDArray[np.floating[Any]] | None = None
    for i in range(0, len(values), _ROWS):
        padded = values[i : i + _ROWS][~mask[i : i + _ROWS]]
        padded = padded[~np.isnan(padded).all(axis=1)]  # padding anyway
        if len(padded) == 0:
            continue
        first = padded[0] if first is None else first
        if not (padded == first).all():
            return None
    if first is None:
        return (float("nan"),)
    numbers = tuple(float(number) for number in first)
    return numbers[:1] if len(set(numbers)) == 1 else numbers
