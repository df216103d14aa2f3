"""Strengths asked from and told to Optuna, whose storage is the only truth of a study.

One Optuna study per cell and arm; one Optuna trial per strength and nuisance setting, its replicates in user
attributes. What a round asks for depends only on the results of earlier rounds, so a round can be asked again after a
crash and is the same; trials already asked are found by their round and slot. There is one writer at a time (the
coordinator holds the study's lock), so a trial left RUNNING by a killed coordinator is taken over as it is: it keeps
the replicates that were recorded and waits for the rest.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from numpy.typing import NDArray
from optuna.distributions import FloatDistribution
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState, create_trial

from study.config import Sampler
from study.selection import Curve, select, warp, warp_scale
from study.trials import Arm, Asked, Setting
from trainables.spec import ReplicaResult, derive_seed

_RESULTS = "results:"  # followed by the first replicate's index: one user attribute per pack that held some


class Ledger:
    """All trials of one study, read once from Optuna's storage and kept in step with it.

    Args:
        storage: as `open_storage` gives it.
        name: name of the study; Optuna's studies are called `<name>/<cell>/<arm>`.
        space: smallest and largest value of every parameter, `strength` and the nuisance hyperparameters.
    """

    def __init__(self, storage: BaseStorage, *, name: str, space: Mapping[str, tuple[float, float]]) -> None:
        self._storage = storage
        self._name = name
        self._space = space
        self._studies: dict[tuple[str, Arm], optuna.Study] = {}
        self._handles: dict[tuple[str, Arm, int], optuna.Trial] = {}
        self._asked: dict[tuple[str, Arm], dict[int, Asked]] = {}
        self._notes = optuna.create_study(storage=storage, study_name=name, load_if_exists=True)

    def note(self, key: str) -> Any:
        """What `set_note` stored under `key`; None where nothing is."""
        return self._notes.user_attrs.get(key)

    def set_note(self, key: str, value: Any) -> None:
        """Store a JSON value beside the trials: the configuration, a cell's profile."""
        self._notes.set_user_attr(key, value)

    def trials(self, cell: str, arm: Arm) -> tuple[Asked, ...]:
        """Everything asked so far in one arm of a cell, ordered by round and slot."""
        return tuple(sorted(self._load(cell, arm).values(), key=lambda asked: (asked.round, asked.slot)))

    def ask(
        self, cell: str, arm: Arm, *, round_: int, settings: Sequence[Setting], replicates: Sequence[int]
    ) -> tuple[Asked, ...]:
        """The trials of a round, one per setting; those that an interrupted run asked already are found again."""
        study, asked = self._study(cell, arm), self._load(cell, arm)
        present = {trial.slot for trial in asked.values() if trial.round == round_}
        for slot, setting in enumerate(settings):
            if slot not in present:
                params = setting.params(arm)
                attributes = {"round": round_, "slot": slot, "replicates": list(replicates), "params": params}
                study.enqueue_trial(params, user_attrs=attributes)
                self._start(cell, arm)
        return tuple(trial for trial in self.trials(cell, arm) if trial.round == round_)

    def suggest(
        self, cell: str, arm: Arm, *, round_: int, count: int, sampler: Sampler, seed: int, scale: float
    ) -> tuple[float, ...]:
        """`count` new strengths for a round, from the complete trials of earlier rounds alone.

        Each comes from `sampler` on an in-memory copy of those trials in which the strengths suggested before it are
        running, so that the answer is a function of the record and the seed. `scale` is that of the warp of strengths.
        """
        strength = FloatDistribution(*self._space["strength"])
        earlier = [asked for asked in self.trials(cell, arm) if asked.round < round_]
        tried = [asked.setting.params(arm)["strength"] for asked in earlier]
        study = optuna.create_study(
            direction="maximize",
            sampler=_sampler(
                sampler,
                seed=derive_seed(seed, cell, arm, round_),
                scale=scale,
                gaps=_gaps([*tried, *self._space["strength"]]),
            ),
        )
        for asked, tried_strength in zip(earlier, tried, strict=True):
            if not math.isnan(value := asked.value):
                study.add_trial(
                    create_trial(
                        params={"strength": tried_strength},
                        distributions={"strength": strength},
                        value=value,
                        user_attrs={"scores": asked.scores},
                    )
                )
        return tuple(float(study.ask({"strength": strength}).params["strength"]) for _ in range(count))

    def record(self, cell: str, asked: Asked, results: Mapping[int, ReplicaResult]) -> None:
        """Store replicates of a trial, and tell Optuna its value once none is missing; known ones are left alone."""
        current = self._load(cell, asked.arm)[asked.number]
        fresh = {index: results[index] for index in current.missing if index in results}
        if not fresh:
            return
        payload = {str(index): result.to_json() for index, result in fresh.items()}
        handle = self._handles[cell, asked.arm, asked.number]
        handle.set_user_attr(f"{_RESULTS}{min(fresh)}", payload)
        updated = replace(current, results={**current.results, **fresh})
        self._asked[cell, asked.arm][asked.number] = updated
        if not updated.missing:
            self._tell(cell, updated)

    def _tell(self, cell: str, asked: Asked) -> None:
        value = asked.value
        self._handles[cell, asked.arm, asked.number].set_user_attr("scores", asked.scores)
        state = TrialState.FAIL if math.isnan(value) else TrialState.COMPLETE
        values = None if math.isnan(value) else value
        self._study(cell, asked.arm).tell(asked.number, values, state=state)

    def _study(self, cell: str, arm: Arm) -> optuna.Study:
        key = (cell, arm)
        if key not in self._studies:
            self._studies[key] = optuna.create_study(
                storage=self._storage,
                study_name=f"{self._name}/{cell}/{arm}",
                direction="maximize",
                load_if_exists=True,
            )
        return self._studies[key]

    def _load(self, cell: str, arm: Arm) -> dict[int, Asked]:
        key = (cell, arm)
        if key not in self._asked:
            study = self._study(cell, arm)
            self._asked[key] = {}
            for frozen in study.get_trials(deepcopy=False):
                if frozen.state == TrialState.WAITING:  # killed between enqueueing and asking
                    self._start(cell, arm)
                else:
                    self._adopt(cell, arm, frozen)
                    asked = self._asked[key][frozen.number]
                    if frozen.state == TrialState.RUNNING and not asked.missing:  # killed before telling
                        self._tell(cell, asked)
        return self._asked[key]

    def _start(self, cell: str, arm: Arm) -> None:
        """Turn the oldest enqueued trial into a running one; its values are fixed, so no sampler is asked."""
        study = self._study(cell, arm)
        trial = study.ask()
        for name, value in trial.user_attrs["params"].items():
            low, high = self._space["strength" if name.startswith("strength") else name]
            trial.suggest_float(name, min(low, value), max(high, value))
        self._adopt(cell, arm, study.get_trials(deepcopy=False)[trial.number])

    def _adopt(self, cell: str, arm: Arm, frozen: FrozenTrial) -> None:
        self._handles[cell, arm, frozen.number] = optuna.Trial(self._study(cell, arm), frozen._trial_id)
        self._asked[cell, arm][frozen.number] = _read(arm, frozen)


