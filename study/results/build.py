"""From the records of a study to its report.

A pure function of what the storage holds; figures, page and MLflow are drawn from its result alone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from typing import Any, get_args

import numpy as np

from study.cells.cell import Cell
from study.cells.trials import ENCODERS, Arm, Asked
from study.pid import PIDProfile
from study.results.encoders import kept_encoder
from study.results.model import (
    AlignmentPoint,
    Alternative,
    Baseline,
    CellResult,
    Counts,
    CurvePoint,
    EarlierCell,
    EncoderResult,
    ForecastAgreement,
    ForecastResult,
    GainResult,
    LearningCurve,
    PairResult,
    PosteriorCurve,
    Report,
    SearchedResult,
    SubjectResult,
    Transfer,
    from_json,
)
from study.results.profiles import profile_result, with_measured
from study.results.run import Run
from study.search import Ledger
from study.search.answers import Answer, Decision, Scores, SubjectAnswer, decide, encoder_settings, evaluate
from study.search.curves import scores_by_setting
from study.search.earlier import reordered
from study.search.rounds import has_answer, learnt, rounded
from study.selection import Gain, conclude
from study.theory import rank_agreement
from trainables.spec import ReplicateResult


def build_report(
    cells: Sequence[Cell],
    ledger: Ledger,
    profiles: Mapping[str, PIDProfile],
    forecasts: Mapping[str, ForecastResult],
    *,
    run: Run,
) -> Report:
    """The report of the study's cells, from everything recorded so far; `profiles` and `forecasts` by cell id."""
    config = cells[0].config
    answers = {cell.id: evaluate(cell, ledger) for cell in cells if has_answer(cell, ledger)}
    decisions = decide(answers)
    results = [
        _with_encoders(
            _cell(cell, ledger, profiles.get(cell.id), answers.get(cell.id), decisions.get(cell.id), run),
            cell,
            ledger,
            forecast=forecasts.get(cell.id),
            decision=decisions.get(cell.id),
            position=position,
        )
        for position, cell in enumerate(cells, start=1)
    ]
    return Report(
        study=config.study,
        status="complete" if run.complete else "partial",
        config_hash=config.hash,
        seed=config.seed,
        stand_in=any(cell.stand_in for cell in cells),
        versions=dict(run.versions),
        wall_seconds=round(run.wall_seconds, 3),
        training_seconds=round(run.training_seconds, 3),
        peak_memory_bytes=run.peak_memory_bytes,
        trainings=sum(result.counts.trainings or 0 for result in results),
        forecast_agreement=_forecast_agreement(results),
        cells=tuple(results),
    )


def _forecast_agreement(results: Sequence[CellResult]) -> ForecastAgreement | None:
    pairs = [
        (forecast.best_strength, encoder.lambda_star)
        for result in results
        if result.forecast
        for forecast, encoder in zip(result.forecast.encoders, result.encoders, strict=True)
        if encoder.lambda_star is not None and forecast.best_strength is not None
    ]
    if len(pairs) < 2:
        return None
    agreement = rank_agreement([forecast for forecast, _ in pairs], [measured for _, measured in pairs])
    return ForecastAgreement(
        encoders=agreement.cells,
        spearman=_number(agreement.spearman),
        interval=agreement.spearman_interval,
        p_value=agreement.p_value,
    )


def _cell(
    cell: Cell,
    ledger: Ledger,
    profile: PIDProfile | None,
    answer: Answer | None,
    decision: Decision | None,
    run: Run,
) -> CellResult:
    """What the cell's records say, without what is read against it: forecast and kept encoders."""
    trials = [trial for arm in get_args(Arm) for trial in ledger.trials(cell.id, arm)]
    results = [result for trial in trials for result in trial.results.values()]
    shared = [trial for trial in ledger.trials(cell.id, "shared") if trial.results]
    return CellResult(
        id=cell.id,
        label=cell.label,
        dataset=cell.dataset.name,
        variant=dict(cell.variant),
        stand_in=cell.stand_in,
        pair=cell.pair,
        metrics=cell.metrics,
        rows={str(split): count for split, count in cell.rows.items()},
        error=run.errors.get(cell.id),
        counts=Counts(
            trainings=len(results),
            diverged=sum(result.status == "diverged" for result in results),
            strengths=len({trial.setting.strength_1 for trial in shared}),
            replicates=max((len(trial.results) for trial in shared), default=0),
        ),
        transfer=_transfer(cell, ledger, shared),
        pid=profile_result(profile, cell) if profile else None,
        encoders=tuple(_encoder(cell, ledger, index, answer, decision) for index in range(len(ENCODERS))),
        pair_choice=_pair_choice(answer, decision) if answer and decision else PairResult(flags=_NO_ANSWER),
        alignment=_alignment(shared),
        learning_curves=_learning_curves(shared),
    )


