"""What a running study shows: a live view on a terminal, plain lines elsewhere; and the log, which has every line."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from importlib.util import find_spec
from types import TracebackType
from typing import TYPE_CHECKING

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from study.cli.progress import Estimate, Phase, StudyProgress
from trainables.output import logger

if TYPE_CHECKING:
    from study.scheduling import coordinator

STEP = 0.05  # of the trainings, between two lines without a terminal
STEP_SECONDS = 60.0  # or so long, whichever is sooner
SHORTEST_SECONDS = 2.0  # between two of them at least
_CALL_SECONDS = 0.5  # between two calls of `on_progress`, while nothing but the trainings moves
_BAR = 40  # characters
_PROVISIONAL = "so far, provisional: "


class Display:
    """Progress of one study on standard error, as a context.

    Every line goes to the logger `align_study` as well (see `trainables.output.logger`), at level INFO; what happens to
    a pack is there at level DEBUG, which `verbose` shows too.

    Args:
        console: what to write to; a quiet one shows nothing, and the log has it nevertheless.
        on_update: called with every sign of progress.
        on_progress: the user's own, called with where the study is, twice a second at most and at each new phase. What
            it raises is told once, and stops nothing.
        verbose: whether to show what happens to each pack.
    """

    def __init__(
        self,
        console: Console,
        *,
        on_update: Callable[[], None] = lambda: None,
        on_progress: Callable[[StudyProgress], object] | None = None,
        verbose: bool = False,
    ) -> None:
        self._console = console
        self._on_update, self._on_progress = on_update, on_progress
        # Without ipywidgets a notebook has no live view: rich would warn at each of its refreshes instead.
        self._live = console.is_terminal or (console.is_jupyter and find_spec("ipywidgets") is not None)
        self._estimate = Estimate()
        self._start = time.monotonic()
        self._now = StudyProgress(phase="reading data")
        self._told_share, self._told_at = 0.0, -STEP_SECONDS
        self._told_answers: list[str] = []
        self._called_at = 0.0
        self._failed = False  # whether the user's function has raised
        self._spelt: Callable[[str], str] = str
        self._listener = _Verbose(self._print) if verbose else None
        self._level = logging.NOTSET  # of the logger, before `verbose`
        self._view = Live(console=console, transient=True, get_renderable=self._render)

    def __enter__(self) -> Display:
        if self._listener is not None:
            self._level = logger().level
            logger().addHandler(self._listener)
            logger().setLevel(logging.DEBUG)
        if self._live and not self._console.quiet:
            self._view.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._view.stop()
        if self._listener is not None:
            logger().removeHandler(self._listener)
            logger().setLevel(self._level)

    @property
    def counted(self) -> str:
        """How many trainings there are of how many."""
        return self._now.counted

    @contextmanager
    def spelling(self, spelt: Callable[[str], str]) -> Iterator[None]:
        """Every line as `spelt` has it, for as long as the context lasts."""
        before, self._spelt = self._spelt, spelt
        try:
            yield
        finally:
            self._spelt = before

    def say(self, line: str) -> None:
        """One line above the view."""
        line = self._spelt(line)
        logger().info("%s", line)
        self._print(line)

    def stage(self, phase: Phase, line: str = "") -> None:
        """Show what the study is at from now on; `line` says it where it should stay on the screen."""
        self._now = replace(self._now, phase=phase, busy=0, seconds=time.monotonic() - self._start)
        if line:
            self.say(line)
        self._call()

    def update(self, moved: coordinator.Progress) -> None:
        """Show where the trainings are."""
        self._on_update()
        began = self._now.phase != "training"
        self._now = self._estimate.progress(moved, so_far=self._now.so_far)
        now = time.monotonic()
        share = moved.done / max(1, moved.planned)
        waited = now - self._told_at
        if waited >= STEP_SECONDS or (waited >= SHORTEST_SECONDS and share >= self._told_share + STEP):
            self._told_at, self._told_share = now, share
            self._tell(self._now.line)
        if began or now - self._called_at >= _CALL_SECONDS:
            self._call()

    def show_answers(self, so_far: Mapping[str, str]) -> None:
        """Show what each pair has come to by now, by its name."""
        self._now = replace(self._now, so_far=dict(so_far))
        told = self._now.answers
        for line in told if told != self._told_answers else ():
            self._tell(f"{_PROVISIONAL}{line}")
        self._told_answers = told

    def _tell(self, line: str) -> None:
        """A line of progress: the view has it already, where there is one."""
        if self._live:
            logger().info("%s", line)
        else:
            self.say(line)

    def _print(self, line: str) -> None:
        self._console.print(line, highlight=False, markup=False, soft_wrap=True)

    def _call(self) -> None:
        """Call the user's function."""
        if self._on_progress is None:
            return
        self._called_at = time.monotonic()
        try:
            self._on_progress(self._now)
        except Exception as error:  # noqa: BLE001 - whatever it is, hours of training are worth more
            if not self._failed:
                self._failed = True
                self.say(f"on_progress raised {type(error).__name__}: {error}; the study goes on, and calls it again")

    def _render(self) -> RenderableType:
        """The view: what does not fit into a line goes on in the next one, nothing is cut."""
        now = self._now
        if now.phase != "training":
            return Text(f"{now.phase} …", style="bold")
        bar = Table.grid()  # which ends its line; the bar alone does not
        bar.add_row(ProgressBar(total=max(1, now.planned), completed=now.done + now.in_flight, width=_BAR))
        told = " · ".join(filter(None, (now.counted, now.at_work, now.left)))
        lines = [Text(told), Text(now.latest, style="bold")]
        return Group(bar, *lines, *(Text(f"{_PROVISIONAL}{line}", style="dim") for line in now.answers))


class _Verbose(logging.Handler):
    """Shows what the log has beyond the lines that are shown anyway."""

    def __init__(self, show: Callable[[str], None]) -> None:
        super().__init__(logging.DEBUG)
        self._show = show

    def emit(self, record: logging.LogRecord) -> None:
        """Show a record of level DEBUG."""
        if record.levelno < logging.INFO:
            self._show(record.getMessage())