def open_storage(url: str | None, *, folder: Path) -> BaseStorage:
    """Optuna's storage at `url`; None is a journal file in `folder`, for studies of one machine.

    Must be called with the study's lock held: what a killed writer left half-written at the end of the journal, and
    its lock, are removed.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    if url is not None:
        return RDBStorage(url)
    folder.mkdir(parents=True, exist_ok=True)
    journal = folder / "journal.log"
    for suffix in (".lock", ".rename"):
        Path(f"{journal}{suffix}").unlink(missing_ok=True)
    _drop_torn_tail(journal)
    return JournalStorage(JournalFileBackend(str(journal)))


def _drop_torn_tail(journal: Path) -> None:
    if not journal.exists():
        return
    with journal.open("rb+") as file:
        content = file.read()
        file.truncate(content.rfind(b"\n") + 1)


def _gaps(strengths: Iterable[float]) -> list[float]:
    """Middles of the gaps between strengths, which a grid is refined by."""
    return [(low + high) / 2 for low, high in pairwise(sorted(set(strengths)))]


def _sampler(name: Sampler, *, seed: int, scale: float, gaps: Sequence[float]) -> optuna.samplers.BaseSampler:
    seed %= 2**32  # the largest that numpy's legacy generators take
    samplers: dict[Sampler, Callable[[], optuna.samplers.BaseSampler]] = {
        "posterior": lambda: PosteriorSampler(seed=seed, scale=scale),
        "gp": lambda: optuna.samplers.GPSampler(seed=seed),
        "tpe": lambda: optuna.samplers.TPESampler(seed=seed),
        "qmc": lambda: optuna.samplers.QMCSampler(seed=seed, scramble=True),
        "grid": lambda: optuna.samplers.GridSampler({"strength": list(gaps)}, seed=seed),
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)  # QMC, since years
        return samplers[name]()


def _read(arm: Arm, frozen: FrozenTrial) -> Asked:
    results = {
        int(index): ReplicaResult.from_json(result)
        for key, payload in frozen.user_attrs.items()
        if key.startswith(_RESULTS)
        for index, result in payload.items()
    }
    return Asked(
        arm=arm,
        number=frozen.number,
        round=frozen.user_attrs["round"],
        slot=frozen.user_attrs["slot"],
        setting=Setting.from_params(arm, frozen.params),
        replicates=tuple(frozen.user_attrs["replicates"]),
        results=results,
    )


class PosteriorSampler(optuna.samplers.BaseSampler):
    """Refines the strength where its optimum may lie: asked k times, it covers the posterior of the argmax by k points.

    The surrogate is the Gaussian process of `study.selection`, with a seed effect where trials carry their replicates'
    `scores` in the user attribute of that name. Each strength is the one that most reduces the expected distance, on
    the warped axis, from the optimum to the nearest strength being tried; so the first lies at the posterior's median
    and further running trials spread over its width. Below three different strengths, and for any other parameter, it
    draws uniformly. Deterministic given the trials and the seed; usable in any Optuna study that maximises.

    Args:
        name: the parameter that is the strength.
        seed: of all random choices.
        scale: of the warp, see `study.selection.warp_scale`; None: from the strengths of the first ten trials.
    """

    def __init__(self, *, name: str = "strength", seed: int = 0, scale: float | None = None) -> None:
        self._name = name
        self._scale = scale
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
        """The strength from the posterior of its optimum; any other parameter uniformly."""
        complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        complete = [t for t in complete if self._name in t.params]
        if param_name != self._name or len({t.params[self._name] for t in complete}) < 3:
            return self._random.sample_independent(study, trial, param_name, param_distribution)
        best: dict[float, FrozenTrial] = {}  # one a strength, where it was tried with several nuisance settings
        for done in sorted(complete, key=lambda t: t.value or 0.0):
            best[done.params[self._name]] = done
        rows = [trial.user_attrs.get("scores") or [trial.value] for trial in best.values()]
        scores = np.full((len(rows), max(map(len, rows))), np.nan)
        for i, row in enumerate(rows):
            scores[i, : len(row)] = [np.nan if score is None else score for score in row]
        bounds = (param_distribution.low, param_distribution.high)
        others = [t for t in study.get_trials(deepcopy=False) if self._name in t.params]
        scale = self._scale or warp_scale([*bounds, *(t.params[self._name] for t in others[:10])])
        posterior = select(list(best), scores, range_=bounds, scale=scale).posterior
        running = [t.params[self._name] for t in others if not t.state.is_finished()]
        return _most_covering(posterior, scale, running=running, tried=[t.params[self._name] for t in others])


def _most_covering(posterior: Curve, scale: float, *, running: Sequence[float], tried: Sequence[float]) -> float:
    """The untried grid point that, with the running ones, is expected to lie closest to the optimum."""
    grid = posterior.strengths
    place = warp(grid, scale=scale)
    distance = np.abs(place[:, None] - place[None, :])  # (optimum, candidate)
    covered = distance[:, [_nearest(grid, strength) for strength in running]].min(axis=1, initial=np.inf)
    expected = posterior.argmax_probability @ np.minimum(distance, covered[:, None])
    expected[[_nearest(grid, strength) for strength in tried]] = np.inf
    return float(grid[expected.argmin()])


def _nearest(grid: NDArray[np.float64], strength: float) -> int:
    return int(np.abs(grid - strength).argmin())
