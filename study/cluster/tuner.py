"""Ray Tune: one Tuner trains the packs of all cells of a study on a cluster."""

from __future__ import annotations

import contextlib
import logging
import math
import time
import uuid
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import ray
from ray import tune
from ray.autoscaler.sdk import request_resources
from ray.tune import CheckpointConfig, FailureConfig, RunConfig
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from study.cluster.failures import Failures
from study.cluster.guest import as_guest
from study.cluster.lanes import AfterStep, KeptProcesses, Lanes, LentProcesses, resources_of
from study.cluster.leases import MOST_PLACES, Lease
from study.cluster.metrics import Metrics
from study.cluster.pool import Cluster
from study.cluster.searcher import PackSearcher
from study.config import ConfigError
from study.scheduling.coordinator import Coordinator
from study.search.record.events import EventLog
from trainables.saving.place import Place
from trainables.saving.scratch import clear_scratch, scratch
from trainables.tune import JobTrainable

RETRIES = 2  # of a pack whose worker died; it continues from its checkpoint
RETRIES_ON_CLUSTER = 8  # where nodes come and go
_RECOUNT_SECONDS = 2.0
_PROBE_SECONDS = 60.0
_QUIET = {
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # no CSV, JSON and TensorBoard files of every trial
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # Ctrl-C is the command line's to handle
    "TUNE_GLOBAL_CHECKPOINT_S": "3600",  # Tune's snapshots are never resumed from
    "RAY_AIR_NEW_OUTPUT": "0",
}
# A trial on a cluster waits for its process to start, seconds in which others can start too.
_MANY_PENDING = {"TUNE_MAX_PENDING_TRIALS_PG": str(MOST_PLACES)}


def train(
    cluster: Cluster,
    coordinator: Coordinator | Future[Coordinator],
    *,
    checkpoints: Place,
    events: EventLog,
    say: Callable[[str], None] = lambda _: None,
    spent: Callable[[float], None] = lambda _: None,
    warm: int = 0,
) -> None:
    """Train packs, on the data that `Cluster.share_data` was given, until the coordinator has none left.

    A coordinator may be still to come; meanwhile, on this machine, `warm` worker processes start and import what
    trainings need. Processes last as long as the study here, whether they have a pack or not; on a cluster, which
    others may use and which may shrink, Tune ends those that have none.

    Nodes may join and leave meanwhile: a pack whose node is lost goes on from its checkpoint on another one, which
    `say` is told in a line. `spent` is told for how many seconds each pack that has ended held its place.

    Raises:
        ConfigError: a node cannot write to `checkpoints`, which all must share.
    """
    _check_shared(checkpoints)
    share = cluster.share
    retries = RETRIES_ON_CLUSTER if cluster.is_remote else RETRIES
    with ThreadPoolExecutor(1) as recorder, _Room(cluster, study=events.study) as room:
        searcher = PackSearcher(
            coordinator.result() if cluster.is_remote and isinstance(coordinator, Future) else coordinator,
            checkpoints=checkpoints,
            threads=share.threads,
            gpus=share.gpus,
            resources=cluster.resources,
            retries=retries,
            has_room=room.for_one_more,
            events=events,
            metrics=Metrics(events.study) if cluster.is_remote else None,
            say=say,
            spent=spent,
            lanes=None if cluster.is_remote else Lanes(cluster.slots),
            warm=warm,
            recorder=recorder,
        )
        variables = _QUIET | _MANY_PENDING if cluster.is_remote else _QUIET
        with as_guest(variables, logger="ray.tune", level=logging.CRITICAL):  # a failure is said in a line of ours
            _fit(cluster, searcher, room, checkpoints=checkpoints, retries=retries)
    if searcher.error is not None:
        raise searcher.error


def _fit(cluster: Cluster, searcher: PackSearcher, room: _Room, *, checkpoints: Place, retries: int) -> None:
    """Let Tune train what the searcher gives it."""
    share = cluster.share
    trainable = tune.with_resources(
        tune.with_parameters(JobTrainable, shared=cluster.stored),
        tune.PlacementGroupFactory([share.bundle]) if cluster.is_remote else resources_of(share.bundle),
    )
    # Tune wants one folder for all nodes, although none of them keeps anything there, and so can do without.
    shared = Path(checkpoints.address).parent if cluster.nodes > 1 and not checkpoints.is_bucket else None
    clear_scratch(shared, ours=shared is not None and cluster.resources.checkpoints is None)
    with scratch(shared) as folder:
        tuner = tune.Tuner(
            trainable,
            tune_config=tune.TuneConfig(
                search_alg=searcher,
                scheduler=room.processes if cluster.is_remote else KeptProcesses(),
                num_samples=-1,
                max_concurrent_trials=None if cluster.is_remote else cluster.slots,
                reuse_actors=True,
                trial_name_creator=lambda trial: trial.trial_id,
                trial_dirname_creator=lambda trial: trial.trial_id,
            ),
            run_config=RunConfig(
                name="packs",
                storage_path=str(folder),
                failure_config=FailureConfig(max_failures=retries),
                checkpoint_config=CheckpointConfig(checkpoint_frequency=0, checkpoint_at_end=False),
                callbacks=[Failures(searcher), AfterStep(searcher.catch_up), AfterStep(room.give_back)],
                verbose=0,
            ),
        )
        tuner.fit()


