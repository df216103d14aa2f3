"""Which trainings of a pair a report draws, and what of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from study.cells.cell import Cell
from study.cells.trials import Arm, Asked, StrengthPair
from study.results.model import ClassChange, PairResult, PicturesResult, ProjectionResult
from study.search import Ledger
from study.search.confirming import confirmed_groups


def pictures_of(cell: Cell, ledger: Ledger, choice: PairResult) -> PicturesResult | None:
    """The pictures of a cell by its record and the choice for the pair; None where the record holds none."""
    star = _compared(choice)
    projections = _projections(cell, ledger, star)
    strengths, classes = _classes(cell, ledger.trials(cell.id, "confirm"), star)
    if not projections and not classes:
        return None
    return PicturesResult(projections=projections, strengths=strengths, classes=classes)


def _compared(choice: PairResult) -> StrengthPair | None:
    """The strengths that are advised, or those of the best shared λ where λ = 0 is; None before there are any."""
    if choice.strategy not in (None, "none") and choice.strengths and len(choice.strengths) == 2:
        return choice.strengths[0], choice.strengths[1]
    best = choice.told_gain.strength or choice.lambda_star
    return (best, best) if best else None


def _projections(cell: Cell, ledger: Ledger, star: StrengthPair | None) -> tuple[ProjectionResult, ...]:
    shared = _drawn(ledger.trials(cell.id, "shared"))
    if not shared:
        return ()
    chosen = [_nearest(shared, 0.0)]
    if star is not None:
        first, second = star
        arm: Arm = "shared" if first and second else "to_1" if first else "to_2"
        chosen.append(_nearest(_drawn(ledger.trials(cell.id, arm)) or shared, max(star)))
    chosen.append(max(shared, key=lambda trial: trial.setting.strength))
    told = {trial.setting.strengths: trial for trial in chosen}
    return tuple(_projection(trial, strengths) for strengths, trial in told.items())


def _drawn(trials: Iterable[Asked]) -> list[Asked]:
    """The trials whose first replicate has a projection."""
    return [trial for trial in trials if 0 in trial.results and "points" in (trial.results[0].picture or {})]


def _nearest(trials: Sequence[Asked], strength: float) -> Asked:
    return min(trials, key=lambda trial: abs(trial.setting.strength - strength))


def _projection(trial: Asked, strengths: StrengthPair) -> ProjectionResult:
    picture = trial.results[0].picture or {}
    return ProjectionResult(
        strengths=strengths,
        points=picture.get("points"),
        labels=picture.get("labels"),
        classes=bool(picture.get("classes", True)),
        shares=tuple(picture.get("shares", ())),
    )


def _classes(
    cell: Cell, trials: Sequence[Asked], star: StrengthPair | None
) -> tuple[StrengthPair | tuple[()], tuple[ClassChange, ...]]:
    """The strengths confirmed next to `star`, and the share of each class told there and at λ = 0."""
    groups = {strengths: told for strengths, group in confirmed_groups(trials).items() if (told := _recalls(group))}
    at_zero = groups.pop((0.0, 0.0), None)
    if at_zero is None or star is None or not groups:
        return (), ()
    nearest = min(groups, key=lambda pair: abs(pair[0] - star[0]) + abs(pair[1] - star[1]))
    changes = zip(cell.pair, at_zero, groups[nearest], strict=True)
    return nearest, tuple(ClassChange(modality=name, at_zero=zero, at_star=there) for name, zero, there in changes)


def _recalls(group: Iterable[Asked]) -> list[tuple[float | None, ...]]:
    """The mean share of each class that either encoder tells, over the replicates that have it."""
    kept = [result.picture["recalls"] for trial in group for result in trial.results.values()
            if result.picture and len(result.picture.get("recalls", ())) == 2]  # fmt: skip
    if not kept:
        return []
    means = []
    for encoder in (0, 1):
        table = np.array([recalls[encoder] for recalls in kept], float)  # NaN where no row is of a class
        there = np.isfinite(table)
        sums, counts = np.where(there, table, 0.0).sum(0), there.sum(0)
        means.append(tuple(float(s / n) if n else None for s, n in zip(sums, counts, strict=True)))
    return means
