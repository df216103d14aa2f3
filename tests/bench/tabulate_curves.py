"""Tabulate real curves for `tests/bench/search.py`: validation scores of both encoders, strength by seed.

    python tests/bench/tabulate_curves.py                       # all cells; about half an hour on two cores
    python tests/bench/tabulate_curves.py --only leaves         # some, added to the file

Trains every cell of the studies of `tests/bench/real.py` at 25 strengths × 24 seeds, with the trainings that a study
would do (`Cell.pack`, trained by `Pack`), and writes `curves.npz`: `<cell>` (2, strengths, seeds)
float16 scores of encoder 1 and 2, NaN where a training diverged, and `<cell>:strengths`.
"""

from __future__ import annotations

import argparse
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from real import configurations

from study.cells.building import build_cells
from study.cells.cell import Cell
from study.cells.trials import Setting

TABLE = Path(__file__).parent / "curves.npz"
# Those of the papers (Fang et al. 2026, both grids) and enough between them for a curve to be read off anywhere.
FRACTIONS = (0, 0.00625, 0.0125, 0.025, 0.0375, 0.05, 0.0625, 0.075, 0.1, 0.125, 0.15, 0.1875, 0.225, 0.25, 0.3)
FRACTIONS += (0.35, 0.4, 0.45, 0.5, 0.575, 0.65, 0.725, 0.8, 0.9, 1)
SEEDS = 24


def strengths(cell: Cell) -> np.ndarray:
    """The tabulated strengths, on the cell's own range."""
    return np.array(FRACTIONS) * cell.config.strength.range[1]


def train(task: tuple[Cell, int]) -> np.ndarray:
    """Scores (2, strengths) of one seed."""
    import torch

    from trainables.training.pack import Pack

    cell, seed = task
    torch.set_num_threads(1)
    _, loaded = build_cells(cell.config)
    settings = [Setting(strength_1=value, strength_2=value) for value in map(float, strengths(cell))]
    pack = Pack(cell.pack("shared", [(setting, seed) for setting in settings]), loaded[cell.data_key].pair(*cell.pair))
    pack.run()
    return np.array([result.scores for result in pack.results()]).T


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", default=[], metavar="WORD", help="cells whose name holds one of these")
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    parser.add_argument("--table", type=Path, default=TABLE, help="file to write (tests/bench/curves.npz)")
    options = parser.parse_args()
    known = dict(np.load(options.table)) if options.table.exists() else {}
    for study, config in configurations().items():
        for cell in build_cells(config)[0]:
            name = f"{study}/{cell.id.partition('/')[2] if not cell.variant else cell.id}"
            if options.only and not any(word in name for word in options.only):
                continue
            begin = time.monotonic()
            with ProcessPoolExecutor(options.jobs, mp_context=get_context("spawn")) as pool:
                scores = np.stack(list(pool.map(train, [(cell, seed) for seed in range(options.seeds)])), axis=2)
            known[name], known[f"{name}:strengths"] = scores.astype(np.float16), strengths(cell)
            np.savez_compressed(options.table, **known)
            print(f"{name}: {scores[0].size} trainings, {time.monotonic() - begin:.0f} s", flush=True)
            print("  " + " ".join(f"{x:.3f}" for x in np.nanmean(scores, axis=2)[0]))
            print("  " + " ".join(f"{x:.3f}" for x in np.nanmean(scores, axis=2)[1]), flush=True)


if __name__ == "__main__":
    main()
