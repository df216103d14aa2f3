"""Ray: one Tuner trains the packs of all cells of a study on one pool of (fractional) GPUs and CPUs."""

from __future__ import annotations

import contextlib
import logging
import math
import os
import signal
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import ray
from ray import tune
from ray.autoscaler.sdk import request_resources
from ray.tune import CheckpointConfig, FailureConfig, RunConfig
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from study.cluster.failures import Failures
from study.cluster.metrics import Metrics
from study.cluster.searcher import PackSearcher
from study.config import ConfigError, ResourcesSection
from study.coordinator import Coordinator
from study.events import EventLog
from trainables.datasets import MultimodalData
from trainables.place import Place
from trainables.tune import PackTrainable

RETRIES = 2  # of a pack whose worker died; it continues from its checkpoint
RETRIES_ON_CLUSTER = 8  # where nodes come and go
_RECOUNT_SECONDS = 2.0
_MOST_PLACES = 4096  # asked of an autoscaler, which has a limit of its own
_PROBE_SECONDS = 60.0
_OBJECT_STORE_BYTES = 512 * 2**20  # besides the data; memory that is not used costs nothing
_QUIET = {
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # no CSV, JSON and TensorBoard files of every trial
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # Ctrl-C is the command line's to handle
    "TUNE_GLOBAL_CHECKPOINT_S": "3600",  # Tune's snapshots are never resumed from
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_DEDUP_LOGS": "0",
}

# A training step allocates and frees the same few MiB again and again; returning them to the system each time would
# cost a page fault for every 4 KiB, a tenth of the step (glibc, in workers that this process starts).
_KEEP_FREED_MEMORY = {"MALLOC_TRIM_THRESHOLD_": str(2**28), "MALLOC_MMAP_THRESHOLD_": str(2**25)}


@dataclass(frozen=True, kw_only=True)
class Share:
    """What one pack holds while it trains."""

    cpus: float
    gpus: float

    @property
    def threads(self) -> int:
        """Threads of one pack's arithmetic; fixed by the configuration, because it may change the last bit."""
        return max(1, int(self.cpus))


