"""Is an answer the same when arithmetic rounds otherwise, as on another make of CPU? Perturbed runs of a study's pairs.

    python tests/bench/rounding.py                     # all pairs of digits, 40 runs
    python tests/bench/rounding.py digits --pairs 1 --rows fixed

Every training of a pair is done as it is and `--versions` - 1 times more, its initial weights times 1 + 1e-6 z, z
normal (with `--threads 2` by turns on one thread and on two). From so small a difference two trainings part as two
machines' do. A run takes one version of each training at random, as the roundings of two trainings have nothing to do
with one another. It searches at the study's first strengths and halfway between them, selects λ* of both encoders and
of the pair, confirms them at the nearest strength that is trained, and corrects by Holm for the claims of the pair.

Printed is the share of runs that say what most say, and how far λ* moves.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parent))
from real import configuration

from study.cells.building import build_cells
from study.cells.cell import Cell
from study.cells.trials import SUBJECTS, Arm, Setting, Subject, score_of
from study.search.curves import confirmed_of
from study.selection import (
    Conclusion,
    Gain,
    Selection,
    StrategyGains,
    choose_strategy,
    conclude,
    holm,
    select,
    warp_scale,
)
from trainables.datasets import PairData
from trainables.spec import ReplicateResult, Rows, derive_seed
from trainables.training.pack import Pack

PERTURBATION = 1e-6  # relative, of the initial weights


@dataclass
class Versions:
    """Results of every training of a cell in V versions, trained when first asked for: (arm, strength, version) → R."""

    cell: Cell
    data: PairData
    rows: Rows
    count: int
    threads: int = 1
    trained: dict[tuple[Arm, float], list[tuple[ReplicateResult, ...]]] = field(default_factory=dict)

    def train(self, arm: Arm, strengths: Sequence[float]) -> None:
        """The trainings at these strengths that are not there yet."""
        new = [strength for strength in strengths if (arm, strength) not in self.trained]
        if not new:
            return
        seeds = self.cell.config.replicates.confirm if arm == "confirm" else self.cell.config.replicates.search
        settings = [Setting(strength_1=strength, strength_2=strength) for strength in new]
        spec = self.cell.pack(arm, [(setting, index) for setting in settings for index in range(seeds)])
        spec = replace(spec, rows=self.rows, training=replace(spec.training, evaluations=1))
        known = []
        for version in range(self.count):
            torch.set_num_threads(self.threads if version % 2 else 1)
            pack = Pack(spec, self.data)
            if version:
                state = pack.state_dict()
                weights = state["optimiser"]["flat"]
                normal = torch.randn(weights.shape, generator=torch.Generator().manual_seed(version))
                weights *= 1 + PERTURBATION * normal
                pack.load_state_dict(state)
            pack.run()
            known.append(pack.results())
        for place, strength in enumerate(new):
            part = slice(place * seeds, (place + 1) * seeds)
            self.trained[arm, strength] = [results[part] for results in known]

    def pick(self, arm: Arm, strength: float, rng: np.random.Generator) -> list[ReplicateResult]:
        """One version of each seed's training at the strength."""
        self.train(arm, [strength])
        versions = self.trained[arm, strength]
        return [versions[rng.integers(self.count)][seed] for seed in range(len(versions[0]))]


@dataclass(frozen=True, kw_only=True)
class Run:
    """What one run says of the pair: by subject what was searched and concluded, and the strategy with its p-value."""

    selections: dict[Subject, Selection]
    conclusions: dict[Subject, Conclusion]
    strategy: str
    p_value: float

    @property
    def verdicts(self) -> tuple[str, ...]:
        return tuple(self.conclusions[subject].verdict for subject in SUBJECTS)


def searched_strengths(design: Sequence[float]) -> list[float]:
    """The first strengths of a search and those halfway between two on the warped axis."""
    scale = warp_scale(design)
    warped = np.log1p(np.array(sorted(design)) / scale)
    between = scale * np.expm1((warped[1:] + warped[:-1]) / 2)
    return sorted([*map(float, design), *(round(float(strength), 3) for strength in between)])


