"""Our own rule for the next strength as a sampler of Optuna, for studies that somebody else runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from study.search.samplers import informative_strength
from study.search.tables import Tried
from study.selection import Unit, free_columns, warp_scale


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
        self._seed = seed % 2**32
        self._scale = scale
        self._seeds = seeds
        self._random = optuna.samplers.RandomSampler(seed=self._seed)

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
        strength = None
        if param_name == self._name:
            trials = [one for one in study.get_trials(deepcopy=False) if self._name in one.params]
            tried, running = _read(trials, self._name)
            bounds = (param_distribution.low, param_distribution.high)
            strength = informative_strength(
                tried,
                running=running,
                seeds=self._seeds,
                range_=bounds,
                scale=self._scale or warp_scale([*bounds, *(one.params[self._name] for one in trials[:10])]),
                seed=self._seed,
            )
        if strength is None:
            return self._random.sample_independent(study, trial, param_name, param_distribution)
        return strength


def _read(trials: Sequence[FrozenTrial], name: str) -> tuple[list[Tried[str]], list[Unit]]:
    """Trials with their scores, and those that still run; `name` is the parameter that is the strength."""
    tried: list[Tried[str]] = []
    running: list[Unit] = []
    taken: dict[tuple[float, str], set[int]] = {}
    for trial in trials:
        strength = trial.params[name]
        setting = repr(sorted((key, value) for key, value in trial.params.items() if key != name))
        scores = trial.user_attrs.get("scores", [trial.value])
        known = taken.setdefault((strength, setting), set())
        replicates = trial.user_attrs.get("replicates", free_columns(known, len(scores)))
        if trial.state in (TrialState.COMPLETE, TrialState.FAIL):
            known.update(replicates)
            tried.append(Tried(strength=strength, setting=setting, scores=dict(zip(replicates, scores, strict=True))))
        elif not trial.state.is_finished():
            running.append(Unit(strength=strength, columns=tuple(replicates)))
    return tried, running
