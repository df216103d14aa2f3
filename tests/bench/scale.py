"""Ten thousand trainings over PostgreSQL, and a simulated cluster of 200 nodes.

    python tests/bench/scale.py

The first part runs a study's coordinator over a real PostgreSQL and really trains every pack, of a trivial encoder, in
this process. It prints, by thousands of trainings, what the coordinator takes per training (everything but the training
itself: handing out packs, storing results, asking for rounds), how long a completed pack waits for the coordinator
(with the suggestion of new strengths in it), and the memory of the process. All should be flat.

The second part lets packs of random length end on the slots of a simulated cluster, in simulated time, while the one
coordinator takes the time that it really takes, plus what Ray Tune and the database take for a pack (`--per-pack`); it
prints the share of slots that are busy until the work runs out.
"""

from __future__ import annotations

import argparse
import heapq
import importlib.util
import os
import random
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import optuna
import psutil
from optuna.storages import InMemoryStorage

from study.cells.building import build_cells
from study.cells.cell import Cell
from study.config import parse_config
from study.scheduling.coordinator import Coordinator
from study.search import Ledger, open_storage
from study.search.record.locks import held
from study.search.record.storage import Storage
from trainables.datasets import MultimodalData
from trainables.spec import ReplicateResult
from trainables.training import pack as engine

STUDY = """
study: scale
dataset: {name: digits}
pairs: [[left, right]]
encoder: {kind: linear, layers: 1, width: 2}
training: {epochs: 1, batch_size: 512}
alignment: {one_sided: never}
strength: {refine: %d}
search: {sampler: %s}
replicates: {search: 5, confirm: 0}
models: false
"""
PACK = 24
NODES, SLOTS_PER_NODE = 200, 4
THREADS = "1"


def study_cells(count: int, *, sampler: str, refine: int = 8) -> tuple[list[Cell], dict[str, MultimodalData]]:
    """`count` cells of one dataset that differ in nothing but their names, and so in their seeds."""
    (cell,), datasets = build_cells(parse_config(STUDY % (refine, sampler)))
    return [replace(cell, id=f"{cell.id}/{i}", label=f"{cell.label} {i}") for i in range(count)], dict(datasets)


