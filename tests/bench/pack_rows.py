"""Packs whose replicates have rows of their own against packs on one split, at equal K, in turns in one process.

    python tests/bench/pack_rows.py                  # digits; both phases, small and large packs
    python tests/bench/pack_rows.py leaves --epochs 60

A turn is a pack from its making to its results: loading, drawing rows, training, the learning curve and the last
scores. `search` is scored on validation rows, which then differ from seed to seed, `confirm` on the test rows. Seconds
are of the processor, which other work on the machine hardly moves, on a GPU of the clock.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import replace

import torch
from pack_cases import machine, parser, synchronise
from real import configuration

from study.cells.building import build_cells
from study.cells.trials import Arm, Setting
from trainables.training.pack import Pack

PHASES: dict[Arm, int] = {"shared": 5, "confirm": 10}  # seeds
SIZES = (10, 40, 90)


def medians(runs: list[Callable[[], None]], *, repeats: int, device: str) -> list[float]:
    """Seconds of each, the runs taking turns, the first turn warming up."""
    clock = time.perf_counter if device == "cuda" else time.process_time
    seconds: list[list[float]] = [[] for _ in runs]
    for repeat in range(repeats + 1):
        for known, run in zip(seconds, runs, strict=True):
            synchronise(device)
            start = clock()
            run()
            synchronise(device)
            if repeat:
                known.append(clock() - start)
    return [statistics.median(values) for values in seconds]


def main() -> None:
    arguments = parser(__doc__, repeats=7)
    arguments.add_argument("name", nargs="?", default="digits", help="a study of real.py (default: digits)")
    arguments.add_argument("--epochs", type=int, help="of a training, its curve's points in proportion (the study's)")
    arguments.add_argument("--sizes", type=int, nargs="+", default=SIZES, metavar="K", help="of the packs (10 40 90)")
    options = arguments.parse_args()
    torch.set_num_threads(options.threads)
    cells, datasets = build_cells(configuration(options.name))
    cell = cells[0]
    data = datasets[cell.data_key].pair(*cell.pair)
    print(f"{machine(options.device)}; {cell.label}, medians of {options.repeats} turns\n")
    print("| phase | K | one split, s | rows of their own, s | ratio |\n|---|---|---|---|---|")
    for arm, seeds in PHASES.items():
        for size in options.sizes:
            settings = [Setting(strength_1=0.1 * (k // seeds), strength_2=0.1 * (k // seeds)) for k in range(size)]
            spec = cell.pack(arm, [(setting, k % seeds) for k, setting in enumerate(settings)])
            if options.epochs:
                points = max(1, round(spec.training.evaluations * options.epochs / spec.training.epochs))
                spec = replace(spec, training=replace(spec.training, epochs=options.epochs, evaluations=points))

            def whole(rows, spec=spec):
                def run():
                    pack = Pack(replace(spec, rows=rows), data, device=options.device)
                    pack.run()
                    pack.results()

                return run

            runs = [whole(rows) for rows in ("fixed", "resampled")]
            fixed, own = medians(runs, repeats=options.repeats, device=options.device)
            phase = "search" if arm == "shared" else arm
            print(f"| {phase} | {size} | {fixed:.2f} | {own:.2f} | {own / fixed:.2f} |", flush=True)


if __name__ == "__main__":
    main()
