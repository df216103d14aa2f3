"""The gain of a way of training on new rows: luck of the training and luck of the rows that it is scored on, crossed.

Every confirming replicate is scored on the same test rows, so that a gain differs from its expectation for two reasons
that seeds alone do not show: other trainings (rows to train on, initial weights, order) and other rows to be right on.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from study.selection.confirm import LEVEL, Gain, corrected_gain, gain_by_t, paired_gain
from study.selection.looks import corrected_p, nominal_level

OutcomeUnit = Literal["rows", "groups", "blocks"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Outcomes:
    """How well each of R trainings did on each of N units of the test split: values (R, N), whose mean by `weights`
    (N,), which sum to 1, is the training's score; NaN in all of a row where the training diverged. A unit is a row, or
    all rows of one group where the data have groups, or a block of rows with its pseudo-value.
    """

    values: NDArray[np.float64]
    weights: NDArray[np.float64]
    unit: OutcomeUnit = "rows"

    def minus(self, other: Outcomes) -> NDArray[np.float64]:
        """The differences (R, N) of what the same trainings' seeds did on the same units.

        Raises:
            ValueError: the two are not of the same trainings and units.
        """
        if self.values.shape != other.values.shape or not np.allclose(self.weights, other.weights):
            raise ValueError(f"outcomes {self.values.shape} and {other.values.shape} are not of the same units")
        return self.values - other.values


@dataclass(frozen=True, kw_only=True, eq=False)
class Confirmed:
    """Scores (R,) of the confirming trainings at one setting, NaN where one diverged, and how each did on every unit
    of the test split, where that is on record. `ratio` is test rows for each training row where every training has a
    random split of its own. `looks` tells how often what was there was looked at before more was trained, and `after`
    (R,) how many of these looks had been taken when each training was asked for; None where nobody looked.
    """

    scores: NDArray[np.float64]
    outcomes: Outcomes | None = None
    ratio: float | None = None
    looks: int = 0
    after: NDArray[np.intp] | None = None

    def joined(self, other: Confirmed) -> Confirmed:
        """The mean of both, as of the two encoders of a pair."""
        outcomes = None
        if self.outcomes and other.outcomes and self.outcomes.values.shape == other.outcomes.values.shape:
            outcomes = replace(self.outcomes, values=(self.outcomes.values + other.outcomes.values) / 2)
        return Confirmed(
            scores=(self.scores + other.scores) / 2,
            outcomes=outcomes,
            ratio=self.ratio,
            looks=self.looks,
            after=self._later(other),
        )

    def over(self, baseline: Confirmed) -> Gain:
        """The gain over a baseline of the same seeds: on new rows where outcomes are known, or every seed had a split
        of its own, else on these rows.
        """
        earlier = self._earlier(baseline)
        told = self._tested(baseline, level=1 - nominal_level(1 - LEVEL, earlier))
        if not earlier:
            return told
        p_value = corrected_p(told.p_value, earlier)
        return replace(told, level=LEVEL, p_value=p_value, looks=1 + len(earlier))

    def _tested(self, baseline: Confirmed, *, level: float) -> Gain:
        if self.ratio is not None:
            return corrected_gain(baseline.scores, self.scores, ratio=self.ratio, level=level)
        if self.outcomes is None or baseline.outcomes is None:
            return paired_gain(baseline.scores, self.scores, level=level)
        return crossed_gain(baseline.outcomes, self.outcomes, level=level)

    def _later(self, other: Confirmed) -> NDArray[np.intp] | None:
        """As `after`, of what needs a training of both."""
        if self.after is None or other.after is None:
            return self.after if other.after is None else other.after
        return np.maximum(self.after, other.after)

    def _earlier(self, baseline: Confirmed) -> tuple[float, ...]:
        """The information of each earlier look at this gain, as a share of what there is now; see `nominal_level`.

        Seeds are counted. Of gains whose interval counts the luck of rows too, a look has told more than that share,
        which makes the correction larger than it need be. A look after which nothing came is none.
        """
        after = self._later(baseline)
        if after is None:
            return ()
        known = np.isfinite(self.scores) & np.isfinite(baseline.scores)
        counts = [int((known & (after <= look)).sum()) for look in range(self.looks)]
        now = int(known.sum())
        shares = [count / now if count > 1 else 0.0 for count in counts if count < now]
        elsewhere = [share for share in shares if not share]
        return (*elsewhere, *sorted({share for share in shares if share}))


def crossed_gain(baseline: Outcomes, candidate: Outcomes, *, level: float = LEVEL) -> Gain:
    """Gain of `candidate` over `baseline`, training r of both from the same seed, as it is to be expected on new rows
    of the population that the test rows are a sample of.

    Trainings and units are crossed random effects: D_rn = μ + a_r + b_n + e_rn, of which the variance of the mean is
    estimated by that of two-way analysis of variance, (MS_a + MS_b − MS_e) / RN (Searle, Casella & McCulloch 1992, ch.
    4), with units weighted by their rows; never below what either axis says alone. The interval is that of t with
    Satterthwaite's degrees of freedom, of which few groups leave few. Of one unit nobody knows how others differ: its
    limits are NaN, and p is 1.

    Raises:
        ValueError: as `Outcomes.minus`, or level does not lie between 0 and 1.
    """
    change = candidate.minus(baseline)
    change = change[np.isfinite(change).all(axis=1)]
    weights = baseline.weights
    by_training = change @ weights
    trainings, units = change.shape
    alone = replace(paired_gain(np.zeros(len(by_training)), by_training, level=level), units=units, unit=baseline.unit)
    if units < 2:
        return replace(alone, interval=(np.nan, np.nan), p_value=1.0, standard_error=np.nan, units_share=1.0)
    if trainings < 2:
        return alone
    mean = float(by_training.mean())
    by_unit = change.mean(axis=0)
    correction = trainings / (trainings - 1), units / (units - 1)
    squares = weights**2
    of_trainings = float(by_training.var(ddof=1)) / trainings
    of_units = float(squares @ (by_unit - mean) ** 2) * correction[1]
    rest = change - by_training[:, None] - by_unit + mean
    of_rest = float((squares * rest**2).sum()) * correction[0] * correction[1] / trainings**2
    freedom = trainings - 1.0, float(max(1.0, 1 / squares.sum() - 1))
    variance = max(of_trainings + of_units - of_rest, of_trainings, of_units)
    if variance <= (1e-12 * float(np.abs(change).max(initial=0.0))) ** 2:
        return alone
    degrees = variance**2 / (of_trainings**2 / freedom[0] + of_units**2 / freedom[1])
    told = gain_by_t(mean, float(np.sqrt(variance)), degrees, seeds=trainings, level=level)
    return replace(told, units=units, unit=baseline.unit, units_share=min(1.0, of_units / variance))
