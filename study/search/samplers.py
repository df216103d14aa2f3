"""What to try next: Optuna's samplers, and our own, which knows that strengths share seeds."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import optuna
from optuna.distributions import FloatDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial

from study.cells.trials import ENCODER_1, ENCODER_2, PAIR, Arm, Asked, Weights
from study.config import Sampler
from study.selection import Unit, counted, free_columns, has_curve, next_strength, warp_scale

# Whose optimum a unit is sought for, in turn and two units each: fresh seeds say something at two strengths or more.
_SERVED: Mapping[Arm, Sequence[Weights]] = {
    "shared": (ENCODER_1, ENCODER_2, PAIR),
    "to_1": (ENCODER_1,),
    "to_2": (ENCODER_2,),
}


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

    Each comes from `sampler` on an in-memory Optuna study of those trials, in which the units suggested before it are
    running; so the answer is a function of the record and the seed. `scale` is that of the warp of strengths.
    """
    strength = FloatDistribution(*range_)
    tried = [asked.setting.params(arm)["strength"] for asked in earlier]
    taken: dict[float, set[int]] = {}
    for asked, value in zip(earlier, tried, strict=True):
        taken.setdefault(value, set()).update(asked.replicates)
    begun = sum(len(columns) for columns in taken.values()) // seeds
    served = _SERVED[arm]
    units: list[Unit] = []
    for index in range(count):
        weights = served[(begun + index) // 2 % len(served)]
        study = optuna.create_study(
            direction="maximize",
            sampler=_sampler(
                sampler, seed=seed + index, scale=scale, seeds=seeds, gaps=_gaps([*tried, *taken, *range_])
            ),
        )
        study.add_trials(
            [_finished(asked, value, weights, strength) for asked, value in zip(earlier, tried, strict=True)]
        )
        for unit in units:
            study.add_trial(
                create_trial(
                    state=TrialState.RUNNING,
                    params={"strength": unit.strength},
                    distributions={"strength": strength},
                    user_attrs={"replicates": list(unit.columns)},
                )
            )
        chosen = _nearest_tried(float(study.ask({"strength": strength}).params["strength"]), taken, range_)
        columns = free_columns(taken.get(chosen, set()), seeds)
        taken.setdefault(chosen, set()).update(columns)
        units.append(Unit(strength=chosen, columns=columns))
    return tuple(units)


def _nearest_tried(strength: float, tried: Iterable[float], range_: tuple[float, float]) -> float:
    """The strength to three significant digits, or the tried one that it is to within those."""
    rounded = min(max(float(f"{strength:.3g}"), range_[0]), range_[1])
    near = [other for other in tried if abs(other - strength) <= 5e-4 * range_[1] + 5e-3 * strength]
    return min(near, key=lambda other: abs(other - strength)) if near else rounded


def _finished(asked: Asked, strength: float, weights: Weights, distribution: FloatDistribution) -> FrozenTrial:
    scores = asked.scores_of(weights)
    known = [score for score in scores.values() if score is not None]
    return create_trial(
        state=TrialState.COMPLETE if known else TrialState.FAIL,
        params={"strength": strength},
        distributions={"strength": distribution},
        value=sum(known) / len(known) if known else None,
        user_attrs={
            "scores": list(scores.values()),
            "replicates": list(scores),
            "nuisance": dict(asked.setting.nuisance),
        },
    )


def _gaps(strengths: Iterable[float]) -> list[float]:
    """Middles of the gaps between strengths, which a grid is refined by."""
    return [(low + high) / 2 for low, high in pairwise(sorted(set(strengths)))]


def _sampler(
    name: Sampler, *, seed: int, scale: float, seeds: int, gaps: Sequence[float]
) -> optuna.samplers.BaseSampler:
    seed %= 2**32  # the largest that numpy's legacy generators take
    samplers: dict[Sampler, Callable[[], optuna.samplers.BaseSampler]] = {
        "posterior": lambda: PosteriorSampler(seed=seed, scale=scale, seeds=seeds),
        "gp": lambda: optuna.samplers.GPSampler(seed=seed),
        "tpe": lambda: optuna.samplers.TPESampler(seed=seed),
        "qmc": lambda: optuna.samplers.QMCSampler(seed=seed, scramble=True),
        "grid": lambda: optuna.samplers.GridSampler({"strength": list(gaps)}, seed=seed),
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)  # QMC, since years
        return samplers[name]()


class PosteriorSampler(optuna.samplers.BaseSampler):
    """Asks for the training that is expected to tell most about λ*: at another strength, or with more seeds at one.

    The surrogate is the Gaussian process of `study.selection`, whose scores share seeds across strengths; the value of
    a training is that of `study.selection.placement`. A strength that was tried before means: fresh seeds there. Below
    three different strengths, where no curve can be drawn, and for any other parameter, it draws uniformly.
    Deterministic given the trials and the seed; usable in any Optuna study that maximises.

    A trial may stand for several seeds: their scores (None: diverged) are read from its user attribute `scores`, and
    which seeds these are from `replicates`; without them a trial is one seed, the first that its strength has not had.

    Args:
        name: the parameter that is the strength.
        seed: of all random choices.
        scale: of the warp, see `study.selection.warp_scale`; None: from the strengths of the first ten trials.
        seeds: that the trial asked for will be trained with.
    """

    def __init__(self, *, name: str = "strength", seed: int = 0, scale: float | None = None, seeds: int = 1) -> None:
        self._name = name
        self._seed = seed
        self._scale = scale
        self._seeds = seeds
        self._random = optuna.samplers.RandomSampler(seed=seed % 2**32)

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, Any]:
        """Nothing: every parameter is sampled on its own."""
        del study, trial
        return {}

    def sample_relative(self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, Any]) -> dict[str, Any]:
        """Nothing, see `infer_relative_search_space`."""
        del study, trial, search_space
        return {}

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: Any
    ) -> Any:
        """The strength by what it tells; any other parameter uniformly."""
        trials = [t for t in study.get_trials(deepcopy=False) if self._name in t.params]
        table = _Table.of(trials, self._name)
        if param_name != self._name or not table.has_curve:
            return self._random.sample_independent(study, trial, param_name, param_distribution)
        bounds = (param_distribution.low, param_distribution.high)
        return next_strength(
            table.strengths,
            table.scores,
            diverged=table.diverged,
            running=table.running,
            seeds=self._seeds,
            range_=bounds,
            scale=self._scale or warp_scale([*bounds, *(t.params[self._name] for t in trials[:10])]),
            seed=self._seed % 2**32,
        )


