"""`python -m study.status`: the studies of a storage, how far each is and what it says so far; reads only."""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from study.cli.options import OUT, add_out
from study.cli.process import printer, run_as_process
from study.config import ConfigError
from study.config.secrets import redacted
from study.search.record.storage import check_option
from trainables.output import json_text

if TYPE_CHECKING:
    from study.session.status import CellStatus, StudyStatus


def parser() -> argparse.ArgumentParser:
    """The options of the command."""
    options = argparse.ArgumentParser(
        prog="python -m study.status",
        description="List the studies of a storage: progress, failures, age of the last result, what was decided for "
        "each pair, or with a ? the best shared λ so far.",
        epilog="example: python -m study.status --storage postgresql://align@head/align --json",
    )
    options.add_argument("study", nargs="?", help="show this study only, pair by pair")
    options.add_argument(
        "--storage", metavar="URI", help="where the record is, as in a study file (default: list the studies in --out)"
    )
    add_out(options)
    options.add_argument("--json", action="store_true", help="print JSON, for programs")
    return options


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; its exit code: 0 done, 2 bad input."""
    given = parser().parse_args(arguments)
    from study.session.status import read_statuses  # seconds of imports, which --help need not wait for

    warnings.filterwarnings("ignore")
    try:
        _check_folder(given.out, needed=given.storage is None)
        if given.storage:
            check_option("--storage", given.storage)
        left_out: list[str] = []
        statuses = read_statuses(given.out, storage=given.storage, study=given.study, say=left_out.append)
    except ConfigError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    for line in left_out:
        _say(line)
    if not statuses and not left_out:
        _say(f"no study in {redacted(given.storage or str(given.out))} has begun")
    if given.json:
        print(json_text([asdict(status) for status in statuses], indent=1))
    else:
        console = printer()
        console.print(_table(statuses, cells=bool(given.study)))
        for status in statuses:
            for cell, reason in status.failed_cells.items():
                console.print(Text(f"{status.study}: no answer for {cell}: {reason}"))
    return 0


def _say(line: str) -> None:
    print(line, file=sys.stderr)


def _check_folder(out: Path, *, needed: bool) -> None:
    """Refuses an `--out` that can be no folder of studies. The usual one need not be there before the first study.

    Raises:
        ConfigError: it is a file, or a name that none can have, or `needed` and not there.
    """
    try:
        if out.exists() and not out.is_dir():
            raise ConfigError(f"--out {out} is a file; give the folder in which studies lie")
        if needed and out != OUT and not out.exists():
            raise ConfigError(f"--out {out} is not there; give the folder in which studies lie")
    except OSError as error:
        raise ConfigError(f"--out {str(out)[:60]}…: {error.strerror}; give the folder in which studies lie") from None


def _table(statuses: Sequence[StudyStatus], *, cells: bool) -> Table:
    table = Table(box=None, pad_edge=False)
    ended = all(status.ended for status in statuses)
    stars_of = "λ of each pair (?: so far)"
    if cells:
        stars_of = "what to do" if ended else "best shared λ [90 %]"
    for name in ("pair" if cells else "study", "trainings", "diverged", "last result", stars_of):
        table.add_column(name)
    for status in statuses:
        rows = status.cells if cells else ()
        state = "ended" if status.ended else _age(status.last_result_seconds)
        if not cells:
            failed = f", {len(status.failed_cells)} without an answer" if status.failed_cells else ""
            stars = [_strengths(cell) for cell in status.cells]
            more = f" … of {len(stars)} pairs" if len(stars) > 4 else ""
            line = (status.study, f"{status.done}/{status.planned}", f"{status.diverged}{failed}", state)
            table.add_row(*map(Text, (*line, ", ".join(stars[:4]) + more)))
        for cell in rows:
            star = cell.advice or "–"
            if not cell.advice and cell.lambda_star is not None and cell.interval is not None:
                star = f"{cell.lambda_star:.2g} [{cell.interval[0]:.2g}, {cell.interval[1]:.2g}]"
            table.add_row(*map(Text, (cell.cell, f"{cell.done}/{cell.planned}", str(cell.diverged), state, star)))
    return table


def _strengths(cell: CellStatus) -> str:
    """What was decided for a pair, `none`, `0.25` or `0/0.25`; before that the best shared λ so far, `0.25?`."""
    if cell.strategy == "none":
        return "none"
    if cell.strengths:
        return "/".join(dict.fromkeys(f"{strength:.2g}" for strength in cell.strengths))
    return "–" if cell.lambda_star is None else f"{cell.lambda_star:.2g}?"


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
