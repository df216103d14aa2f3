"""The ways of searching that `search.py` compares: each trains by looking up a table, and recommends as it goes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
import optuna

from study.selection import select, warp_scale
from study.selection.placement import Unit, free_columns, next_strength

GRIDS = {4.0: (0, 0.1, 0.25, 0.5, 0.6, 0.75, 1, 2, 4), 2.0: (0, 0.2, 0.4, 0.6, 0.8, 1, 2)}  # by the range's end
SEEDS_A_TRIAL = 3
FEW = (0, 2, 4, 6, 8)  # of the grid's nine strengths, or as near as its end
ENCODERS = ((1.0, 0.0), (0.0, 1.0))
PAIR = (0.5, 0.5)


@dataclass(frozen=True, kw_only=True)
class Recommendation:
    """What a method says after so many trainings, in so many rounds; interval and expected regret where it has them."""

    trainings: int
    strength: float
    rounds: int
    interval: tuple[float, float] | None = None
    expected_regret: float = float("nan")


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How an adaptive search goes about it: `places` of the grid for the first round (None: all), seeds of a unit (and
    of each strength of the first round), units a round, and the weights of both encoders that its units serve in turn.
    """

    seeds: int
    per_round: int = 2
    places: tuple[int, ...] | None = None
    served: tuple[tuple[float, float], ...] = (PAIR,)


@dataclass(frozen=True)
class World:
    """One tabulated pair with its seeds in some order."""

    strengths: np.ndarray
    scores: np.ndarray  # (encoders, strengths, seeds)
    judged: tuple[float, float]  # weights of the encoders

    @property
    def end(self) -> float:
        return float(self.strengths[-1])

    @property
    def grid(self) -> np.ndarray:
        return np.array(GRIDS[self.end], float)

    def train(self, strength: float, seed: int, subject: tuple[float, float] | None = None) -> float:
        scores = np.tensordot(subject or self.judged, self.scores[:, :, seed % self.scores.shape[2]], 1)
        return float(np.interp(strength, self.strengths, scores))

    def table(
        self, trained: dict[float, tuple[int, ...]], subject: tuple[float, float] | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        strengths = np.array(sorted(trained))
        scores = np.full((len(strengths), 1 + max(max(seeds) for seeds in trained.values())), np.nan)
        for row, strength in enumerate(strengths):
            for seed in trained[strength]:
                scores[row, seed] = self.train(strength, seed, subject)
        return strengths, scores


def best_of_grid(world: World, budget: int, smooth: bool) -> Iterator[Recommendation]:
    grid = world.grid
    for seeds in range(1, budget // len(grid) + 1):
        strengths, scores = world.table({float(x): tuple(range(seeds)) for x in grid})
        star = select(strengths, scores).lambda_star if smooth else float(strengths[scores.mean(axis=1).argmax()])
        yield Recommendation(trainings=scores.size, strength=star, rounds=seeds)


def adaptive(world: World, budget: int, seed: int, *, plan: Plan) -> Iterator[Recommendation]:
    grid = world.grid
    first = grid if plan.places is None else grid[sorted({min(place, len(grid) - 1) for place in plan.places})]
    trained = {float(x): tuple(range(plan.seeds)) for x in first}
    options = {"range_": (0.0, world.end), "scale": warp_scale(grid)}
    rounds = begun = 0
    while True:
        strengths, scores = world.table(trained)
        rounds += 1
        selection = select(strengths, scores, diverged=np.zeros(scores.shape, bool), seed=seed, **options)
        yield Recommendation(
            trainings=int(np.isfinite(scores).sum()),
            strength=selection.lambda_star,
            rounds=rounds,
            interval=selection.interval,
            expected_regret=selection.expected_regret,
        )
        if np.isfinite(scores).sum() >= budget:
            return
        running: list[Unit] = []
        seen = {subject: world.table(trained, subject)[1] for subject in plan.served}
        for _ in range(plan.per_round):  # fresh seeds come at two strengths at once or say nothing
            subject = plan.served[begun // 2 % len(plan.served)]
            place = next_strength(strengths, seen[subject], running=running, seeds=plan.seeds, seed=seed, **options)
            columns = free_columns(set(trained.get(place, ())), plan.seeds)
            trained[place] = (*trained.get(place, ()), *columns)
            running.append(Unit(strength=place, columns=columns))
            begun += 1


def best_trial(
    world: World, budget: int, seed: int, make: Callable[[int], optuna.samplers.BaseSampler], seeds: int
) -> Iterator[Recommendation]:
    study = optuna.create_study(direction="maximize", sampler=make(seed))
    for trial in range(budget // seeds):
        asked = study.ask()
        strength = asked.suggest_float("strength", 0, world.end)
        study.tell(asked, float(np.mean([world.train(strength, trial * (seeds == 1) + i) for i in range(seeds)])))
        if (trial + 1) % 4 == 0:
            yield Recommendation(
                trainings=(trial + 1) * seeds, strength=float(study.best_params["strength"]), rounds=trial + 1
            )


def tpe(seed: int) -> optuna.samplers.BaseSampler:
    return optuna.samplers.TPESampler(seed=seed)


def gp(seed: int) -> optuna.samplers.BaseSampler:
    return optuna.samplers.GPSampler(seed=seed)


PLANS = {
    "posterior": Plan(seeds=2),
    "five seeds": Plan(seeds=5, per_round=4),
    "sparse": Plan(seeds=1),
    "sparse, fours": Plan(seeds=1, per_round=4),
    "sparse, five": Plan(seeds=1, places=FEW),
    "sparse, served": Plan(seeds=1, served=(*ENCODERS, PAIR)),
}
METHODS: dict[str, Callable[[World, int, int], Iterator[Recommendation]]] = {
    "papers": lambda world, budget, _: best_of_grid(world, budget, False),
    "smooth": lambda world, budget, _: best_of_grid(world, budget, True),
    **{name: partial(adaptive, plan=plan) for name, plan in PLANS.items()},
    "tpe": lambda world, budget, seed: best_trial(world, budget, seed, tpe, 1),
    "gp": lambda world, budget, seed: best_trial(world, budget, seed, gp, 1),
    "tpe mean": lambda world, budget, seed: best_trial(world, budget, seed, tpe, SEEDS_A_TRIAL),
    "gp mean": lambda world, budget, seed: best_trial(world, budget, seed, gp, SEEDS_A_TRIAL),
}
