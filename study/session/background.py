"""What a study's answers are read against, PID profiles and linear forecasts: computed while its packs train."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from types import TracebackType

from study.cells.cell import Cell
from study.pid import PIDProfile
from study.results.model import ForecastResult, from_json
from study.results.profiles import forecast_json, forecast_result
from study.search import Ledger
from study.search.record.notes import FORECASTS, profile_of
from trainables.datasets import MultimodalData

Forecasts = Mapping[str, ForecastResult]  # by cell id


class Profiling:
    """Profiles and forecasts of all cells, those on record read back, the others computed in the background.

    No training needs them, and GPUs should not wait for them: they begin once the first pack trains, as they would take
    the cores from workers that start, or once somebody waits for them. The record is written by whoever calls the
    methods, who must be its one writer. As a context, it drops what has not begun by its end.
    """

    def __init__(
        self, cells: Sequence[Cell], datasets: Mapping[str, MultimodalData], ledger: Ledger, *, background: Executor
    ) -> None:
        self._ledger = ledger
        self._profiles, self._forecasts = recorded(cells, ledger)
        self._noted = len(self._profiles) == len(cells) and (bool(self._forecasts) or not cells)
        self._left, self._begin = threading.Event(), threading.Event()
        self._found = None if self._noted else background.submit(self._compute, cells, datasets)

    def __enter__(self) -> Profiling:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._left.set()
        self._begin.set()

    @property
    def ready(self) -> bool:
        """Whether `result` need not wait."""
        return self._found is None or self._found.done()

    def keep(self) -> None:
        """Note in the record what is there by now.

        Raises:
            ConfigError: as `result`; a study learns early that its data are not fit for a profile.
        """
        self._begin.set()
        if self.ready:
            self.result()

    def result(self) -> tuple[dict[str, PIDProfile], Forecasts]:
        """Profiles and forecasts by cell id, as soon as all are there; from then on the record has them.

        Raises:
            ConfigError: see `profile_cells`.
        """
        if not self._noted:
            assert self._found is not None
            self._begin.set()
            profiles, forecasts = self._found.result()
            for cell in profiles.keys() - self._profiles.keys():
                self._ledger.set_note(profile_of(cell), profiles[cell])
            self._ledger.set_note(FORECASTS, {cell: forecast_json(forecast) for cell, forecast in forecasts.items()})
            self._profiles, self._forecasts, self._noted = profiles, forecasts, True
        return self._profiles, self._forecasts

    def _compute(
        self, cells: Sequence[Cell], datasets: Mapping[str, MultimodalData]
    ) -> tuple[dict[str, PIDProfile], Forecasts]:
        from study.cells.profiles import forecast_cells, profile_cells  # here: an ended study has them on record

        self._begin.wait()
        profiles = profile_cells(cells, datasets, known=self._profiles, dropped=self._left.is_set)
        forecasts = forecast_cells(cells, datasets)
        return profiles, {cell.id: forecast_result(forecasts[cell.id], cell) for cell in cells}


def recorded(cells: Sequence[Cell], ledger: Ledger) -> tuple[dict[str, PIDProfile], Forecasts]:
    """The profiles and forecasts on record, by cell id."""
    noted = {cell.id: ledger.note(profile_of(cell.id)) for cell in cells}
    profiles = {cell: profile for cell, profile in noted.items() if profile is not None}
    forecasts = ledger.note(FORECASTS) or {}
    return profiles, {cell: from_json(ForecastResult, forecast) for cell, forecast in forecasts.items()}
