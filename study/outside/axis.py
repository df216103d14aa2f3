"""The axis of somebody else's trainings: the range in which λ* is sought, and its scale; many strengths are merged."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypedDict

import numpy as np
from numpy.typing import NDArray

from study.outside.tables import Scores
from study.selection import unwarp, warp, warp_scale

_MOST_STRENGTHS = {True: 32, False: 24}  # paired or not: of more, neighbours are merged; a fit takes minutes otherwise
_DECADES_TO_ZERO = 10.0  # on a logarithmic axis λ = 0 stands where a strength this much below the smallest would


@dataclass(frozen=True, kw_only=True, eq=False)
class Axis:
    """The range of strengths in which λ* is sought, and the scale of the warp on which the curve is smooth."""

    range: tuple[float, float]
    scale: float


class Options(TypedDict):
    """Arguments that all of `study.selection` takes."""

    range_: tuple[float, float]
    scale: float
    diverged: NDArray[np.bool_]
    paired: bool


def options(scores: Scores, axis: Axis) -> Options:
    """The arguments for scores on an axis."""
    return {
        "range_": axis.range, "scale": axis.scale, "diverged": scores.diverged, "paired": scores.seeds is not None,
    }  # fmt: skip


def axis_of(strengths: NDArray[np.float64], *, log: bool, scale: float | None) -> Axis:
    """The axis of ascending strengths (S,), with the scale where it is known."""
    low, high = float(strengths.min()), float(strengths.max())
    if scale is None and log:
        positive = float(strengths[strengths > 0].min())
        scale = positive / _DECADES_TO_ZERO if low == 0 else positive * 1e-3
    return Axis(range=(low, high), scale=warp_scale(strengths) if scale is None else scale)


def merge(scores: Scores, axis: Axis) -> tuple[Scores, int | None]:
    """Many strengths in groups of neighbours, each at the mean of its own on the axis, and how many groups; None where
    they stay as they are. The smallest stays alone.
    """
    most = _MOST_STRENGTHS[scores.seeds is not None]
    if len(scores.strengths) <= most:
        return scores, None
    warped = warp(scores.strengths, scale=axis.scale)
    place = (warped - warped[0]) / (warped[-1] - warped[0]) * (most - 1)
    group = np.where(warped == warped[0], 0, 1 + np.floor(place).clip(max=most - 2)).astype(int)
    weights = np.isfinite(scores.scores).sum(axis=1) + scores.diverged.sum(axis=1)
    strengths, rows, diverged = [], [], []
    for each in np.unique(group):
        mine = group == each
        mean = np.average(warped[mine], weights=np.maximum(weights[mine], 1))
        strengths.append(float(np.clip(unwarp(mean, scale=axis.scale), *axis.range)))
        if scores.seeds is None:
            counts = np.isfinite(scores.scores[mine]) | scores.diverged[mine]
            rows.append(scores.scores[mine][counts])
            diverged.append(scores.diverged[mine][counts])
        else:
            known = np.isfinite(scores.scores[mine])
            sums = np.where(known, scores.scores[mine], 0.0).sum(axis=0)
            rows.append(np.where(known.any(axis=0), sums / np.maximum(known.sum(axis=0), 1), np.nan))
            diverged.append(scores.diverged[mine].any(axis=0) & ~known.any(axis=0))
    width = max(map(len, rows))
    together = Scores(
        strengths=np.array(strengths),
        scores=np.array([np.pad(row, (0, width - len(row)), constant_values=np.nan) for row in rows]),
        diverged=np.array([np.pad(row, (0, width - len(row)), constant_values=False) for row in diverged]),
        seeds=scores.seeds,
    )
    return together, len(strengths)
