"""Large data lie once on a machine: in Ray's object store, from where every worker reads them."""

from __future__ import annotations

import os
from collections.abc import Iterator

import numpy as np
import psutil
import pytest
import ray

from study.cluster.pool import Cluster
from study.config import ResourcesSection
from trainables.datasets.base import Modality, MultimodalData, Target
from trainables.spec import AlignmentSpec, DatasetSpec, EncoderSpec, PackSpec, ReplicaSpec, TrainingSpec
from trainables.training.pack import Pack

ROWS = 2**13
WORKERS = 3


def large() -> MultimodalData:
    """Two modalities of 312 MiB each: more than Ray's store has room for unless it is made to fit."""
    few = np.random.default_rng(0).normal(size=(64, 50, 200)).astype(np.float32)
    values = [np.tile(few + shift, (ROWS // 64, 1, 1)) for shift in (0, 1)]
    target = Target(values=np.arange(ROWS) % 2, kind="classes", n_classes=2)
    return MultimodalData(
        name="large",
        modalities={name: Modality(name=name, values=array) for name, array in zip("ab", values, strict=True)},
        targets=dict.fromkeys("ab", target),
        split=np.repeat(np.arange(3, dtype=np.int8), [ROWS // 2, ROWS // 4, ROWS // 4]),
    )


SPEC = PackSpec(
    dataset=DatasetSpec(name="large"),
    pair=("a", "b"),
    encoders=(EncoderSpec(kind="transformer", layers=1, width=4, heads=1),) * 2,
    alignment=AlignmentSpec(),
    training=TrainingSpec(epochs=1, batch_size=64),
    replicas=(ReplicaSpec(strength_1=1.0, strength_2=1.0, seed=0),),
)


class Worker:
    """What a trial does, without Tune around it."""

    def __init__(self) -> None:
        self._pack: Pack | None = None

    def private(self) -> int:
        """Bytes of memory that this process shares with no other."""
        return int(psutil.Process(os.getpid()).memory_full_info().uss)

    def begin(self, data: MultimodalData) -> None:
        """Build a pack on the data and read from all of them."""
        self._pack = Pack(SPEC, data.pair("a", "b"))
        self._pack.score()


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    with Cluster(ResourcesSection(workers=WORKERS), data_bytes=large().n_bytes) as cluster:
        yield cluster


@pytest.mark.slow
def test_three_workers_train_at_once_on_one_copy(cluster: Cluster) -> None:
    data = large()
    size = data.n_bytes
    assert size > 600 * 2**20
    workers = [ray.remote(num_cpus=1)(Worker).remote() for _ in range(WORKERS)]
    before = ray.get([worker.private.remote() for worker in workers])
    shared = cluster.share_data({"large": data})["large"]
    assert not any(modality.values.flags.writeable for modality in shared.modalities.values())
    assert np.array_equal(shared.modalities["b"].values[::997], data.modalities["b"].values[::997])

    ray.get([worker.begin.remote(cluster.stored["large"]) for worker in workers])
    after = ray.get([worker.private.remote() for worker in workers])

    assert max(a - b for a, b in zip(after, before, strict=True)) < 0.25 * size