class Cluster:
    """A connection to a running Ray cluster, or one started on this machine for as long as the context lasts.

    `data_bytes` is what the datasets will take in the object store of a cluster that is started here; `stored` are
    references to those that `share_data` was given.

    Raises:
        ConfigError: the cluster cannot be reached, or has no GPU where one is asked for.
    """

    def __init__(self, resources: ResourcesSection, *, address: str | None = None, data_bytes: int = 0) -> None:
        self._resources = resources
        self._address = address
        self._store_bytes = _OBJECT_STORE_BYTES + data_bytes
        self._counted, self._places = -math.inf, 1
        self.stored: dict[str, ray.ObjectRef[MultimodalData]] = {}

    def __enter__(self) -> Cluster:
        os.environ.update(_QUIET | _KEEP_FREED_MEMORY)
        logging.getLogger("ray").setLevel(logging.ERROR)
        logging.getLogger("ray.tune").setLevel(logging.CRITICAL)  # tracebacks of failures that are said in a line
        asked = signal.getsignal(signal.SIGTERM)
        try:
            if self._address:
                ray.init(address=self._address, logging_level=logging.ERROR, log_to_driver=False)
            else:
                ray.init(
                    address="local",
                    num_cpus=self._local_cpus(),
                    object_store_memory=self._store_bytes,
                    include_dashboard=False,
                    logging_level=logging.ERROR,
                    log_to_driver=False,
                )
        except (ConnectionError, RuntimeError, ValueError) as error:
            reason = str(error).splitlines()[0]
            where = f"the Ray cluster at {self._address}" if self._address else "Ray on this machine"
            raise ConfigError(f"cannot reach {where}: {reason}; check --address, or leave it out") from None
        if threading.current_thread() is threading.main_thread() and asked is not None:
            signal.signal(signal.SIGTERM, asked)  # Ray has put a handler of its own there, which exits at once
        gpus = self.share.gpus
        available = float(ray.cluster_resources().get("GPU", 0))
        if gpus > available:
            ray.shutdown()
            raise ConfigError(
                f"resources.gpus asks for {gpus:g} of a GPU, but there are {available:g} here; "
                "set it to 0 or auto, or join a cluster with --address"
            )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        ray.shutdown()

    @property
    def nodes(self) -> int:
        """Machines of the cluster."""
        return sum(bool(node["Alive"]) for node in ray.nodes())

    @property
    def share(self) -> Share:
        """What one pack gets."""
        gpus = self._resources.gpus
        if isinstance(gpus, str):
            gpus = 0.25 if ray.cluster_resources().get("GPU", 0) else 0.0
        return Share(cpus=self._resources.cpus, gpus=gpus)

    @property
    def slots(self) -> int:
        """Packs that can train at once."""
        share = self.share
        wanted = {"CPU": share.cpus, **({"GPU": share.gpus} if share.gpus else {})}
        fitting = sum(
            min(int(node["Resources"].get(name, 0) / amount + 1e-6) for name, amount in wanted.items())
            for node in ray.nodes()
            if node["Alive"]
        )
        if isinstance(self._resources.workers, int):
            fitting = min(fitting, self._resources.workers)
        return max(1, fitting)

    def share_data(self, datasets: Mapping[str, MultimodalData]) -> dict[str, MultimodalData]:
        """Each dataset as it lies in this node's object store, read-only, where `train` finds it.

        Whoever then drops the original has one copy on this node, for itself and all that train here; any other node
        fetches those that its packs need, once.
        """
        self.stored = {key: ray.put(data) for key, data in datasets.items()}
        shared: dict[str, MultimodalData] = {key: ray.get(stored) for key, stored in self.stored.items()}
        return shared

    def train(
        self,
        coordinator: Coordinator,
        *,
        checkpoints: Place,
        events: EventLog,
        say: Callable[[str], None] = lambda _: None,
    ) -> None:
        """Train packs, on the data that `share_data` was given, until the coordinator has none left.

        Nodes may join and leave meanwhile: a pack whose node is lost goes on from its checkpoint on another one, which
        `say` is told in a line.

        Raises:
            ConfigError: a node cannot write to `checkpoints`, which all must share.
        """
        self._check_shared(checkpoints)
        share = self.share
        searcher = PackSearcher(
            coordinator,
            checkpoints=checkpoints,
            threads=share.threads,
            checkpoint_seconds=self._resources.checkpoint_seconds,
            retries=self._retries,
            has_room=self._has_room,
            events=events,
            metrics=Metrics(events.study) if self._address else None,
            say=say,
        )
        trainable = tune.with_resources(
            tune.with_parameters(PackTrainable, datasets=self.stored),
            {"cpu": share.cpus, "gpu": share.gpus} if share.gpus else {"cpu": share.cpus},
        )
        # Tune wants one folder for all nodes, although none of them keeps anything there, and so can do without.
        shared = Path(checkpoints.address).parent if self.nodes > 1 and not checkpoints.is_bucket else None
        if self._address:  # a trial waits for its process to start, seconds in which others can start too
            os.environ["TUNE_MAX_PENDING_TRIALS_PG"] = str(_MOST_PLACES)
        with tempfile.TemporaryDirectory(prefix=".align-study-", dir=shared) as scratch:
            tuner = tune.Tuner(
                trainable,
                tune_config=tune.TuneConfig(
                    search_alg=searcher,
                    num_samples=-1,
                    max_concurrent_trials=None if self._address else self.slots,
                    reuse_actors=True,
                    trial_name_creator=lambda trial: trial.trial_id,
                    trial_dirname_creator=lambda trial: trial.trial_id,
                ),
                run_config=RunConfig(
                    name="packs",
                    storage_path=scratch,
                    failure_config=FailureConfig(max_failures=self._retries),
                    checkpoint_config=CheckpointConfig(checkpoint_frequency=0, checkpoint_at_end=False),
                    callbacks=[Failures(searcher)],
                    verbose=0,
                ),
            )
            try:
                tuner.fit()
            finally:
                if self._address:
                    request_resources(bundles=[])
        if searcher.error is not None:
            raise searcher.error

    def _has_room(self, in_flight: int, waiting: int) -> bool:
        """Whether one more pack fits, as far as is known for some seconds; asks an autoscaler for as much as is wanted.

        Never one too many: Tune fails a trial that waits for a place when another one's worker becomes free.
        """
        if self._address and time.monotonic() > self._counted + _RECOUNT_SECONDS:
            self._counted, self._places = time.monotonic(), self.slots
            share = self.share
            bundle = {"CPU": share.cpus, **({"GPU": share.gpus} if share.gpus else {})}
            wanted = in_flight + waiting
            if isinstance(self._resources.workers, int):
                wanted = min(wanted, self._resources.workers)
            request_resources(bundles=[bundle] * min(wanted, _MOST_PLACES))
        return not self._address or in_flight < self._places

    @property
    def _retries(self) -> int:
        return RETRIES_ON_CLUSTER if self._address else RETRIES

    def _check_shared(self, place: Place) -> None:
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

    def _local_cpus(self) -> int:
        if isinstance(self._resources.workers, int):
            return max(1, round(self._resources.workers * self._resources.cpus))
        return len(os.sched_getaffinity(0))


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
