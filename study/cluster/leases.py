"""Leases: studies that train on one cluster at once share its places, by weight.

A small detached actor on the head keeps the book (`study.cluster.shares`). Every driver tells it now and then how many
packs it has in flight and how many it wants, and is told how many it may have. A study beyond that begins no new pack;
none that runs is ended. So one that joins has its part within the length of a pack, and one that is alone has
everything.

What Ray has was no way to do this. A placement group reserves a number of bundles that cannot change while it lives, so
that one alone could not have all; labels and custom resources say where something runs, not how much of it; Ray has no
quotas of jobs (those of Kueue or Volcano are for clusters, one for each job); and `request_resources`, by which an
autoscaler is asked, keeps the last caller's wish alone. So the actor asks it, for the sum of what all want.

No result depends on any of this, but where `budget.minutes` ends a search: which pack begins when is nobody's seed.
Where the actor is lost (with the head, or killed) the next word of a driver makes a new one, which learns from the
drivers what they hold. Where none answers at all, a study goes on as if it were alone. A driver that dies holds
nothing from the moment at which Ray knows it (a job whose process or node is gone), which is when Ray frees its places
too.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any

import ray
from ray.autoscaler.sdk import request_resources
from ray.exceptions import RayError

from study.cluster.joining import join
from study.cluster.shares import Book, Demand, Standing

MOST_PLACES = 4096  # asked of an autoscaler, which has a limit of its own
_NAME, _NAMESPACE = "leases-1", "align-study"  # another number where another version would not be understood
_HEAD = "node:__internal_head__"
_LOOK_SECONDS = 1.0  # between two looks at which drivers live
_TELL_SECONDS = 0.5  # between two words of a driver, where nothing happens
_TERM_SECONDS = 20.0  # for which an answer holds; less than `study.cluster.shares.SILENT_SECONDS`
_PATIENCE_SECONDS = 30.0  # for an answer, before a study goes on without


class Keeper:
    """The actor that keeps the book; it ends itself once nobody shares any more."""

    def __init__(self) -> None:
        self._book, self._lock = Book(), threading.Lock()
        self._jobs: dict[str, str] = {}  # by study, the driver that speaks for it; see `_key`
        self._bundles: dict[str, Mapping[str, float]] = {}
        self._asked: list[Mapping[str, float]] = []
        self._asking = threading.Lock()  # one after another, so that no earlier sum comes last
        threading.Thread(target=self._look, daemon=True).start()

    def tell(self, study: str, job: str, demand: Demand, bundle: Mapping[str, float]) -> int:
        """How many places, each of which is a `bundle`, a study may hold for which the driver `job` speaks."""
        key = _key(study, job)
        with self._lock:
            self._jobs[key], self._bundles[key] = job, bundle
            return self._book.tell(key, demand, now=time.monotonic())

    def leave(self, study: str, job: str) -> None:
        """Forget a study that has ended, and ask for nothing more on its behalf."""
        with self._lock:
            self._forget(_key(study, job))
        self._ask()

    def standings(self) -> tuple[Standing, ...]:
        """How every study stands."""
        with self._lock:
            known = self._book.standings(now=time.monotonic())
        return tuple(replace(one, study=one.study.partition("/")[2]) for one in known)

    def _forget(self, key: str) -> None:
        self._book.leave(key)
        self._jobs.pop(key, None)
        self._bundles.pop(key, None)

    def _look(self) -> None:
        """Forget the studies of dead drivers, ask an autoscaler anew, end where nothing is left to do."""
        idle = 0
        while True:
            time.sleep(_LOOK_SECONDS)
            with contextlib.suppress(Exception):  # Ray's own, of any kind: the next look may see
                living = _living_jobs()
                with self._lock:
                    for key in [key for key, job in self._jobs.items() if job not in living]:
                        self._forget(key)
            self._ask()
            idle = 0 if self._jobs else idle + 1
            if idle > _PATIENCE_SECONDS / _LOOK_SECONDS:
                ray.kill(ray.get_runtime_context().current_actor)
                return

    def _ask(self) -> None:
        """Ask an autoscaler for the sum of what all want, where that has changed."""
        with self._asking:
            with self._lock:
                wanted = self._book.wanted()
                bundles = [bundle for key, bundle in self._bundles.items() for _ in range(wanted.get(key, 0))]
            if bundles == self._asked:
                return
            with contextlib.suppress(Exception):  # there may be no autoscaler
                request_resources(bundles=[dict(bundle) for bundle in bundles[:MOST_PLACES]])
                self._asked = bundles


def _key(study: str, job: str) -> str:
    """What tells apart studies of one name, which two storages may have."""
    return f"{job}/{study}"


def _living_jobs() -> set[str]:
    """The drivers of the cluster that have not ended, by Ray's id of their job."""
    client = ray._private.worker.global_worker.gcs_client
    jobs = client.get_all_job_info(skip_submission_job_info_field=True, skip_is_running_tasks_field=True)
    return {id_.hex() for id_, job in jobs.items() if not job.is_dead}


