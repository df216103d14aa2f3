"""What a study that is asked for has on record already, read without writing anything."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from study.cells.cell import Cell
from study.cells.same_data import check_same, digests
from study.config import ConfigError, StudyConfig
from study.config.folder import StudyFolder
from study.scheduling.ahead import planned_in_extension, planned_in_record
from study.search import StudyRecord, close_storage, open_storage, read_studies
from study.search.record.notes import CELLS, CONFIGURATION, CUTS, DATA, ERRORS, RUN
from study.search.record.storage import Storage
from study.session.extending import REMEDY, check_growth, raised_limits
from study.session.same_study import in_words_of
from trainables.datasets import MultimodalData


@dataclass(frozen=True, kw_only=True)
class Begun:
    """Trainings on record, those that are likely to come, and what the study asks for beyond its record, in lines."""

    done: int
    left: int
    changes: tuple[str, ...]


def begun(
    config: StudyConfig,
    cells: Sequence[Cell],
    datasets: Mapping[str, MultimodalData],
    *,
    out: Path,
    say: Callable[[str], object],
) -> Begun | None:
    """What is on record of a study; None where nothing is. `say` is told of a record that is damaged.

    Raises:
        ConfigError: the record is one of another configuration, of one that asks for more, or of other data.
    """
    record = _record(config, out, say=say)
    if record is None:
        return None
    known, recorded = CONFIGURATION.among(record.notes), CELLS.among(record.notes)
    if known is None or not recorded:
        return None
    config, cells, datasets = in_words_of(known, recorded, config, cells, datasets)
    growth = check_growth(config, known, cells, recorded, where=out)
    if (data := DATA.among(record.notes)) is not None:
        check_same(data, digests(cells, datasets), cells, study=config.study, remedy=REMEDY)
    raised = raised_limits(config, cells, CUTS.among(record.notes) or {})
    if growth is None and not raised:
        run = RUN.among(record.notes)
        ended = run is not None and run.complete and not run.errors
        given_up = {cell.id for cell in cells} if ended else (ERRORS.among(record.notes) or {}).keys()
        planned = planned_in_record(cells, record.trials, given_up=given_up)
    else:
        planned = planned_in_extension(cells, record.trials)
    done = sum(len(trial.results) for trials in record.trials.values() for trial in trials)
    whole, limit = sum(planned.values()), config.budget.trainings
    changes = (*(growth.lines if growth else ()), *sorted(set(raised.values())))
    return Begun(done=done, left=max(0, (whole if limit is None else min(whole, limit)) - done), changes=changes)


def _record(config: StudyConfig, out: Path, *, say: Callable[[str], object]) -> StudyRecord | None:
    folder, storage = StudyFolder(out / config.study), Storage(config.storage)
    file = folder.journal if storage.kind == "journal" else storage.file
    if file is not None and not file.exists():
        return None
    try:
        opened = open_storage(storage, folder=folder.record, read_only=True, say=say)
    except ConfigError as error:
        if storage.kind == "journal":
            raise
        say(f"note: {error}; without its record, this plan is of a study that begins")
        return None
    try:
        return next(iter(read_studies(opened, name=config.study)), None)
    finally:
        close_storage(opened)
