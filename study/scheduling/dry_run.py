"""What a study will do, before it does it: `--dry-run`."""

from __future__ import annotations

import heapq
import math
import os
import sys
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from study.cells.building import build_cells, data_notes, encoder_notes
from study.cells.cell import Cell
from study.config import ConfigError, StudyConfig
from study.results.text.amounts import duration
from study.scheduling.ahead import CASES, ONE_SIDED_SHARE, PlannedRound, planned_rounds
from study.scheduling.packs import even_groups
from study.scheduling.size import pack_size
from study.scheduling.speed import Speed, example, kind, measure
from trainables.datasets import MultimodalData
from trainables.output import json_text
from trainables.training.memory import predict_bytes

_TRIAL_SECONDS = 3.0

# What is not training, in units of the time in which a process of the trial starts (`Speed.start`), so that it follows
# the machine and what else runs on it; measured on the digits study (`tests/bench/dry_run.py`).
_BEFORE = 2.4  # imports of the driver, Ray, size of the packs
_PROFILED_DATASET, _PROFILED_PAIR = 0.6, 0.8  # computed beside packs, from which it takes the cores
_PACK = 0.1  # handing a pack to Ray and its results back
_ROUND = 0.05  # deciding what to ask for next
_AFTER, _REPORTED_CELL = 0.9, 0.3  # report, figures, MLflow


@dataclass(frozen=True, kw_only=True)
class Amount:
    """How much one of the three plans asks for. `seconds` is from start to end, `training_seconds` that of packs alone,
    `cost` in the price's currency.
    """

    trainings: int
    packs: int
    seconds: float
    training_seconds: float
    cost: float | None


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a study will do and need. `devices` are the whole GPUs that it holds, or 1 machine without any."""

    study: str
    cells: tuple[str, ...]
    rows: tuple[Mapping[str, int], ...]
    pack_size: int
    pack_bytes: int  # tensors of the largest pack
    at_once: int
    devices: int
    gpu: bool
    start_seconds: float  # that a process of the trial took until it could train
    least: Amount
    likely: Amount
    most: Amount

    def to_json(self) -> dict[str, Any]:
        """Plain containers."""
        return asdict(self)


def dry_run(config: StudyConfig, *, price: float | None = None, as_json: bool = False) -> str:
    """What `--dry-run` prints: the plan of the study on this machine, as `plan` makes it.

    Raises:
        ConfigError: the data do not allow the study, or the machine has less than one pack asks for.
    """
    if price is not None and not price >= 0:
        raise ConfigError(f"--price-per-gpu-hour is {price:g}; give 0 or more")
    cells, datasets = build_cells(config)
    for line in (*data_notes(datasets), *encoder_notes(cells, datasets)):
        print(line, file=sys.stderr)
    import torch

    cards = torch.cuda.device_count()
    resources = config.resources
    gpus = resources.gpu_share(on_gpus=bool(cards))
    if gpus > cards:
        raise ConfigError(f"resources.gpus asks for {gpus:g} of a GPU, but there are {cards} here; set it to 0 or auto")
    fitting = int(len(os.sched_getaffinity(0)) / resources.cpus)
    if gpus:
        fitting = min(fitting, int(cards / gpus))
    slots = max(1, fitting if isinstance(resources.workers, str) else resources.workers)
    planned = plan(cells, datasets, slots=slots, cpus=resources.cpus, gpus=gpus, price=price)
    return json_text(planned.to_json(), indent=1) if as_json else describe(planned)


def plan(
    cells: Sequence[Cell],
    datasets: Mapping[str, MultimodalData],
    *,
    slots: int,
    cpus: float,
    gpus: float,
    price: float | None = None,
) -> Plan:
    """Measure how fast this machine is, and plan the study for it.

    Args:
        cells: of the study.
        datasets: by `Cell.data_key`.
        slots: packs that train at once.
        cpus: of each pack.
        gpus: of each pack.
        price: of a GPU, or of this machine if it has none, for an hour.

    Raises:
        ConfigError: the trial needs more memory than there is.
    """
    size = pack_size(cells, datasets, cpus=cpus, gpus=gpus)
    planned = {case: {cell.id: planned_rounds(cell, case=case) for cell in cells} for case in CASES}
    groups = {pack for rounds in planned["likely"].values() for pack in _sizes(rounds, size)}
    speed = measure(
        cells,
        datasets,
        sizes=(1, max(groups)),  # the encoders that are kept train alone
        processes=slots,
        threads=max(1, int(cpus)),
        device="cuda" if gpus else "cpu",
        seconds=_TRIAL_SECONDS,
    )
    devices = math.ceil(slots * gpus) if gpus else 1
    amounts = {}
    for case in CASES:
        training = training_seconds(cells, planned[case], speed=speed, pack_size=size, slots=slots)
        seconds = training + speed.start * _fixed(cells)
        sizes = [pack for rounds in planned[case].values() for pack in _sizes(rounds, size)]
        cost = None if price is None else price * devices * seconds / 3600
        amounts[case] = Amount(
            trainings=sum(sizes), packs=len(sizes), seconds=seconds, training_seconds=training, cost=cost
        )
    if cells[0].config.alignment.one_sided == "auto":
        amounts["likely"] = _between(amounts["likely"], amounts["most"], ONE_SIDED_SHARE)
    distinct = {kind(cell): cell for cell in cells}.values()
    return Plan(
        study=cells[0].config.study,
        cells=tuple(cell.label for cell in cells),
        rows=tuple({str(name): count for name, count in cell.rows.items()} for cell in cells),
        pack_size=max(groups),
        pack_bytes=max(
            predict_bytes(example(cell, "shared"), datasets[cell.data_key].pair(*cell.pair), max(groups))
            for cell in distinct
        ),
        at_once=slots,
        devices=devices,
        gpu=bool(gpus),
        start_seconds=speed.start,
        least=amounts["least"],
        likely=amounts["likely"],
        most=amounts["most"],
    )


def _between(low: Amount, high: Amount, share: float) -> Amount:
    def mixed(first: float, second: float) -> float:
        return first + share * (second - first)

    return Amount(
        trainings=round(mixed(low.trainings, high.trainings)),
        packs=round(mixed(low.packs, high.packs)),
        seconds=mixed(low.seconds, high.seconds),
        training_seconds=mixed(low.training_seconds, high.training_seconds),
        cost=None if low.cost is None or high.cost is None else mixed(low.cost, high.cost),
    )


def training_seconds(
    cells: Sequence[Cell], planned: Mapping[str, Sequence[PlannedRound]], *, speed: Speed, pack_size: int, slots: int
) -> float:
    """Seconds from the first pack to the last, packs going to whichever place is free in the coordinator's order."""
    by_id = {cell.id: cell for cell in cells}
    waiting: deque[tuple[str, float]] = deque()
    open_packs = dict.fromkeys(by_id, 0)
    left = {cell: list(rounds) for cell, rounds in planned.items()}

    def ask(cell: str) -> None:
        for arm, count in left[cell].pop(0):
            for group in even_groups(range(count), pack_size):
                waiting.append((cell, speed.seconds(by_id[cell], arm, len(group))))
                open_packs[cell] += 1

    for cell in by_id:
        ask(cell)
    clock, started = 0.0, 0
    running: list[tuple[float, str]] = []  # when a pack ends, and its cell
    while waiting or running:
        while waiting and len(running) < slots:
            cell, seconds = waiting.popleft()
            process = speed.start if started < slots else 0.0  # a place's first pack waits for its process
            heapq.heappush(running, (clock + process + _PACK * speed.start + seconds, cell))
            started += 1
        clock, cell = heapq.heappop(running)
        open_packs[cell] -= 1
        if not open_packs[cell] and left[cell] and left[cell][0][0][0] != "final":
            ask(cell)
            clock += _ROUND * speed.start
        if not waiting and not running:  # the encoders that are kept come once every cell has its answer
            for kept in [cell for cell in by_id if left[cell]]:
                ask(kept)
    return clock


