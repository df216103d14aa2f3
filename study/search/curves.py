"""Replicate results of a cell, arranged as curves: scores against strength, one column a seed."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from study.cells.cell import Cell
from study.cells.stages import Stage
from study.cells.trials import SUBJECTS, Arm, Asked, StrengthPair, Subject, Trials, score_of
from study.search.tables import Tried, best_by_strength, score_table
from study.selection import Confirmed, Outcomes, OutcomeUnit, Selection, has_curve, select, warp_scale
from trainables.functions.spec import Value
from trainables.metrics.outcomes import ByUnit
from trainables.spec import ReplicateResult, derive_seed

Nuisance = tuple[tuple[str, Value], ...]  # values by name


@dataclass(frozen=True, kw_only=True)
class ScoreCurve:
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


def curve(trials: Iterable[Asked], subject: Subject) -> ScoreCurve:
    """The curve of one encoder, or of the pair (mean of the two), over the trials of an arm.

    Where a strength was tried with several nuisance settings, the best stands for it: see `best_by_strength`.
    """
    known = [trial for trial in trials if trial.results]
    known.sort(key=nuisance_of, reverse=True)  # of equals the one of the largest values, as ever
    first: dict[tuple[float, Nuisance], Asked] = {}
    for trial in known:
        first.setdefault((trial.setting.strength, nuisance_of(trial)), trial)
    best = best_by_strength(
        Tried(strength=trial.setting.strength, setting=nuisance_of(trial), scores=trial.scores_of(subject))
        for trial in known
    )
    replicates = sorted({index for trial in known for index in trial.results})
    scores, diverged = score_table([one.scores for one in best], replicates=replicates)
    return ScoreCurve(
        strengths=np.array([one.strength for one in best]),
        scores=scores,
        diverged=diverged,
        chosen=tuple(first[one.strength, one.setting] for one in best),
    )


def searched(cell: Cell, ledger: Trials, arm: Arm) -> tuple[Asked, ...]:
    """The trials that an arm's curve rests on: λ = 0 of the shared arm is that of the one-sided arms too."""
    trials = ledger.trials(cell.id, arm)
    if arm == "shared" or not trials:
        return trials
    return tuple(trial for trial in ledger.trials(cell.id, "shared") if not trial.setting.strength_1) + trials


def select_curve(cell: Cell, searched: ScoreCurve) -> Selection:
    """`study.selection.select` on a curve of this cell, over its range of strengths and with its seed.

    The warp is that of the first round's design: refinements near 0 must not stretch the axis there ever further.
    """
    strength = cell.config.strength
    return select(
        searched.strengths,
        searched.scores,
        seed=derive_seed(cell.config.seed, cell.id, "select"),
        range_=strength.range,
        scale=warp_scale(strength.design),
        diverged=searched.diverged,
    )


def confirmed_by_setting(
    groups: Mapping[StrengthPair, Sequence[Asked]], *, ratio: float | None = None, past: Sequence[Stage] = ()
) -> dict[Subject, dict[StrengthPair, Confirmed]]:
    """Scores of confirming trials by subject and by their two strengths; position r is one seed everywhere.

    Args:
        groups: the trials of one setting for each pair of strengths.
        ratio: as `Confirmed` has it.
        past: stages of the cell; what was confirmed in them may have been looked at.
    """
    groups = {at: group for at, group in groups.items() if any(trial.results for trial in group)}
    replicates = sorted({index for group in groups.values() for trial in group for index in trial.replicates})
    looked = [stage for stage in past if stage.looked != "not"]
    by_setting: dict[StrengthPair, dict[Subject, Confirmed]] = {}
    for strengths, group in groups.items():
        results = {index: result for trial in group for index, result in trial.results.items()}
        known = confirmed_of([results.get(index) for index in replicates], ratio=ratio)
        if looked:
            asked = {index: trial.round for trial in group for index in trial.replicates}
            after = np.array([_looks_before(asked.get(index, 0), looked) for index in replicates])
            known = {subject: replace(one, looks=len(looked), after=after) for subject, one in known.items()}
        by_setting[strengths] = known
    return {subject: {at: known[subject] for at, known in by_setting.items()} for subject in SUBJECTS}


def _looks_before(round_: int, looked: Sequence[Stage]) -> int:
    """How many of the looks were taken before a round of the confirmation was there to be seen.

    Of a look at a part nobody knows which seeds it saw: what it told of this one's luck is not counted on.
    """
    return sum(stage.looked == "partly" or stage.rounds.get("confirm", 0) <= round_ for stage in looked)


def confirmed_of(results: Sequence[ReplicateResult | None], *, ratio: float | None = None) -> dict[Subject, Confirmed]:
    """Scores of confirming replicates at one setting, and how each did on every unit of the test split if that is on
    record, by subject; None is one that is missing. `ratio` is as `Confirmed` has it.
    """
    outcomes = _outcomes(
        [None if one is None or one.by_unit is None else ByUnit.from_json(one.by_unit) for one in results]
    )
    return {
        subject: Confirmed(
            scores=np.array([math.nan if one is None else score_of(one, subject) for one in results]),
            outcomes=outcomes.get(subject),
            ratio=ratio,
        )
        for subject in SUBJECTS
    }


def _outcomes(kept: Sequence[ByUnit | None]) -> dict[Subject, Outcomes]:
    any_one = next((one for one in kept if one), None)
    if any_one is None:
        return {}
    missing = np.full_like(any_one.values[0], np.nan)
    first, second = (np.array([one.values[side] if one else missing for one in kept]) for side in (0, 1))
    unit: OutcomeUnit = "rows" if any_one.rows is None else "blocks" if any_one.blocks else "groups"
    return {
        subject: Outcomes(values=values, weights=any_one.weights, unit=unit)
        for subject, values in zip(SUBJECTS, (first, second, (first + second) / 2), strict=True)
    }


def nuisance_of(trial: Asked) -> Nuisance:
    """The nuisance setting of a trial, hashable."""
    return tuple(sorted(trial.setting.nuisance.items()))
