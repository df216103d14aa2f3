"""How fast this machine trains a study's packs: a trial of seconds, in as many processes as the study will have.

Processes that train at once slow each other, so that the trial runs in all of them at the same time.
"""

from __future__ import annotations

import math
import multiprocessing
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, fields
from typing import Any

from study.cells.cell import Cell
from study.cells.trials import Arm, Setting
from study.config import ConfigError
from study.search.design import nuisance_settings
from trainables.datasets import MultimodalData, PairData
from trainables.spec import PackSpec, content_hash
from trainables.training.timing import PackSeconds, few_rows, time_pack

_MOST_PROCESSES = 16  # more would take longer to start than the trial lasts
_PATIENCE_SECONDS = 120.0  # for all processes of the trial to have started
Timed = tuple[tuple[int, PackSeconds], tuple[int, PackSeconds]]  # of two numbers of replicas


@dataclass(frozen=True, kw_only=True)
class Speed:
    """What the trial came to. `start` is how long a process took until it could train, seconds."""

    start: float
    by_kind: Mapping[str, Timed]

    def seconds(self, cell: Cell, arm: Arm, n_replicas: int) -> float:
        """Seconds that a pack of this cell and arm trains, on its real rows."""
        (small, first), (large, second) = self.by_kind[kind(cell)]
        spec = example(cell, arm)
        return first.at(n_replicas, small=small, other=second, large=large).training(
            spec,
            fit_rows=sum(cell.rows[name] for name in spec.fit),
            evaluated_rows=cell.rows[spec.evaluate],
            valid_rows=cell.rows["valid"],
        )


def example(cell: Cell, arm: Arm, replicas: int = 1) -> PackSpec:
    """A pack of the cell in this arm, at strength 1."""
    nuisance = nuisance_settings(cell)[0].nuisance
    setting = Setting(strength_1=1.0, strength_2=1.0, nuisance=nuisance)
    return cell.pack(arm, [(setting, index) for index in range(replicas)])


def kind(cell: Cell) -> str:
    """What cells must have in common for their packs to take equally long, as a hash."""
    spec = example(cell, "shared").to_json()
    same = [spec["encoders"], spec["alignment"], spec["training"]]
    # Variants of one dataset, as cells of a generator are, have one shape.
    return content_hash([*same, spec["dataset"]["name"], sorted(cell.rows.items()), list(cell.pair)])


def measure(
    cells: Sequence[Cell],
    datasets: Mapping[str, MultimodalData],
    *,
    sizes: tuple[int, int],
    processes: int,
    threads: int,
    device: str,
    seconds: float,
) -> Speed:
    """Time packs of both sizes of every kind of cell, in about `seconds` and what the processes take to start.

    Raises:
        ConfigError: a process of the trial died.
    """
    kinds = {kind(cell): cell for cell in cells}
    work: list[tuple[PackSpec, PairData, int]] = []
    for cell in kinds.values():
        spec = example(cell, "shared", max(1, cell.config.replicates.search))
        data = few_rows(spec, datasets[cell.data_key].pair(*cell.pair))
        work += [(spec, data, size) for size in sizes]
    count = max(1, min(processes, _MOST_PROCESSES))
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(count)
    begun = time.time()
    try:
        with ProcessPoolExecutor(count, context, initializer=_join, initargs=(barrier, threads)) as pool:
            each = seconds / len(work)
            answers = [pool.submit(_time_all, work, begun, each, device) for _ in range(count)]
            trials = [answer.result() for answer in answers]
    except BrokenProcessPool:
        raise ConfigError(
            "a process of the trial died, probably for want of memory; lower resources.pack or resources.workers"
        ) from None
    by_kind: dict[str, Timed] = {}
    for place, key in enumerate(kinds):
        small, large = (_mean([timed[2 * place + which] for _, timed in trials]) for which in (0, 1))
        by_kind[key] = (sizes[0], small), (sizes[1], large)
    return Speed(start=max(started for started, _ in trials), by_kind=by_kind)


def _mean(values: Sequence[PackSeconds]) -> PackSeconds:
    parts = {part.name: math.fsum(getattr(v, part.name) for v in values) / len(values) for part in fields(PackSeconds)}
    return PackSeconds(**parts)


_barrier: Any = None  # of this process, which is one of the pool's


def _join(barrier: Any, threads: int) -> None:
    global _barrier
    import torch

    _barrier = barrier
    torch.set_num_threads(threads)


def _time_all(
    work: Sequence[tuple[PackSpec, PairData, int]], begun: float, seconds: float, device: str
) -> tuple[float, list[PackSeconds]]:
    """Seconds until this process was ready, and what every pack of `work` took in it, all processes at once."""
    started = time.time() - begun
    timed = []
    for spec, data, size in work:
        _barrier.wait(_PATIENCE_SECONDS)
        timed.append(time_pack(spec, data, size, seconds=seconds, device=device))
    return started, timed
