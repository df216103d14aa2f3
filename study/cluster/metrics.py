"""What Prometheus reads of a study, at the metrics ports of Ray."""

from __future__ import annotations

import math
import time

import ray
from ray.util import metrics

from study.scheduling.coordinator import Progress

_RECOUNT_SECONDS = 2.0  # between questions about the GPUs of a cluster


class Metrics:
    """What Prometheus reads of a study at the metrics port of Ray, tagged with its name."""

    def __init__(self, study: str) -> None:
        tags = {"tag_keys": ("study",)}
        self._packs = metrics.Counter("align_study_packs", "Packs that ended, by how.", tag_keys=("study", "end"))
        self._seconds = metrics.Counter(
            "align_study_pack_seconds", "Seconds that packs took, waiting included.", **tags
        )
        self._done = metrics.Gauge("align_study_trainings_done", "Trainings with a result.", **tags)
        self._left = metrics.Gauge("align_study_trainings_left", "Trainings planned and not done.", **tags)
        self._diverged = metrics.Gauge("align_study_trainings_diverged", "Trainings that diverged.", **tags)
        self._queue = metrics.Gauge("align_study_packs_queued", "Packs that wait to be handed to Ray.", **tags)
        self._in_flight = metrics.Gauge("align_study_packs_in_flight", "Packs handed to Ray.", **tags)
        self._failed = metrics.Gauge("align_study_cells_failed", "Cells given up in this run.", **tags)
        self._gpus = metrics.Gauge("align_study_gpu_share", "Share of the cluster's GPUs that is in use.", **tags)
        self._tags = {"study": study}
        self._counted = -math.inf

    def count(self, end: str, *, seconds: float) -> None:
        """Count an attempt at a pack that ended, `done` or otherwise."""
        self._packs.inc(1, {**self._tags, "end": end})
        self._seconds.inc(max(seconds, 1e-9), self._tags)

    def show(self, progress: Progress, *, waiting: int, in_flight: int, failed_cells: int) -> None:
        """Bring the gauges up to date."""
        self._done.set(progress.done, self._tags)
        self._left.set(progress.planned - progress.done, self._tags)
        self._diverged.set(progress.diverged, self._tags)
        self._queue.set(waiting, self._tags)
        self._in_flight.set(in_flight, self._tags)
        self._failed.set(failed_cells, self._tags)
        if time.monotonic() > self._counted + _RECOUNT_SECONDS:
            self._counted = time.monotonic()
            total, free = ray.cluster_resources().get("GPU", 0), ray.available_resources().get("GPU", 0)
            self._gpus.set((total - free) / total if total else 0, self._tags)
