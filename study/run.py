"""`python -m study.run --space FILE.yaml`: run a study, resume it, or extend it."""

from __future__ import annotations

import argparse
import contextlib
import errno
import inspect
import shlex
import signal
import sys
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from types import FrameType, ModuleType
from typing import TYPE_CHECKING

from study.api import read_study, run
from study.cli.options import OUT, add_out, add_stand_in, add_study_file, add_volume
from study.cli.process import INTERRUPTED, run_as_process, show
from trainables.output import OptionParser, complain, json_text

if TYPE_CHECKING:
    from study.results.model import Report
    from study.tracking import Tracker
    from trainables.saving.place import Place

__all__ = ["main", "parser", "run"]  # what `help` shows: of the function, too, that the module stands in for

STARTED = time.monotonic()


def parser() -> argparse.ArgumentParser:
    """The options of the command."""
    options = OptionParser(
        prog="python -m study.run",
        description="Find how strongly to align every pair of modalities that a study file names. "
        "Run it again to resume a study, or with more seeds or pairs to extend it.",
        epilog="example: python -m study.run --space search_spaces/digits.yaml",
    )
    add_study_file(options)
    add_stand_in(options)
    add_out(options, bucket=True)
    options.add_argument("--address", help="a running Ray cluster (default: start one here)")
    options.add_argument(
        "--tracking-uri", metavar="URI", help="MLflow store ($MLFLOW_TRACKING_URI, sqlite:///mlflow.db)"
    )
    options.add_argument("--workers", type=int, metavar="N", help="most packs to train at once; changes no result")
    options.add_argument("--json", action="store_true", help="print report.json instead of the table")
    add_volume(options)
    options.add_argument("--dry-run", action="store_true", help="check all, print the plan and its time")
    options.add_argument(
        "--try",
        type=float,
        metavar="SECONDS",
        dest="try_seconds",
        help="with --dry-run: how long to try your function (60)",
    )
    options.add_argument("--price-per-gpu-hour", type=float, metavar="X", help="with --dry-run: its cost")
    return options


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; its exit code: 0 done, 1 a cell has no answer, 2 bad input, 130 interrupted."""
    given = parser().parse_args(arguments)
    warnings.filterwarnings("ignore")  # of the libraries below; what the user can act on is said in our own words
    interruption = _Interruption()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, interruption)
    sys.unraisablehook = interruption.lost
    overrides = [*given.overrides, *([f"resources.workers={given.workers}"] if given.workers is not None else [])]
    try:
        return _run(given, overrides, interruption)
    except KeyboardInterrupt:
        command = shlex.join(["python", "-m", "study.run", *(sys.argv[1:] if arguments is None else arguments)])
        print(file=sys.stderr)
        complain(f"interrupted; nothing is lost. Resume with: {command}")
        return INTERRUPTED
    finally:
        sys.unraisablehook = interruption.hook


def _run(given: argparse.Namespace, overrides: Sequence[str], interruption: _Interruption) -> int:
    from study.config import ConfigError

    try:
        config = read_study(given.space, overrides=overrides, stand_in=given.stand_in, address=given.address)
        from rich.console import Console

        from study.cli.display import Display

        if given.dry_run:
            from study.session.bucket import check_record
            from study.session.dry_run import dry_run
            from study.session.function import read_function

            check_record(config, given.out)  # where it is in PostgreSQL, a plan needs nothing of the folder
            out = given.out if isinstance(given.out, Path) else OUT
            print(
                dry_run(
                    config,
                    out=out,
                    price=given.price_per_gpu_hour,
                    as_json=given.json,
                    code=read_function(config, out=out),
                    try_seconds=given.try_seconds,
                )
            )
            return 0
        # Ray prints what it has to say of a worker that died, and the output is the report's alone.
        console = Console(stderr=True, quiet=given.quiet)
        with (
            Display(console, on_update=interruption.check, verbose=given.verbose) as display,
            contextlib.redirect_stdout(sys.stderr),
        ):
            from study.session.running import run_study  # seconds of imports, during which something is shown
            from study.tracking import Tracker, tracking_uri

            tracker = Tracker(tracking_uri(given.tracking_uri), say=display.say)
            report = run_study(
                config,
                out=given.out,
                address=given.address,
                tracker=tracker,
                display=display,
                started=STARTED,
            )
    except ConfigError as error:
        complain(f"error: {error}")
        return 2
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise
        complain(f"error: {error.strerror} for {given.out}; make room and run the same command again, nothing is lost")
        return 2
    from study.results.model import to_json
    from study.results.text.summary import summary

    if given.json:
        print(json_text(to_json(report)))
    else:
        show(summary(report))
        _say_where(report, given.out, tracker)
    return 0 if report.answered else 1


def _say_where(report: Report, out: Path | Place, tracker: Tracker) -> None:
    from study.config.folder import PAGE

    seconds, memory = report.wall_seconds or 0.0, (report.peak_memory_bytes or 0) / 2**30
    outside = seconds - (report.training_seconds or 0.0)
    show(
        f"{report.trainings} trainings; the last run took {seconds:.0f} s ({outside:.0f} s of it outside training), "
        f"peak memory {memory:.1f} GiB"
    )
    for cell in report.cells:
        if cell.error:
            what = "the answer stands, but its encoders were not trained" if cell.pair_choice.strategy else "no answer"
            complain(f"{what} for {cell.label}: {cell.error}")
        elif not cell.answered:
            complain(f"no answer for {cell.label}: fewer than two strengths have a finite score, the others diverged")
    show(f"report: {out}/{report.study}/{PAGE}")
    show(f"browse: {tracker.browse()}")


class _Interruption:
    """Handler of the signals that end a study. `check` raises where the signal's own exception was lost.

    That happens: what is raised while native code of Ray calls back into Python, or in a callback of the garbage
    collector, is printed and dropped.
    """

    def __init__(self) -> None:
        self._asked = False
        self.hook = sys.unraisablehook  # before this one's `lost`

    def __call__(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        self._asked = True
        raise KeyboardInterrupt

    def lost(self, unraisable: sys.UnraisableHookArgs) -> None:
        """Print what was dropped, unless it is the signal's own exception."""
        if not issubclass(unraisable.exc_type, KeyboardInterrupt):
            self.hook(unraisable)

    def check(self) -> None:
        """Raise KeyboardInterrupt if a signal has come."""
        if self._asked:
            raise KeyboardInterrupt


class _Command(ModuleType):
    """A module that is called like the function `run` of the package, in whose place an import has put it."""

    __call__ = staticmethod(run)
    __signature__ = inspect.signature(run)  # else that of a bound method, which lacks the first parameter


if __name__ != "__main__":
    sys.modules[__name__].__class__ = _Command

if __name__ == "__main__":
    run_as_process(main)
