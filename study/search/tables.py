"""Scores as a table: a row a strength, by the nuisance setting that was best there, and a column a replicate."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from study.selection import counted

K = TypeVar("K", bound=Hashable)
Row = Mapping[int, float | None]


@dataclass(frozen=True, kw_only=True)
class Tried(Generic[K]):
    """One setting at one strength: its scores by replicate, None where the training diverged.

    `setting` is all that was set but for the strength.
    """

    strength: float
    setting: K
    scores: Row


def best_by_strength(tried: Iterable[Tried[K]]) -> tuple[Tried[K], ...]:
    """The setting that stands for each strength, strengths ascending, with all its scores put together.

    The one with the best mean over its replicates stands (every strength has the same settings, so the maximum favours
    none), one whose scores are not `study.selection.counted` only where there is no other; of equals the first.
    """
    rows: dict[float, dict[K, dict[int, float | None]]] = {}
    for one in tried:
        rows.setdefault(one.strength, {}).setdefault(one.setting, {}).update(one.scores)
    best = []
    for strength, settings in sorted(rows.items()):
        setting = max(settings, key=lambda key: _standing(settings[key]))
        if settings[setting]:
            best.append(Tried(strength=strength, setting=setting, scores=settings[setting]))
    return tuple(best)


def score_table(rows: Sequence[Row], *, replicates: Sequence[int]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Scores (S, R), NaN where a training diverged or is missing, and (S, R) True where one diverged."""
    missing = math.nan
    scores = np.array([[_number(row.get(index, missing)) for index in replicates] for row in rows], float)
    diverged = np.array([[row.get(index, missing) is None for index in replicates] for row in rows], bool)
    shape = (len(rows), len(replicates))
    return scores.reshape(shape), diverged.reshape(shape)


def _standing(row: Row) -> tuple[bool, float]:
    """The rank of a setting: whether its scores count, and their mean."""
    scores, diverged = score_table([row], replicates=sorted(row))
    known = scores[np.isfinite(scores)]
    return bool(counted(scores, diverged=diverged).any()), float(known.mean()) if known.size else -math.inf


def _number(score: float | None) -> float:
    return math.nan if score is None else score
