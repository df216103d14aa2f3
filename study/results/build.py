"""From the records of a study to its report: the content of report.json, as plain containers.

A pure function of what the storage holds; figures, page and MLflow are drawn from its result alone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, get_args

import numpy as np

from study.cells.cell import Cell
from study.cells.trials import Arm, Asked
from study.pid import PIDProfile
from study.results.encoders import kept_encoder
from study.results.figures.theory import with_measured
from study.results.reading import file_stem
from study.search import Ledger
from study.search.answers import Answer, Decision, Finding, Scores, decide, encoder_settings, evaluate
from study.search.curves import ENCODERS, scores_by_setting
from study.search.earlier import reordered
from study.search.record.notes import Run
from study.search.rounds import has_answer, learnt, rounded
from study.selection import Gain, conclude
from study.theory import rank_agreement
from trainables.spec import ReplicaResult

SCHEMA = 1


def build_report(
    cells: Sequence[Cell],
    ledger: Ledger,
    profiles: Mapping[str, PIDProfile],
    forecasts: Mapping[str, Any],
    *,
    run: Run,
) -> dict[str, Any]:
    """The report of the study's cells, from everything recorded so far; `profiles` and `forecasts` by cell id."""
    config = cells[0].config
    answers = {cell.id: evaluate(cell, ledger) for cell in cells if has_answer(cell, ledger)}
    decisions = decide(answers)
    entries = [
        _cell(cell, ledger, profiles.get(cell.id), answers.get(cell.id), decisions.get(cell.id), run) for cell in cells
    ]
    for cell, entry in zip(cells, entries, strict=True):
        entry["forecast"] = with_measured(forecasts.get(cell.id), entry["encoders"])
    for position, (cell, entry) in enumerate(zip(cells, entries, strict=True), start=1):
        decision = decisions.get(cell.id)
        settings = encoder_settings(ledger.trials(cell.id, "confirm"), decision) if decision else None
        for index, encoder in enumerate(entry["encoders"]):
            encoder["model"] = kept_encoder(cell, ledger, index, settings=settings, stem=file_stem(entry, position))
    return {
        "schema": SCHEMA,
        "study": config.study,
        "status": "complete" if run.complete else "partial",
        "config_hash": config.hash,
        "seed": config.seed,
        "stand_in": any(cell.stand_in for cell in cells),
        "versions": dict(run.versions),
        "wall_seconds": round(run.wall_seconds, 3),
        "training_seconds": round(run.training_seconds, 3),
        "peak_memory_bytes": run.peak_memory_bytes,
        "trainings": sum(entry["counts"]["trainings"] for entry in entries),
        "forecast_agreement": _forecast_agreement(entries),
        "cells": entries,
    }


