"""What a cell's trainings come to at each strength, over their replicates: similarities and learning curves."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from study.cells.trials import Asked
from study.results.finite import finite, finite_mean
from study.results.model import AlignmentPoint, LearningCurve, OtherNumbers
from trainables.spec import ReplicateResult


def alignment_points(trials: Sequence[Asked]) -> tuple[AlignmentPoint, ...]:
    """Mean similarities over the replicates of each strength."""
    points = []
    for strength, results in _by_strength(trials):
        # A record may be older than a similarity, or than its removal.
        names = dict.fromkeys(name for result in results for name in result.alignment)
        means = {
            name: finite_mean(np.array([result.alignment.get(name, math.nan) for result in results])) for name in names
        }
        if means:  # a user's function gives none
            points.append(AlignmentPoint(strength=strength, similarities=means))
    return tuple(points)


def other_numbers(trials: Sequence[Asked]) -> tuple[OtherNumbers, ...]:
    """Means over the replicates of each strength of the other numbers that a user's function returned."""
    points = []
    for strength, results in _by_strength(trials):
        names = dict.fromkeys(name for result in results for name in result.extras)
        means = {
            name: finite_mean(np.array([result.extras.get(name, math.nan) for result in results])) for name in names
        }
        if means:
            points.append(OtherNumbers(strength=strength, numbers=means))
    return tuple(points)


def learning_curves(trials: Sequence[Asked]) -> tuple[LearningCurve, ...]:
    """Mean learning curve over the replicates of each strength that did not diverge, at the epochs that all have."""
    curves = []
    for strength, results in _by_strength(trials):
        if finished := _at_common_epochs([result.curve for result in results if result.status == "ok"]):
            rows = np.mean(finished, axis=0).T
            epoch, score_1, score_2, loss_1, loss_2 = (_known(row) for row in rows.tolist())
            curves.append(
                LearningCurve(
                    strength=strength, epoch=epoch, score_1=score_1, score_2=score_2, loss_1=loss_1, loss_2=loss_2
                )
            )
    return tuple(curves)


def _known(row: Sequence[float]) -> tuple[float | None, ...]:
    """A row with None where a value does not exist, and nothing where none does."""
    values = tuple(map(finite, row))
    return () if all(value is None for value in values) else values


def _at_common_epochs(curves: Sequence[Sequence[tuple[float, ...]]]) -> list[NDArray[np.float64]]:
    """Learning curves of one shape, rows and what they hold: a user's function may report when it likes, or never."""
    by_epoch = [{row[0]: row for row in curve} for curve in curves]
    common = [epoch for epoch in by_epoch[0] if all(epoch in rows for rows in by_epoch)] if by_epoch else []
    return [np.array([rows[epoch] for epoch in common]) for rows in by_epoch] if common else []


def _by_strength(trials: Sequence[Asked]) -> list[tuple[float, list[ReplicateResult]]]:
    by_strength: dict[float, list[ReplicateResult]] = {}
    for trial in trials:
        strength = max(trial.setting.strength_1, trial.setting.strength_2)
        by_strength.setdefault(strength, []).extend(trial.results[index] for index in sorted(trial.results))
    return sorted(by_strength.items())
