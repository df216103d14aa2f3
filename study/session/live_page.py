"""The page of a study while it runs: its report by now, which reloads itself in a browser that has it open."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

from study.results.model import Report
from study.results.page.parts import Running
from study.results.writing import draw_partial, write_index, write_partial

RELOAD_SECONDS = 25.0  # between two pages at least
_SPARED = 50.0  # times as long as a page took to make, none is made after it: it costs less than a fiftieth


class _Made(NamedTuple):
    report: Report
    drawings: dict[str, str]


class LivePage:
    """Writes report.html into the folder of a study that runs, and the page over all studies beside it, as a context.

    The report is made where it is asked for, the rest beside the study. Once the study has ended, however it did, the
    page reloads no more; one that was killed leaves its last one, which says of when it is. A page that cannot be
    written is told once and stops nothing.

    Args:
        folder: of the study.
        say: is told, in a line.
    """

    def __init__(self, folder: Path, *, say: Callable[[str], None]) -> None:
        self._folder, self._say = folder, say
        self._executor = ThreadPoolExecutor(1)
        self._writing: Future[None] | None = None
        self._last: _Made | None = None
        self._not_before = 0.0
        self._failed = False

    def __enter__(self) -> LivePage:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._executor.shutdown(wait=True)
        if error is not None and self._last is not None:  # else the study's own report takes its place
            self._write(self._last, running=False)

    def show(self, report: Callable[[], Report], *, counted: str) -> Report | None:
        """Write the page of the report that `report` makes, if it is time for it: that report, else None.

        `counted` says how many trainings there are by now.
        """
        begin = time.monotonic()
        if begin < self._not_before or not (self._writing is None or self._writing.done()):
            return None
        made = report()
        took = time.monotonic() - begin
        self._not_before = begin + RELOAD_SECONDS + _SPARED * took
        self._writing = self._executor.submit(self._draw, made, counted, took)
        return made

    def _draw(self, report: Report, counted: str, took: float) -> None:
        begin = time.thread_time()
        self._last = made = _Made(report, draw_partial(report))
        self._write(made, running=True, counted=counted)
        took += time.thread_time() - begin
        self._not_before = max(self._not_before, time.monotonic() + _SPARED * took)

    def _write(self, made: _Made, *, running: bool, counted: str = "") -> None:
        state = Running(at=datetime.now(), counted=counted, seconds=RELOAD_SECONDS) if running else None
        try:
            write_partial(made.report, self._folder, drawings=made.drawings, running=state)
            write_index(self._folder.parent)
        except OSError as error:
            if not self._failed:
                self._failed = True
                self._say(f"the page of the study so far was not written ({error.strerror}); the study goes on")
