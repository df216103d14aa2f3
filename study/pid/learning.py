"""What is still to be learned: how information grows with the rows that the networks learn from, and where that leads.

A posterior learned from n rows knows less than there is to know, and resampling the rows that measure it never shows
that. So the networks also learn from a quarter of their rows. Where the loss falls like 1 / √n, a quarter of the rows
loses twice as much as all of them, and as much as the difference is still missing. On the generated families of
`tests/bench/pid.py` the difference is 0.9 times what is missing for hard modalities, more for easy ones.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from study.pid.exact import shannon_entropy

Array = NDArray[np.float64]
Codes = NDArray[np.int64]

SHARE = 0.25  # of the rows, for the other point of the curve
_REACH = 1 / (SHARE**-0.5 - 1)


def left_to_learn(full: Sequence[Array], part: Sequence[Array], y: Codes) -> Array:
    """Bits that are missing from I(X1;Y), I(X2;Y) and I(X1, X2; Y), (3,), at least 0.

    `full` and `part` are out-of-sample posteriors (N, n_y) of x1, x2 and both, learned from all rows and from `SHARE`
    of them, NaN where nobody answered. Information is the mean of log p(y | x) / p(y) over the rows that both answered:
    its differences are steadier than those of clusters.
    """
    rows = np.flatnonzero(np.isfinite(part[0][:, 0]))
    gained: Array = np.array(
        [_information(a[rows], y[rows]) - _information(b[rows], y[rows]) for a, b in zip(full, part, strict=True)]
    )
    return np.asarray(np.maximum(_REACH * gained, 0.0))


def widened(interval: Array, value: Array, left: Array, *, most: float, unsolved: float = 0.0) -> Array:
    """A sampling interval (2, 4) of components (4,) that also holds what is `left` (3,) to learn, in 0 … `most` bits.

    What is missing from a modality may be redundant or its own: it may raise redundancy and its unique information, and
    lower the other's and synergy, which it may have passed for. It has nothing to do with which rows were drawn, so
    both add in quadrature. `unsolved` is by how much a least information that is only bounded from above may be too
    large: so much of both unique parts may be redundancy, and synergy that larger. This is added as it is.
    """
    of_1, of_2, of_both = left
    either = max(of_1, of_2)
    below = np.hypot(value - interval[0], [0.0, of_2, of_1, either]) + unsolved * np.array([0.0, 1.0, 1.0, 0.0])
    above = np.hypot(interval[1] - value, [either, of_1, of_2, of_both]) + unsolved * np.array([1.0, 0.0, 0.0, 1.0])
    return np.stack([np.maximum(value - below, 0.0), np.maximum(np.minimum(value + above, most), interval[1])])


def entropy(y: Codes) -> float:
    """H(Y) in bits: no component is larger."""
    return float(shannon_entropy(np.bincount(y) / len(y)))


def _information(posterior: Array, y: Codes) -> float:
    """Mean of log p(y | x) / p(y) in bits, and 0 where a network is worse than the class frequencies."""
    p = np.bincount(y) / len(y)
    return max(0.0, float(np.log2(posterior[np.arange(len(y)), y] / p[y]).mean()))
