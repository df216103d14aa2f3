"""Do confirmed gains hold on new rows? The gain on each of many splits of real data, against its mean over all of them.

    python tests/bench/new_rows.py                        # every set at hand, 30 splits, 10 seeds
    python tests/bench/new_rows.py digits --pairs 2 --splits 30 --keep FOLDER
    python tests/bench/new_rows.py --keep FOLDER --only-told     # the tables again, of what the folder has

For each pair, encoder and strength, every split is confirmed twice: the old way (rows of the split, t over seeds) and
the new one (`replicates.splits: resampled`, trainings and test rows crossed). The truth is the mean gain over all
splits. Printed: how often the 90 % interval holds it, how often p <= 0.05 comes with the wrong sign, and with the
right one; for every pair, how often two splits differ in what they recommend: λ = 0 or one of the strengths.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parent))
from real import configuration, configurations

from study.cells.building import build_cells
from study.cells.cell import Cell
from study.cells.trials import Setting
from study.search.curves import confirmed_of
from study.selection import Confirmed, Gain, Outcomes, OutcomeUnit, holm, paired_gain
from trainables.datasets import PairData
from trainables.datasets.splits import strata, stratified_split
from trainables.spec import ReplicateResult, Rows, derive_seed
from trainables.training.pack import Pack

MARGIN = 1e-12
SIZE = 0.05
Way = Literal["old", "new"]
WAYS: tuple[Way, ...] = ("old", "new")


@dataclass(frozen=True, kw_only=True)
class SplitScores:
    """What confirming trainings came to on one split of a pair, at λ = 0 and at S strengths, of R seeds.

    `fixed` (S + 1, 2, R) are scores by encoder on the split as it is; `own` (S + 1, 2, R, N) outcomes by unit of the
    test rows, of replicates with rows of their own, and `weights` (N,) of the units.
    """

    fixed: NDArray[np.float32] | None
    own: NDArray[np.float32]
    weights: NDArray[np.float64]
    unit: OutcomeUnit

    def gains(self, way: Way) -> list[tuple[Gain, Gain, Gain]]:
        """The gains of encoder 1, encoder 2 and the pair as one, by strength."""
        if way == "old":
            assert self.fixed is not None
            scores = np.concatenate([self.fixed, self.fixed.mean(axis=1, keepdims=True)], axis=1).astype(float)
            return [tuple(paired_gain(scores[0, who], at[who]) for who in range(3)) for at in scores[1:]]  # type: ignore[misc]
        values = np.concatenate([self.own, self.own.mean(axis=1, keepdims=True)], axis=1).astype(float)
        known = [
            [
                Confirmed(
                    scores=part @ self.weights, outcomes=Outcomes(values=part, weights=self.weights, unit=self.unit)
                )
                for part in at
            ]
            for at in values
        ]
        return [tuple(at[who].over(known[0][who]) for who in range(3)) for at in known[1:]]  # type: ignore[misc]

    @classmethod
    def measure(
        cls, cell: Cell, data: PairData, seeds: Sequence[int], strengths: Sequence[float], *, old: bool
    ) -> SplitScores:
        """Train on the rows of `data`: both ways, or the new one alone."""
        fixed = None
        if old:
            results = confirm(cell, data, seeds, strengths, "fixed")
            fixed = np.array([[one.scores for one in at] for at in results], np.float32).swapaxes(1, 2)
        known = [confirmed_of(at) for at in confirm(cell, data, seeds, strengths, "resampled")]
        outcomes = [[at[subject].outcomes for subject in ("encoder_1", "encoder_2")] for at in known]
        first = outcomes[0][0]
        assert first is not None
        values = np.array([[one.values for one in at if one] for at in outcomes], np.float32)
        return cls(fixed=fixed, own=values, weights=first.weights, unit=first.unit)

    def save(self, path: Path) -> None:
        fixed = {} if self.fixed is None else {"fixed": self.fixed}
        np.savez_compressed(path, own=self.own, weights=self.weights, unit=np.array(self.unit), **fixed)  # type: ignore[arg-type]

    @classmethod
    def load(cls, path: Path) -> SplitScores:
        with np.load(path, allow_pickle=False) as file:
            fixed = file["fixed"] if "fixed" in file.files else None
            return cls(fixed=fixed, own=file["own"], weights=file["weights"], unit=str(file["unit"]))  # type: ignore[arg-type]


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


def confirm(
    cell: Cell, data: PairData, seeds: Sequence[int], strengths: Sequence[float], rows: Rows
) -> list[tuple[ReplicateResult, ...]]:
    """Results of all seeds at λ = 0 and at each of the strengths, on the test rows of the data."""
    settings = [Setting(strength_1=strength, strength_2=strength) for strength in (0.0, *strengths)]
    spec = cell.pack("confirm", [(setting, index) for setting in settings for index in range(len(seeds))])
    replicas = tuple(replace(replica, seed=seeds[place % len(seeds)]) for place, replica in enumerate(spec.replicas))
    training = replace(spec.training, evaluations=1)  # no learning curve
    pack = Pack(replace(spec, replicas=replicas, rows=rows, training=training), data)
    pack.run()
    results = pack.results()
    return [results[start : start + len(seeds)] for start in range(0, len(results), len(seeds))]


@dataclass(frozen=True, kw_only=True)
class Count:
    """How gains told in one way compare with the truth; all figures are shares of gains but `error`, in points."""

    gains: int
    covered: float
    error: float
    wrong: float
    right: float

    @classmethod
    def of(cls, told: Sequence[tuple[Gain, float]]) -> Count:
        """From gains, each with its truth."""
        sure = [(gain, truth) for gain, truth in told if gain.p_value <= SIZE]
        wrong = sum(gain.mean * truth < 0 for gain, truth in sure)
        held = [gain.interval[0] - MARGIN <= truth <= gain.interval[1] + MARGIN for gain, truth in told]
        error = 100 * float(np.mean([gain.standard_error for gain, _ in told]))
        n = len(told)
        return cls(gains=n, covered=float(np.mean(held)), error=error, wrong=wrong / n, right=(len(sure) - wrong) / n)

    def line(self) -> str:
        return f"covers {self.covered:.2f}, se {self.error:.2f}, wrong sign {self.wrong:.3f}, found {self.right:.2f}"


def recommended(gains: Sequence[Gain], strengths: Sequence[float]) -> float:
    """The strength with the largest gain of the pair that is confirmed after Holm over the strengths, else 0."""
    adjusted = holm([gain.p_value for gain in gains])
    sure = [
        (gain.mean, strength)
        for gain, strength, p_value in zip(gains, strengths, adjusted, strict=True)
        if p_value <= SIZE and gain.mean > 0
    ]
    return max(sure)[1] if sure else 0.0


def changes(answers: Sequence[float]) -> float:
    """Share of all twos of splits whose answers differ."""
    n = len(answers)
    return 1 - sum(count * (count - 1) for count in Counter(answers).values()) / (n * (n - 1))


def tell(
    label: str, names: Sequence[str], splits: Sequence[SplitScores], strengths: Sequence[float]
) -> tuple[list[str], dict[Way, list[tuple[Gain, float]]]]:
    """The lines about one pair, and all gains of its encoders with their truths."""
    gains: dict[Way, list[list[tuple[Gain, Gain, Gain]]]] = {
        way: [one.gains(way) for one in splits if way == "new" or one.fixed is not None] for way in WAYS
    }
    truths: dict[Way, NDArray[np.float64]] = {
        way: np.mean([[[gain.mean for gain in at] for at in one] for one in gains[way]], axis=0) for way in WAYS
    }
    lines, all_gains = [], {way: [] for way in WAYS}
    for who, name in enumerate(names):
        for place, strength in enumerate(strengths):
            means = [one[place][who].mean for one in gains["new"]]
            told = f"{100 * np.mean(means):+.2f} points, sd over splits {100 * np.std(means, ddof=1):.2f}"
            lines.append(f"{label}: {name}, λ = {strength:g}: {told}")
            for way in WAYS:
                known = [(one[place][who], float(truths[way][place, who])) for one in gains[way]]
                all_gains[way] += known
                lines.append(f"    {way}: {Count.of(known).line()}")
    for way in WAYS:
        answers = [recommended([at[2] for at in one], strengths) for one in gains[way]]
        shares = ", ".join(f"{x:g}: {n / len(answers):.2f}" for x, n in sorted(Counter(answers).items()))
        lines.append(f"{label}: recommended, {way}: {shares}; two splits differ in {changes(answers):.2f}")
    return lines, all_gains


def measure(name: str, options: argparse.Namespace, *, strengths: Sequence[float]) -> Iterator[str]:
    """Lines about every pair of a set, then about all of them together."""
    cells, datasets = build_cells(configuration(name))
    everything: dict[Way, list[tuple[Gain, float]]] = {way: [] for way in WAYS}
    for cell in cells[options.first_pair : options.pairs]:
        own = datasets[cell.data_key].pair(*cell.pair)
        splits = []
        for split in range(options.splits):
            path = options.keep / f"{name}-{cell.id}-{split}.npz".replace("/", "-") if options.keep else None
            if path and path.exists():
                splits.append(SplitScores.load(path))
            elif not options.only_told:
                data = another_split(own, derive_seed("new rows", split) % 2**32)
                seeds = [derive_seed(name, split, index) for index in range(options.seeds)]
                splits.append(SplitScores.measure(cell, data, seeds, strengths, old=split < options.old))
                if path:
                    splits[-1].save(path)
        if len(splits) > 1:
            lines, gains = tell(cell.label, cell.pair, splits, strengths)
            yield from lines
            for way in WAYS:
                everything[way] += gains[way]
    for way in WAYS:
        if everything[way]:
            count = Count.of(everything[way])
            yield f"{name}, {way}, {count.gains} gains: {count.line()}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="sets to measure (default: all at hand)")
    parser.add_argument("--splits", type=int, default=30)
    parser.add_argument("--old", type=int, default=20, help="of these splits are confirmed the old way too (20)")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--strengths", type=float, nargs="+", default=(0.25, 2.0), metavar="λ")
    parser.add_argument("--pairs", type=int, help="only so many pairs of each set")
    parser.add_argument("--first-pair", type=int, default=0, metavar="N", help="leave out the first N pairs")
    parser.add_argument("--keep", type=Path, help="keep every training's outcomes in this folder, and use those there")
    parser.add_argument("--only-told", action="store_true", help="train nothing: tell what the folder has")
    given = parser.parse_args()
    if given.keep:
        given.keep.mkdir(parents=True, exist_ok=True)
    for name in given.names or configurations():
        for line in measure(name, given, strengths=given.strengths):
            print(line, flush=True)


if __name__ == "__main__":
    main()
