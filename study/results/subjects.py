"""What a report says of each subject of a cell: its encoders, and the pair as one."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import fields, replace

import numpy as np

from study.cells.cell import Cell
from study.cells.trials import ENCODERS, Subject, Trials
from study.results.finite import finite, finite_mean, finite_sd
from study.results.model import (
    Alternative,
    Baseline,
    CellResult,
    CurvePoint,
    EncoderResult,
    GainResult,
    OwnSide,
    PairResult,
    SubjectResult,
)
from study.results.scores import score_results
from study.results.selected import curve_point, posterior_curve, subject_result, told_fields
from study.search.answers import Answer, Decided, Decision, SubjectAnswer, as_decided, encoder_settings
from study.search.confirming import confirmed_groups
from study.search.curves import ScoreCurve
from study.search.tables import score_table
from study.selection import Gain, conclude

_NO_ANSWER = ("diverged",)  # the flags of a subject that no answer could be found for


def named(cell: Cell) -> CellResult:
    """Which cell it is, and nothing of what is found out about it."""
    direction = cell.config.alignment.direction
    return CellResult(
        id=cell.id,
        label=cell.label,
        dataset=None if cell.dataset is None else cell.dataset.name,
        variant=dict(cell.variant),
        stand_in=cell.stand_in,
        pair=cell.pair,
        direction=None if direction == "both" else direction,
        metrics=cell.metrics,
    )


def encoder_result(
    cell: Cell, ledger: Trials, index: int, answer: Answer | None, decision: Decision | None
) -> EncoderResult:
    """The answer for encoder 0 or 1 of a cell, without the encoder that was kept."""
    subject = ENCODERS[index]
    result, arm, own_side = SubjectResult(flags=_NO_ANSWER), None, None
    if answer and decision:
        decided = as_decided(cell, ledger, answer, subject, decision)
        arm = decided.answer.arm
        result = told_subject(decided, decision)
        if arm != "shared":  # told by its own curve; beside the other encoder stands the one of one strength for both
            own_side = OwnSide(curve=result.curve, posterior=result.posterior)
            shared = answer.subjects[subject]
            result = replace(result, curve=_points(shared.curve), posterior=posterior_curve(shared.selection))
        if _undertrained(decided.answer, index):
            result = replace(result, flags=(*result.flags, "undertrained"))
    return EncoderResult(
        **told_fields(result),
        modality=cell.pair[index],
        kind=None if cell.encoders is None or cell.config.trainer else cell.encoders[index].kind,
        arm=arm,
        own_side=own_side,
        baseline=_baseline(cell, ledger, subject),
        tuned=_tuned(cell, ledger, index, decision),
        scores=score_results(cell, ledger, index, star=result.lambda_star, arm=arm or "shared"),
    )


def _tuned(cell: Cell, ledger: Trials, index: int, decision: Decision | None) -> dict[str, object]:
    """The nuisance hyperparameters that an encoder is to be trained with by the decision."""
    settings = encoder_settings(ledger.trials(cell.id, "confirm"), decision) if decision else None
    return dict(sorted(settings[index].nuisance.items())) if settings else {}


def is_given_up(cell: Cell, trials: Trials, errors: Mapping[str, str]) -> bool:
    """Whether a cell, of those with an error by id, has failed before its answer was confirmed: then it has none.

    What fails later, while its encoders are trained to be kept, takes nothing from the answer.
    """
    return cell.id in errors and not trials.trials(cell.id, "final")


def without_answer(result: CellResult) -> CellResult:
    """What was trained for a cell, its curves with it, and no answer: no λ*, gain, shape, verdict and strategy."""
    empty = SubjectResult()
    names = [each.name for each in fields(SubjectResult) if each.name not in ("flags", "curve", "posterior")]
    nothing = {name: getattr(empty, name) for name in names}
    choice = result.pair_choice
    return replace(
        result,
        encoders=tuple(replace(encoder, **nothing) for encoder in result.encoders),
        pair_choice=PairResult(flags=choice.flags, curve=choice.curve, posterior=choice.posterior),
        joint=result.joint and replace(result.joint, **nothing, change=None),
    )


def told_subject(decided: Decided, decision: Decision) -> SubjectResult:
    """What is told of a subject, as the decision for its pair leaves it."""
    subject, adjusted_p, used = decided
    selection, smallest = subject.selection, decision.smallest_gain
    concluded = conclude(selection, subject.gain, adjusted_p=adjusted_p, used=used, smallest_gain=smallest)
    tried = gain_result(subject.gain, source=subject.source, smallest=smallest)
    tried = replace(tried, p_adjusted=adjusted_p, p_needed=decision.p_needed)
    claimed = tried
    if concluded.gain is not subject.gain:
        claimed = gain_result(concluded.gain, source=subject.source, smallest=0.0)
        claimed = replace(claimed, p_adjusted=1.0, p_needed=decision.p_needed)
    # that which the gain was measured at: on another machine the search may end in another third digit
    star = subject.lambda_star
    return subject_result(
        selection, concluded, star=star, tried=tried, claimed=claimed, curve=_points(subject.curve)
    )  # fmt: skip


def _points(curve: ScoreCurve) -> tuple[CurvePoint, ...]:
    return tuple(map(curve_point, curve.strengths, curve.scores, curve.diverged))


def pair_result(answer: Answer | None, decision: Decision | None) -> PairResult:
    """The pair as one, and the strategy recommended for it with what each alternative would have given."""
    if not answer or not decision:
        return PairResult(flags=_NO_ANSWER)
    choice = decision.choice
    alternatives = tuple(
        Alternative(
            strategy=strategy,
            strengths=answer.strengths[strategy],
            gains=tuple(
                gain_result(gain, source=answer.sources[strategy], smallest=decision.smallest_gain)
                for gain in (gains.gain_1, gains.gain_2)
            ),
            gain_mean=replace(
                gain_result(gains.gain_mean, source=answer.sources[strategy], smallest=decision.smallest_gain),
                p_adjusted=choice.adjusted_p[strategy],
                p_needed=decision.p_needed,
            ),
        )
        for strategy, gains in answer.candidates.items()
    )
    # What one λ for both would do at its strong end is no reason to avoid what the pair is advised to do.
    used = None if choice.strategy == "none" else answer.candidates[choice.strategy].gain_mean
    return PairResult(
        **told_fields(told_subject(Decided(answer.subjects["pair"], decision.adjusted_p["pair"], used), decision)),
        strategy=choice.strategy,
        strengths=decision.strengths,
        reason=choice.reason,
        alternatives=alternatives,
    )


def gain_result(gain: Gain, *, source: str, smallest: float) -> GainResult:
    """A gain as a report has it; `source` says where it was measured."""
    low, high = gain.interval
    return GainResult(
        mean=finite(gain.mean),
        interval=None if math.isnan(low) else (float(low), float(high)),
        p_value=gain.p_value,
        seeds=gain.seeds,
        source=source,
        units=gain.units,
        unit=None if gain.units is None else gain.unit,
        units_share=None if gain.units is None else round(gain.units_share, 3),
        splits=gain.splits,
        looks=gain.looks if gain.looks > 1 else None,
        standard_error=finite(gain.standard_error) if gain.looks > 1 else None,
        smallest_gain=smallest or None,
    )


def _undertrained(subject: SubjectAnswer, encoder: int) -> bool:
    """Whether trainings near λ* still improved over their last fifth, so that longer ones might move λ*.

    By 2 standard errors, and by a quarter of the seeds' sd.
    """
    nearest = int(np.abs(subject.curve.strengths - subject.lambda_star).argmin())
    curves = [r.curve for r in subject.curve.chosen[nearest].results.values() if r.status == "ok"]
    if len(curves) < 3 or len(curves[0]) < 5 or any(len(curve) != len(curves[0]) for curve in curves):
        return False
    scores = np.array([[row[1 + encoder] for row in points] for points in curves])
    before = int(np.searchsorted([row[0] for row in curves[0]], 0.8 * curves[0][-1][0]))
    rise = scores[:, -1] - scores[:, before]
    error = rise.std(ddof=1) / math.sqrt(len(rise))
    return bool(rise.mean() > max(2 * error, scores[:, -1].std(ddof=1) / 4, 1e-12))


def _baseline(cell: Cell, ledger: Trials, subject: Subject) -> Baseline | None:
    group = confirmed_groups(ledger.trials(cell.id, "confirm")).get((0.0, 0.0), ())
    known = {index: score for trial in group for index, score in trial.scores_of(subject).items()}
    if not known:
        return None
    scores, _ = score_table([known], replicates=sorted(known))
    return Baseline(mean=finite_mean(scores[0]), sd=finite_sd(scores[0]), split="test")
