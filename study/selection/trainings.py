"""The trainings that a selection rests on, checked once, and the axis on which their scores are a smooth curve."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


def warp(strength: ArrayLike, *, scale: float) -> Floats:
    """Strengths (any shape, ≥ 0) on the axis where the curve is smooth: log(1 + λ/scale), on which 0 has a place."""
    warped: Floats = np.log1p(np.asarray(strength, float) / scale)
    return warped


def unwarp(warped: ArrayLike, *, scale: float) -> Floats:
    """The inverse of `warp`."""
    strength: Floats = scale * np.expm1(np.asarray(warped, float))
    return strength


def warp_scale(strengths: ArrayLike) -> float:
    """The `scale` of `warp` that spreads a design most evenly: the one whose largest gap is smallest.

    The design tells at which scale the experimenter expects the curve to change: an even grid gives a nearly linear
    axis, a logarithmic one a logarithmic axis. Strengths added between others barely move it.
    """
    design = np.unique(np.asarray(strengths, float))
    positive = design[design > 0]
    if len(design) < 2:
        return float(positive[0]) if len(positive) else 1.0
    smallest = max(positive[0], 1e-9 * positive[-1])
    scales = np.geomspace(smallest / 10, positive[-1] * 10, 121)
    axis = np.log1p(design[None, :] / scales[:, None])
    largest_gap = np.diff(axis, axis=1).max(axis=1) / (axis[:, -1] - axis[:, 0])
    return float(scales[np.argmin(largest_gap)])


def counted(scores: ArrayLike, *, diverged: ArrayLike | None = None) -> Bools:
    """(S, R) True for the scores that a curve may rest on, arguments as of `select`.

    A strength at which at least half of the trainings diverged has none: the survivors' mean would flatter it.
    """
    values = np.asarray(scores, float)
    blown = ~np.isfinite(values) if diverged is None else np.asarray(diverged, bool)
    usable = np.isfinite(values) & ~blown
    sound = ~blown.any(axis=1) | (blown.sum(axis=1) < usable.sum(axis=1))
    counts: Bools = usable & sound[:, None]
    return counts


def has_curve(scores: ArrayLike, *, diverged: ArrayLike | None = None, paired: bool = True) -> bool:
    """Whether `select` finds a curve in these scores (S, R), arguments as there; it raises where this is False."""
    return _shortage(counted(scores, diverged=diverged), paired=paired) is None


def _shortage(usable: Bools, *, paired: bool = True) -> str | None:
    scored = int(usable.any(axis=1).sum())
    if scored < 2:
        have = "1 strength has" if scored == 1 else f"{scored} strengths have"
        return f"{have} a score that counts, a curve needs at least 2; try more strengths"
    if paired and usable.sum(axis=0).max() < 2:
        return "no seed has scores at two strengths; train the same seeds at every strength"
    return None


@dataclass(frozen=True, kw_only=True, eq=False)
class Trainings:
    """Scores of all trainings, by ascending strength and by seed.

    `strengths` (S,); `scores` (S, R), NaN for none; `dead` (S,) True where trainings diverge, and then without a
    score; `diverged` True if any training did; `range` of strengths in which the optimum is sought; `paired`: a column
    is a seed, else columns mean nothing.
    """

    strengths: Floats
    scores: Floats
    dead: Bools
    diverged: bool
    range: tuple[float, float]
    paired: bool = True

    @property
    def seeds(self) -> NDArray[np.intp]:
        """(S,) number of scores per strength."""
        counts: NDArray[np.intp] = np.isfinite(self.scores).sum(axis=1)
        return counts

    @classmethod
    def of(
        cls,
        strengths: ArrayLike,
        scores: ArrayLike,
        *,
        diverged: ArrayLike | None = None,
        range_: tuple[float, float] | None = None,
        paired: bool = True,
    ) -> Trainings:
        """Checks and sorts what was measured; the arguments are those of `select`.

        A strength whose trainings diverge so often that none of them is `counted` is dead.

        Raises:
            ValueError: shapes disagree, a strength is negative, not finite, repeated or outside the range, fewer than
                two strengths have a score that counts, or, of paired ones, no seed has such scores at two strengths.
        """
        axis, values = np.asarray(strengths, float), np.asarray(scores, float)
        if axis.ndim != 1 or values.ndim != 2 or len(axis) != len(values):
            raise ValueError(
                f"strengths have shape {axis.shape}, scores {values.shape}; give (strengths,) and (strengths, seeds)"
            )
        if not np.all(np.isfinite(axis)) or np.any(axis < 0):
            raise ValueError(f"strengths must be finite and at least 0, given {axis.tolist()}")
        if len(np.unique(axis)) < len(axis):
            raise ValueError(f"strengths {axis.tolist()} repeat; give each once, with one column of scores per seed")
        blown = ~np.isfinite(values) if diverged is None else np.asarray(diverged, bool)
        if blown.shape != values.shape:
            raise ValueError(f"diverged has shape {blown.shape}, scores {values.shape}; they must agree")
        usable = counted(values, diverged=blown)
        if shortage := _shortage(usable, paired=paired):
            raise ValueError(shortage)
        dead: Bools = (blown.sum(axis=1) > 0) & (usable.sum(axis=1) == 0)
        low, high = (float(axis.min()), float(axis.max())) if range_ is None else range_
        if not (0 <= low <= axis.min() and axis.max() <= high < np.inf):
            raise ValueError(f"range ({low}, {high}) must hold all strengths, {axis.min()} to {axis.max()}; widen it")
        order = np.argsort(axis)
        return cls(
            strengths=axis[order],
            scores=np.where(usable, values, np.nan)[order],
            dead=dead[order],
            diverged=bool(blown.any()),
            range=(float(low), float(high)),
            paired=paired,
        )
