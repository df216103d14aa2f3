"""Reading a report dict (report.json): its parts, numbers and names, whatever of them is there.

Reports of partial studies and of older versions lack fields; these readers turn what is missing, null or not finite
into None or nothing, so that no one who draws or tells a report needs to ask.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

Report = Mapping[str, Any]
Part = Mapping[str, Any]

COMPONENTS = ("redundancy", "unique_1", "unique_2", "synergy")
FIGURES = (
    "curve-1",
    "curve-2",
    "alignment",
    "pid",
    "forecast",
    "theory",
)  # of a cell, named `file_stem(cell, position)-KIND`
# Of the study: λ* against redundancy, all pairs side by side, the change against λ = 0.
OVERVIEW, SIDE_BY_SIDE, CHANGES = "00-strength-against-redundancy", "00-side-by-side", "00-changes"


def answered(report: Report) -> bool:
    """Whether every cell has a λ* for both encoders."""
    return all(encoder["lambda_star"] is not None for cell in report["cells"] for encoder in cell["encoders"])


def number(value: object) -> float | None:
    """`value` as a finite float, or None where it is missing, null, not a number, NaN or infinite."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return float(value) if math.isfinite(value) else None


def interval(value: object) -> tuple[float, float] | None:
    """`value` as (low, high), or None unless it is two finite numbers."""
    if not isinstance(value, Sequence) or isinstance(value, str) or len(value) != 2:
        return None
    low, high = number(value[0]), number(value[1])
    return None if low is None or high is None else (low, high)


def part(value: object, key: str) -> Part:
    """The mapping under `key`, empty where it is missing or null."""
    found = value.get(key) if isinstance(value, Mapping) else None
    return found if isinstance(found, Mapping) else {}


def parts(value: object, key: str) -> list[Part]:
    """The mappings listed under `key`, none where it is missing or null."""
    found = value.get(key) if isinstance(value, Mapping) else None
    return [item for item in found if isinstance(item, Mapping)] if isinstance(found, Sequence) else []


def pair_of(cell: Part) -> tuple[str, str]:
    """The two modalities' names on one line each."""
    names = [one_line(name) for name in (cell.get("pair") or ())][:2]
    first, second = (*names, *("encoder 1", "encoder 2")[len(names) :])
    return first, second


def label_of(cell: Part) -> str:
    """What a cell is called: its label, or dataset and pair where it has none."""
    label = cell.get("label")
    first, second = pair_of(cell)
    return one_line(label) if label else f"{one_line(cell.get('dataset', 'data'))}, {first} + {second}"


def identity_of(cell: Part) -> str:
    """The unique id of a cell, or its label where it has none."""
    return str(cell.get("id") or label_of(cell))


def metric_of(cell: Part, encoder: int) -> str:
    """The score of encoder 0 or 1 of a cell: `accuracy` unless the report says otherwise."""
    metrics = cell.get("metrics")
    if isinstance(metrics, Sequence) and not isinstance(metrics, str) and encoder < len(metrics):
        return str(metrics[encoder])
    return "accuracy"


def strengths_of(entry: Part) -> list[float]:
    """The strengths an encoder's curve was measured at, ascending."""
    values = (number(point.get("strength")) for point in parts(entry, "curve"))
    return sorted(value for value in values if value is not None)


def file_stem(cell: Part, position: int) -> str:
    """A unique file name for a cell's figures: its 1-based place in the report and the safe part of its id."""
    safe = re.sub(r"[^a-z0-9]+", "-", identity_of(cell).lower()).strip("-")
    return f"{position:02d}-{safe[:60].strip('-') or 'cell'}"


def natural_names(names: Sequence[str]) -> list[str]:
    """The names with their whole numbers padded to equal width, so that sorting as text sorts them as numbers."""
    whole = re.compile(r"(?<![\d.])\d+")
    width = max((len(digits) for name in names for digits in whole.findall(name)), default=1)
    return [whole.sub(lambda match: match.group().zfill(width), name) for name in names]


def one_line(value: object) -> str:
    """Text without line breaks and control characters, so that it can stand in a sentence, a table or an SVG."""
    return " ".join("".join(char if char.isprintable() else " " for char in str(value)).split())


def capital(text: str) -> str:
    """Text that begins with a capital letter, as a sentence does."""
    return text[:1].upper() + text[1:]
