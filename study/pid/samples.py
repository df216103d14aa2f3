"""Profiles of a pair from its samples: estimator table, and the default estimator (exact profile of binned data)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from study.pid.exact import decompose
from study.pid.discretise import Codes, Discretiser, classes
from study.pid.profile import COMPONENTS, PIDProfile
from trainables.datasets.base import PairData

Array = NDArray[np.float64]

_RESAMPLE_TOLERANCE = 1e-3  # bits: far below the spread of the resamples it is used for


def binned_profile(
    data: PairData,
    *,
    bootstrap: int = 200,
    bins: Sequence[int] | None = None,
    seed: int = 0,
    level: float = 0.9,
    measure: Sequence[str] = ("train", "valid"),
    discretiser: Discretiser | None = None,
) -> PIDProfile:
    """Exact profile of the binned pair, corrected by the mean of a shuffled-label null.

    The discretiser is fitted on the training rows; the table counts the rows of the `measure` splits (the test split is
    left alone). The values are those of the middle entry of `bins`; `spread` holds all. Intervals are basic bootstrap
    percentiles at `level`; `null` is the 95 % quantile of the shuffled-label profiles.
    """
    rows = data.rows(*measure)
    y = classes(data.targets, data.split)[rows]
    if len(np.unique(y)) < 2:
        raise ValueError(f"one class only among the rows of {', '.join(measure)}; a profile needs at least two")
    choices = default_bins(len(rows), int(y.max()) + 1) if bins is None else tuple(bins)
    discretiser = Discretiser(seed=seed) if discretiser is None else discretiser
    rng = np.random.default_rng(seed)
    results = []
    for size in choices:
        if size > len(rows):
            raise ValueError(f"{len(rows)} rows for {size} bins; use fewer bins")
        x1, x2 = (discretiser.codes(modality, data.split, bins=size)[rows] for modality in data.modalities)
        results.append(_one_table(x1, x2, y, draws=bootstrap, rng=rng, level=level))
    middle = len(choices) // 2
    value, interval, null, gap = results[middle]
    names = COMPONENTS
    return PIDProfile(
        redundancy=float(value[0]),
        unique_1=float(value[1]),
        unique_2=float(value[2]),
        synergy=float(value[3]),
        estimator="broja",
        gap=gap,
        interval={name: (float(low), float(high)) for name, low, high in zip(names, *interval, strict=True)},
        null={name: float(v) for name, v in zip(names, null, strict=True)},
        significant={name: bool(v > n) for name, v, n in zip(names, value, null, strict=True)},
        spread={
            str(size): {name: float(v) for name, v in zip(names, result[0], strict=True)}
            for size, result in zip(choices, results, strict=True)
        },
        settings={
            "bins": choices[middle],
            "rows": len(rows),
            "measure": list(measure),
            "level": level,
            "bootstrap": bootstrap,
            "seed": seed,
        },
    )


def default_bins(rows: int, n_classes: int) -> tuple[int, ...]:
    """Numbers of bins such that a pair marginal (x, y) has about 40, 20 and 10 rows per entry, between 2 and 20."""
    return tuple(sorted({int(np.clip(rows / (per * n_classes), 2, 20)) for per in (40, 20, 10)}))


def _one_table(
    x1: Codes, x2: Codes, y: Codes, *, draws: int, rng: np.random.Generator, level: float
) -> tuple[Array, tuple[Array, Array], Array, float]:
    n = len(y)
    shape = (int(x1.max()) + 1, int(x2.max()) + 1, int(y.max()) + 1)
    cell = (x1 * shape[1] + x2) * shape[2]
    counts = np.bincount(cell + y, minlength=int(np.prod(shape)))
    exact = decompose((counts / n).reshape(1, *shape))
    boot = rng.multinomial(n, counts / n, size=max(draws, 2)) / n
    shuffled = [np.bincount(cell + rng.permutation(y), minlength=len(counts)) / n for _ in range(max(draws // 2, 20))]
    both = np.concatenate([boot, np.stack(shuffled)]).reshape(-1, *shape)
    resampled = decompose(both, tolerance=_RESAMPLE_TOLERANCE).components
    boot_values, null_values = resampled[: len(boot)], resampled[len(boot) :]
    plug_in = exact.components[0]
    bias = null_values.mean(axis=0)
    value = np.maximum(plug_in - bias, 0.0)
    deviation = np.quantile(boot_values - boot_values.mean(axis=0), [(1 - level) / 2, (1 + level) / 2], axis=0)
    interval = np.maximum(value + deviation, 0.0)
    null = np.quantile(null_values, 0.95, axis=0) - bias
    return value, (interval[0], interval[1]), null, float(exact.gap[0])
