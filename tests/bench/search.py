"""How many trainings a search needs, on tabulated curves of real pairs.

    python tests/bench/search.py                       # the table of study/selection
    python tests/bench/search.py --methods papers posterior --replays 50

`curves.npz` (made by `tests/bench/tabulate_curves.py`) holds the validation scores of real trainings at 25 strengths,
16 seeds or more. A replay shuffles the seeds and lets every method train by looking up: between tabulated strengths a
seed's scores are interpolated. Its regret is what the strength it recommends loses against the best one, both read off
the smooth of all seeds; the score is that of the pair as one, as the search sees it.

- `papers`: the best mean on the papers' grid, trained with more and more seeds.
- `smooth`: λ* of `study.selection` on those very trainings.
- `posterior`: the search with two seeds: the grid with both, then units of two trainings where they tell most, then λ*.
- `five seeds`: the same with five seeds, as the study files have it, in rounds of four units.
- `sparse`: the same with one seed and in rounds of two units: a unit is a single training.
- `sparse, fours`: the same in rounds of four units.
- `sparse, five`: the same, begun at five strengths of the grid.
- `sparse, served`: as a study does it: two units in turn for encoder 1, encoder 2 and the pair.
- `tpe`, `gp`: Optuna's samplers, one training a trial, the strength of the best trial.
- `tpe mean`, `gp mean`: the same, three seeds a trial, the strength of the best trial's mean.

Printed are the mean regret by the number of trainings; for every regret that the papers' way reaches the trainings that
each method needs to reach it, and in how many rounds; how often the 90 % intervals hold the λ* of the whole table; and
what stopping once the expected regret is below a target would come to (`--stop`, points).
"""

from __future__ import annotations

import argparse
import os
import time
import warnings
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import optuna
from searches import ENCODERS, GRIDS, METHODS, PAIR, PLANS, World

from study.selection import select, warp_scale

TABLE = Path(__file__).parent / "curves.npz"


@dataclass(frozen=True, kw_only=True)
class Judged:
    """A recommendation set against the whole table: its regret, and whether its interval holds the table's λ*."""

    trainings: int
    rounds: int
    regret: float
    covered: bool | None
    expected_regret: float


@dataclass(frozen=True, kw_only=True)
class Task:
    """One replay: of which pair, judged by which weights of its encoders, and by which method."""

    pair: str
    strengths: np.ndarray
    scores: np.ndarray  # (encoders, strengths, seeds)
    judged: tuple[float, float]
    method: str
    budget: int
    seed: int


def replay(task: Task) -> list[Judged]:
    """How one method fares on one shuffled table."""
    warnings.simplefilter("ignore")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    whole = np.tensordot(task.judged, task.scores, 1)
    truth = select(task.strengths, whole, scale=warp_scale(GRIDS[float(task.strengths[-1])]))
    curve, best = truth.posterior, truth.posterior.mean.max()
    order = np.random.default_rng(task.seed).permutation(whole.shape[1])
    world = World(task.strengths, task.scores[:, :, order], task.judged)
    return [
        Judged(
            trainings=one.trainings,
            rounds=one.rounds,
            regret=float(best - np.interp(one.strength, curve.strengths, curve.mean)),
            covered=one.interval and one.interval[0] <= truth.lambda_star <= one.interval[1],
            expected_regret=one.expected_regret,
        )
        for one in METHODS[task.method](world, task.budget, task.seed)
    ]


def curves(path: Path) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Strengths and both encoders' scores of every tabulated pair."""
    table = np.load(path)
    names = [name for name in table.files if not name.endswith(":strengths")]
    return {name: (table[f"{name}:strengths"].astype(float), table[name].astype(float)) for name in names}


def at(path: Sequence[Judged], budgets: Sequence[int]) -> list[float]:
    """Regret of what a method would recommend with each budget."""
    return [next((one.regret for one in reversed(path) if one.trainings <= budget), np.nan) for budget in budgets]


def needed(budgets: np.ndarray, regrets: np.ndarray, target: float) -> float:
    """Trainings from which on the mean regret stays at or below the target; infinite where it does not."""
    later = np.fmax.accumulate(regrets[::-1])[::-1]
    reached = np.flatnonzero((later <= target + 1e-12) & np.isfinite(regrets))
    return float(budgets[reached[0]]) if len(reached) else np.inf


def print_coverage(by_method: Mapping[str, Sequence[Sequence[Judged]]], budgets: Sequence[int]) -> None:
    """Shares of intervals that hold the λ* of the whole table, and rounds, at the latest answer within each budget."""
    print("\nShare of 90 % intervals that hold the λ* of the whole table (rounds until then), by trainings\n")
    print("| method | " + " | ".join(map(str, budgets)) + " |\n|" + "---|" * (1 + len(budgets)))
    for method, paths in by_method.items():
        told = []
        for budget in budgets:
            latest = [[one for one in path if one.trainings <= budget][-1:] for path in paths]
            known = [one for ones in latest for one in ones if one.covered is not None]
            share, rounds = (np.mean([(one.covered, one.rounds) for one in known], axis=0)) if known else (0, 0)
            told.append(f"{share:.2f} ({rounds:.0f})" if known else "–")
        print(f"| {method} | " + " | ".join(told) + " |")


