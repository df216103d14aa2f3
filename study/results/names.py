"""Names of cells, modalities and runs, as a sentence, a table or MLflow can show them."""

from __future__ import annotations

import re
from collections.abc import Sequence


def one_line(value: object) -> str:
    """Text without line breaks and control characters, so that it can stand in a sentence, a table or an SVG."""
    return " ".join("".join(char if char.isprintable() else " " for char in str(value)).split())


def natural_names(names: Sequence[str]) -> list[str]:
    """The names with their whole numbers padded to equal width, so that sorting as text sorts them as numbers."""
    whole = re.compile(r"(?<![\d.])\d+")
    width = max((len(digits) for name in names for digits in whole.findall(name)), default=1)
    return [whole.sub(lambda match: match.group().zfill(width), name) for name in names]


def capital(text: str) -> str:
    """Text that begins with a capital letter, as a sentence does."""
    return text[:1].upper() + text[1:]
