"""Numbers as a report may hold them: JSON has no NaN, so that a value that does not exist is None."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray


def finite(value: float) -> float | None:
    """The value, or None where it does not exist."""
    return float(value) if math.isfinite(value) else None


def finite_mean(values: NDArray[np.float64]) -> float | None:
    """The mean of the values that are finite, or None without any."""
    known = values[np.isfinite(values)]
    return float(known.mean()) if known.size else None


def finite_sd(values: NDArray[np.float64]) -> float | None:
    """The standard deviation of the values that are finite, or None of fewer than two."""
    known = values[np.isfinite(values)]
    return float(known.std(ddof=1)) if known.size > 1 else None