def real_part(trainings: int, sampler: str) -> float:
    """Print the table of the first part; the coordinator's mean seconds per pack."""
    servers = _servers()
    programs = servers.postgres_programs()
    if programs is None:
        raise SystemExit("no PostgreSQL server on this machine: install the package postgresql")
    cells, datasets = study_cells(-(-trainings // 85), sampler=sampler)
    with ExitStack() as stack:
        server = servers.Postgres(programs)
        stack.callback(server.close)
        os.environ["PGPASSWORD"] = servers.PASSWORD
        storage = Storage(server.database("scale"))
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        renew = stack.enter_context(held(storage, "scale", folder=folder))
        ledger = Ledger(open_storage(storage, folder=folder), name="scale", space={"strength": (0.0, 4.0)}, renew=renew)
        stack.callback(ledger.close)
        start = time.perf_counter()
        coordinator = Coordinator(cells, ledger, pack_size=PACK)
        print(f"{len(cells)} cells asked for their first rounds in {time.perf_counter() - start:.1f} s")
        print("| trainings | coordinator, ms a training | wait for it, ms: median | 90 % | 99 % | memory, MiB |")
        print("|---|---|---|---|---|---|")
        return _drain(coordinator, datasets)


def _drain(coordinator: Coordinator, datasets: dict[str, MultimodalData]) -> float:
    done, waits, spent, packs, total = 0, [], 0.0, 0, 0.0
    thousand = 1000
    while not coordinator.finished:
        start = time.perf_counter()
        pack = coordinator.next_pack()
        spent += time.perf_counter() - start
        assert pack is not None
        training = engine.Pack(pack.spec, datasets[pack.cell.data_key].pair(*pack.cell.pair))
        training.run()
        results = training.results()
        start = time.perf_counter()
        coordinator.complete(pack.id, results)
        waits.append(time.perf_counter() - start)
        spent += waits[-1]
        done += len(results)
        packs += 1
        if done >= thousand or coordinator.finished:
            _row(done, spent, waits, thousand)
            total += spent
            thousand, spent, waits = thousand + 1000, 0.0, []
    return total / packs


def _row(done: int, spent: float, waits: Sequence[float], thousand: int) -> None:
    counted = done - (thousand - 1000)
    quantiles = [f"{1000 * q:.0f}" for q in np.quantile(waits, [0.5, 0.9, 0.99])]
    memory = psutil.Process().memory_info().rss / 2**20
    print(f"| {done} | {1000 * spent / counted:.2f} | {' | '.join(quantiles)} | {memory:.0f} |", flush=True)


def simulated_part(cells_count: int, per_pack: float, pack_seconds: float) -> None:
    """Print how busy 200 nodes are kept."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    cells, _ = study_cells(cells_count, sampler="qmc")
    ledger = Ledger(InMemoryStorage(), name="scale", space={"strength": (0.0, 4.0)})
    coordinator = Coordinator(cells, ledger, pack_size=PACK)
    draws, slots = random.Random(0), NODES * SLOTS_PER_NODE
    now, busy, free, packs = 0.0, 0.0, slots, 0
    out: list[tuple[float, int, str, int]] = []
    exhausted: tuple[float, float] | None = None  # time, and busy slot seconds, when there was too little work at first
    while not coordinator.finished:
        while free and (pack := coordinator.next_pack()) is not None:
            length = pack_seconds * draws.lognormvariate(0, 0.5)
            packs += 1
            now += per_pack / 2  # Tune starts one trial after the other, and the rest go on
            busy += per_pack / 2 * len(out)
            heapq.heappush(out, (now + length, packs, pack.id, len(pack.members)))
            free -= 1
        if free > slots // 20 and exhausted is None and packs > slots:
            exhausted = (now, busy)
        ends, _, pack_id, size = heapq.heappop(out)
        step = max(0.0, ends - now)
        busy += step * (slots - free)
        now += step
        start = time.perf_counter()
        coordinator.complete(pack_id, [_mock(draws) for _ in range(size)])
        taken = time.perf_counter() - start + per_pack / 2
        busy += taken * (len(out))  # the slot that ended waits for the coordinator, the others go on
        now += taken
        free += 1
    until, used = exhausted or (now, busy)
    print(
        f"{NODES} nodes of {SLOTS_PER_NODE} slots, {cells_count} cells, {packs} packs of {pack_seconds:.0f} s at the "
        f"median, {1000 * per_pack:.0f} ms of Ray and database a pack: {100 * used / (slots * until):.1f} % of the "
        f"slots busy while there was work for all ({until / 3600:.1f} h), {100 * busy / (slots * now):.1f} % to the "
        f"end ({now / 3600:.1f} h)"
    )


def _mock(draws: random.Random) -> ReplicateResult:
    score = draws.gauss(0.7, 0.02)
    return ReplicateResult(status="ok", scores=(score, score), losses=(1.0, 1.0), alignment={}, curve=())


def _servers() -> ModuleType:
    path = Path(__file__).parents[1] / "study" / "servers.py"
    spec = importlib.util.spec_from_file_location("servers", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def main() -> None:
    """Run both parts."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--trainings", type=int, default=10_000, help="of the first part; 0 leaves it out")
    options.add_argument("--sampler", default="posterior", help="of the first part, as in a study file")
    options.add_argument("--cells", type=int, default=2000, help="of the second part; 0 leaves it out")
    options.add_argument(
        "--per-pack", type=float, metavar="S", default=0.25, help="what Ray and the database take for a pack (0.25)"
    )
    options.add_argument(
        "--pack-seconds", type=float, default=900.0, metavar="S", help="median length of a simulated pack (900)"
    )
    given = options.parse_args()
    if given.trainings:
        per_pack = real_part(given.trainings, given.sampler)
        print(f"the coordinator takes {1000 * per_pack:.0f} ms a pack", file=sys.stderr)
    if given.cells:
        simulated_part(given.cells, given.per_pack, given.pack_seconds)


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", THREADS)
    main()
