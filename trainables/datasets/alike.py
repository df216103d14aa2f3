"""Texts that differ in so little that they may be one, written twice."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any
from unicodedata import category, normalize

from numpy.typing import NDArray

from trainables.datasets.missing import is_number, texts_of


def one_text(values: NDArray[Any]) -> tuple[str, str] | None:
    """Two texts among the values that differ in blanks around them, in how letters are coded or in characters that show
    nothing, as Python writes them (in ASCII where they look the same); None where there are none.
    """
    found = _alike(texts_of(values), lambda text: _seen(text).strip())
    if found is None:
        return None
    shown = ascii if _seen(found[0]) == _seen(found[1]) else repr
    return shown(found[0]), shown(found[1])


def may_be_one(values: NDArray[Any]) -> tuple[str, str] | None:
    """Two texts among the values that are the same number (1 and 01), or the same but for capitals; None without."""
    found = _alike(texts_of(values), lambda text: Decimal(text) if is_number(text) else text.casefold())
    return None if found is None else (repr(found[0]), repr(found[1]))


def _seen(text: str) -> str:
    """What one sees of a text: no zero-width characters, byte order marks or the like, and letters coded in one way."""
    return "".join(char for char in normalize("NFC", text) if category(char) != "Cf")


def _alike(texts: Sequence[str], of: Callable[[str], object]) -> tuple[str, str] | None:
    """Two different texts, the first ones in their order, of which something is the same."""
    seen: dict[object, str] = {}
    for text in texts:
        if (other := seen.setdefault(of(text), text)) != text:
            return other, text
    return None
