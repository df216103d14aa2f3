"""The coordinator's packs as trials of Ray Tune."""

from __future__ import annotations

import contextlib
import json
import math
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future, wait
from threading import RLock
from typing import Any, NamedTuple

from ray.tune.search import Searcher

from study.cluster.lanes import KEY, Lanes
from study.cluster.metrics import Metrics
from study.config import ConfigError, ResourcesSection
from study.scheduling.coordinator import Coordinator
from study.search.record.events import EventLog
from trainables.saving.place import Place
from trainables.spec import ReplicateResult
from trainables.trainer import WARM, forget

_WAIT_SECONDS = 0.05  # for the coordinator, while Tune has something to do
_SHOW_SECONDS = 2.0  # between two looks at all cells for the sake of the metrics, while packs only advance


class _Arrived(NamedTuple):
    """What a pack came to, when, and what the log says of it."""

    pack_id: str
    results: Sequence[ReplicateResult]
    at: float  # by `time.monotonic()`
    told: Mapping[str, object]


class PackSearcher(Searcher):  # type: ignore[misc]
    """A searcher that gives Tune the coordinator's packs as trials, and the coordinator what they came to.

    With lanes, a pack gets one that is warm; others are made so by trials of their own where packs wait, and `warm` of
    them while the coordinator is still to come. What a pack came to is recorded once its worker has the next one, if
    one waits: `catch_up` is to be called after every step of Tune. With a `recorder`, of one thread, that happens
    beside Tune, which meanwhile goes on to ask workers for their next step.
    """

    def __init__(
        self,
        coordinator: Coordinator | Future[Coordinator],
        *,
        checkpoints: Place,
        threads: int,
        gpus: float,
        resources: ResourcesSection,
        retries: int,
        has_room: Callable[[int, int], bool],
        events: EventLog,
        metrics: Metrics | None,
        say: Callable[[str], None],
        spent: Callable[[float], None] = lambda _: None,
        lanes: Lanes | None = None,
        warm: int = 0,
        recorder: Executor | None = None,
    ) -> None:
        super().__init__()
        self._retries, self._events, self._metrics = retries, events, metrics
        self._has_room, self._say, self._spent = has_room, say, spent
        self._resources = resources
        self._started: dict[str, float] = {}
        self._shown = -math.inf
        self._coming = coordinator if isinstance(coordinator, Future) else None
        self._known = coordinator if isinstance(coordinator, Coordinator) else None
        self._lanes, self._warm = lanes, warm
        self._recorder, self._recording = recorder, Future[None]()
        self._recording.set_result(None)
        self._lock = RLock()  # of the coordinator, but for the packs that wait
        self._arrived: deque[_Arrived] = deque()
        self._checkpoints = checkpoints
        self._threads, self._gpus = threads, gpus
        self._packs: dict[str, str] = {}
        self._failed: Counter[str] = Counter()  # how often, by pack
        self._told: set[str] = set()  # lines that are said once
        self.error: Exception | None = None  # see `_error_kept`

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        """The next pack as a trial's configuration; None while there is none or no room for it."""
        if self.error is not None:
            return str(Searcher.FINISHED)
        if self._known is None and not self._has_come():
            return str(Searcher.FINISHED) if self.error is not None else self._warmed(trial_id, wanted=self._warm)
        if not self._coordinator.waiting and not self._has_caught_up():
            return None
        waiting = self._coordinator.waiting
        if not self._has_room(len(self._packs), waiting) and waiting:
            return None
        if self._lanes is not None and waiting and not self._lanes.has_free:
            return self._warmed(trial_id, wanted=waiting)
        pack = self._coordinator.next_pack() if waiting else None
        if pack is None:
            return str(Searcher.FINISHED) if self._coordinator.finished else None
        self._packs[trial_id] = pack.id
        self._started[pack.id] = time.monotonic()
        self._show()
        waited = round(time.monotonic() - pack.ready_at, 3)
        told = {"pack": pack.id, "cell": pack.cell.id, "trainings": len(pack.members), "waited": waited}
        self._events.emit("pack_queued", told)
        return {
            "spec": json.dumps(pack.spec.to_json()),
            "data_key": pack.cell.job_key,
            "place": self._checkpoints.address,
            "threads": self._threads,
            "gpus": self._gpus,
            "checkpoint_seconds": self._resources.checkpoint_seconds,
            "seconds_per_trial": self._resources.seconds_per_trial,
            "keep": pack.keeps_encoders,
            **({KEY: self._lanes.take(trial_id)} if self._lanes is not None else {}),
            "drawn": list(pack.drawn),
        }

    @property
    def _coordinator(self) -> Coordinator:
        assert self._known is not None
        return self._known

    def _has_come(self) -> bool:
        """Whether the coordinator is there; waits for it where there is nothing else to do."""
        assert self._coming is not None
        warming = self._lanes.warming if self._lanes is not None else 0
        begins = self._lanes is not None and self._lanes.has_cold and warming < self._warm
        wait([self._coming], timeout=0 if begins else _WAIT_SECONDS if warming else None)
        if self._coming.done():
            with self._error_kept():
                self._known = self._coming.result()
        return self._known is not None

    def _warmed(self, trial_id: str, *, wanted: int) -> dict[str, Any] | None:
        """A trial that only makes its process ready, where one is cold and fewer than `wanted` become so already."""
        if self._lanes is None or self._lanes.warming >= wanted or (lane := self._lanes.warm(trial_id)) is None:
            return None
        return {WARM: True, KEY: lane, "threads": self._threads}

    def _has_caught_up(self) -> bool:
        """Whether all that packs came to is recorded; waits for it where there is nothing else to do."""
        self.catch_up()
        begun = self._packs or (self._lanes is not None and self._lanes.warming)
        wait([self._recording], timeout=_WAIT_SECONDS if begun else None)
        if self._recording.done():
            self._recording.result()  # which raises where Ctrl-C came to that thread
        return self._recording.done() and not self._arrived

    def catch_up(self) -> None:
        """Record what packs came to, and ask for what follows from it."""
        if not self._arrived or not self._recording.done():
            return
        if self._recorder is None:
            self._record()
        else:
            self._recording = self._recorder.submit(self._record)

    def _record(self) -> None:
        with self._lock:
            while self._arrived:
                self._complete(self._arrived.popleft())

    def _complete(self, arrived: _Arrived) -> None:
        with self._error_kept():
            self._coordinator.complete(arrived.pack_id, arrived.results, seconds=_seconds(arrived.told))
            self._failed.pop(arrived.pack_id, None)
            self._note("pack_done", arrived.pack_id, arrived.told, at=arrived.at)
            with contextlib.suppress(OSError):
                forget(self._checkpoints, arrived.pack_id)

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Note how far a pack is."""
        if trial_id not in self._packs:
            return
        if result.get("iterations_since_restore") == 1:
            self._tell_lacking(result)
            self._events.emit(
                "pack_running",
                {"pack": self._packs[trial_id], **_where(result)},
            )
        if result.get("total") and self._lock.acquire(blocking=False):  # else a later step will tell
            try:
                with self._error_kept():
                    self._coordinator.advance(self._packs[trial_id], result["epochs"] / result["total"])
                self._show(after=_SHOW_SECONDS)
            finally:
                self._lock.release()

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
        with self._error_kept(), self._lock:
            if self._failed[pack_id] <= self._retries:
                self._note_retry(pack_id, reason)
                self._coordinator.put_back(pack_id)
                return
            self._note("pack_failed", pack_id, {"reason": reason})
            where = "" if lines else "; see the logs of Ray"
            self._coordinator.fail(pack_id, f"its training failed {self._failed[pack_id]} times ({reason}){where}")

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Give the coordinator what a pack came to; of one that failed `on_trial_failure` is told next."""
        if self._lanes is not None:
            self._lanes.leave(trial_id)
        if error:
            return
        pack_id = self._packs.pop(trial_id, None)
        if pack_id is None:  # Tune reports the end of a trial twice if closing its actor fails
            return
        self._tell_lacking(result or {})  # of a pack that took a single step there was no other result
        if result and "results" in result:
            with self._error_kept():
                results = [ReplicateResult.from_json(value) for value in json.loads(result["results"])]
                self._arrived.append(_Arrived(pack_id, results, time.monotonic(), _where(result)))
            return
        with self._error_kept(), self._lock:
            self._record()
            if result and result.get("out_of_memory"):
                self._note("pack_split", pack_id)
                if not self._coordinator.split(pack_id):
                    self._coordinator.fail(pack_id, "one training alone does not fit into memory; use smaller encoders")
                return
            if result and result.get("refused"):
                self._refuse(pack_id, str(result["refused"]))
                return
            self._note("pack_failed", pack_id, {"reason": "ended without results"})
            self._coordinator.fail(pack_id, "its training ended without results; see the logs of Ray")

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

    def _tell_lacking(self, result: Mapping[str, Any]) -> None:
        """That a node lacks the GPU that Ray takes it to have, once; how fast a study is, nobody else would say."""
        node, lacks = result.get("node_ip"), result.get("lacks")
        line = f"node {node} has no GPU to train on ({lacks}); what it trains, it trains on the CPU, far slower"
        if lacks and line not in self._told:
            self._told.add(line)
            self._events.emit("gpu_missing", {"node": node, "reason": lacks})
            self._say(line)

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

    def _note(
        self, event: str, pack_id: str, details: Mapping[str, object] | None = None, *, at: float | None = None
    ) -> None:
        progress, at = self._coordinator.progress, time.monotonic() if at is None else at
        seconds = at - self._started.pop(pack_id, at)
        known = {"done": progress.done, "planned": progress.planned, "diverged": progress.diverged}
        self._events.emit(event, {"pack": pack_id, "seconds": round(seconds, 2), **known, **(details or {})})
        with self._error_kept():
            self._spent(seconds)
        if self._metrics:
            self._metrics.count(event.removeprefix("pack_"), seconds=seconds)
        self._show()

    def _show(self, *, after: float = 0.0) -> None:
        """Bring the metrics up to date, unless they were within `after` seconds, or the coordinator is at work."""
        if not self._metrics or time.monotonic() < self._shown + after or not self._lock.acquire(blocking=False):
            return
        try:
            self._shown, coordinator = time.monotonic(), self._coordinator
            self._metrics.show(
                coordinator.progress,
                waiting=coordinator.waiting,
                in_flight=len(self._packs),
                failed_cells=len(coordinator.errors),
            )
        finally:
            self._lock.release()

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Tune pickles its searcher to restore it some day, which this project never does."""
        return {}

    def save(self, checkpoint_path: str) -> None:
        """Nothing: the ledger is the only truth."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing, see `save`."""


def _seconds(told: Mapping[str, object]) -> float | None:
    """For how long a pack's worker was at it, of what `_where` tells."""
    trained = told.get("trained")
    return trained if isinstance(trained, float) and trained > 0 else None


def _where(result: Mapping[str, Any]) -> dict[str, object]:
    """Where a pack trains, from which epoch on, and for how many seconds its worker has been at it."""
    return {
        "node": result.get("node_ip"),
        "process": result.get("pid"),
        "resumed_from": result.get("resumed_from", 0),
        "trained": round(result.get("time_total_s", 0.0), 3),
    }
