"""What a report says of the joint probe of a cell: its curve, its own λ*, and what the advised strengths do to it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import replace

import numpy as np

from study.cells.cell import Cell
from study.cells.trials import Asked, StrengthPair, Trials, score_of
from study.results.finite import finite_mean
from study.results.model import CrossedPoint, JointChange, JointResult
from study.results.selected import told_fields
from study.results.subjects import gain_result, told_subject
from study.search.answers import Decided, Decision, SubjectAnswer, shared_gain
from study.search.confirming import begun_rounds, confirmed_groups, settled_strength, standing
from study.search.curves import ScoreCurve, curve, select_curve
from study.selection import SIZE, Confirmed, Gain


def joint_result(cell: Cell, ledger: Trials, decision: Decision | None) -> JointResult | None:
    """The third curve of a cell and its answer; None where too little was probed to draw one.

    It is no claim of the study: nothing else depends on it, and its own p-value is held to what one claim more would
    need. Gains are of the confirming seeds where its λ* was confirmed, and count their luck alone.
    """
    shared = curve(_probed(ledger.trials(cell.id, "shared")), "joint")
    if decision is None or not shared.is_drawable:
        return None
    selection = select_curve(cell, shared)
    confirmed = _confirmed(cell, ledger)
    alike = [first for first, second in confirmed if first == second]
    star = settled_strength(selection, alike, extended=bool(begun_rounds(cell)))
    gain, source = shared_gain(shared, confirmed, star)
    subject = SubjectAnswer(curve=shared, selection=selection, lambda_star=star, gain=gain, source=source)
    decided = Decided(subject, _as_one_more(gain, decision), None)
    return JointResult(
        **told_fields(told_subject(decided, decision)),
        change=_change(shared, confirmed, decision),
        crossed=_crossed(ledger.trials(cell.id, "shared")),
    )


def _as_one_more(gain: Gain, decision: Decision) -> float:
    """The p-value as Holm would correct it, were it one claim more of the study."""
    return min(1.0, gain.p_value * SIZE / decision.p_needed)


def _probed(trials: Iterable[Asked]) -> tuple[Asked, ...]:
    """Trials with those of their results that a version with the probe has made, or that diverged in such a trial."""
    kept = (
        replace(trial, results={index: one for index, one in trial.results.items() if one.joint is not None})
        for trial in trials
    )
    return tuple(trial for trial in kept if trial.results)


def _confirmed(cell: Cell, ledger: Trials) -> dict[StrengthPair, Confirmed]:
    """Joint scores of the confirming seeds by the strengths of both encoders; position r is one seed everywhere."""
    groups = confirmed_groups(ledger.trials(cell.id, "confirm"))
    groups = {at: group for at in standing(groups) if (group := _probed(groups[at]))}
    replicates = sorted({index for group in groups.values() for trial in group for index in trial.results})
    known = {}
    for at, group in groups.items():
        results = {index: score_of(one, "joint") for trial in group for index, one in trial.results.items()}
        scores = np.array([results.get(index, math.nan) for index in replicates])
        known[at] = Confirmed(scores=scores, ratio=cell.confirming_ratio)
    return known


def _change(shared: ScoreCurve, confirmed: Mapping[StrengthPair, Confirmed], decision: Decision) -> JointChange | None:
    """What the advised strengths do to what both tell together, where one training has both; by the search if they were
    not confirmed.
    """
    first, second = decision.strengths
    if decision.choice.strategy == "per_encoder" or not (first or second):
        return None
    zero = (0.0, 0.0)
    if zero in confirmed and (first, second) in confirmed:
        before, after = confirmed[zero].scores, confirmed[first, second].scores
        gain, source = confirmed[first, second].over(confirmed[zero]), "confirm"
    elif decision.choice.strategy == "shared":
        before, after = (shared.scores[int(np.abs(shared.strengths - at).argmin())] for at in (0.0, first))
        gain, source = shared_gain(shared, confirmed, first)
    else:
        return None
    return JointChange(
        strengths=(first, second),
        at_zero=finite_mean(before),
        at_advised=finite_mean(after),
        gain=gain_result(gain, source=source, smallest=decision.smallest_gain),
    )


def _crossed(trials: Iterable[Asked]) -> tuple[CrossedPoint, ...]:
    known: dict[float, list[tuple[float, float]]] = {}
    for trial in trials:
        own = [one.crossed for one in trial.results.values() if one.crossed is not None]
        if own:
            known.setdefault(trial.setting.strength, []).extend(own)
    points = []
    for strength in sorted(known):
        one, two = (finite_mean(np.array(side)) for side in zip(*known[strength], strict=True))
        points.append(CrossedPoint(strength=strength, encoder_1=one, encoder_2=two))
    return tuple(points)
