"""Replicate results of a cell, arranged as curves: scores against strength, one column a seed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from study.cells.trials import Asked
from study.selection import counted, has_curve
from trainables.spec import ReplicateResult

Subject = Literal["encoder_1", "encoder_2", "pair"]
ENCODERS: tuple[Subject, ...] = ("encoder_1", "encoder_2")
SUBJECTS: tuple[Subject, ...] = (*ENCODERS, "pair")

_SCORE: Mapping[Subject, Callable[[ReplicateResult], float]] = {
    "encoder_1": lambda result: result.scores[0],
    "encoder_2": lambda result: result.scores[1],
    "pair": lambda result: (result.scores[0] + result.scores[1]) / 2,
}


@dataclass(frozen=True, kw_only=True)
class Curve:
    """Scores (S, R) at ascending strengths (S,), one column a replicate; NaN where a training diverged or is missing.

    `diverged` (S, R) is True where one did; `chosen` names the trial whose nuisance setting was best at each
    strength.
    """

    strengths: NDArray[np.float64]
    scores: NDArray[np.float64]
    diverged: NDArray[np.bool_]
    chosen: tuple[Asked, ...]

    @property
    def is_drawable(self) -> bool:
        """Whether `study.selection.select` can draw it."""
        return has_curve(self.scores, diverged=self.diverged)


def curve(trials: Iterable[Asked], subject: Subject) -> Curve:
    """The curve of one encoder, or of the pair (mean of the two), over the trials of an arm.

    Where a strength was tried with several nuisance settings, the one with the best mean over its replicates stands
    for it (every strength has the same settings, so the maximum favours none), one whose scores are not
    `study.selection.counted` only where there is no other.
    """
    trials = [trial for trial in trials if trial.results]
    replicates = sorted({index for trial in trials for index in trial.results})
    column = {index: i for i, index in enumerate(replicates)}
    by_strength: dict[float, dict[tuple[tuple[str, float], ...], list[Asked]]] = defaultdict(lambda: defaultdict(list))
    for trial in trials:
        strength = max(trial.setting.strength_1, trial.setting.strength_2)
        by_strength[strength][tuple(sorted(trial.setting.nuisance.items()))].append(trial)
    strengths = sorted(by_strength)
    scores = np.full((len(strengths), len(replicates)), np.nan)
    diverged = np.zeros(scores.shape, bool)
    chosen = []
    for row, strength in enumerate(strengths):
        settings = by_strength[strength]
        rows = {key: _row(group, column, subject) for key, group in settings.items()}
        blown = {key: _blown(group, column) for key, group in settings.items()}
        counts = {key: bool(counted([rows[key]], diverged=[blown[key]]).any()) for key in settings}
        best = max(settings, key=lambda key: (counts[key], _mean(rows[key]), key))
        scores[row], diverged[row] = rows[best], blown[best]
        chosen.append(settings[best][0])
    return Curve(strengths=np.array(strengths), scores=scores, diverged=diverged, chosen=tuple(chosen))


def scores_by_setting(trials: Iterable[Asked], subject: Subject) -> dict[tuple[float, float], NDArray[np.float64]]:
    """Scores (R,) of confirming trials by their two strengths; position r is one seed everywhere, NaN is diverged."""
    return {
        (trial.setting.strength_1, trial.setting.strength_2): _row(
            [trial], {index: index for index in trial.replicates}, subject
        )
        for trial in trials
        if trial.results
    }


def _row(group: Sequence[Asked], column: Mapping[int, int], subject: Subject) -> NDArray[np.float64]:
    row = np.full(len(column), np.nan)
    for trial in group:
        for index, result in trial.results.items():
            row[column[index]] = _SCORE[subject](result)
    return row


def _blown(group: Sequence[Asked], column: Mapping[int, int]) -> NDArray[np.bool_]:
    row = np.zeros(len(column), bool)
    for trial in group:
        row[[column[index] for index, result in trial.results.items() if result.status == "diverged"]] = True
    return row


def _mean(row: NDArray[np.float64]) -> float:
    finite = row[np.isfinite(row)]
    return float(finite.mean()) if finite.size else -np.inf
