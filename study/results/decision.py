"""The decision of a study as something to paste into one's own trainer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from study.config import StudyConfig
from study.results.model import CellResult, GainResult, Report

_TUNED = ("learning_rate", "weight_decay", "temperature")  # that a study may tune, of `training`
_RECIPE = ("optimiser", "schedule", "warmup", "keep", "patience")


def decision(report: Report, config: StudyConfig) -> dict[str, Any]:
    """What to train with, pair by pair: strengths by encoder, direction, temperature, learning rate; and the versions.

    Each encoder has the alignment strength that it is to be trained with and what it gains there; beside them stand its
    own λ* and verdict; `null` is not known. The nuisance hyperparameters of a search are known where its strengths were
    confirmed.
    """
    return {
        "study": report.study,
        "status": report.status,
        "config_hash": report.config_hash,
        "pairs": [_pair(cell, config) for cell in report.cells],
        "versions": dict(report.versions),
    }


def _pair(cell: CellResult, config: StudyConfig) -> dict[str, Any]:
    choice = cell.pair_choice
    return {
        "dataset": cell.dataset,
        **({"variant": dict(cell.variant)} if cell.variant else {}),
        "pair": list(cell.pair),
        "strategy": choice.strategy,
        "encoders": {name: _encoder(cell, index, config) for index, name in enumerate(cell.pair[: len(cell.encoders)])},
        **_recipe(cell, config),
    }


def _recipe(cell: CellResult, config: StudyConfig) -> Mapping[str, object]:
    """What else the study file says of a training: of the built-in one, or of a function of the user's."""
    if config.trainer is not None:
        return {"trainer": {"call": config.trainer.call, "options": dict(config.trainer.options)}}
    return {
        "alignment": {
            "objective": config.alignment.objective,
            "direction": _direction(cell, config),
            "projector": config.alignment.projector,
        },
        "training": {
            "epochs": config.training.epochs,
            "batch_size": config.training.batch_size,
            "clip_norm": config.training.clip_norm,
            **_unusual(config),
        },
    }


def _unusual(config: StudyConfig) -> Mapping[str, object]:
    """The keys of the recipe that are not as they are where a study file leaves them out."""
    training, usual = config.training, type(config.training)()
    return {key: getattr(training, key) for key in _RECIPE if getattr(training, key) != getattr(usual, key)}


def _direction(cell: CellResult, config: StudyConfig) -> str | None:
    """Which encoder is pulled by the strategy."""
    strategy = cell.pair_choice.strategy
    if strategy == "per_encoder":
        return "to_1 for the first encoder and to_2 for the second, a training each"
    return config.alignment.direction if strategy == "shared" else strategy


def _encoder(cell: CellResult, index: int, config: StudyConfig) -> dict[str, Any]:
    answer, strengths = cell.encoders[index], cell.pair_choice.strengths
    gain = _gain(cell, index)
    is_left = cell.direction == f"to_{2 - index}"  # pulled by no strength of this study
    return {
        "strength": None if strengths is None else 0.0 if is_left else strengths[index],
        "gain_over_zero": None if gain is None else gain.mean,
        "gain_interval": None if gain is None or gain.interval is None else list(gain.interval),
        "lambda_star": answer.lambda_star,
        "interval": None if answer.interval is None else list(answer.interval),
        "verdict": answer.verdict,
        **_tuned(cell, index, config),
        **({"model": answer.model.registered} if answer.model else {}),
    }


def _gain(cell: CellResult, index: int) -> GainResult | None:
    """What the encoder gains where it is trained at the strategy's strength; None where nothing is to be aligned."""
    choice = cell.pair_choice
    chosen = next((one for one in choice.alternatives if one.strategy == choice.strategy), None)
    return chosen.gains[index] if chosen and index < len(chosen.gains) else None


def _tuned(cell: CellResult, index: int, config: StudyConfig) -> Mapping[str, object]:
    """The nuisance hyperparameters: as searched for the decision, or as the study file fixes them."""
    answer = cell.encoders[index]
    searched = answer.model.nuisance if answer.model else answer.tuned
    if config.trainer is not None:  # its hyperparameters are those that it searches over
        return {name: searched.get(name) for name in config.search.nuisance}
    return {
        name: searched.get(name, None if name in config.search.nuisance else fixed)
        for name, fixed in ((name, float(getattr(config.training, name))) for name in _TUNED)
    }
