"""Profiles and forecasts of cells as their results: what answers are read against, before and after training."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from study.cells.cell import Cell
from study.pid import COMPONENTS, PIDProfile
from study.results.model import (
    CellResult,
    CurvePoint,
    EncoderForecastResult,
    EncoderResult,
    EncoderTogether,
    ForecastResult,
    MeasuredCrossing,
    ProfileResult,
    TogetherResult,
    to_json,
)
from study.results.subjects import named
from study.theory import halfway

if TYPE_CHECKING:  # profiles that are on record need not be computed, for which this brings torch
    from study.cells.profiles import CellForecast


def profiled(cell: Cell, profile: PIDProfile, forecast: CellForecast) -> CellResult:
    """What is known of a cell before any training."""
    return replace(named(cell), pid=profile_result(profile, cell), forecast=forecast_result(forecast, cell))


def profile_result(profile: PIDProfile, cell: Cell) -> ProfileResult:
    """The profile of a cell, beside the exact one where its data are generated."""
    return ProfileResult(
        redundancy=profile.redundancy,
        unique_1=profile.unique_1,
        unique_2=profile.unique_2,
        synergy=profile.synergy,
        units="bits",
        estimator=profile.estimator,
        interval={name: profile.interval[name] for name in COMPONENTS},
        dominant=profile.dominant,
        gap=profile.gap,
        null=profile.null,
        significant=profile.significant,
        spread=profile.spread,
        settings=profile.settings,
        exact=cell.exact_profile,
    )


def forecast_result(forecast: CellForecast, cell: Cell) -> ForecastResult:
    """The forecast of a cell, of which nothing is measured yet."""
    linear, together = forecast.linear, forecast.together
    expected = None
    if together:
        expected = TogetherResult(
            objective=cell.config.alignment.objective,
            strengths=together.strengths,
            encoders=tuple(
                EncoderTogether(modality=name, scores=scores, crossing=crossing)
                for name, scores, crossing in zip(cell.pair, together.scores, together.crossings, strict=True)
            ),
        )
    return ForecastResult(
        k=linear.k,
        correlations=linear.correlations,
        shrinkage=tuple(effect.intensity for effect in linear.shrinkage),
        together=expected,
        encoders=tuple(
            EncoderForecastResult(
                modality=encoder.modality,
                strengths=encoder.strengths,
                risk=encoder.risk,
                held_out=encoder.held_out,
                best_strength=encoder.best_strength,
                critical_strengths=encoder.critical_strengths,
            )
            for encoder in linear.encoders
        ),
    )


def forecast_json(forecast: ForecastResult | None) -> Any:
    """A forecast as the record and profile.json keep it: without the places of what trainings will measure."""
    content = to_json(forecast)
    for encoder in ((content and content["together"]) or {}).get("encoders", ()):
        del encoder["measured"]
    return content


def with_measured(forecast: ForecastResult | None, encoders: Sequence[EncoderResult]) -> ForecastResult | None:
    """The forecast of a cell with, under `together`, each encoder's measured crossing (None: it loses nothing)."""
    if forecast is None or forecast.together is None:
        return forecast
    compared = tuple(
        replace(predicted, measured=_measured(encoder.curve))
        for predicted, encoder in zip(forecast.together.encoders, encoders, strict=False)
    )
    return replace(forecast, together=replace(forecast.together, encoders=compared))


def _measured(curve: Sequence[CurvePoint]) -> MeasuredCrossing | None:
    by_strength = {point.strength: point for point in curve if point.strength is not None}
    strengths = sorted(by_strength)
    scores = [[math.nan if s is None else s for s in by_strength[strength].scores] for strength in strengths]
    seeds = max(map(len, scores), default=0)
    if len(strengths) < 2 or seeds < 2:
        return None
    full = np.array([[*row, *[math.nan] * (seeds - len(row))] for row in scores])
    crossing = halfway(strengths, full)
    if crossing is None:
        return None
    return MeasuredCrossing(strength=crossing.strength, interval=crossing.interval, lost=crossing.lost)