def one_run(versions: Versions, rng: np.random.Generator) -> Run:
    config = versions.cell.config
    strengths = searched_strengths(config.strength.design)
    picked = [versions.pick("shared", strength, rng) for strength in strengths]
    selections = {}
    for subject in SUBJECTS:
        scores = np.array([[score_of(one, subject) for one in at] for at in picked])
        selections[subject] = select(
            strengths,
            scores,
            seed=derive_seed(config.seed, versions.cell.id, "select"),
            range_=config.strength.range,
            scale=warp_scale(config.strength.design),
        )
    nearest = {
        subject: min(strengths, key=lambda at, star=found.lambda_star: abs(np.log((at + 0.05) / (star + 0.05))))
        for subject, found in selections.items()
    }
    # In the strengths' order, not in that of a set: a run must not hang on who was picked first.
    confirmed = {at: confirmed_of(versions.pick("confirm", at, rng)) for at in sorted({0.0, *nearest.values()})}
    gains: dict[Subject, Gain] = {
        subject: confirmed[nearest[subject]][subject].over(confirmed[0.0][subject]) for subject in SUBJECTS
    }
    adjusted = dict(zip(SUBJECTS, holm([gains[subject].p_value for subject in SUBJECTS]), strict=True))
    at = confirmed[nearest["pair"]]
    used = {subject: at[subject].over(confirmed[0.0][subject]) for subject in SUBJECTS}
    choice = choose_strategy(
        {"shared": StrategyGains(gain_1=used["encoder_1"], gain_2=used["encoder_2"], gain_mean=used["pair"])},
        adjusted_p={"shared": adjusted["pair"]},
        smallest_gain=config.search.smallest_gain,
    )
    conclusions = {
        subject: conclude(
            selections[subject],
            gains[subject],
            adjusted_p=adjusted[subject],
            used=used[subject] if choice.strategy != "none" else None,
            smallest_gain=config.search.smallest_gain,
        )
        for subject in SUBJECTS
    }
    return Run(selections=selections, conclusions=conclusions, strategy=choice.strategy, p_value=adjusted["pair"])


def tell(versions: Versions, runs: Sequence[Run]) -> Iterator[str]:
    """A Markdown row for each subject, and one for the strategy."""
    names = (*versions.cell.pair, "the pair")
    for subject, name in zip(SUBJECTS, names, strict=True):
        verdicts = Counter(run.conclusions[subject].verdict for run in runs)
        stars = np.array([run.selections[subject].lambda_star for run in runs])
        low, high = np.median([run.selections[subject].interval for run in runs], axis=0)
        held = [run.selections[subject].interval for run in runs]
        inside = np.mean([[start <= star <= end for star in stars] for start, end in held])
        told = ", ".join(f"{verdict} {count / len(runs):.2f}" for verdict, count in verdicts.most_common())
        yield (
            f"| {versions.cell.label} | {name} | {told} | {np.median(stars):.2f} ({stars.min():.2f} to "
            f"{stars.max():.2f}) | {low:.2f} to {high:.2f} | {inside:.2f} |"
        )
    strategies = Counter(run.strategy for run in runs)
    told = ", ".join(f"{name} {count / len(runs):.2f}" for name, count in strategies.most_common())
    p_values = np.quantile([run.p_value for run in runs], (0.05, 0.5, 0.95))
    yield f"| {versions.cell.label} | strategy | {told} | p {' / '.join(f'{p:.3f}' for p in p_values)} | | |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", nargs="?", default="digits", help="a study of real.py (default: digits)")
    parser.add_argument("--runs", type=int, default=40)
    parser.add_argument("--versions", type=int, default=3, help="of every training (3)")
    parser.add_argument("--threads", type=int, default=1, help="of every second version (1); needs as many idle cores")
    parser.add_argument("--pairs", type=int, nargs="+", metavar="N", help="these pairs of the study, from 1 (all)")
    parser.add_argument("--rows", choices=("fixed", "resampled"), default="resampled")
    options = parser.parse_args()
    cells, datasets = build_cells(configuration(options.name))
    print(f"{options.runs} runs, {options.versions} versions of a training, rows {options.rows}\n")
    print("| pair | of | says | λ* (from, to) | interval (median) | λ* within |\n|---|---|---|---|---|---|", flush=True)
    for number, cell in enumerate(cells, start=1):
        if options.pairs and number not in options.pairs:
            continue
        data = datasets[cell.data_key].pair(*cell.pair)
        versions = Versions(cell, data, options.rows, count=options.versions, threads=options.threads)
        versions.train("shared", searched_strengths(cell.config.strength.design))
        runs = [one_run(versions, np.random.default_rng(run)) for run in range(options.runs)]
        for line in tell(versions, runs):
            print(line, flush=True)


if __name__ == "__main__":
    main()
