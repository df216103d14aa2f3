"""The next strengths of an arm: by our own rule, which knows that strengths share seeds, or by Optuna's samplers."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from typing import Literal

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, FloatDistribution
from optuna.trial import TrialState, create_trial

from study.cells.trials import SERVED, Arm, Asked, Subject
from study.config import Sampler
from study.search.curves import Nuisance, nuisance_of
from study.search.tables import K, Tried, best_by_strength, score_table
from study.selection import Unit, free_columns, has_curve, next_strength

_FEWEST = 3  # strengths with a score, below which the posterior of a curve guides nobody


def suggest(
    earlier: Sequence[Asked],
    arm: Arm,
    *,
    count: int,
    sampler: Sampler,
    seed: int,
    range_: tuple[float, float],
    scale: float,
    seeds: int,
) -> tuple[Unit, ...]:
    """`count` units of `seeds` trainings each, given the trials of an arm: strengths, and which replicates there.

    A function of the record and the seed; the units suggested before one count as running. `scale` is that of the warp
    of strengths. Each unit seeks the optimum of one whom the arm serves, in turn and two units each: fresh seeds say
    something at two strengths or more.
    """
    taken: dict[float, set[int]] = {}
    for asked in earlier:
        taken.setdefault(asked.setting.strength, set()).update(asked.replicates)
    begun = sum(len(columns) for columns in taken.values()) // seeds
    served = SERVED[arm]
    units: list[Unit] = []
    for index in range(count):
        subject = served[(begun + index) // 2 % len(served)]
        own_seed = (seed + index) % 2**32  # the largest that numpy's legacy generators take
        strength = None
        if sampler == "posterior":
            strength = informative_strength(
                [_tried(asked, subject) for asked in earlier],
                running=units,
                seeds=seeds,
                range_=range_,
                scale=scale,
                seed=own_seed,
            )
        if strength is None:
            by_optuna = _sampler(
                "random" if sampler == "posterior" else sampler, seed=own_seed, gaps=_gaps([*taken, *range_])
            )
            strength = _asked_of_optuna(by_optuna, earlier, subject, running=units, range_=range_)
        chosen = _nearest_tried(strength, taken, range_)
        columns = free_columns(taken.get(chosen, set()), seeds)
        taken.setdefault(chosen, set()).update(columns)
        units.append(Unit(strength=chosen, columns=columns))
    return tuple(units)


def informative_strength(
    tried: Iterable[Tried[K]],
    *,
    running: Sequence[Unit],
    seeds: int,
    range_: tuple[float, float],
    scale: float,
    seed: int,
) -> float | None:
    """`study.selection.next_strength` after these trials, whose replicates are its columns; None without a curve.

    There is none below three strengths that have a score, or where too few of the scores count.
    """
    best = best_by_strength(tried)
    width = 1 + max((index for one in best for index in one.scores), default=0)
    scores, diverged = score_table([one.scores for one in best], replicates=range(width))
    if np.isfinite(scores).any(axis=1).sum() < _FEWEST or not has_curve(scores, diverged=diverged):
        return None
    return next_strength(
        [one.strength for one in best],
        scores,
        diverged=diverged,
        running=running,
        seeds=seeds,
        range_=range_,
        scale=scale,
        seed=seed,
    )


def _tried(asked: Asked, subject: Subject) -> Tried[Nuisance]:
    return Tried(
        strength=asked.setting.strength,
        setting=nuisance_of(asked),
        scores=asked.scores_of(subject),
    )


def _nearest_tried(strength: float, tried: Iterable[float], range_: tuple[float, float]) -> float:
    """The strength to three significant digits, or the tried one that it is to within those."""
    rounded = min(max(float(f"{strength:.3g}"), range_[0]), range_[1])
    near = [other for other in tried if abs(other - strength) <= 5e-4 * range_[1] + 5e-3 * strength]
    return min(near, key=lambda other: abs(other - strength)) if near else rounded


def _asked_of_optuna(
    sampler: optuna.samplers.BaseSampler,
    earlier: Sequence[Asked],
    subject: Subject,
    *,
    running: Sequence[Unit],
    range_: tuple[float, float],
) -> float:
    """The strength that a sampler of Optuna's tries next, by the mean scores of the trials so far."""
    space: dict[str, BaseDistribution] = {"strength": FloatDistribution(*range_)}
    study = optuna.create_study(direction="maximize", sampler=sampler)
    for asked in earlier:
        known = [score for score in asked.scores_of(subject).values() if score is not None]
        study.add_trial(
            create_trial(
                state=TrialState.COMPLETE if known else TrialState.FAIL,
                params={"strength": asked.setting.strength},
                distributions=space,
                value=sum(known) / len(known) if known else None,
            )
        )
    for unit in running:
        study.add_trial(create_trial(state=TrialState.RUNNING, params={"strength": unit.strength}, distributions=space))
    return float(study.ask(space).params["strength"])


def _gaps(strengths: Iterable[float]) -> list[float]:
    """Middles of the gaps between strengths, which a grid is refined by."""
    return [(low + high) / 2 for low, high in pairwise(sorted(set(strengths)))]


def _sampler(
    name: Literal["gp", "tpe", "qmc", "grid", "random"], *, seed: int, gaps: Sequence[float]
) -> optuna.samplers.BaseSampler:
    samplers: dict[str, Callable[[], optuna.samplers.BaseSampler]] = {
        "gp": lambda: optuna.samplers.GPSampler(seed=seed),
        "tpe": lambda: optuna.samplers.TPESampler(seed=seed),
        "qmc": lambda: optuna.samplers.QMCSampler(seed=seed, scramble=True),
        "grid": lambda: optuna.samplers.GridSampler({"strength": list(gaps)}, seed=seed),
        "random": lambda: optuna.samplers.RandomSampler(seed=seed),
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)  # QMC, since years
        return samplers[name]()
