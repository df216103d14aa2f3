"""Ray Tune: one Tuner trains the packs of all cells of a study on a cluster."""

from __future__ import annotations

import contextlib
import logging
import math
import os
import time
import uuid
from collections.abc import Callable
from pathlib import Path

import ray
from ray import tune
from ray.autoscaler.sdk import request_resources
from ray.tune import CheckpointConfig, FailureConfig, RunConfig
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from study.cluster.failures import Failures
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
_MOST_PLACES = 4096  # asked of an autoscaler, which has a limit of its own
_PROBE_SECONDS = 60.0
_QUIET = {
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # no CSV, JSON and TensorBoard files of every trial
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # Ctrl-C is the command line's to handle
    "TUNE_GLOBAL_CHECKPOINT_S": "3600",  # Tune's snapshots are never resumed from
    "RAY_AIR_NEW_OUTPUT": "0",
}


def train(
    cluster: Cluster,
    coordinator: Coordinator,
    *,
    checkpoints: Place,
    events: EventLog,
    say: Callable[[str], None] = lambda _: None,
) -> None:
    """Train packs, on the data that `Cluster.share_data` was given, until the coordinator has none left.

    Nodes may join and leave meanwhile: a pack whose node is lost goes on from its checkpoint on another one, which
    `say` is told in a line.

    Raises:
        ConfigError: a node cannot write to `checkpoints`, which all must share.
    """
    os.environ.update(_QUIET)
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)  # tracebacks of failures that are said in a line
    _check_shared(checkpoints)
    share = cluster.share
    retries = RETRIES_ON_CLUSTER if cluster.is_remote else RETRIES
    searcher = PackSearcher(
        coordinator,
        checkpoints=checkpoints,
        threads=share.threads,
        resources=cluster.resources,
        retries=retries,
        has_room=_Room(cluster).for_one_more,
        events=events,
        metrics=Metrics(events.study) if cluster.is_remote else None,
        say=say,
    )
    trainable = tune.with_resources(
        tune.with_parameters(JobTrainable, shared=cluster.stored),
        {"cpu": share.cpus, "gpu": share.gpus} if share.gpus else {"cpu": share.cpus},
    )
    # Tune wants one folder for all nodes, although none of them keeps anything there, and so can do without.
    shared = Path(checkpoints.address).parent if cluster.nodes > 1 and not checkpoints.is_bucket else None
    if cluster.is_remote:  # a trial waits for its process to start, seconds in which others can start too
        os.environ["TUNE_MAX_PENDING_TRIALS_PG"] = str(_MOST_PLACES)
    clear_scratch(shared, ours=shared is not None and cluster.resources.checkpoints is None)
    with scratch(shared) as folder:
        tuner = tune.Tuner(
            trainable,
            tune_config=tune.TuneConfig(
                search_alg=searcher,
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
                callbacks=[Failures(searcher)],
                verbose=0,
            ),
        )
        try:
            tuner.fit()
        finally:
            if cluster.is_remote:
                request_resources(bundles=[])
    if searcher.error is not None:
        raise searcher.error


class _Room:
    """How many packs fit, as far as is known for some seconds; asks an autoscaler for as much as is wanted."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._counted, self._places = -math.inf, 1

    def for_one_more(self, in_flight: int, waiting: int) -> bool:
        """Whether one more pack fits.

        Never one too many: Tune fails a trial that waits for a place when another one's worker becomes free.
        """
        if not self._cluster.is_remote:
            return True
        if time.monotonic() > self._counted + _RECOUNT_SECONDS:
            self._counted, self._places = time.monotonic(), self._cluster.slots
            share, wanted = self._cluster.share, in_flight + waiting
            bundle = {"CPU": share.cpus, **({"GPU": share.gpus} if share.gpus else {})}
            if isinstance(self._cluster.resources.workers, int):
                wanted = min(wanted, self._cluster.resources.workers)
            request_resources(bundles=[bundle] * min(wanted, _MOST_PLACES))
        return in_flight < self._places


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
