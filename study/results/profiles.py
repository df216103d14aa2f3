"""What a cell's trainings say of its forecast: where each encoder has lost half of what alignment costs it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from study.results.model import CurvePoint, EncoderResult, ForecastResult, MeasuredCrossing
from study.theory import halfway


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
