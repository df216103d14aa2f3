"""`python -m study.status`: the studies of a storage, how far each is and what it says so far; reads only."""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime

from rich.table import Table
from rich.text import Text

from study.cells.cell import Cell
from study.cli.options import add_out
from study.cli.process import printer, run_as_process
from study.config import ConfigError, StudyConfig
from study.config.secrets import redacted
from study.results.run import RUN
from study.scheduling.ahead import planned_in_record
from study.scheduling.coordinator import ERRORS
from study.search import StudyRecord, close_storage, open_storage, read_studies
from study.search.curves import curve, select_curve
from study.search.record.storage import Storage, check_option
from trainables.output import json_text


@dataclass(frozen=True, kw_only=True)
class CellStatus:
    """One cell: trainings with a result, likely in the end, diverged; λ* of the pair and its 90 % interval so far."""

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
    if not record.notes.get("cells") or not record.notes.get("configuration"):
        return None
    config = StudyConfig.model_validate(record.notes["configuration"])
    run = record.notes.get(RUN) or {}
    ended = bool(run.get("complete"))
    known = tuple(Cell.from_json(value, config=config) for value in record.notes["cells"])
    failed = dict((run.get("errors") if ended else record.notes.get(ERRORS)) or {})
    given_up = {cell.id for cell in known} if ended else failed.keys()
    planned = planned_in_record(known, record.trials, given_up=given_up)
    cells = tuple(_cell_status(cell, record, planned=planned[cell.id]) for cell in known)
    age = None if record.last_result is None else max(0.0, (now - record.last_result).total_seconds())
    return StudyStatus(
        study=record.name,
        ended=ended,
        done=sum(cell.done for cell in cells),
        planned=sum(cell.planned for cell in cells),
        diverged=sum(cell.diverged for cell in cells),
        failed_cells=failed,
        last_result_seconds=age,
        cells=cells,
    )


def _cell_status(cell: Cell, record: StudyRecord, *, planned: int) -> CellStatus:
    arms = {arm: trials for (key, arm), trials in record.trials.items() if key == cell.id}
    results = [result for trials in arms.values() for trial in trials for result in trial.results.values()]
    found = curve(arms.get("shared", ()), "pair")
    chosen = select_curve(cell, found) if found.is_drawable else None  # else too few strengths have a score so far
    return CellStatus(
        cell=cell.label,
        done=len(results),
        planned=planned,
        diverged=sum(result.status == "diverged" for result in results),
        lambda_star=None if chosen is None else chosen.lambda_star,
        interval=None if chosen is None else chosen.interval,
    )


def parser() -> argparse.ArgumentParser:
    """The options of the command."""
    options = argparse.ArgumentParser(
        prog="python -m study.status",
        description="List the studies of a storage: progress, failures, age of the last result, λ* so far.",
        epilog="example: python -m study.status --storage postgresql://align@head/align --json",
    )
    options.add_argument("study", nargs="?", help="of one study alone, cell by cell")
    options.add_argument(
        "--storage", metavar="URI", help="as in a study file; without it the studies that lie in --out are listed"
    )
    add_out(options)
    options.add_argument("--json", action="store_true", help="print JSON, for programs")
    return options


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; its exit code: 0 done, 2 bad input."""
    given = parser().parse_args(arguments)
    warnings.filterwarnings("ignore")
    try:
        found = [status for record in _records(given) if (status := study_status(record, now=datetime.now()))]
        if given.study and not found:
            raise ConfigError(f"there is no study {given.study} in {redacted(given.storage or str(given.out))}")
    except ConfigError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if given.json:
        print(json_text([asdict(status) for status in found], indent=1))
    else:
        console = printer()
        console.print(_table(found, cells=bool(given.study)))
        for status in found:
            for cell, reason in status.failed_cells.items():
                console.print(Text(f"{status.study}: no answer for {cell}: {reason}"))
    return 0


def _records(given: argparse.Namespace) -> Iterator[StudyRecord]:
    if given.storage:
        check_option("--storage", given.storage)
    places = [(Storage(given.storage), given.out)] if given.storage else [
        (Storage(), journal.parent) for journal in sorted(given.out.glob("*/optuna/journal.log"))
    ]  # fmt: skip
    for storage, folder in places:
        opened = open_storage(storage, folder=folder, read_only=True)
        try:
            yield from read_studies(opened, name=given.study)
        finally:
            close_storage(opened)


def _table(found: Sequence[StudyStatus], *, cells: bool) -> Table:
    table = Table(box=None, pad_edge=False)
    stars_of = "λ* so far [90 %]" if cells else "λ* of each pair so far"
    for name in ("pair" if cells else "study", "trainings", "diverged", "last result", stars_of):
        table.add_column(name)
    for status in found:
        rows = status.cells if cells else ()
        if not cells:
            state = "ended" if status.ended else _age(status.last_result_seconds)
            failed = f", {len(status.failed_cells)} without an answer" if status.failed_cells else ""
            stars = [f"{cell.lambda_star:.2g}" if cell.lambda_star is not None else "–" for cell in status.cells]
            more = f" … of {len(stars)} pairs" if len(stars) > 4 else ""
            line = (status.study, f"{status.done}/{status.planned}", f"{status.diverged}{failed}", state)
            table.add_row(*map(Text, (*line, ", ".join(stars[:4]) + more)))
        for cell in rows:
            star = "–"
            if cell.lambda_star is not None and cell.interval is not None:
                star = f"{cell.lambda_star:.2g} [{cell.interval[0]:.2g}, {cell.interval[1]:.2g}]"
            age = _age(status.last_result_seconds)
            table.add_row(*map(Text, (cell.cell, f"{cell.done}/{cell.planned}", str(cell.diverged), age, star)))
    return table


def _age(seconds: float | None) -> str:
    if seconds is None:
        return "none yet"
    unit, size = next(
        (unit, size)
        for unit, size in (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))
        if seconds >= size or size == 1
    )
    return f"{seconds / size:.0f} {unit} ago"


if __name__ == "__main__":
    run_as_process(main)