def _with_encoders(
    result: CellResult,
    cell: Cell,
    ledger: Ledger,
    *,
    forecast: ForecastResult | None,
    decision: Decision | None,
    position: int,
) -> CellResult:
    """The result of a cell with its forecast, and with the encoders that were kept of it."""
    settings = encoder_settings(ledger.trials(cell.id, "confirm"), decision) if decision else None
    stem = result.file_stem(position)
    encoders = tuple(
        replace(encoder, model=kept_encoder(cell, ledger, index, settings=settings, stem=stem))
        for index, encoder in enumerate(result.encoders)
    )
    return replace(result, encoders=encoders, forecast=with_measured(forecast, encoders))


def _transfer(cell: Cell, ledger: Ledger, shared: Sequence[Asked]) -> Transfer:
    config = cell.config
    tried = {trial.setting.strength_1 for trial in shared}
    spared = len([strength for strength in config.strength.design if strength not in tried]) if shared else 0
    return Transfer(
        learnt_from=tuple(from_json(EarlierCell, one) for one in learnt(cell, ledger)),
        first=reordered(config.strength.design, learnt(cell, ledger))[0],
        spared=spared * config.search.trials_per_strength * config.replicates.search,
    )


_NO_ANSWER = ("diverged",)  # the flags of a subject that no answer could be found for


def _encoder(cell: Cell, ledger: Ledger, index: int, answer: Answer | None, decision: Decision | None) -> EncoderResult:
    subject = ENCODERS[index]
    result = SubjectResult(flags=_NO_ANSWER)
    if answer and decision:
        result = _subject(answer.subjects[subject], decision.adjusted_p[subject], decision.p_needed)
    if answer and _undertrained(answer.subjects[subject], index):
        result = replace(result, flags=(*result.flags, "undertrained"))
    baseline = scores_by_setting(ledger.trials(cell.id, "confirm"), subject).get((0.0, 0.0))
    return EncoderResult(
        **_told(result), modality=cell.pair[index], kind=cell.encoders[index].kind, baseline=_baseline(baseline)
    )


def _told(result: SubjectResult) -> dict[str, Any]:
    """The fields of a result, for one that says more of the same subject."""
    return {each.name: getattr(result, each.name) for each in fields(SubjectResult)}


def _subject(subject: SubjectAnswer, adjusted_p: float, p_needed: float) -> SubjectResult:
    selection, found = subject.selection, subject.curve
    concluded = conclude(selection, subject.gain, adjusted_p=adjusted_p)
    tried = replace(_gain(subject.gain, source=subject.source), p_adjusted=adjusted_p, p_needed=p_needed)
    claimed = tried
    if concluded.gain is not subject.gain:
        claimed = replace(_gain(concluded.gain, source=subject.source), p_adjusted=1.0, p_needed=p_needed)
    low, high = concluded.interval
    return SubjectResult(
        lambda_star=rounded(concluded.lambda_star),
        interval=(rounded(low), rounded(high)),
        lambda_1se=rounded(concluded.lambda_1se),
        expected_regret=selection.expected_regret,
        gain_over_zero=claimed,
        searched=SearchedResult(lambda_star=subject.lambda_star, shape=selection.shape, gain_over_zero=tried),
        verdict=concluded.verdict,
        shape=concluded.shape,
        shape_p_value=selection.shape_p_value,
        harm_p_value=selection.harm_p_value,
        drop_p_value=selection.drop_p_value,
        flags=selection.flags,
        curve=tuple(
            CurvePoint(
                strength=float(strength),
                mean=_number(_mean(row)),
                sd=_number(_sd(row)),
                seeds=int(np.isfinite(row).sum()),
                diverged=int(diverged.sum()),
                scores=tuple(_number(score) for score in row),
            )
            for strength, row, diverged in zip(found.strengths, found.scores, found.diverged, strict=True)
        ),
        posterior=PosteriorCurve(
            strength=tuple(selection.posterior.strengths.tolist()),
            mean=tuple(selection.posterior.mean.tolist()),
            low=tuple(selection.posterior.low.tolist()),
            high=tuple(selection.posterior.high.tolist()),
        ),
    )