def print_stopping(by_method: Mapping[str, Sequence[Sequence[Judged]]], targets: Sequence[float]) -> None:
    """What each method comes to when it ends once its expected regret is below a target, or else with its budget."""
    print("\nStopping once the expected regret is below a target, in points: trainings, regret, share that stopped\n")
    print("| method | " + " | ".join(f"{target:g}" for target in targets) + " |\n|" + "---|" * (1 + len(targets)))
    for method, paths in by_method.items():
        told = []
        for target in targets:
            below = [[one for one in path if 100 * one.expected_regret < target] for path in paths]
            ends = [ones[0] if ones else path[-1] for ones, path in zip(below, paths, strict=True)]
            trainings, regret = np.mean([(one.trainings, 100 * one.regret) for one in ends], axis=0)
            told.append(f"{trainings:.1f}, {regret:.2f}, {np.mean([bool(ones) for ones in below]):.2f}")
        print(f"| {method} | " + " | ".join(told) + " |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS), metavar="METHOD")
    parser.add_argument("--replays", type=int, default=12)
    parser.add_argument("--budget", type=int, default=108, help="trainings")
    parser.add_argument("--adaptive", type=int, help="trainings at which ways that place their trainings end; --budget")
    parser.add_argument("--subject", choices=("pair", "encoder_1", "encoder_2"), default="pair")
    parser.add_argument("--stop", type=float, nargs="*", default=(0.5, 0.25, 0.125), help="expected regrets, in points")
    parser.add_argument("--table", type=Path, default=TABLE)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args()
    known = curves(options.table)
    judged = {"pair": PAIR, "encoder_1": ENCODERS[0], "encoder_2": ENCODERS[1]}[options.subject]
    budgets = np.arange(5, options.budget + 1)
    begin = time.monotonic()
    tasks = [
        Task(
            pair=name,
            strengths=strengths,
            scores=scores,
            judged=judged,
            method=method,
            budget=(method in PLANS and options.adaptive) or options.budget,
            seed=seed,
        )
        for method in options.methods
        for name, (strengths, scores) in known.items()
        for seed in range(options.replays)
    ]
    with ProcessPoolExecutor(options.jobs, mp_context=get_context("spawn")) as pool:
        paths = list(pool.map(replay, tasks))
    every = {m: [path for task, path in zip(tasks, paths, strict=True) if task.method == m] for m in options.methods}
    regrets = {
        (method, name): np.mean([at(path, budgets) for path in every[method][first : first + options.replays]], axis=0)
        for method in options.methods
        for first, name in zip(range(0, len(tasks), options.replays), known, strict=False)
    }
    mean = {method: np.mean([regrets[method, name] for name in known], axis=0) for method in options.methods}
    print(f"{len(known)} pairs, {options.replays} replays, {time.monotonic() - begin:.0f} s\n")
    shown = [b for b in (9, 14, 18, 22, 27, 36, 45, 60, 72, 90, 108) if b <= options.budget]
    print("Mean regret in points, by trainings\n\n| method | " + " | ".join(map(str, shown)) + " |")
    print("|---" * (1 + len(shown)) + "|")
    for method in options.methods:
        row = [f"{100 * mean[method][b - 5]:.2f}" for b in shown]
        print(f"| {method} | " + " | ".join(row) + " |")
    by_method = {method: own for method, own in every.items() if own[0][0].covered is not None}
    print_coverage(by_method, shown)
    print_stopping(by_method, options.stop)
    if "papers" not in options.methods:
        return
    targets = [b for b in (27, 45, 63, 90) if b <= options.budget]
    print("\nTrainings needed to reach the regret that the papers' way has after\n")
    print("| method | " + " | ".join(f"{b} ({100 * mean['papers'][b - 5]:.2f})" for b in targets) + " |")
    print("|---" * (1 + len(targets)) + "|")
    for method in options.methods:
        row = [needed(budgets, mean[method], mean["papers"][b - 5]) for b in targets]
        told = [
            f"{n:.0f} ({b / n:.1f}×)" if np.isfinite(n) else f"> {options.budget}"
            for b, n in zip(targets, row, strict=True)
        ]
        print(f"| {method} | " + " | ".join(told) + " |")
    place = min(45, options.budget)
    print(f"\nBy pair, regret in points at {place} trainings\n")
    for name in known:
        print(
            f"| {name} | "
            + " | ".join(f"{method} {100 * regrets[method, name][place - 5]:.2f}" for method in options.methods)
            + " |"
        )


if __name__ == "__main__":
    main()
