"""What a running study shows: a live bar on a terminal, plain lines elsewhere, and the table at the end."""

from __future__ import annotations

import math
import time
from bisect import bisect_right
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from study import coordinator
from study.pid import COMPONENTS
from study.planned import duration
from study.report import amounts

PLAIN_SECONDS = 5.0  # between two lines without a terminal
_AFTER = 0.8  # of the time before training; measured by tests/bench/dry_run.py


class Display:
    """Progress of one study on standard error, as a context.

    The time left is the work that is planned, at the rate of the latter half of what this run has done: at first
    workers still start, and profiles are computed beside them. A share of the time before the first sign of work stands
    for what comes after training, the report and MLflow's copy.

    Args:
        console: what to write to.
        on_update: called with every sign of progress.
    """

    def __init__(self, console: Console, *, on_update: Callable[[], None] = lambda: None) -> None:
        self._console = console
        self._on_update = on_update
        self._live = console.is_terminal or console.is_jupyter
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
        if not self._seen or done <= self._seen[half][0]:
            return "starting"
        before, since = self._seen[half]
        training = (now - since) / (done - before) * progress.work_left
        return f"about {duration(training + _AFTER * (self._seen[0][1] - self._start))} left"


def summary(report: Mapping[str, Any]) -> Group:
    """What a study ends with: for each pair its profile, for each encoder λ* [90 % interval], gain, verdict, shape."""
    title = f"{report['study']}{' (stand-in data)' if report['stand_in'] else ''}"
    parts: list[RenderableType] = [
        Text(title, style="bold"),
        _row("", "λ* [90 %]", "gain over λ = 0", "verdict", "curve"),
    ]
    for cell in report["cells"]:
        parts.append(Rule(style="dim"))
        parts.append(Text.assemble((cell["label"], "bold"), f"   {_profile(cell['pid'])}"))
        for index, encoder in enumerate(cell["encoders"]):
            metric = cell["metrics"][index]
            parts.append(
                _row(
                    f"  {encoder['modality']}",
                    amounts.strength_with_interval(encoder) if encoder["lambda_star"] is not None else "–",
                    amounts.gain_or_cost(encoder, metric),
                    str(encoder["verdict"] or "no answer"),
                    str(encoder["shape"] or "–"),
                )
            )
    return Group(*parts)


def _row(*texts: str) -> Table:
    """One line of five columns that are aligned over all lines and fit 80 characters."""
    table = Table.grid(padding=(0, 1))
    for text, width in zip(texts, (12, 19, 24, 11, 10), strict=True):
        table.add_column(min_width=width, max_width=max(width, len(text)), no_wrap=True)
    table.add_row(*(Text(text) for text in texts))
    return table


def _profile(pid: Mapping[str, Any] | None) -> str:
    if pid is None:
        return "no profile"
    redundancy, unique_1, unique_2, synergy = (f"{pid[name]:.2f}" for name in COMPONENTS)
    return f"R {redundancy}  U₁ {unique_1}  U₂ {unique_2}  S {synergy} bits, {pid['dominant']}"