def _forecast_agreement(entries: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """How the linear theory's order of best strengths agrees with the measured one, over all encoders answered."""
    pairs = [
        (forecast["best_strength"], encoder["lambda_star"])
        for entry in entries
        if entry["forecast"]
        for forecast, encoder in zip(entry["forecast"]["encoders"], entry["encoders"], strict=True)
        if encoder["lambda_star"] is not None
    ]
    if len(pairs) < 2:
        return None
    agreement = rank_agreement([forecast for forecast, _ in pairs], [measured for _, measured in pairs])
    return {
        "encoders": agreement.cells,
        "spearman": _number(agreement.spearman),
        "interval": list(agreement.spearman_interval),
        "p_value": agreement.p_value,
    }


def _cell(
    cell: Cell,
    ledger: Ledger,
    profile: PIDProfile | None,
    answer: Answer | None,
    decision: Decision | None,
    run: Run,
) -> dict[str, Any]:
    trials = [trial for arm in get_args(Arm) for trial in ledger.trials(cell.id, arm)]
    results = [result for trial in trials for result in trial.results.values()]
    shared = [trial for trial in ledger.trials(cell.id, "shared") if trial.results]
    encoders: list[dict[str, Any]] = []
    for index, subject in enumerate(ENCODERS):
        entry = dict(_NO_ANSWER)
        if answer and decision:
            entry = _answer(answer.subjects[subject], decision.adjusted_p[subject], decision.p_needed)
        if answer and _undertrained(answer.subjects[subject], index):
            entry["flags"] = [*entry["flags"], "undertrained"]
        baseline = scores_by_setting(ledger.trials(cell.id, "confirm"), subject).get((0.0, 0.0))
        encoders.append(
            {"modality": cell.pair[index], "kind": cell.encoders[index].kind, **entry, "baseline": _baseline(baseline)}
        )
    return {
        "id": cell.id,
        "label": cell.label,
        "dataset": cell.dataset.name,
        "variant": dict(cell.variant),
        "stand_in": cell.stand_in,
        "pair": list(cell.pair),
        "metrics": list(cell.metrics),
        "rows": dict(cell.rows),
        "error": run.errors.get(cell.id),
        "counts": {
            "trainings": len(results),
            "diverged": sum(result.status == "diverged" for result in results),
            "strengths": len({trial.setting.strength_1 for trial in shared}),
            "replicates": max((len(trial.results) for trial in shared), default=0),
        },
        "transfer": _transfer(cell, ledger, shared),
        "pid": None if profile is None else {**profile.to_json(), "exact": cell.exact_profile},
        "encoders": encoders,
        "pair_choice": _pair_choice(answer, decision) if answer and decision else dict(_NO_ANSWER),
        "alignment": _alignment(shared),
        "learning_curves": _learning_curves(shared),
    }


def _transfer(cell: Cell, ledger: Ledger, shared: Sequence[Asked]) -> dict[str, Any]:
    """What the search started from, and the trainings of its design that it could spare by stopping early."""
    config = cell.config
    tried = {trial.setting.strength_1 for trial in shared}
    spared = len([strength for strength in config.strength.design if strength not in tried]) if shared else 0
    return {
        "from": list(learnt(cell, ledger)),
        "first": list(reordered(config.strength.design, learnt(cell, ledger))[0]),
        "spared": spared * config.search.trials_per_strength * config.replicates.search,
    }


def _answer(subject: Finding, adjusted_p: float, p_needed: float) -> dict[str, Any]:
    selection, found = subject.selection, subject.found
    concluded = conclude(selection, subject.gain, adjusted_p=adjusted_p)
    corrected = {"p_adjusted": adjusted_p, "p_needed": p_needed, "source": subject.source}
    tried = {**_gain_json(subject.gain), **corrected}
    claimed = tried if concluded.gain is subject.gain else {**tried, **_gain_json(concluded.gain), "p_adjusted": 1.0}
    return {
        "lambda_star": rounded(concluded.lambda_star),
        "interval": [rounded(limit) for limit in concluded.interval],
        "lambda_1se": rounded(concluded.lambda_1se),
        "expected_regret": selection.expected_regret,
        "gain_over_zero": claimed,
        "searched": {"lambda_star": subject.lambda_star, "shape": selection.shape, "gain_over_zero": tried},
        "verdict": concluded.verdict,
        "shape": concluded.shape,
        "shape_p_value": selection.shape_p_value,
        "harm_p_value": selection.harm_p_value,
        "drop_p_value": selection.drop_p_value,
        "flags": list(selection.flags),
        "curve": [
            {
                "strength": float(strength),
                "mean": _number(_mean(row)),
                "sd": _number(_sd(row)),
                "seeds": int(np.isfinite(row).sum()),
                "diverged": int(diverged.sum()),
                "scores": [_number(score) for score in row],
            }
            for strength, row, diverged in zip(found.strengths, found.scores, found.diverged, strict=True)
        ],
        "posterior": {
            "strength": selection.posterior.strengths.tolist(),
            "mean": selection.posterior.mean.tolist(),
            "low": selection.posterior.low.tolist(),
            "high": selection.posterior.high.tolist(),
        },
    }


_NO_ANSWER: Mapping[str, Any] = {
    "lambda_star": None,
    "interval": None,
    "lambda_1se": None,
    "gain_over_zero": None,
    "verdict": None,
    "shape": None,
    "flags": ["diverged"],
    "curve": [],
}


def _pair_choice(answer: Answer, decision: Decision) -> dict[str, Any]:
    """The pair as one, and the strategy recommended for it with what each alternative would have given."""
    choice = decision.choice
    sources = answer.sources
    alternatives = [
        {
            "strategy": strategy,
            "strengths": list(answer.strengths[strategy]),
            "gains": [{**_gain_json(gain), "source": sources[strategy]} for gain in (gains.gain_1, gains.gain_2)],
            "gain_mean": {
                **_gain_json(gains.gain_mean),
                "p_adjusted": choice.adjusted_p[strategy],
                "p_needed": decision.p_needed,
                "source": sources[strategy],
            },
        }
        for strategy, gains in answer.candidates.items()
    ]
    return {
        **_answer(answer.subjects["pair"], decision.adjusted_p["pair"], decision.p_needed),
        "strategy": choice.strategy,
        "strengths": list(decision.strengths),
        "reason": choice.reason,
        "alternatives": alternatives,
    }


def _gain_json(gain: Gain) -> dict[str, Any]:
    return {
        "mean": _number(gain.mean),
        "interval": None if math.isnan(gain.interval[0]) else [float(limit) for limit in gain.interval],
        "p_value": gain.p_value,
        "seeds": gain.seeds,
    }


def _undertrained(subject: Finding, encoder: int) -> bool:
    """Whether trainings near λ* still improved over their last fifth, so that longer ones might move λ*.

    By 2 standard errors, and by a quarter of the seeds' sd.
    """
    nearest = int(np.abs(subject.found.strengths - subject.lambda_star).argmin())
    curves = [r.curve for r in subject.found.chosen[nearest].results.values() if r.status == "ok"]
    if len(curves) < 3 or len(curves[0]) < 5:
        return False
    scores = np.array([[row[1 + encoder] for row in points] for points in curves])
    before = int(np.searchsorted([row[0] for row in curves[0]], 0.8 * curves[0][-1][0]))
    rise = scores[:, -1] - scores[:, before]
    error = rise.std(ddof=1) / math.sqrt(len(rise))
    return bool(rise.mean() > max(2 * error, scores[:, -1].std(ddof=1) / 4, 1e-12))


def _baseline(scores: Scores | None) -> dict[str, Any] | None:
    if scores is None:
        return None
    return {"mean": _number(_mean(scores)), "sd": _number(_sd(scores)), "split": "test"}


def _alignment(trials: Sequence[Asked]) -> list[dict[str, Any]]:
    entries = []
    for strength, results in _by_strength(trials):
        names = results[0].alignment
        values = {name: _mean(np.array([result.alignment[name] for result in results])) for name in names}
        entries.append({"strength": strength, **{name: _number(value) for name, value in values.items()}})
    return entries


def _learning_curves(trials: Sequence[Asked]) -> list[dict[str, Any]]:
    """Mean learning curve over the replicates of each strength that did not diverge."""
    entries = []
    for strength, results in _by_strength(trials):
        if finished := [np.array(result.curve) for result in results if result.status == "ok"]:
            mean = np.mean(finished, axis=0)
            columns = dict(zip(("epoch", "score_1", "score_2", "loss_1", "loss_2"), mean.T.tolist(), strict=True))
            entries.append({"strength": strength, **columns})
    return entries


def _by_strength(trials: Sequence[Asked]) -> list[tuple[float, list[ReplicaResult]]]:
    found: dict[float, list[ReplicaResult]] = {}
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
