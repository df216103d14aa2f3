"""What a running study shows: a live bar on a terminal, plain lines elsewhere, and the table at the end."""

from __future__ import annotations

import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn
from rich.table import Table

from study import coordinator
from study.report import words

PLAIN_SECONDS = 5.0  # between two lines without a terminal


class Display:
    """Progress of one study on standard error, as a context.

    The time left is what the trainings of this run took, per training, times those that are planned; the first pack
    of a worker starts slowly, so that nothing is said before the first training's worth of epochs is done.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bar = Progress(
            TextColumn("[bold]{task.fields[cell]}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[left]}"),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._task: TaskID | None = None
        self._start = time.monotonic()
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
        left = self._time_left(progress)
        if self._console.is_terminal:
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
        done = progress.fresh + progress.in_flight
        if done < 1:
            return "starting"
        seconds = (time.monotonic() - self._start) / done * (progress.planned - progress.done - progress.in_flight)
        return f"about {_duration(seconds)} left"


def summary(report: Mapping[str, Any]) -> Table:
    """The table that a study ends with: pair, profile, λ* [interval], gain and verdict per encoder."""
    table = Table(title=f"{report['study']}{' (stand-in data)' if report['stand_in'] else ''}", title_justify="left")
    for heading in ("pair", "encoder", "R / U₁ / U₂ / S (bits)", "λ* [90 %]", "gain over λ = 0", "verdict", "shape"):
        table.add_column(heading)
    for cell in report["cells"]:
        for index, encoder in enumerate(cell["encoders"]):
            gain, metric = encoder["gain_over_zero"] or {}, cell["metrics"][index]
            table.add_row(
                "" if index else cell["label"],
                encoder["modality"],
                "" if index else _profile(cell["pid"]),
                words.strength_with_interval(encoder) if encoder["lambda_star"] is not None else "–",
                f"{words.gain_with_interval(gain, metric)} {words.gain_unit(metric)}" if gain else "–",
                str(encoder["verdict"] or "no answer"),
                str(encoder["shape"] or "–"),
                end_section=index == 1,
            )
    return table


def _profile(pid: Mapping[str, Any] | None) -> str:
    if pid is None:
        return "–"
    values = " / ".join(f"{pid[name]:.2f}" for name in ("redundancy", "unique_1", "unique_2", "synergy"))
    return f"{values}\n{pid['dominant']}"


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
