"""Does λ* hold on new rows? The search on each of many splits of real data, against all of them together.

    python tests/bench/new_strengths.py mosi752 --pairs 1 --splits 20 --keep FOLDER

On every split the first strengths are trained twice, with the study's seeds: on the split as it is (`fixed`) and with
rows of each seed's own (`resampled`), scored in validation. The best strength of the population is that of all
resampled trainings together. Printed for both ways: how often a split's 90 % interval holds it, how often it holds the
λ* of another split, how far from the interval that λ* lies (in shares of the range, on the warped axis), and its width.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parent))
from new_rows import another_split
from real import configuration

from study.cells.building import build_cells
from study.cells.cell import Cell
from study.cells.trials import SUBJECTS, Setting
from study.selection import Selection, select, warp, warp_scale
from trainables.datasets import PairData
from trainables.spec import Rows, derive_seed
from trainables.training.pack import Pack

Scores = NDArray[np.float64]
WAYS: tuple[Rows, ...] = ("fixed", "resampled")


def search(cell: Cell, data: PairData, split: int, rows: Rows) -> Scores:
    """Validation scores (2, strengths, seeds) of both encoders at the first strengths; seeds differ between splits."""
    design, count = cell.config.strength.design, cell.config.replicates.search
    settings = [Setting(strength_1=value, strength_2=value) for value in map(float, design)]
    spec = cell.pack("shared", [(setting, index) for setting in settings for index in range(count)])
    replicas = tuple(replace(one, seed=derive_seed(one.seed, split)) for one in spec.replicas)
    pack = Pack(replace(spec, replicas=replicas, rows=rows, training=replace(spec.training, evaluations=1)), data)
    pack.run()
    scores = np.array([result.scores for result in pack.results()]).T
    return scores.reshape(2, len(design), count)


def selected(cell: Cell, scores: Scores) -> Selection:
    design = np.array(cell.config.strength.design, float)
    return select(design, scores, seed=0, range_=cell.config.strength.range, scale=warp_scale(design))


def tell(cell: Cell, known: dict[Rows, list[Scores]]) -> Iterator[str]:
    """Two Markdown rows for each subject."""
    scale = warp_scale(cell.config.strength.design)
    end = float(warp(cell.config.strength.range[1], scale=scale))

    def place(strength: float) -> float:
        return float(warp(strength, scale=scale)) / end

    for subject, name in zip(SUBJECTS, (*cell.pair, "the pair"), strict=True):
        weights = {"encoder_1": (1, 0), "encoder_2": (0, 1), "pair": (0.5, 0.5)}[subject]
        curves = {rows: [np.tensordot(weights, one, 1) for one in known[rows]] for rows in WAYS}
        best = selected(cell, np.concatenate(curves["resampled"], axis=1)).lambda_star
        for rows in WAYS:
            found = [selected(cell, scores) for scores in curves[rows]]
            bounds = [(place(one.interval[0]), place(one.interval[1])) for one in found]
            stars = [place(one.lambda_star) for one in found]
            away = [
                max(low - star, star - high, 0.0)
                for this, (low, high) in enumerate(bounds)
                for other, star in enumerate(stars)
                if other != this
            ]
            covered = np.mean([low - 1e-9 <= place(best) <= high + 1e-9 for low, high in bounds])
            width = np.mean([high - low for low, high in bounds])
            inside = np.mean([gap <= 1e-9 for gap in away])
            shares = f"{covered:.2f} | {inside:.2f} | {np.mean(away):.3f} | {width:.2f}"
            yield f"| {cell.label} | {name} | {best:.2f} | {rows} | {shares} |"


def measure(cell: Cell, data: PairData, options: argparse.Namespace) -> Iterator[str]:
    known: dict[Rows, list[Scores]] = {rows: [] for rows in WAYS}
    for split in range(options.splits):
        file_name = f"strengths-{options.name}-{cell.id}-{split}.npz".replace("/", "-")
        path = options.keep / file_name if options.keep else None
        if path and path.exists():
            with np.load(path, allow_pickle=False) as file:
                scores = {rows: file[rows] for rows in WAYS}
        elif options.only_told:
            continue
        else:
            drawn = another_split(data, derive_seed("new rows", split) % 2**32)
            scores = {rows: search(cell, drawn, split, rows) for rows in WAYS}
            if path:
                np.savez_compressed(path, **scores)  # type: ignore[arg-type]
        for rows in WAYS:
            known[rows].append(scores[rows])
    yield from tell(cell, known)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", nargs="?", default="digits", help="a study of real.py (default: digits)")
    parser.add_argument("--splits", type=int, default=20)
    parser.add_argument("--pairs", type=int, help="only so many pairs of the set")
    parser.add_argument("--keep", type=Path, help="keep every split's scores in this folder, and use those there")
    parser.add_argument("--only-told", action="store_true", help="train nothing: tell what the folder has")
    options = parser.parse_args()
    if options.keep:
        options.keep.mkdir(parents=True, exist_ok=True)
    cells, datasets = build_cells(configuration(options.name))
    print("| pair | of | best of all | rows | covers it | covers another split's λ* | away | width |")
    print("|---|---|---|---|---|---|---|---|", flush=True)
    for cell in cells[: options.pairs]:
        for line in measure(cell, datasets[cell.data_key].pair(*cell.pair), options):
            print(line, flush=True)


if __name__ == "__main__":
    main()
