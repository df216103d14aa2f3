"""Do confirmed gains hold on new rows? The gain on each of many splits of real data, against its mean over all of them.

    python tests/bench/new_rows.py                        # every set at hand, 30 splits, 10 seeds
    python tests/bench/new_rows.py digits --splits 30 --seeds 10

For each pair, encoder and strength, every split is confirmed twice: the old way (rows of the split, t over seeds) and
the new one (`replicates.splits: resampled`, trainings and test rows crossed). The truth is the mean gain over all
splits. Printed: how often the 90 % interval holds it, how often p <= 0.05 comes with the wrong sign, and with the
right one.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parent))
from real import configurations

from study.cells.building import build_cells
from study.cells.cell import Cell
from study.cells.trials import Setting
from study.search.curves import confirmed_of
from study.selection import Gain, paired_gain
from trainables.datasets import PairData
from trainables.datasets.splits import strata, stratified_split
from trainables.spec import ReplicateResult, derive_seed
from trainables.training.pack import Pack

STRENGTHS = (0.25, 1.0, 4.0)
MARGIN = 1e-12


@dataclass(frozen=True)
class Tally:
    """Gains (splits) of one encoder at one strength, by one way of telling them."""

    gains: tuple[Gain, ...]

    @property
    def truth(self) -> float:
        return float(np.mean([gain.mean for gain in self.gains]))

    def line(self, truth: float) -> str:
        held = [gain.interval[0] - MARGIN <= truth <= gain.interval[1] + MARGIN for gain in self.gains]
        sure = [gain for gain in self.gains if gain.p_value <= 0.05]
        wrong = [gain for gain in sure if gain.mean * truth < 0]
        error = 100 * np.mean([gain.standard_error for gain in self.gains])
        n = len(self.gains)
        found = (len(sure) - len(wrong)) / n
        return f"covers {np.mean(held):.2f}, se {error:.2f}, wrong sign {len(wrong) / n:.2f}, found {found:.2f}"


def another_split(data: PairData, seed: int) -> PairData:
    """The data under a split of their own, by group where they have groups."""
    if data.groups is None:
        return replace(data, split=stratified_split(strata(data.targets[0]), seed=seed))
    # Numbered at random: the split by group is drawn at random among groups of one size alone.
    rng = np.random.default_rng(seed)
    order = rng.permutation(int(data.groups.max()) + 1)
    shares = np.cumsum(np.bincount(data.groups)[order]) / len(data.groups)
    place = np.searchsorted([0.6, 0.75], shares - 1e-9, side="right").astype(np.int8)
    place[0], place[-1] = 0, 2
    if not (place == 1).any():
        place[-2] = 1
    split = np.empty(len(order), np.int8)
    split[order] = place
    return replace(data, split=split[data.groups])


def confirm(cell: Cell, data: PairData, seeds: Sequence[int], rows: str) -> list[tuple[ReplicateResult, ...]]:
    """Results of all seeds at λ = 0 and at each of the strengths, on the test rows of the data."""
    settings = [Setting(strength_1=strength, strength_2=strength) for strength in (0.0, *STRENGTHS)]
    spec = cell.pack("confirm", [(setting, index) for setting in settings for index in range(len(seeds))])
    replicas = tuple(replace(replica, seed=seeds[place % len(seeds)]) for place, replica in enumerate(spec.replicas))
    pack = Pack(replace(spec, replicas=replicas, rows=rows), data)  # type: ignore[arg-type]
    pack.run()
    results = pack.results()
    return [results[start : start + len(seeds)] for start in range(0, len(results), len(seeds))]


def measure(name: str, *, splits: int, seeds: int, pairs: int | None) -> Iterator[str]:
    cells, datasets = build_cells(configurations()[name])
    for cell in cells[:pairs]:
        own = datasets[cell.data_key].pair(*cell.pair)
        told: dict[tuple[int, float, str], list[Gain]] = {}
        for split in range(splits):
            data = another_split(own, derive_seed("new rows", split) % 2**32)
            drawn = [derive_seed(name, split, index) for index in range(seeds)]
            fixed, fresh = (confirm(cell, data, drawn, rows) for rows in ("fixed", "resampled"))
            for encoder in (0, 1):
                for place, strength in enumerate(STRENGTHS, start=1):
                    old = paired_gain(*(_scores(results, encoder) for results in (fixed[0], fixed[place])))
                    subject = ("encoder_1", "encoder_2")[encoder]
                    new = confirmed_of(fresh[place])[subject].over(confirmed_of(fresh[0])[subject])
                    told.setdefault((encoder, strength, "old"), []).append(old)
                    told.setdefault((encoder, strength, "new"), []).append(new)
        for encoder, strength in sorted({key[:2] for key in told}):
            tallies = {way: Tally(tuple(told[encoder, strength, way])) for way in ("old", "new")}
            means = [gain.mean for gain in tallies["new"].gains]
            yield (
                f"{cell.label}: {cell.pair[encoder]}, λ = {strength:g}: {100 * np.mean(means):+.2f} points, sd over "
                f"splits {100 * np.std(means, ddof=1):.2f}"
            )
            for way, tally in tallies.items():
                yield f"    {way}: {tally.line(tally.truth)}"


def _scores(results: Sequence[ReplicateResult], encoder: int) -> NDArray[np.float64]:
    return np.array([result.scores[encoder] for result in results])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="sets to measure (default: all at hand)")
    parser.add_argument("--splits", type=int, default=30)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--pairs", type=int, help="only so many pairs of each set")
    given = parser.parse_args()
    for name in given.names or configurations():
        for line in measure(name, splits=given.splits, seeds=given.seeds, pairs=given.pairs):
            print(line, flush=True)


if __name__ == "__main__":
    main()
