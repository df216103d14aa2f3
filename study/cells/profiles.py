"""PID profiles and linear forecasts of a study's cells: what its answers are read against."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass

from study.cells.cell import Cell
from study.cells.enough import with_enough_rows
from study.config import ConfigError
from study.pid import Discretiser, PIDProfile, prepare, profile_pair
from study.theory import Forecast, TogetherForecast, forecast, forecast_together, squared_distance_weight
from trainables.datasets import MultimodalData, PairData
from trainables.spec import EncoderSpec, derive_seed
from trainables.training.threads import one_thread


def profile_cells(
    cells: Sequence[Cell],
    datasets: Mapping[str, MultimodalData],
    *,
    known: Mapping[str, PIDProfile] | None = None,
    dropped: Callable[[], bool] = lambda: False,
) -> dict[str, PIDProfile]:
    """Every cell's profile by cell id, bits; those in `known` are not computed again. Large data give enough rows.

    Cells are profiled on as many threads as there are cores; a profile does not depend on who else is at work. Once
    `dropped` says that nobody waits for them any more, no further profile is begun.

    Raises:
        CancelledError: `dropped` said so.
        ConfigError: the data cannot carry a profile (one class only, a constant modality, fewer rows than bins …).
    """
    profiles = dict(known or {})
    missing = [cell for cell in cells if cell.id not in profiles]
    discretisers: dict[str, Discretiser] = {}  # one a dataset, so that each modality is prepared once
    datasets = {key: with_enough_rows(datasets[key]) for key in {cell.data_key for cell in missing}}
    for key in dict.fromkeys(cell.data_key for cell in missing):
        discretisers[key] = Discretiser()
        own = [cell for cell in missing if cell.data_key == key]
        with suppress(ValueError):  # said below, with the cell that it concerns
            prepare(
                [datasets[key].pair(*cell.pair) for cell in own],
                estimator=own[0].config.pid.estimator,
                discretiser=discretisers[key],
            )

    def profile(cell: Cell) -> PIDProfile:
        if dropped():
            raise CancelledError
        try:
            return profile_pair(
                datasets[cell.data_key].pair(*cell.pair),
                estimator=cell.config.pid.estimator,
                bootstrap=cell.config.pid.bootstrap,
                seed=derive_seed(cell.config.seed, cell.id, "pid"),
                discretiser=discretisers[cell.data_key],
            )
        except ValueError as error:
            raise ConfigError(f"profile of {cell.label}: {error}") from None

    with one_thread(), ThreadPoolExecutor(os.cpu_count()) as pool:
        profiles |= zip((cell.id for cell in missing), pool.map(profile, missing), strict=True)
    return profiles


@dataclass(frozen=True, kw_only=True)
class CellForecast:
    """What the linear theory says of a cell before any training; strengths of `linear` compare by their order alone.

    `together` is what it expects the study itself to measure, at the study's own strengths, and None where the study
    minimises something else: it needs targets scored by R² and an objective that is a squared distance.
    """

    linear: Forecast
    together: TogetherForecast | None


def forecast_cells(cells: Sequence[Cell], datasets: Mapping[str, MultimodalData]) -> dict[str, CellForecast]:
    """The linear forecast of every cell that has data by cell id, at the narrower encoder's width."""
    datasets = {key: with_enough_rows(datasets[key]) for key in {cell.data_key for cell in cells}}

    def forecast_of(cell: Cell) -> CellForecast:
        data = datasets[cell.data_key].pair(*cell.pair)
        linear = forecast(data, k=_width(cell))
        return CellForecast(linear=linear, together=_together(cell, data))

    with one_thread(), ThreadPoolExecutor(os.cpu_count()) as pool:
        return dict(zip((cell.id for cell in cells), pool.map(forecast_of, cells), strict=True))


def _width(cell: Cell) -> int:
    """The narrower encoder's width; where the user's function trains, of those that the dataset comes with."""
    return min(encoder.width for encoder in cell.encoders or (EncoderSpec(),))


def _together(cell: Cell, data: PairData) -> TogetherForecast | None:
    if cell.config.trainer is not None:  # nobody knows what it minimises
        return None
    section = cell.config.alignment
    weight = squared_distance_weight(section.objective, temperature=cell.config.training.temperature)
    if weight is None or cell.metrics != ("r2", "r2") or section.projector != "none" or section.direction != "both":
        return None
    return forecast_together(data, k=_width(cell), largest=cell.config.strength.range[1], weight=weight)