class _Table:
    """Trials as a table: one row a strength (by its best setting of all else), one column a seed."""

    def __init__(self, rows: Mapping[float, Mapping[int, float | None]], running: Sequence[Unit]) -> None:
        self.strengths = np.array(sorted(rows))
        width = 1 + max((column for row in rows.values() for column in row), default=0)
        self.scores = np.full((len(rows), width), np.nan)
        self.diverged = np.zeros((len(rows), width), bool)
        self.running = tuple(running)
        for place, strength in enumerate(sorted(rows)):
            for column, score in rows[strength].items():
                self.diverged[place, column] = score is None
                self.scores[place, column] = math.nan if score is None else score

    @property
    def has_curve(self) -> bool:
        """Whether three strengths have a score, and those that count make a curve."""
        scored = int(np.isfinite(self.scores).any(axis=1).sum())
        return scored >= 3 and has_curve(self.scores, diverged=self.diverged)

    @classmethod
    def of(cls, trials: Sequence[FrozenTrial], name: str) -> _Table:
        settings: dict[float, dict[str, dict[int, float | None]]] = {}
        running = []
        for trial in trials:
            strength = trial.params[name]
            others = {key: value for key, value in trial.params.items() if key != name}
            setting = repr((sorted(others.items()), sorted(trial.user_attrs.get("nuisance", {}).items())))
            row = settings.setdefault(strength, {}).setdefault(setting, {})
            scores = trial.user_attrs.get("scores", [trial.value])
            columns = trial.user_attrs.get("replicates", free_columns(set(row), len(scores)))
            if trial.state in (TrialState.COMPLETE, TrialState.FAIL):
                row.update(zip(columns, scores, strict=True))
            elif not trial.state.is_finished():
                running.append(Unit(strength=strength, columns=tuple(columns)))
        best = {strength: max(rows.values(), key=_rank) for strength, rows in settings.items()}
        return cls({strength: row for strength, row in best.items() if row}, running)


def _rank(row: Mapping[int, float | None]) -> tuple[bool, float]:
    """Whether the scores of a setting count, and their mean."""
    known = [score for score in row.values() if score is not None]
    values = [[math.nan if score is None else score for score in row.values()]]
    return bool(counted(values).any()), sum(known) / len(known) if known else -math.inf
