"""How many trainings a search needs, on tabulated curves of real pairs.

    python tests/bench/search.py                       # the table of study/selection
    python tests/bench/search.py --methods papers posterior --replays 50

`curves.npz` (made by `tests/bench/tabulate_curves.py`) holds the validation scores of real trainings at 25 strengths,
16 seeds or more. A replay shuffles the seeds and lets every method train by looking up: between tabulated strengths a
seed's scores are interpolated. Its regret is what the strength it recommends loses against the best one, both read off
the smooth of all seeds; the score is that of the pair as one, as the search sees it.

- `papers`: the best mean on the papers' grid, trained with more and more seeds.
- `smooth`: λ* of `study.selection` on those very trainings.
- `posterior`: the default search: the grid with two seeds, then units of two trainings where they tell most, then λ*.
- `tpe`, `gp`: Optuna's samplers, one training a trial, the strength of the best trial.
- `tpe mean`, `gp mean`: the same, three seeds a trial, the strength of the best trial's mean.

Printed are the mean regret by the number of trainings, and for every regret that the papers' way reaches the trainings
that each method needs to reach it.
"""

from __future__ import annotations

import argparse
import os
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import optuna

from study.selection import select, warp_scale
from study.selection.placement import Unit, free_columns, next_strength

TABLE = Path(__file__).parent / "curves.npz"
GRIDS = {4.0: (0, 0.1, 0.25, 0.5, 0.6, 0.75, 1, 2, 4), 2.0: (0, 0.2, 0.4, 0.6, 0.8, 1, 2)}  # by the range's end
FIRST_SEEDS = UNIT = 2
SEEDS_A_TRIAL = 3
Recommendation = tuple[int, float]  # trainings so far, strength recommended


@dataclass(frozen=True)
class World:
    """One tabulated pair with its seeds in some order."""

    strengths: np.ndarray
    scores: np.ndarray  # (strengths, seeds)

    @property
    def end(self) -> float:
        return float(self.strengths[-1])

    @property
    def grid(self) -> np.ndarray:
        return np.array(GRIDS[self.end], float)

    def train(self, strength: float, seed: int) -> float:
        return float(np.interp(strength, self.strengths, self.scores[:, seed % self.scores.shape[1]]))

    def table(self, trained: dict[float, tuple[int, ...]]) -> tuple[np.ndarray, np.ndarray]:
        strengths = np.array(sorted(trained))
        scores = np.full((len(strengths), 1 + max(max(seeds) for seeds in trained.values())), np.nan)
        for row, strength in enumerate(strengths):
            for seed in trained[strength]:
                scores[row, seed] = self.train(strength, seed)
        return strengths, scores


