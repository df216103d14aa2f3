"""Confirmation on fresh seeds: the paired gain over λ = 0, and its correction over a study."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

LEVEL = 0.9  # of every interval of a gain


@dataclass(frozen=True, kw_only=True)
class Gain:
    """Mean difference candidate − baseline over `seeds` common seeds (score units), its interval at `level` and its
    two-sided p-value; NaN limits and p = 1 where one seed or none is left.

    With `units` the interval is for new rows: it counts the luck of so many rows, or groups, of the test split, whose
    share of its variance is `units_share`. With `splits` it is for new rows too, by so many random splits. Without
    either it is for the rows that were tested on, and knows seeds alone.

    Of several `looks`, as more seeds were trained after its result was seen, interval and p-value are those of the last
    one, corrected for those before it.
    """

    mean: float
    interval: tuple[float, float]
    p_value: float
    seeds: int
    standard_error: float
    level: float
    units: int | None = None
    unit: Literal["rows", "groups", "blocks"] = "rows"
    units_share: float = 0.0
    splits: int | None = None
    looks: int = 1

    def is_too_small(self, smallest: float) -> bool:
        """Whether it is shown to be too small to matter, be it gain or loss: its interval lies within ± `smallest`.

        With a 90 % interval this is the pair of one-sided tests at 5 % for equivalence (Schuirmann 1987). Nothing is
        too small for a `smallest` of 0.
        """
        low, high = self.interval
        return smallest > 0 and -smallest <= low and high <= smallest


def paired_gain(baseline: ArrayLike, candidate: ArrayLike, *, level: float = LEVEL) -> Gain:
    """Gain of `candidate` (R,) over `baseline` (R,), position r from the same seed; pairs with a NaN are left out.

    The t interval and the t test, at any number of pairs: scores on a finite split come in steps, so that differences
    tie, and a studentised bootstrap of ten tied differences covers 0.8 where it should cover 0.9.

    Raises:
        ValueError: the arrays are not of one length, or level does not lie between 0 and 1.
    """
    first, second = np.asarray(baseline, float), np.asarray(candidate, float)
    if first.ndim != 1 or first.shape != second.shape:
        raise ValueError(f"baseline has shape {first.shape}, candidate {second.shape}; give one score per seed in both")
    if not 0 < level < 1:
        raise ValueError(f"level must lie between 0 and 1, given {level}")
    paired = np.isfinite(first) & np.isfinite(second)
    change = (second - first)[paired]
    count = len(change)
    if count == 0:
        return Gain(mean=np.nan, interval=(np.nan, np.nan), p_value=1.0, seeds=0, standard_error=np.nan, level=level)
    mean = float(change.mean())
    if count == 1:
        return Gain(mean=mean, interval=(np.nan, np.nan), p_value=1.0, seeds=1, standard_error=np.nan, level=level)
    size = float(np.abs([first[paired], second[paired]]).max())
    error = float(change.std(ddof=1) / np.sqrt(count))
    if error <= 1e-12 * size:
        # Without spread there is no t: what is left is the sign test.
        p_value = 1.0 if abs(mean) <= 1e-12 * size else 2.0 ** (1 - count)
        return Gain(mean=mean, interval=(mean, mean), p_value=p_value, seeds=count, standard_error=0.0, level=level)
    return gain_by_t(mean, error, count - 1, seeds=count, level=level)


def corrected_gain(baseline: ArrayLike, candidate: ArrayLike, *, ratio: float, level: float = LEVEL) -> Gain:
    """As `paired_gain`, where every pair has a random split of its own with `ratio` test rows for each training row.

    Splits share rows, so that their gains vary together and less than those on new rows would: the variance of the mean
    is (1/n + ratio) times that of one gain, not 1/n times (Nadeau & Bengio 2003, eq. 9; Bouckaert & Frank 2004). It
    hardly falls as splits are added, which is honest: there are no more rows.

    Raises:
        ValueError: as `paired_gain`, or `ratio` is not above 0.
    """
    if not ratio > 0:
        raise ValueError(f"ratio is test rows for each training row, above 0, given {ratio}")
    alone = paired_gain(baseline, candidate, level=level)
    if alone.seeds < 2 or alone.standard_error == 0:
        return replace(alone, splits=alone.seeds or None)
    error = alone.standard_error * float(np.sqrt(1 + ratio * alone.seeds))
    told = gain_by_t(alone.mean, error, alone.seeds - 1, seeds=alone.seeds, level=level)
    return replace(told, splits=alone.seeds)


def gain_by_t(mean: float, error: float, degrees: float, *, seeds: int, level: float) -> Gain:
    """The gain of this mean and standard error (above 0) by Student's t with so many degrees of freedom."""
    reach = float(stats.t.ppf((1 + level) / 2, degrees)) * error
    return Gain(
        mean=mean,
        interval=(mean - reach, mean + reach),
        p_value=float(2 * stats.t.sf(abs(mean) / error, degrees)),
        seeds=seeds,
        standard_error=error,
        level=level,
    )


def holm(p_values: Sequence[float]) -> tuple[float, ...]:
    """Holm's step-down adjusted p-values (Holm 1979), in the given order; controls the family-wise error.

    Raises:
        ValueError: a p-value lies outside [0, 1] or is NaN.
    """
    values = np.asarray(p_values, float)
    if values.size and not np.all((values >= 0) & (values <= 1)):
        raise ValueError(f"p-values must lie in [0, 1], given {values.tolist()}")
    order = np.argsort(values, kind="stable")
    stepped = np.maximum.accumulate(values[order] * np.arange(len(values), 0, -1))
    adjusted = np.empty_like(values)
    adjusted[order] = np.minimum(stepped, 1.0)
    return tuple(adjusted.tolist())
