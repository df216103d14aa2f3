"""How far the studies of a storage are and what they say so far, read from their records; nothing is written."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from study.cells.cell import Cell
from study.config import ConfigError, StudyConfig
from study.config.folder import recorded
from study.config.secrets import redacted
from study.scheduling.ahead import planned_in_record
from study.search import StudyRecord, close_storage, open_storage, read_studies
from study.search.curves import curve, select_curve
from study.search.record.notes import CELLS, CONFIGURATION, ERRORS, RUN
from study.search.record.storage import Storage


@dataclass(frozen=True, kw_only=True)
class CellStatus:
    """One cell: trainings with a result, likely in the end, diverged; best shared λ and its 90 % interval so far."""

    cell: str
    done: int
    planned: int
    diverged: int
    lambda_star: float | None
    interval: tuple[float, float] | None


@dataclass(frozen=True, kw_only=True)
class StudyStatus:
    """One study; `last_result_seconds` is the age of the last training's result by this machine's clock."""

    study: str
    ended: bool
    done: int
    planned: int
    diverged: int
    failed_cells: dict[str, str]
    last_result_seconds: float | None
    cells: tuple[CellStatus, ...]


def study_status(record: StudyRecord, *, now: datetime) -> StudyStatus | None:
    """What a record says of its study; None of one that is not ours or has only begun to begin."""
    cells, identity = CELLS.among(record.notes), CONFIGURATION.among(record.notes)
    if not cells or not identity:
        return None
    config = StudyConfig.of_identity(identity)
    run = RUN.among(record.notes)
    ended = run is not None and run.complete
    known = tuple(cell.cell(config) for cell in cells)
    failed = dict(run.errors if run is not None and ended else ERRORS.among(record.notes) or {})
    given_up = {cell.id for cell in known} if ended else failed.keys()
    planned = planned_in_record(known, record.trials, given_up=given_up)
    states = tuple(_cell_status(cell, record, planned=planned[cell.id]) for cell in known)
    age = None if record.last_result is None else max(0.0, (now - record.last_result).total_seconds())
    return StudyStatus(
        study=record.name,
        ended=ended,
        done=sum(cell.done for cell in states),
        planned=sum(cell.planned for cell in states),
        diverged=sum(cell.diverged for cell in states),
        failed_cells=failed,
        last_result_seconds=age,
        cells=states,
    )


def _cell_status(cell: Cell, record: StudyRecord, *, planned: int) -> CellStatus:
    arms = {arm: trials for (key, arm), trials in record.trials.items() if key == cell.id}
    results = [result for trials in arms.values() for trial in trials for result in trial.results.values()]
    shared = curve(arms.get("shared", ()), "pair")
    chosen = select_curve(cell, shared) if shared.is_drawable else None  # else too few strengths have a score so far
    return CellStatus(
        cell=cell.label,
        done=len(results),
        planned=planned,
        diverged=sum(result.status == "diverged" for result in results),
        lambda_star=None if chosen is None else chosen.lambda_star,
        interval=None if chosen is None else chosen.interval,
    )


def read_statuses(
    out: Path, *, storage: str | None = None, study: str | None = None, say: Callable[[str], object]
) -> list[StudyStatus]:
    """The studies of a storage, or without one those whose records lie in the folder `out`; or the one `study` alone.

    `say` is told of each whose record another version of this program has written: it is left out.

    Raises:
        ConfigError: there is none of that name, or a record cannot be read.
    """
    known: list[StudyStatus] = []
    for record in _records(out, storage, study):
        try:
            status = study_status(record, now=datetime.now())
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            reason = "unknown keys or values" if isinstance(error, ValueError) else type(error).__name__
            say(f"{record.name}: its record is of another version ({reason}); it is left out")
            continue
        known += [] if status is None else [status]
    if study and not known:
        raise ConfigError(f"there is no study {study} in {redacted(storage or str(out))}")
    return known


def _records(out: Path, storage: str | None, study: str | None) -> Iterator[StudyRecord]:
    places = [(Storage(storage), out)] if storage else [(Storage(), folder.record) for folder in recorded(out)]
    for place, folder in places:
        opened = open_storage(place, folder=folder, read_only=True)
        try:
            yield from read_studies(opened, name=study)
        finally:
            close_storage(opened)
