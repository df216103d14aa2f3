"""The coordinator's packs as trials of Ray Tune."""

from __future__ import annotations

import contextlib
import json
import math
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ray.tune.search import Searcher

from study.cluster.metrics import Metrics
from study.config import ConfigError, ResourcesSection
from study.scheduling.coordinator import Coordinator
from study.search.record.events import EventLog
from trainables.saving.place import Place
from trainables.spec import ReplicateResult
from trainables.trainer import forget

_SHOW_SECONDS = 2.0  # between two looks at all cells for the sake of the metrics, while packs only advance


class PackSearcher(Searcher):  # type: ignore[misc]
    """A searcher that gives Tune the coordinator's packs as trials, and the coordinator what they came to."""

    def __init__(
        self,
        coordinator: Coordinator,
        *,
        checkpoints: Place,
        threads: int,
        resources: ResourcesSection,
        retries: int,
        has_room: Callable[[int, int], bool],
        events: EventLog,
        metrics: Metrics | None,
        say: Callable[[str], None],
    ) -> None:
        super().__init__()
        self._retries, self._events, self._metrics = retries, events, metrics
        self._has_room, self._say = has_room, say
        self._resources = resources
        self._started: dict[str, float] = {}
        self._shown = -math.inf
        self._coordinator = coordinator
        self._checkpoints = checkpoints
        self._threads = threads
        self._packs: dict[str, str] = {}
        self._failed: Counter[str] = Counter()  # how often, by pack
        self._told: set[str] = set()  # lines of tracebacks
        self.error: Exception | None = None  # see `_error_kept`

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        """The next pack as a trial's configuration; None while there is none or no room for it."""
        if self.error is not None:
            return str(Searcher.FINISHED)
        if not self._has_room(len(self._packs), self._coordinator.waiting):
            return None
        pack = self._coordinator.next_pack()
        if pack is None:
            return str(Searcher.FINISHED) if self._coordinator.finished else None
        self._packs[trial_id] = pack.id
        self._started[pack.id] = time.monotonic()
        self._show()
        self._events.emit("pack_queued", {"pack": pack.id, "cell": pack.cell.id, "trainings": len(pack.members)})
        return {
            "spec": json.dumps(pack.spec.to_json()),
            "data_key": pack.cell.job_key,
            "place": self._checkpoints.address,
            "threads": self._threads,
            "checkpoint_seconds": self._resources.checkpoint_seconds,
            "seconds_per_trial": self._resources.seconds_per_trial,
            "keep": pack.keeps_encoders,
        }

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Note how far a pack is."""
        if result.get("iterations_since_restore") == 1:
            self._events.emit(
                "pack_running",
                {"pack": self._packs[trial_id], **_where(result)},
            )
        if result.get("total"):
            with self._error_kept():
                self._coordinator.advance(self._packs[trial_id], result["epochs"] / result["total"])
            self._show(after=_SHOW_SECONDS)

    def on_trial_retry(self, trial_id: str, reason: str, lines: str = "") -> None:
        """Note that a pack failed and is tried again; `lines` are those of a traceback that are the user's own."""
        if pack_id := self._packs.get(trial_id):
            self._tell(lines)
            self._failed[pack_id] += 1
            self._note_retry(pack_id, reason)

    def on_trial_failure(self, trial_id: str, reason: str, lines: str = "") -> None:
        """Give up the cell of a pack that failed once too often.

        Tune gives a trial up early if its process dies while the trial is being handed over to it: it hears of that
        twice. So failures are counted here, and such a pack gets another trial.
        """
        pack_id = self._packs.pop(trial_id, None)
        if pack_id is None:
            return
        self._tell(lines)
        self._failed[pack_id] += 1
        with self._error_kept():
            if self._failed[pack_id] <= self._retries:
                self._note_retry(pack_id, reason)
                self._coordinator.put_back(pack_id)
                return
            self._note("pack_failed", pack_id, {"reason": reason})
            where = "" if lines else "; see the logs of Ray"
            self._coordinator.fail(pack_id, f"its training failed {self._failed[pack_id]} times ({reason}){where}")

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Give the coordinator what a pack came to; of one that failed `on_trial_failure` is told next."""
        if error:
            return
        pack_id = self._packs.pop(trial_id, None)
        if pack_id is None:  # Tune reports the end of a trial twice if closing its actor fails
            return
        with self._error_kept():
            if result and result.get("out_of_memory"):
                self._note("pack_split", pack_id)
                if not self._coordinator.split(pack_id):
                    self._coordinator.fail(pack_id, "one training alone does not fit into memory; use smaller encoders")
                return
            if result and result.get("refused"):
                self._refuse(pack_id, str(result["refused"]))
                return
            if not result or "results" not in result:
                self._note("pack_failed", pack_id, {"reason": "ended without results"})
                self._coordinator.fail(pack_id, "its training ended without results; see the logs of Ray")
                return
            results = [ReplicateResult.from_json(value) for value in json.loads(result["results"])]
            self._coordinator.complete(pack_id, results)
            self._failed.pop(pack_id, None)
            self._note("pack_done", pack_id, _where(result))
            with contextlib.suppress(OSError):
                forget(self._checkpoints, pack_id)

    def _refuse(self, pack_id: str, reason: str) -> None:
        """Give up the cell of a pack that no retry would mend; or the study, where nothing has been trained yet."""
        if not self._coordinator.has_trained:
            raise ConfigError(reason)
        self._note("pack_failed", pack_id, {"reason": reason})
        self._coordinator.fail(pack_id, reason)

    def _tell(self, lines: str) -> None:
        """The user's own lines of a traceback, once however many trainings end there."""
        if lines and lines not in self._told:
            self._told.add(lines)
            self._say(lines)

    @contextlib.contextmanager
    def _error_kept(self) -> Iterator[None]:
        """An error ends the study where the driver waits, in `training`; Tune would take it for one of the trial."""
        try:
            yield
        except Exception as caught:  # noqa: BLE001 - see above
            self.error = caught

    def _note_retry(self, pack_id: str, reason: str) -> None:
        self._events.emit("pack_retried", {"pack": pack_id, "reason": reason})
        self._say(f"a training failed and is tried again from where it was: {reason}")
        if self._metrics:
            self._metrics.count("retried", seconds=0.0)

    def _note(self, event: str, pack_id: str, details: Mapping[str, object] | None = None) -> None:
        progress = self._coordinator.progress
        seconds = time.monotonic() - self._started.pop(pack_id, time.monotonic())
        known = {"done": progress.done, "planned": progress.planned, "diverged": progress.diverged}
        self._events.emit(event, {"pack": pack_id, "seconds": round(seconds, 2), **known, **(details or {})})
        if self._metrics:
            self._metrics.count(event.removeprefix("pack_"), seconds=seconds)
        self._show()

    def _show(self, *, after: float = 0.0) -> None:
        """Bring the metrics up to date, unless they were within `after` seconds."""
        if self._metrics and time.monotonic() >= self._shown + after:
            self._shown, coordinator = time.monotonic(), self._coordinator
            self._metrics.show(
                coordinator.progress,
                waiting=coordinator.waiting,
                in_flight=len(self._packs),
                failed_cells=len(coordinator.errors),
            )

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Tune pickles its searcher to restore it some day, which this project never does."""
        return {}

    def save(self, checkpoint_path: str) -> None:
        """Nothing: the ledger is the only truth."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing, see `save`."""


def _where(result: Mapping[str, Any]) -> dict[str, object]:
    """Where a pack trains, and from which epoch on."""
    return {"node": result.get("node_ip"), "process": result.get("pid"), "resumed_from": result.get("resumed_from", 0)}
