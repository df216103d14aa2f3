"""How far the studies of a storage are and what they say so far, read from their records; nothing is written."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from study.cells.cell import Cell
from study.cells.trials import Arm, Asked
from study.config import ConfigError, StudyConfig
from study.config.folder import StudyFolder, recorded
from study.config.secrets import redacted
from study.scheduling.ahead import planned_in_record
from study.search import StudyRecord, close_storage, open_storage, read_studies
from study.search.answers import decide, evaluate
from study.search.curves import curve, select_curve
from study.search.record.locks import is_held
from study.search.record.notes import CELLS, CONFIGURATION, ERRORS, EXTENSIONS, HELD, OWNER, RUN
from study.search.record.storage import Storage
from study.search.rounds import has_answer

if TYPE_CHECKING:
    from study.cluster.shares import Standing
    from study.results.model import AdvisedResult


State = Literal["runs", "waits", "stopped", "ended", "unknown"]


@dataclass(frozen=True, kw_only=True)
class CellStatus:
    """One cell: trainings with a result, likely in the end, diverged; λ* of one λ for both and its 90 % interval.

    They are what the search says so far, and once the study has ended those of `pair_choice` in report.json. Then
    `advised` is the decision, as report.json and MLflow have it, and `advice` says it in words. `strategy`,
    `strengths`, `gain`, `gain_interval` and `p_adjusted` repeat parts of it, for programs that read them before.
    """

    cell: str
    done: int
    planned: int
    diverged: int
    lambda_star: float | None
    interval: tuple[float, float] | None
    strategy: str | None = None
    strengths: tuple[float, float] | None = None
    gain: float | None = None
    gain_interval: tuple[float, float] | None = None
    p_adjusted: float | None = None
    advice: str | None = None
    advised: AdvisedResult | None = None


@dataclass(frozen=True, kw_only=True)
class StudyStatus:
    """One study; `last_result_seconds` is the age of the last training's result by this machine's clock.

    `state` says whether it `runs`, `waits` for a place of a cluster, was `stopped` before its end, or has `ended`;
    `owner` who began it; `worker_hours` and `gpu_hours` what its packs have held so far. Of a cluster that was asked,
    `held` and `wanted` are the places that it has and would have, and `ahead` how many others wait longer than it does;
    None of what nobody knows, as of a record of the version before.
    """

    study: str
    ended: bool
    done: int
    planned: int
    diverged: int
    failed_cells: dict[str, str]
    last_result_seconds: float | None
    cells: tuple[CellStatus, ...]
    state: State = "unknown"
    owner: str | None = None
    worker_hours: float | None = None
    gpu_hours: float | None = None
    held: int | None = None
    wanted: int | None = None
    ahead: int | None = None


def study_status(record: StudyRecord, *, now: datetime) -> StudyStatus | None:
    """What a record says of its study; None of one that is not ours or has only begun to begin."""
    cells, identity = CELLS.among(record.notes), CONFIGURATION.among(record.notes)
    if not cells or not identity:
        return None
    config = StudyConfig.of_identity(identity)
    run = RUN.among(record.notes)
    ended = run is not None and run.complete
    extensions = EXTENSIONS.among(record.notes)
    known = tuple(cell.cell(config, extensions=extensions) for cell in cells)
    failed = dict(run.errors if run is not None and ended else ERRORS.among(record.notes) or {})
    given_up = {cell.id for cell in known} if ended else failed.keys()
    planned = planned_in_record(known, record.trials, given_up=given_up)
    told = _decided(known, record, failed) if ended else {}
    states = tuple(
        replace(_cell_status(cell, record, planned=planned[cell.id]), **told.get(cell.id, {})) for cell in known
    )
    spent = HELD.among(record.notes)
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
        state="ended" if ended else "unknown",
        owner=OWNER.among(record.notes),
        worker_hours=None if spent is None else spent.worker_seconds / 3600,
        gpu_hours=None if spent is None else spent.gpu_seconds / 3600,
    )


@dataclass(frozen=True)
class _Recorded:
    """A record that is only read, as a ledger."""

    record: StudyRecord

    def trials(self, cell: str, arm: Arm) -> tuple[Asked, ...]:
        """As `Ledger.trials`; of a trial that was made twice the one with more results."""
        known: dict[tuple[int, int], Asked] = {}
        for trial in sorted(self.record.trials.get((cell, arm), ()), key=lambda trial: -len(trial.results)):
            known.setdefault((trial.round, trial.slot), trial)
        return tuple(known[place] for place in sorted(known))


def _decided(cells: Sequence[Cell], record: StudyRecord, errors: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """What the report of a study that has ended advises for each of its pairs, as fields of `CellStatus`."""
    # Here, not above: they bring the profiles and the theory, and nothing of a study that runs needs them.
    from study.results.model import GainResult
    from study.results.subjects import encoder_result, is_given_up, named, pair_result
    from study.results.text.pair import advice_with_gain

    trials = _Recorded(record)
    answers = {cell.id: evaluate(cell, trials) for cell in cells if has_answer(cell, trials)}
    decisions = decide(answers, smallest_gain=cells[0].config.search.smallest_gain)
    told = {}
    for cell in cells:
        if cell.id in decisions and not is_given_up(cell, trials, errors):
            answer, decision = answers[cell.id], decisions[cell.id]
            encoders = tuple(encoder_result(cell, trials, index, answer, decision) for index in range(2))
            result = replace(named(cell), encoders=encoders, pair_choice=pair_result(answer, decision))
            advised = result.advice
            gain = advised.gain or GainResult()
            told[cell.id] = {
                "lambda_star": result.pair_choice.lambda_star,
                "interval": result.pair_choice.interval,
                "advised": advised,
                "strategy": advised.strategy,
                "strengths": advised.strengths,
                "gain": gain.mean,
                "gain_interval": gain.interval,
                "p_adjusted": gain.p_adjusted,
                "advice": advice_with_gain(result),
            }
    return told


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


def in_queue(statuses: Sequence[StudyStatus], standings: Sequence[Standing]) -> list[StudyStatus]:
    """The same studies with what they hold and want of a cluster, as far as they train there.

    Args:
        statuses: of the studies.
        standings: of the studies that share the cluster, in the order in which they came.
    """
    placed = {one.study: one for one in standings}
    waiting = [one.study for one in standings if one.wanted and not one.held]
    told = []
    for status in statuses:
        one = placed.get(status.study)
        if one is not None and not status.ended:
            waits = status.study in waiting
            status = replace(
                status,
                state="waits" if waits else "runs",
                held=one.held,
                wanted=one.wanted,
                ahead=waiting.index(status.study) if waits else 0,
            )
        told.append(status)
    return told


def read_statuses(
    out: Path, *, storage: str | None = None, study: str | None = None, say: Callable[[str], object]
) -> list[StudyStatus]:
    """The studies of a storage, or without one those whose records lie in the folder `out`; or the one `study` alone.

    `say` is told of each whose record is damaged, or is of another version of this program: it is left out.

    Raises:
        ConfigError: there is none of that name, or a record cannot be read.
    """
    known: list[StudyStatus] = []
    for place, folder, record in _records(out, storage, study, say=say):
        try:
            status = study_status(record, now=datetime.now())
            if status is not None and not status.ended:
                held = is_held(place, record.name, lock=StudyFolder(folder / record.name).lock)
                status = replace(status, state="unknown" if held is None else "runs" if held else "stopped")
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            reason = "unknown keys or values" if isinstance(error, ValueError) else type(error).__name__
            say(f"{record.name}: its record is of another version ({reason}); it is left out")
            continue
        known += [] if status is None else [status]
    if study and not known:
        raise ConfigError(f"there is no study {study} in {redacted(storage or str(out))}")
    return known


def _records(
    out: Path, storage: str | None, study: str | None, *, say: Callable[[str], object]
) -> Iterator[tuple[Storage, Path, StudyRecord]]:
    """Each record with its storage and the folder that holds its study's."""
    places = [(Storage(storage), out)] if storage else [(Storage(), folder.record) for folder in recorded(out)]
    for place, folder in places:
        opened = open_storage(place, folder=folder, read_only=True, say=say)
        try:
            for record in read_studies(opened, name=study):
                yield place, out, record
        finally:
            close_storage(opened)