class _Room:
    """How many packs may train at once, as far as is known for some seconds, among all studies of a cluster.

    Where nobody keeps account of them, it asks an autoscaler itself for as much as this one wants.
    """

    def __init__(self, cluster: Cluster, *, study: str) -> None:
        self._cluster = cluster
        self._counted, self._places = -math.inf, 1
        resources = cluster.resources
        self._most = resources.workers if isinstance(resources.workers, int) else MOST_PLACES
        self.processes = LentProcesses()  # of Tune, where the cluster is not ours alone
        self._in_flight, self._allowed = 0, 0
        self._lease = Lease(study, weight=resources.share, bundle=cluster.share.bundle) if cluster.is_remote else None

    def __enter__(self) -> _Room:
        self.for_one_more(0, 0)  # that the keeper of the leases is there by the time it is needed
        return self

    def __exit__(self, *_: object) -> None:
        if self._lease is not None and not self._lease.leave():
            request_resources(bundles=[])

    def for_one_more(self, in_flight: int, waiting: int) -> bool:
        """Whether one more pack fits.

        Never one too many: Tune fails a trial that waits for a place when another one's worker becomes free.
        """
        if self._lease is None:
            return True
        wanted = max(in_flight, min(in_flight + waiting, self._most))
        held = max(in_flight, self.processes.count)
        is_due = time.monotonic() > self._counted + _RECOUNT_SECONDS
        if is_due:
            self._counted, self._places = time.monotonic(), self._cluster.places
        self._in_flight = in_flight
        self._allowed = self._lease.allowed(held=held, wanted=wanted, capacity=self._places)
        self._cluster.leased = None if self._lease.is_alone else self._allowed
        if is_due and self._lease.is_alone:
            request_resources(bundles=[self._cluster.share.bundle] * min(wanted, MOST_PLACES))
        if not in_flight and self.processes.count > self._allowed:
            self.processes.give_up()
        return in_flight < min(self._allowed, self._most)

    def give_back(self) -> None:
        """End processes without a pack whose places are another study's by now."""
        if self._lease is not None and self.processes.count > max(self._allowed, self._in_flight):
            self.processes.end_idle()

    def __getstate__(self) -> dict[str, object]:
        """Nothing, as of `PackSearcher`."""
        return {}


def _check_shared(place: Place) -> None:
    """Write to `place` from every node: what one of them cannot see would be lost with the other."""
    nodes = [node for node in ray.nodes() if node["Alive"]]
    if len(nodes) < 2 and not place.is_bucket:
        return
    probe = ray.remote(num_cpus=0, max_retries=0)(_probe)
    marker = f".probe-{uuid.uuid4().hex}"
    try:
        place.write(marker, _mark)
    except OSError as error:
        raise _unusable("this machine", place, _reason(error)) from None
    try:
        answers = {
            probe.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)).remote(
                place, marker, node["NodeID"]
            ): node["NodeManagerAddress"]
            for node in nodes
        }
        done, _ = ray.wait(list(answers), num_returns=len(answers), timeout=_PROBE_SECONDS)
        for answer in done:  # a node that does not answer is about to leave
            try:
                problem = ray.get(answer)
            except ray.exceptions.RayError:
                continue
            if problem:
                raise _unusable(f"the node {answers[answer]}", place, problem)
    finally:
        with contextlib.suppress(OSError):
            for name in (marker, *(f"{marker}-{node['NodeID']}" for node in nodes)):
                place.remove(name)


def _probe(place: Place, marker: str, node: str) -> str | None:
    """What keeps a node from using a place that the driver wrote a file to; None where nothing does."""
    try:
        place.read(marker, Path.stat)
        place.write(f"{marker}-{node}", _mark)
    except FileNotFoundError:
        return "it does not see what the driver writes there"
    except OSError as error:
        return _reason(error)
    return None


def _mark(path: Path) -> None:
    path.write_text("Can every node write here?", encoding="utf-8")


def _reason(error: OSError) -> str:
    return error.strerror or str(error).splitlines()[0][:300]


def _unusable(who: str, place: Place, problem: str) -> ConfigError:
    remedy = "see to its bucket, keys and AWS_ENDPOINT_URL" if place.is_bucket else (
        "give an --out on a file system that all nodes share, or resources.checkpoints: s3://BUCKET/PREFIX"
    )  # fmt: skip
    return ConfigError(f"{who} cannot use {place.address} ({problem}), where packs keep their checkpoints; {remedy}")