def _pair_choice(answer: Answer, decision: Decision) -> PairResult:
    """The pair as one, and the strategy recommended for it with what each alternative would have given."""
    choice = decision.choice
    alternatives = tuple(
        Alternative(
            strategy=strategy,
            strengths=answer.strengths[strategy],
            gains=tuple(_gain(gain, source=answer.sources[strategy]) for gain in (gains.gain_1, gains.gain_2)),
            gain_mean=replace(
                _gain(gains.gain_mean, source=answer.sources[strategy]),
                p_adjusted=choice.adjusted_p[strategy],
                p_needed=decision.p_needed,
            ),
        )
        for strategy, gains in answer.candidates.items()
    )
    return PairResult(
        **_told(_subject(answer.subjects["pair"], decision.adjusted_p["pair"], decision.p_needed)),
        strategy=choice.strategy,
        strengths=decision.strengths,
        reason=choice.reason,
        alternatives=alternatives,
    )


def _gain(gain: Gain, *, source: str) -> GainResult:
    low, high = gain.interval
    return GainResult(
        mean=_number(gain.mean),
        interval=None if math.isnan(low) else (float(low), float(high)),
        p_value=gain.p_value,
        seeds=gain.seeds,
        source=source,
    )


def _undertrained(subject: SubjectAnswer, encoder: int) -> bool:
    """Whether trainings near λ* still improved over their last fifth, so that longer ones might move λ*.

    By 2 standard errors, and by a quarter of the seeds' sd.
    """
    nearest = int(np.abs(subject.curve.strengths - subject.lambda_star).argmin())
    curves = [r.curve for r in subject.curve.chosen[nearest].results.values() if r.status == "ok"]
    if len(curves) < 3 or len(curves[0]) < 5:
        return False
    scores = np.array([[row[1 + encoder] for row in points] for points in curves])
    before = int(np.searchsorted([row[0] for row in curves[0]], 0.8 * curves[0][-1][0]))
    rise = scores[:, -1] - scores[:, before]
    error = rise.std(ddof=1) / math.sqrt(len(rise))
    return bool(rise.mean() > max(2 * error, scores[:, -1].std(ddof=1) / 4, 1e-12))


def _baseline(scores: Scores | None) -> Baseline | None:
    if scores is None:
        return None
    return Baseline(mean=_number(_mean(scores)), sd=_number(_sd(scores)), split="test")


def _alignment(trials: Sequence[Asked]) -> tuple[AlignmentPoint, ...]:
    points = []
    for strength, results in _by_strength(trials):
        # A record may be older than a similarity, or than its removal.
        names = dict.fromkeys(name for result in results for name in result.alignment)
        means = {name: _mean(np.array([result.alignment.get(name, math.nan) for result in results])) for name in names}
        similarities = {name: _number(value) for name, value in means.items()}
        points.append(AlignmentPoint(strength=strength, similarities=similarities))
    return tuple(points)


def _learning_curves(trials: Sequence[Asked]) -> tuple[LearningCurve, ...]:
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
    found: dict[float, list[ReplicateResult]] = {}
    for trial in trials:
        strength = max(trial.setting.strength_1, trial.setting.strength_2)
        found.setdefault(strength, []).extend(trial.results[index] for index in sorted(trial.results))
    return sorted(found.items())


def _mean(values: Scores) -> float:
    finite = values[np.isfinite(values)]
    return float(finite.mean()) if finite.size else math.nan


def _sd(values: Scores) -> float:
    finite = values[np.isfinite(values)]
    return float(finite.std(ddof=1)) if finite.size > 1 else math.nan


def _number(value: float) -> float | None:
    """JSON has no NaN: a value that does not exist is null."""
    return float(value) if math.isfinite(value) else None
