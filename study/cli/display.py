"""What a running study shows: a live bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import math
import time
from bisect import bisect_right
from collections.abc import Callable
from importlib.util import find_spec
from types import TracebackType
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn

from study.results.text.amounts import duration

if TYPE_CHECKING:  # a study shows that it has begun before it needs SciPy and torch
    from study.scheduling import coordinator

PLAIN_SECONDS = 5.0  # between two lines without a terminal
_AFTER = 0.4  # of the time before training; measured by tests/bench/dry_run.py


class Display:
    """Progress of one study on standard error, as a context.

    The time left is the work that is planned, at the rate of the latter half of what this run has done: at first
    workers still start, and profiles are computed beside them. Before the first pack has ended the rate says too
    little, and none is shown. A share of the time before the first sign of work stands
    for what comes after training, the report and MLflow's copy.

    Args:
        console: what to write to.
        on_update: called with every sign of progress.
    """

    def __init__(self, console: Console, *, on_update: Callable[[], None] = lambda: None) -> None:
        self._console = console
        self._on_update = on_update
        # Without ipywidgets a notebook has no bar: rich would warn at each of its refreshes instead.
        self._live = console.is_terminal or (console.is_jupyter and find_spec("ipywidgets") is not None)
        self._bar = Progress(
            TextColumn("[bold]{task.fields[cell]}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[left]}"),
            console=console,
            transient=True,
            disable=not self._live,
        )
        self._task: TaskID | None = None
        self._start = time.monotonic()
        self._seen: list[tuple[float, float]] = []  # how much work was done, and when: whenever there was more
        self._printed = 0.0

    def __enter__(self) -> Display:
        self._bar.start()
        self._start = time.monotonic()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def say(self, line: str) -> None:
        """One line above the bar."""
        self._console.print(line, highlight=False, markup=False, soft_wrap=True)

    def update(self, progress: coordinator.Progress) -> None:
        """Show where the study stands."""
        self._on_update()
        left = self._time_left(progress)
        if self._live:
            if self._task is None:
                self._task = self._bar.add_task("", total=progress.planned, cell="", left="")
            self._bar.update(
                self._task,
                completed=progress.done + progress.in_flight,
                total=progress.planned,
                cell=progress.latest,
                left=left,
            )
        elif time.monotonic() - self._printed > PLAIN_SECONDS:
            self._printed = time.monotonic()
            self.say(f"{progress.done}/{progress.planned} trainings, {progress.latest}, {left}")

    def _time_left(self, progress: coordinator.Progress) -> str:
        now, done = time.monotonic(), progress.work_done
        if done > 0 and (not self._seen or done > self._seen[-1][0]):
            self._seen.append((done, now))
        half = max(0, bisect_right(self._seen, (done / 2, math.inf)) - 1)
        if not progress.work_ended or done <= self._seen[half][0]:
            return "starting"
        before, since = self._seen[half]
        training = (now - since) / (done - before) * progress.work_left
        return f"about {duration(training + _AFTER * (self._seen[0][1] - self._start))} left"
