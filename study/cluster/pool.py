"""Ray: one pool of (fractional) GPUs and CPUs, on this machine or many, and the data that all of it reads."""

from __future__ import annotations

import gc
import logging
import os
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from types import TracebackType

import ray

from study.cluster.guest import as_guest
from study.cluster.joining import join
from study.cluster.starting import end_own, start_here
from study.config import ConfigError, ResourcesSection
from study.config.schema import AUTO_GPUS
from trainables.datasets import MultimodalData
from trainables.functions.code import Code

_OBJECT_STORE_BYTES = 512 * 2**20  # besides the data; memory that is not used costs nothing
_QUIET = {
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_DEDUP_LOGS": "0",
    "RAY_prestart_worker_first_driver": "0",  # a process per core, none of which Tune would take for a trial
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
    def bundle(self) -> dict[str, float]:
        """The same, as Ray counts it."""
        return {"CPU": self.cpus, **({"GPU": self.gpus} if self.gpus else {})}

    @property
    def threads(self) -> int:
        """Threads of one pack's arithmetic; fixed by the configuration, because it may change the last bit."""
        return max(1, int(self.cpus))


class Cluster:
    """A connection to a running Ray cluster, or one started on this machine for as long as the context lasts.

    `data_bytes` is what the datasets will take in the object store of a cluster that is started here; `resources` is
    what a study asks for, `is_remote` whether it joined a cluster, `stored` are references to the datasets that
    `share_data` was given and to the code that `share_code` was; `auto_gpus` is what `resources.gpus: auto` stands for
    where there are GPUs. `say` is told, in a line, what is waited for.

    Raises:
        ConfigError: the cluster cannot be reached or started, or has no GPU where one is asked for.
    """

    def __init__(
        self,
        resources: ResourcesSection,
        *,
        address: str | None = None,
        data_bytes: int = 0,
        auto_gpus: float = AUTO_GPUS,
        say: Callable[[str], object] = lambda _: None,
    ) -> None:
        self.resources = resources
        self._address = None if address == "local" else address
        self.is_remote = bool(self._address)
        self._say = say
        self._kept = ExitStack()  # what must last as long as Ray
        self._auto_gpus = auto_gpus
        self._store_bytes = _OBJECT_STORE_BYTES + data_bytes
        self.leased: int | None = None  # places that it may hold among other studies; None: as many as there are
        self.stored: dict[str, ray.ObjectRef[MultimodalData | Code]] = {}

    def __enter__(self) -> Cluster:
        self._kept.enter_context(as_guest(_QUIET | _KEEP_FREED_MEMORY, logger="ray", level=logging.ERROR))
        was_running = ray.is_initialized()  # somebody else's, which stays as it is
        try:
            self._connect()
            self._check_gpus()
        except BaseException:
            if not was_running:
                ray.shutdown()
                end_own()
            self._kept.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stored.clear()
        # Ray ends the whole process if one of its references is dropped on another thread while it shuts down, and
        # that is what the collector may do there.
        collects = gc.isenabled()
        gc.disable()
        try:
            ray.shutdown()
        finally:
            if collects:
                gc.enable()
            self._kept.close()

    @property
    def nodes(self) -> int:
        """Machines of the cluster."""
        return sum(bool(node["Alive"]) for node in ray.nodes())

    @property
    def share(self) -> Share:
        """What one pack gets."""
        on_gpus = bool(ray.cluster_resources().get("GPU", 0))
        return Share(cpus=self.resources.cpus, gpus=self.resources.gpu_share(on_gpus=on_gpus, auto=self._auto_gpus))

    @property
    def slots(self) -> int:
        """Packs that can train at once, if nobody else's do."""
        return min(self.places, self.resources.workers) if isinstance(self.resources.workers, int) else self.places

    @property
    def slots_now(self) -> int:
        """Packs that can train at once by now, among those of other studies."""
        return self.slots if not self.leased else min(self.slots, self.leased)

    @property
    def places(self) -> int:
        """Packs that the nodes have room for, however many the study may have."""
        bundle = self.share.bundle
        fitting = sum(
            min(int(node["Resources"].get(name, 0) / amount + 1e-6) for name, amount in bundle.items())
            for node in ray.nodes()
            if node["Alive"]
        )
        return max(1, fitting)

    def share_data(self, datasets: Mapping[str, MultimodalData]) -> dict[str, MultimodalData]:
        """Each dataset as it lies in this node's object store, read-only, where `study.cluster.tuner` finds it.

        Whoever then drops the original has one copy on this node, for itself and all that train here; any other node
        fetches those that its packs need, once.
        """
        self.stored |= {key: ray.put(data) for key, data in datasets.items()}
        shared: dict[str, MultimodalData] = {key: ray.get(self.stored[key]) for key in datasets}
        return shared

    def share_code(self, code: Code) -> None:
        """Put the user's function beside the datasets, from where any node fetches it once."""
        self.stored[code.hash] = ray.put(code)

    def _connect(self) -> None:
        if self._address:
            join(self._address, say=self._say, stack=self._kept)
        else:
            start_here(cpus=self._local_cpus(), store_bytes=self._store_bytes, say=self._say, stack=self._kept)

    def _check_gpus(self) -> None:
        gpus = self.share.gpus
        available = float(ray.cluster_resources().get("GPU", 0))
        if gpus > available:
            raise ConfigError(
                f"resources.gpus asks for {gpus:g} of a GPU, but there are {available:g} here; "
                "set it to 0 or auto, or join a cluster with --address"
            )

    def _local_cpus(self) -> int:
        if isinstance(self.resources.workers, int):
            return max(1, round(self.resources.workers * self.resources.cpus))
        return len(os.sched_getaffinity(0))