def best_of_grid(world: World, budget: int, smooth: bool) -> Iterator[Recommendation]:
    grid = world.grid
    for seeds in range(1, budget // len(grid) + 1):
        strengths, scores = world.table({float(x): tuple(range(seeds)) for x in grid})
        star = select(strengths, scores).lambda_star if smooth else float(strengths[scores.mean(axis=1).argmax()])
        yield scores.size, star


def adaptive(world: World, budget: int, seed: int) -> Iterator[Recommendation]:
    trained = {float(x): tuple(range(FIRST_SEEDS)) for x in world.grid}
    options = {"range_": (0.0, world.end), "scale": warp_scale(world.grid)}
    while True:
        strengths, scores = world.table(trained)
        count = int(np.isfinite(scores).sum())
        not_run = np.zeros(scores.shape, bool)
        yield count, select(strengths, scores, diverged=not_run, seed=seed, **options).lambda_star
        if count >= budget:
            return
        running: list[Unit] = []
        for _ in range(2):  # fresh seeds come at two strengths at once or say nothing
            place = next_strength(strengths, scores, running=running, seeds=UNIT, seed=seed, **options)
            columns = free_columns(set(trained.get(place, ())), UNIT)
            trained[place] = (*trained.get(place, ()), *columns)
            running.append(Unit(strength=place, columns=columns))


def best_trial(
    world: World, budget: int, seed: int, make: Callable[[int], optuna.samplers.BaseSampler], seeds: int
) -> Iterator[Recommendation]:
    study = optuna.create_study(direction="maximize", sampler=make(seed))
    for trial in range(budget // seeds):
        asked = study.ask()
        strength = asked.suggest_float("strength", 0, world.end)
        study.tell(asked, float(np.mean([world.train(strength, trial * (seeds == 1) + i) for i in range(seeds)])))
        if (trial + 1) % 4 == 0:
            yield (trial + 1) * seeds, float(study.best_params["strength"])


def tpe(seed: int) -> optuna.samplers.BaseSampler:
    return optuna.samplers.TPESampler(seed=seed)


def gp(seed: int) -> optuna.samplers.BaseSampler:
    return optuna.samplers.GPSampler(seed=seed)


METHODS: dict[str, Callable[[World, int, int], Iterator[Recommendation]]] = {
    "papers": lambda world, budget, _: best_of_grid(world, budget, False),
    "smooth": lambda world, budget, _: best_of_grid(world, budget, True),
    "posterior": adaptive,
    "tpe": lambda world, budget, seed: best_trial(world, budget, seed, tpe, 1),
    "gp": lambda world, budget, seed: best_trial(world, budget, seed, gp, 1),
    "tpe mean": lambda world, budget, seed: best_trial(world, budget, seed, tpe, SEEDS_A_TRIAL),
    "gp mean": lambda world, budget, seed: best_trial(world, budget, seed, gp, SEEDS_A_TRIAL),
}


def replay(task: tuple[str, np.ndarray, np.ndarray, str, int, int]) -> list[tuple[int, float]]:
    """(trainings, regret) of one method on one shuffled table."""
    _, strengths, scores, method, budget, seed = task
    warnings.simplefilter("ignore")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    truth = select(strengths, scores, scale=warp_scale(GRIDS[float(strengths[-1])])).posterior
    order = np.random.default_rng(seed).permutation(scores.shape[1])
    world = World(strengths, scores[:, order])
    best = truth.mean.max()
    return [
        (count, float(best - np.interp(star, truth.strengths, truth.mean)))
        for count, star in METHODS[method](world, budget, seed)
    ]


def curves(path: Path, subject: str) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Strengths and scores of every tabulated pair."""
    table = np.load(path)
    weights = {"pair": (0.5, 0.5), "encoder_1": (1, 0), "encoder_2": (0, 1)}[subject]
    names = [name for name in table.files if not name.endswith(":strengths")]
    return {
        name: (
            table[f"{name}:strengths"].astype(float),
            np.tensordot(weights, table[name].astype(float), 1),
        )
        for name in names
    }


def at(path: Sequence[tuple[int, float]], budgets: Sequence[int]) -> list[float]:
    """Regret of what a method would recommend with each budget."""
    return [next((regret for count, regret in reversed(path) if count <= budget), np.nan) for budget in budgets]


def needed(budgets: np.ndarray, regrets: np.ndarray, target: float) -> float:
    """Trainings from which on the mean regret stays at or below the target; infinite where it does not."""
    later = np.fmax.accumulate(regrets[::-1])[::-1]
    reached = np.flatnonzero((later <= target + 1e-12) & np.isfinite(regrets))
    return float(budgets[reached[0]]) if len(reached) else np.inf


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS), metavar="METHOD")
    parser.add_argument("--replays", type=int, default=12)
    parser.add_argument("--budget", type=int, default=108, help="trainings")
    parser.add_argument("--subject", choices=("pair", "encoder_1", "encoder_2"), default="pair")
    parser.add_argument("--table", type=Path, default=TABLE)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args()
    known = curves(options.table, options.subject)
    budgets = np.arange(7, options.budget + 1)
    begin = time.monotonic()
    tasks = [
        (name, strengths, scores, method, options.budget, seed)
        for method in options.methods
        for name, (strengths, scores) in known.items()
        for seed in range(options.replays)
    ]
    with ProcessPoolExecutor(options.jobs, mp_context=get_context("spawn")) as pool:
        paths = list(pool.map(replay, tasks, chunksize=4))
    regrets = {
        (method, name): np.mean(
            [at(p, budgets) for t, p in zip(tasks, paths, strict=True) if t[3] == method and t[0] == name], axis=0
        )
        for method in options.methods
        for name in known
    }
    mean = {method: np.mean([regrets[method, name] for name in known], axis=0) for method in options.methods}
    print(f"{len(known)} pairs, {options.replays} replays, {time.monotonic() - begin:.0f} s\n")
    shown = [b for b in (18, 27, 36, 45, 60, 72, 90, 108) if b <= options.budget]
    print("Mean regret in points, by trainings\n\n| method | " + " | ".join(map(str, shown)) + " |")
    print("|---" * (1 + len(shown)) + "|")
    for method in options.methods:
        row = [f"{100 * mean[method][b - 7]:.2f}" for b in shown]
        print(f"| {method} | " + " | ".join(row) + " |")
    if "papers" not in options.methods:
        return
    targets = [b for b in (27, 45, 63, 90) if b <= options.budget]
    print("\nTrainings needed to reach the regret that the papers' way has after\n")
    print("| method | " + " | ".join(f"{b} ({100 * mean['papers'][b - 7]:.2f})" for b in targets) + " |")
    print("|---" * (1 + len(targets)) + "|")
    for method in options.methods:
        row = [needed(budgets, mean[method], mean["papers"][b - 7]) for b in targets]
        told = [
            f"{n:.0f} ({b / n:.1f}×)" if np.isfinite(n) else f"> {options.budget}"
            for b, n in zip(targets, row, strict=True)
        ]
        print(f"| {method} | " + " | ".join(told) + " |")
    print("\nBy pair, regret in points at 45 trainings\n")
    for name in known:
        print(
            f"| {name} | "
            + " | ".join(f"{method} {100 * regrets[method, name][45 - 7]:.2f}" for method in options.methods)
            + " |"
        )


if __name__ == "__main__":
    main()
