"""From the records of a study to its report.

A pure function of what the storage holds; figures, page and MLflow are drawn from its result alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import get_args

from study.cells.cell import Cell
from study.cells.trials import ENCODERS, Arm, Asked
from study.pid import PIDProfile
from study.results.budget import budget_result, cut_result
from study.results.by_strength import alignment_points, learning_curves, other_numbers
from study.results.encoders import kept_encoder
from study.results.finite import finite
from study.results.joint import joint_result
from study.results.model import (
    CellResult,
    Counts,
    EarlierCell,
    ExtensionResult,
    ForecastAgreement,
    ForecastResult,
    LeftBehind,
    Report,
    Transfer,
    from_json,
)
from study.results.own_training import own_training
from study.results.pictures import pictures_of
from study.results.profiles import profile_result, with_measured
from study.results.subjects import encoder_result, is_given_up, named, pair_result, without_answer
from study.search import Ledger
from study.search.answers import Answer, Decision, decide, encoder_settings, evaluate
from study.search.confirming import confirmed_groups, standing
from study.search.curves import nuisance_of
from study.search.earlier import reordered
from study.search.record.notes import EXTENSIONS, Run
from study.search.rounds import has_answer, learnt
from study.theory import rank_agreement


def build_report(
    cells: Sequence[Cell],
    ledger: Ledger,
    profiles: Mapping[str, PIDProfile],
    forecasts: Mapping[str, ForecastResult],
    *,
    run: Run,
) -> Report:
    """The report of the study's cells, from everything recorded so far; `profiles` and `forecasts` by cell id."""
    config, extensions = cells[0].config, ledger.note(EXTENSIONS)
    answers = {cell.id: evaluate(cell, ledger) for cell in cells if has_answer(cell, ledger)}
    decisions = decide(answers, smallest_gain=config.search.smallest_gain)
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
        begun_as=extensions[0].config_hash if extensions else None,
        seed=config.seed,
        stand_in=any(cell.stand_in for cell in cells),
        versions=dict(run.versions),
        wall_seconds=round(run.wall_seconds, 3),
        training_seconds=round(run.training_seconds, 3),
        peak_memory_bytes=run.peak_memory_bytes,
        trainings=sum(result.counts.trainings or 0 for result in results),
        budget=budget_result(cells, ledger, [result.cut for result in results]),
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
        spearman=finite(agreement.spearman),
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
    seeds: dict[object, set[int]] = {}
    for trial in shared:
        seeds.setdefault((trial.setting.strength, nuisance_of(trial)), set()).update(trial.results)
    choice = pair_result(answer, decision)
    cut = cut_result(cell, ledger, choice)
    result = replace(
        named(cell),
        rows={str(split): count for split, count in cell.rows.items()},
        error=run.errors.get(cell.id),
        counts=Counts(
            trainings=len(results),
            diverged=sum(result.status == "diverged" for result in results),
            strengths=len({trial.setting.strength_1 for trial in shared}),
            replicates=max(map(len, seeds.values()), default=0),
        ),
        extensions=_extensions(cell),
        left_behind=_left_behind(cell, ledger),
        cut=cut,
        transfer=_transfer(cell, ledger, shared),
        stopping_spared=None if not answer or (cut and cut.strengths) else _stopping_spared(cell, ledger, run),
        pid=profile_result(profile, cell) if profile else None,
        encoders=tuple(encoder_result(cell, ledger, index, answer, decision) for index in range(len(ENCODERS))),
        pair_choice=choice,
        joint=joint_result(cell, ledger, decision),
        alignment=alignment_points(shared),
        learning_curves=learning_curves(shared),
        own_training=own_training(cell, results),
        other_numbers=other_numbers(shared),
        pictures=pictures_of(cell, ledger, choice),
    )
    if is_given_up(cell, ledger, run.errors):
        result = without_answer(result)
    return replace(result, advised=result.advice)


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


def _extensions(cell: Cell) -> tuple[ExtensionResult, ...]:
    return tuple(
        ExtensionResult(
            search=stage.amounts.search,
            confirm=stage.amounts.confirm,
            refine=stage.amounts.refine,
            range=stage.amounts.range,
            looked=stage.looked,
        )
        for stage in cell.past
    )


def _left_behind(cell: Cell, ledger: Ledger) -> tuple[LeftBehind, ...]:
    groups = confirmed_groups(ledger.trials(cell.id, "confirm"))
    current = set(standing(groups))
    return tuple(
        LeftBehind(strengths=strengths, seeds=len({index for trial in group for index in trial.results}))
        for strengths, group in groups.items()
        if strengths not in current
    )


def _stopping_spared(cell: Cell, ledger: Ledger, run: Run) -> int | None:
    """Trainings of the shared strength that a met target spared: those that the sampler could still have added."""
    config, asked = cell.config, ledger.trials(cell.id, "shared")
    over = run.complete or any(ledger.trials(cell.id, arm) for arm in get_args(Arm) if arm != "shared")
    if cell.past or not over or not (config.search.stop_interval or config.search.stop_regret):
        return None
    opened = {trial.setting.strength for trial in asked} & set(config.strength.design)
    added = len(asked) // config.search.trials_per_strength - len(opened)
    left = max(config.strength.refine - added, 0)
    return left * config.search.trials_per_strength * config.replicates.search


def _transfer(cell: Cell, ledger: Ledger, shared: Sequence[Asked]) -> Transfer:
    config = cell.config
    tried = {trial.setting.strength_1 for trial in shared}
    spared = len([strength for strength in config.strength.design if strength not in tried]) if shared else 0
    return Transfer(
        learnt_from=tuple(from_json(EarlierCell, one) for one in learnt(cell, ledger)),
        first=reordered(config.strength.design, learnt(cell, ledger))[0],
        spared=spared * config.search.trials_per_strength * config.replicates.search,
    )
