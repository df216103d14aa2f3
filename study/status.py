"""`python -m study.status`: the studies of a storage, how far each is and what it says so far; reads only."""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from study.cli.options import OUT, add_out
from study.cli.process import printer, run_as_process
from study.config import ConfigError
from study.config.secrets import redacted
from study.search.record.storage import check_option
from trainables.output import OptionParser, complain, json_text

if TYPE_CHECKING:
    from study.session.status import CellStatus, StudyStatus


def parser() -> argparse.ArgumentParser:
    """The options of the command."""
    options = OptionParser(
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
    options.add_argument(
        "--address", metavar="HOST:PORT", help="ask this Ray cluster who holds and waits for how many of its places"
    )
    options.add_argument("--price-per-gpu-hour", type=float, metavar="X", help="show what each study has cost so far")
    options.add_argument("--json", action="store_true", help="print JSON, for programs")
    return options


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; its exit code: 0 done, 2 bad input."""
    given = parser().parse_args(arguments)
    from study.session.status import in_queue, read_statuses  # seconds of imports, which --help need not wait for

    warnings.filterwarnings("ignore")
    try:
        _check_folder(given.out, needed=given.storage is None)
        if given.storage:
            check_option("--storage", given.storage)
        left_out: list[str] = []
        if given.price_per_gpu_hour is not None and not 0 <= given.price_per_gpu_hour < float("inf"):
            raise ConfigError(f"--price-per-gpu-hour is {given.price_per_gpu_hour:g}; give 0 or more")
        statuses = read_statuses(given.out, storage=given.storage, study=given.study, say=left_out.append)
        if given.address:
            from study.cluster.access import check_token

            check_token(given.address)  # before Ray looks for one
            from study.cluster.leases import standings_at  # Ray comes along, which nobody else waits for

            statuses = in_queue(statuses, standings_at(given.address, say=_say))
    except ConfigError as error:
        complain(f"error: {error}")
        return 2
    for line in left_out:
        _say(line)
    if not statuses and not left_out:
        _say(f"no study in {redacted(given.storage or str(given.out))} has begun")
    if given.json:
        print(json_text([_plain(status, price=given.price_per_gpu_hour) for status in statuses], indent=1))
    else:
        console = printer()
        console.print(_table(statuses, cells=bool(given.study)))
        for status in statuses:
            console.print(Text(_account(status, price=given.price_per_gpu_hour)))
        for status in statuses:
            for cell, reason in status.failed_cells.items():
                console.print(Text(f"{status.study}: no answer for {cell}: {reason}"))
    return 0


def _cost(status: StudyStatus, *, price: float | None) -> float | None:
    """What the GPUs of a study have cost so far, in the currency of the price for an hour of one."""
    return None if price is None or status.gpu_hours is None else price * status.gpu_hours


def _account(status: StudyStatus, *, price: float | None) -> str:
    """A line of how a study stands: whether it runs, what it holds and has spent so far, who began it."""
    told: list[str] = [status.state if status.state != "unknown" else "may run"]
    if status.held is not None:
        told.append(f"{status.held} of the {status.wanted} places that it wants")
    if status.state == "waits":
        told.append(f"{status.ahead} ahead of it")
    if status.worker_hours is not None:
        told.append(f"{status.worker_hours:.2f} worker-hours")
    if status.gpu_hours:
        told.append(f"{status.gpu_hours:.2f} GPU-hours")
    if (cost := _cost(status, price=price)) is not None:
        told.append(f"cost {cost:.2f}")
    if status.owner:
        told.append(f"of {status.owner}")
    return f"{status.study}: {', '.join(told)}"


def _plain(status: StudyStatus, *, price: float | None) -> dict[str, Any]:
    """A status as plain containers; what is advised as report.json has it."""
    from study.results.model import to_json

    told = asdict(status) | {"cost": _cost(status, price=price)}
    for cell, state in zip(told["cells"], status.cells, strict=True):
        cell["advised"] = to_json(state.advised)
    return told


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
    from study.results.text.amounts import strength_text

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
                low, high = map(strength_text, cell.interval)
                star = f"{strength_text(cell.lambda_star)} [{low}, {high}]"
            table.add_row(*map(Text, (cell.cell, f"{cell.done}/{cell.planned}", str(cell.diverged), state, star)))
    return table


def _strengths(cell: CellStatus) -> str:
    """What was decided for a pair, `none`, `0.25` or `0/0.25`; before that the best shared λ so far, `0.25?`."""
    from study.results.text.amounts import strength_text  # NumPy comes along, which --help need not wait for

    if cell.strategy == "none":
        return "none"
    if cell.strengths:
        told = [strength_text(strength) for strength in cell.strengths]
        return told[0] if cell.strategy == "shared" else "/".join(told)
    return "–" if cell.lambda_star is None else f"{strength_text(cell.lambda_star)}?"


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
