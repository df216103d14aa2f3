"""Values that are none, and texts that stand for such or for numbers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from math import isfinite
from typing import Any

import numpy as np
from numpy.typing import NDArray

MISSING_WORDS = frozenset({"nan", "na", "n/a", "#n/a", "<na>", "none", "null", "nat", "nil", "missing"})  # lower case
_UNKNOWN_WORDS = frozenset({"?", "??", "-", "--", "unknown", "unk", "undefined", "unspecified", "anonymous", "anon"})
_MARKED = re.compile(r"[$€£]?([-+]?[0-9]+(?:,[0-9]{3})*(?:[.,][0-9]+)?)\s*%?")
_THOUSANDS = re.compile(r"[-+]?[0-9]{1,3}(?:,[0-9]{3})+(?:\.[0-9]+)?")


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
    """The texts among these that often stand for a missing value, such as `NA`, as they are written; none of others."""
    return [text for text in texts_of(values) if text.strip().lower() in MISSING_WORDS]


def unknown_words(values: NDArray[Any]) -> list[str]:
    """The texts among these that often stand for what nobody knows, such as `?`, as they are written; none of others.

    A file says such things on purpose, so that they are less surely missing than `missing_words`.
    """
    return [text for text in texts_of(values) if text.strip().lower() in _UNKNOWN_WORDS]


def spelt_numbers(values: NDArray[Any]) -> list[str]:
    """Different texts, words for nothing aside, that all are numbers, some of them with fractions or with marks that
    only numbers have (1,250 or 12%); none of others.
    """
    words = [*missing_words(values), *unknown_words(values)]
    numbers = {text: marked_number(text) for text in texts_of(values) if text not in words}
    known = {text: number for text, number in numbers.items() if number is not None}
    if len(known) < len(numbers) or all(number.is_integer() and is_number(text) for text, number in known.items()):
        return []
    return sorted(known, key=lambda text: known[text])


def marked_number(text: str) -> float | None:
    """The finite number that a text is, with marks of thousands, a decimal comma or a unit of money or per cent."""
    text = text.strip()
    if not is_number(text):
        marked = _MARKED.fullmatch(text)
        if marked is None:
            return None
        text = marked[1].replace(",", "") if _THOUSANDS.fullmatch(marked[1]) else marked[1].replace(",", ".")
    return number if isfinite(number := float(text)) else None


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
