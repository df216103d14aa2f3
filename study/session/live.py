"""What MLflow shows of a study while it runs."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Executor, Future

from study.results.model import Report
from study.search.record.private import made_for_owner_alone
from study.tracking import Tracker, TrackingResult

_SPARED = 20.0  # times as long as a report took to make, none is made after it


class LiveProjection:
    """Brings MLflow to what is there by now, beside the study that goes on; one writer at a time.

    Two writers of one projection would make runs twice. MLflow's store is prepared at once, which takes seconds. What
    is not shown, as MLflow is busy or a report was made a moment ago, a later call will show, or who comes after
    `finish`.
    """

    def __init__(self, tracker: Tracker, *, executor: Executor) -> None:
        self._tracker, self._executor = tracker, executor
        self._writer: Future[TrackingResult] = executor.submit(_prepare, tracker)
        self._not_before = 0.0

    def show(self, report: Callable[[], Report]) -> None:
        """Show the report that `report` makes, if there is time for it."""
        begin = time.monotonic()
        if begin > self._not_before and self._writer.done():
            self._writer = self._executor.submit(self._tracker.project, report())
            # A report of all cells after every one of them would take the square of their number.
            self._not_before = begin + _SPARED * (time.monotonic() - begin)

    def finish(self) -> None:
        """Wait for what is being written; from then on somebody else may write."""
        self._writer.result()


def _prepare(tracker: Tracker) -> TrackingResult:
    with made_for_owner_alone(tracker.uri, artifacts=tracker.artifacts):
        return tracker.prepare()
