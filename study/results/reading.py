"""Reading a report dict (report.json): its parts, numbers and names, whatever of them is there.

Reports of partial studies and of older versions lack fields; these readers turn what is missing, null or not finite
into None or nothing, so that no one who draws or tells a report needs to ask.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from study.pid import COMPONENTS as COMPONENTS
from study.results.figures.names import CHANGES as CHANGES
from study.results.figures.names import FIGURES as FIGURES
from study.results.figures.names import OVERVIEW as OVERVIEW
from study.results.figures.names import SIDE_BY_SIDE as SIDE_BY_SIDE
from study.results.names import natural_names as natural_names
from study.results.names import one_line as one_line

Report = Mapping[str, Any]
Part = Mapping[str, Any]


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
