"""What Prometheus reads of a study, at the metrics ports of Ray."""

from __future__ import annotations

import ray
from ray.util import metrics

from study.coordinator import Progress


class Metrics:
    """What Prometheus reads of a study at the metrics port of Ray, tagged with its name."""

    def __init__(self, study: str) -> None:
        tags = {"tag_keys": ("study",)}
        self._packs = metrics.Counter("align_study_packs", "Packs that ended, by how.", tag_keys=("study", "end"))
        self._seconds = metrics.Counter(
            "align_study_pack_seconds", "Seconds that packs took, waiting included.", **tags
        )
        self._done = metrics.Gauge("align_study_trainings_done", "Trainings with a result.", **tags)
        self._queue = metrics.Gauge("align_study_trainings_left", "Trainings planned and not done.", **tags)
        self._diverged = metrics.Gauge("align_study_trainings_diverged", "Trainings that diverged.", **tags)
        self._in_flight = metrics.Gauge("align_study_packs_in_flight", "Packs handed to Ray.", **tags)
        self._gpus = metrics.Gauge("align_study_gpu_share", "Share of the cluster's GPUs that is in use.", **tags)
        self._tags = {"study": study}

    def show(self, end: str, progress: Progress, *, in_flight: int, seconds: float) -> None:
        """Count a pack that ended, and bring the gauges up to date."""
        self._packs.inc(1, {**self._tags, "end": end.removeprefix("pack_")})
        self._seconds.inc(max(seconds, 1e-9), self._tags)
        self._done.set(progress.done, self._tags)
        self._queue.set(progress.planned - progress.done, self._tags)
        self._diverged.set(progress.diverged, self._tags)
        self._in_flight.set(in_flight, self._tags)
        total, free = ray.cluster_resources().get("GPU", 0), ray.available_resources().get("GPU", 0)
        self._gpus.set((total - free) / total if total else 0, self._tags)
