"""Names of a report's figures: `figures/` holds each as NAME.png and NAME.svg."""

from __future__ import annotations

import re

# Of a cell, named `CellResult.file_stem(position)-KIND`.
FIGURES = (
    "curve-1", "curve-2", "joint", "alignment", "space", "classes", "learning", "numbers", "pid", "forecast", "theory",
)  # fmt: skip
# Of the study: λ* against redundancy, all pairs side by side, the change against λ = 0.
OVERVIEW, SIDE_BY_SIDE, CHANGES = "00-strength-against-redundancy", "00-side-by-side", "00-changes"

_OURS = re.compile(rf"({OVERVIEW}|{SIDE_BY_SIDE}|{CHANGES})\.(png|svg)|\d\d+-.+-({'|'.join(FIGURES)})\.(png|svg)")


def is_figure(file: str) -> bool:
    """Whether a file of this name is a figure of a report."""
    return _OURS.fullmatch(file) is not None