def _fixed(cells: Sequence[Cell]) -> float:
    """What everything but training takes, in units of a process's start."""
    n_datasets = len({cell.data_key for cell in cells})
    return _BEFORE + _PROFILED_DATASET * n_datasets + (_PROFILED_PAIR + _REPORTED_CELL) * len(cells) + _AFTER


def describe(plan: Plan) -> str:
    """The plan in lines."""
    likely, least, most = plan.likely, plan.least, plan.most
    at = f"{plan.at_once} at once" + (f" on {plan.devices} GPUs" if plan.gpu else "")
    lines = [
        f"{plan.study}: {len(plan.cells)} pair{'s' * (len(plan.cells) > 1)}, {likely.trainings} trainings "
        f"({least.trainings} to {most.trainings}) in {likely.packs} packs of up to {plan.pack_size}, {at}",
        f"memory: {_mebibytes(plan.pack_bytes)} of tensors in the largest pack",
        f"time: about {duration(likely.seconds)} ({duration(least.seconds)} to {duration(most.seconds)})",
    ]
    if likely.cost is not None and least.cost is not None and most.cost is not None:
        what = f"{plan.devices} GPUs" if plan.gpu else "this machine, which has no GPU,"
        lines.append(f"cost: {likely.cost:.2f} ({least.cost:.2f} to {most.cost:.2f}) for {what} at that price")
    lines.append("the range: from no pair to every pair turning out to need one-sided strengths")
    for label, rows in zip(plan.cells, plan.rows, strict=True):
        lines.append(f"  {label} ({', '.join(f'{count} {split}' for split, count in rows.items())} rows)")
    return "\n".join(lines)


def _mebibytes(count: int) -> str:
    return f"{count / 2**20:.0f} MiB" if count < 2**30 else f"{count / 2**30:.1f} GiB"


def _sizes(rounds: Sequence[PlannedRound], largest: int) -> list[int]:
    return [len(group) for asked in rounds for _, count in asked for group in even_groups(range(count), largest)]
