"""What a cell's trainings come to at each strength, over their replicates: similarities and learning curves."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from study.cells.trials import Asked
from study.results.finite import finite_mean
from study.results.model import AlignmentPoint, LearningCurve
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
        points.append(AlignmentPoint(strength=strength, similarities=means))
    return tuple(points)


def learning_curves(trials: Sequence[Asked]) -> tuple[LearningCurve, ...]:
    """Mean learning curve over the replicates of each strength that did not diverge."""
    curves = []
    for strength, results in _by_strength(trials):
        if finished := [np.array(result.curve) for result in results if result.status == "ok"]:
            epoch, score_1, score_2, loss_1, loss_2 = map(tuple, np.mean(finished, axis=0).T.tolist())
            curves.append(
                LearningCurve(
                    strength=strength, epoch=epoch, score_1=score_1, score_2=score_2, loss_1=loss_1, loss_2=loss_2
                )
            )
    return tuple(curves)


def _by_strength(trials: Sequence[Asked]) -> list[tuple[float, list[ReplicateResult]]]:
    by_strength: dict[float, list[ReplicateResult]] = {}
    for trial in trials:
        strength = max(trial.setting.strength_1, trial.setting.strength_2)
        by_strength.setdefault(strength, []).extend(trial.results[index] for index in sorted(trial.results))
    return sorted(by_strength.items())
