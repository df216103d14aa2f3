"""A plan of a study: how much it asks for, how long that takes on this machine, and what that costs."""

from __future__ import annotations

import heapq
import math
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Protocol

from study.cells.cell import Cell
from study.cells.trials import Arm
from study.scheduling.ahead import CASES, ONE_SIDED_SHARE, PlannedRound, planned_rounds
from study.scheduling.packs import even_groups
from study.scheduling.size import pack_size
from study.scheduling.speed import example, kind, measure
from study.scheduling.trying import Attempt, FunctionSpeed, try_once
from trainables.datasets import MultimodalData
from trainables.functions.code import Code
from trainables.training.memory import predict_bytes

_TRIAL_SECONDS = 3.0

# What is not training, in units of the time in which a process of the trial starts (`Speed.start`), so that it follows
# the machine and what else runs on it; measured on the digits study (`tests/bench/dry_run.py`).
_BEFORE = 2.4  # imports of the driver, Ray, size of the packs
_PROFILED_DATASET, _PROFILED_PAIR = 0.6, 0.8  # computed beside packs, from which it takes the cores
_PACK = 0.1  # handing a pack to Ray and its results back
_ROUND = 0.05  # deciding what to ask for next
_AFTER, _REPORTED_CELL = 0.9, 0.3  # report, figures, MLflow


class AnySpeed(Protocol):
    """How fast packs of a study train."""

    @property
    def start(self) -> float:
        """Seconds that a process takes until it can train."""

    def seconds(self, cell: Cell, arm: Arm, n_replicas: int) -> float:
        """Seconds that a pack of this cell and arm trains."""


@dataclass(frozen=True, kw_only=True)
class Places:
    """Where packs train: how many at once, and the cores and the share of a GPU of each."""

    slots: int
    cpus: float
    gpus: float

    @property
    def threads(self) -> int:
        """Threads of a pack's arithmetic."""
        return max(1, int(self.cpus))

    @property
    def device(self) -> str:
        """What a pack trains on."""
        return "cuda" if self.gpus else "cpu"

    @property
    def devices(self) -> int:
        """Whole GPUs that the study holds, or 1 machine without any."""
        return math.ceil(self.slots * self.gpus) if self.gpus else 1


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
class Rest:
    """What a study that has begun is likely to do still: its trainings on record, and those to come.

    `changes` are what it asks for beyond the record, one `key: old -> new` each; `seconds` and `cost` are those of the
    trainings to come.
    """

    on_record: int
    changes: tuple[str, ...]
    trainings: int
    seconds: float
    cost: float | None


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a study will do and need. `devices` are the whole GPUs that it holds, or 1 machine without any.

    The amounts are of a study from its start; `rest` is of one that has begun.
    """

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
    attempt: Attempt | None = None  # at the user's function, whose memory `pack_bytes` then is
    rest: Rest | None = None

    def begun(self, *, on_record: int, trainings: int, changes: Sequence[str]) -> Plan:
        """The plan of a study that has so many trainings on record, and so many to come."""
        likely = self.likely
        share = trainings / likely.trainings
        seconds = likely.seconds - likely.training_seconds + share * likely.training_seconds
        cost = None if likely.cost is None else likely.cost * seconds / likely.seconds
        rest = Rest(
            on_record=on_record, changes=tuple(changes), trainings=trainings, seconds=seconds if share else 0.0,
            cost=cost if share or cost is None else 0.0,
        )  # fmt: skip
        return replace(self, rest=rest)

    def to_json(self) -> dict[str, Any]:
        """Plain containers."""
        optional = ("attempt", "rest")
        return {name: value for name, value in asdict(self).items() if name not in optional or value is not None}


def plan(
    cells: Sequence[Cell], datasets: Mapping[str, MultimodalData], places: Places, *, price: float | None = None
) -> Plan:
    """Measure how fast this machine is, and plan the study for it.

    Args:
        cells: of the study.
        datasets: by `Cell.data_key`.
        places: for packs.
        price: of a GPU, or of this machine if it has none, for an hour.

    Raises:
        ConfigError: the trial needs more memory than there is.
    """
    size = pack_size(cells, datasets, cpus=places.cpus, gpus=places.gpus)
    groups = {pack for cell in cells for pack in _sizes(planned_rounds(cell, case="likely"), size)}
    speed = measure(
        cells,
        datasets,
        sizes=(1, max(groups)),  # the encoders that are kept train alone
        processes=places.slots,
        threads=places.threads,
        device=places.device,
        seconds=_TRIAL_SECONDS,
    )
    distinct = {kind(cell): cell for cell in cells}.values()
    most_bytes = max(
        predict_bytes(example(cell, "shared"), datasets[cell.data_key].pair(*cell.pair), max(groups))
        for cell in distinct
    )
    return _plan(cells, places, speed=speed, pack_size=size, pack_bytes=most_bytes, price=price)


def plan_of_function(
    cells: Sequence[Cell], code: Code, places: Places, *, price: float | None = None, seconds: float
) -> Plan:
    """Train once at λ = 0, for so many seconds at most, and plan the study by that.

    Raises:
        ConfigError: the function cannot be trained.
    """
    attempt = try_once(cells[0], code, seconds=seconds, threads=places.threads, device=places.device)
    speed = FunctionSpeed(start=attempt.start, each=attempt.at_least)
    planned = _plan(cells, places, speed=speed, pack_size=1, pack_bytes=attempt.peak_bytes, price=price)
    return replace(planned, attempt=attempt)


def _plan(
    cells: Sequence[Cell],
    places: Places,
    *,
    speed: AnySpeed,
    pack_size: int,
    pack_bytes: int,
    price: float | None,
) -> Plan:
    planned = {case: {cell.id: planned_rounds(cell, case=case) for cell in cells} for case in CASES}
    amounts = {}
    for case in CASES:
        training = training_seconds(cells, planned[case], speed=speed, pack_size=pack_size, slots=places.slots)
        seconds = training + speed.start * _fixed(cells)
        sizes = [pack for rounds in planned[case].values() for pack in _sizes(rounds, pack_size)]
        cost = None if price is None else price * places.devices * seconds / 3600
        amounts[case] = Amount(
            trainings=sum(sizes), packs=len(sizes), seconds=seconds, training_seconds=training, cost=cost
        )
    if cells[0].config.alignment.one_sided == "auto":
        amounts["likely"] = _between(amounts["likely"], amounts["most"], ONE_SIDED_SHARE)
    return Plan(
        study=cells[0].config.study,
        cells=tuple(cell.label for cell in cells),
        rows=tuple({str(name): count for name, count in cell.rows.items()} for cell in cells),
        pack_size=max(pack for rounds in planned["likely"].values() for pack in _sizes(rounds, pack_size)),
        pack_bytes=pack_bytes,
        at_once=places.slots,
        devices=places.devices,
        gpu=bool(places.gpus),
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
    cells: Sequence[Cell], planned: Mapping[str, Sequence[PlannedRound]], *, speed: AnySpeed, pack_size: int, slots: int
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
    with_data = [cell for cell in cells if cell.dataset is not None]
    profiled = _PROFILED_DATASET * len({cell.data_key for cell in with_data}) + _PROFILED_PAIR * len(with_data)
    return _BEFORE + profiled + _REPORTED_CELL * len(cells) + _AFTER


def _sizes(rounds: Sequence[PlannedRound], largest: int) -> list[int]:
    return [len(group) for asked in rounds for _, count in asked for group in even_groups(range(count), largest)]
