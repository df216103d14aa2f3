"""Values that are none, and texts that stand for such or for numbers."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite
from typing import Any

import numpy as np
from numpy.typing import NDArray

MISSING_WORDS = frozenset({"nan", "na", "n/a", "#n/a", "<na>", "none", "null", "nat", "nil", "missing"})  # lower case


def missing(values: NDArray[Any]) -> NDArray[np.bool_]:
    """Where there is no value: NaN, no date, a text that is empty or blank."""
    absent: NDArray[np.bool_] = np.zeros(values.shape, dtype=np.bool_)
    if values.dtype.kind == "f":
        absent = np.isnan(values)
    elif values.dtype.kind in "mM":
        absent = np.isnat(values)
    elif values.dtype.kind in "US":
        absent = np.char.strip(values) == values.dtype.type()
    return absent


def missing_words(values: NDArray[Any]) -> list[str]:
    """Those of some texts that often stand for a missing value, such as `NA`, as they are written; none of others."""
    return [text for text in texts_of(values) if text.strip().lower() in MISSING_WORDS]


def spelt_numbers(values: NDArray[Any]) -> list[str]:
    """Different texts, words for nothing aside, that all are numbers, some of them with fractions; none of others."""
    words = missing_words(values)
    texts = [text for text in texts_of(values) if text not in words]
    numbers = [float(text) for text in texts if is_number(text)]
    if len(numbers) < len(texts) or not all(map(isfinite, numbers)) or all(number.is_integer() for number in numbers):
        return []
    return sorted(texts, key=float)


def is_number(text: str) -> bool:
    """Whether a text spells a number."""
    try:
        float(text)
    except ValueError:
        return False
    return True


def texts_of(values: NDArray[Any]) -> Sequence[str]:
    """Different texts, as they are written; none where the values are no texts."""
    return [str(text) for text in np.unique(values).astype(str)] if values.dtype.kind in "US" else []