@dataclass(kw_only=True)
class _Answer:
    allowed: int
    asked: float  # by `time.monotonic()`, when the question was put


class Lease:
    """What one study, of a driver that has joined a cluster, may have of it.

    Nothing here waits: the answer to one question is read when the next one is due, and holds until then.
    """

    def __init__(self, study: str, *, weight: float, bundle: Mapping[str, float]) -> None:
        self._study, self._weight, self._bundle = study, weight, dict(bundle)
        self._job = ray.get_runtime_context().get_job_id()
        self._keeper: Any = None
        self._question: Any = None
        self._asked, self._told = 0.0, (-1, -1, -1)
        self._answer: _Answer | None = None
        self._unanswered: float | None = None  # since when, by `time.monotonic()`

    @property
    def is_alone(self) -> bool:
        """Whether nobody keeps the book, for so long that the study goes on without; known once `allowed` was asked."""
        return self._unanswered is not None and time.monotonic() > self._unanswered + _PATIENCE_SECONDS

    def allowed(self, *, held: int, wanted: int, capacity: int) -> int:
        """How many packs may be in flight, of which `held` are, `wanted` would be, and `capacity` would fit at most."""
        self._read()
        now, state = time.monotonic(), (held, wanted, capacity)
        if self._question is None and (state != self._told or now > self._asked + _TELL_SECONDS):
            self._ask(Demand(weight=self._weight, capacity=capacity, held=held, wanted=wanted), now)
            self._told = state
        if self.is_alone:
            return capacity
        if self._answer is None or now > self._answer.asked + _TERM_SECONDS:
            return held
        return self._answer.allowed

    def leave(self) -> bool:
        """Give up what is held, as the study has ended; whether anybody heard it, for which it waits a moment."""
        if self._keeper is None:
            return False
        try:
            ray.get(self._keeper.leave.remote(self._study, self._job), timeout=5)
        except RayError:
            return False
        return True

    def _ask(self, demand: Demand, now: float) -> None:
        self._asked = now
        if self._unanswered is None:
            self._unanswered = now
        try:
            if self._keeper is None:
                self._keeper = _keeper()
            self._question = self._keeper.tell.remote(self._study, self._job, demand, self._bundle)
        except (RayError, ValueError, RuntimeError):  # it dies just now, or nobody can make one
            self._keeper = None

    def _read(self) -> None:
        if self._question is None or not ray.wait([self._question], timeout=0)[0]:
            return
        try:
            self._answer = _Answer(allowed=ray.get(self._question), asked=self._asked)
            self._unanswered = None
        except RayError:  # it is gone; the next question makes another
            self._keeper = None
        self._question = None


def _keeper() -> Any:
    """The cluster's keeper, made where there is none: on the head, which lives as long as the cluster does."""
    return (
        ray.remote(num_cpus=0)(Keeper)
        .options(
            name=_NAME,
            namespace=_NAMESPACE,
            lifetime="detached",
            get_if_exists=True,
            resources={_HEAD: 0.0001},
            max_restarts=0,
        )
        .remote()
    )


def standings_at(address: str, *, say: Callable[[str], object]) -> tuple[Standing, ...]:
    """How the studies stand that train on the cluster whose head is at `address` (HOST:PORT, or `auto`).

    Raises:
        ConfigError: it cannot be joined.
    """
    with ExitStack() as stack:
        join(address, say=say, stack=stack)
        stack.callback(ray.shutdown)
        return standings()


def standings() -> tuple[Standing, ...]:
    """How the studies stand that train on the cluster which this process has joined; none where nobody shares."""
    try:
        keeper = ray.get_actor(_NAME, namespace=_NAMESPACE)
        told: tuple[Standing, ...] = ray.get(keeper.standings.remote(), timeout=_PATIENCE_SECONDS)
    except (ValueError, RayError):
        return ()
    return told
