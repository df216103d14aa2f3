"""Packs whose replicates have rows of their own against packs on one split, at equal K, in turns in one process.

    python tests/bench/pack_rows.py                  # digits; both phases, small and large packs
    python tests/bench/pack_rows.py leaves --epochs 60

A turn is a pack from its making to its results: loading, drawing rows, training, the learning curve and the last
scores. `search` is scored on validation rows, which then differ from seed to seed, `confirm` on the test rows. Seconds
are of the processor, which other work on the machine hardly moves, on a GPU of the clock.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from dataclasses import replace

import torch
from pack_cases import machine, parser, synchronise
from real import configuration

from study.cells.building import build_cells
from study.cells.trials import Arm, Setting
from trainables.spec import PackSpec
from trainables.training.pack import Pack

PHASES: dict[Arm, int] = {"shared": 5, "confirm": 10}  # seeds
SIZES = (10, 40, 90)
Ways = Callable[[PackSpec, argparse.Namespace], tuple[PackSpec, PackSpec]]


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


def compare(arguments: argparse.ArgumentParser, *, columns: tuple[str, str], ways: Ways) -> None:
    """Print how long packs of a study take in two ways, as the search and the confirmation have them.

    `ways` makes two specs of the one that the study has, by the options that `arguments` gives besides.
    """
    arguments.add_argument("name", nargs="?", default="digits", help="a study of real.py (default: digits)")
    options = arguments.parse_args()
    torch.set_num_threads(options.threads)
    cells, datasets = build_cells(configuration(options.name))
    cell = cells[0]
    data = datasets[cell.data_key].pair(*cell.pair)
    print(f"{machine(options.device)}; {cell.label}, medians of {options.repeats} turns\n")
    print(f"| phase | K | {columns[0]}, s | {columns[1]}, s | ratio |\n|---|---|---|---|---|")
    for arm, seeds in PHASES.items():
        for size in options.sizes:
            settings = [Setting(strength_1=0.1 * (k // seeds), strength_2=0.1 * (k // seeds)) for k in range(size)]
            spec = cell.pack(arm, [(setting, k % seeds) for k, setting in enumerate(settings)])

            def whole(one: PackSpec) -> Callable[[], None]:
                def run() -> None:
                    pack = Pack(one, data, device=options.device)
                    pack.run()
                    pack.results()

                return run

            runs = [whole(one) for one in ways(spec, options)]
            first, second = medians(runs, repeats=options.repeats, device=options.device)
            phase = "search" if arm == "shared" else arm
            print(f"| {phase} | {size} | {first:.2f} | {second:.2f} | {second / first:.2f} |", flush=True)


def on_rows(spec: PackSpec, options: argparse.Namespace) -> tuple[PackSpec, PackSpec]:
    if options.epochs:
        points = max(1, round(spec.training.evaluations * options.epochs / spec.training.epochs))
        spec = replace(spec, training=replace(spec.training, epochs=options.epochs, evaluations=points))
    return replace(spec, rows="fixed"), replace(spec, rows="resampled")


def main() -> None:
    arguments = parser(__doc__, repeats=7)
    arguments.add_argument("--epochs", type=int, help="of a training, its curve's points in proportion (the study's)")
    arguments.add_argument("--sizes", type=int, nargs="+", default=SIZES, metavar="K", help="of the packs (10 40 90)")
    compare(arguments, columns=("one split", "rows of their own"), ways=on_rows)


if __name__ == "__main__":
    main()
