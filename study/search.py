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
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import numpy as np
import optuna
from numpy.typing import NDArray
from optuna.distributions import FloatDistribution
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState, create_trial

from study.config import Sampler
from study.selection import select
from trainables.spec import ReplicaResult, derive_seed

Arm = Literal["shared", "to_1", "to_2", "confirm"]
_RESULTS = "results:"  # followed by the first replicate's index: one user attribute per pack that held some


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What one Optuna trial stands for: a strength per encoder and values of the nuisance hyperparameters."""

    strength_1: float
    strength_2: float
    nuisance: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A setting that a round asked for, with the replicates (by index) that it needs and has."""

    arm: Arm
    number: int
    round: int
    slot: int
    setting: Setting
    replicates: tuple[int, ...]
    results: Mapping[int, ReplicaResult] = field(default_factory=dict)

    @property
    def missing(self) -> tuple[int, ...]:
        """Replicates that still have to be trained."""
        return tuple(index for index in self.replicates if index not in self.results)


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
                params = _params(arm, setting)
                attributes = {"round": round_, "slot": slot, "replicates": list(replicates), "params": params}
                study.enqueue_trial(params, user_attrs=attributes)
                self._start(cell, arm)
        return tuple(trial for trial in self.trials(cell, arm) if trial.round == round_)

    def suggest(
        self, cell: str, arm: Arm, *, round_: int, count: int, sampler: Sampler, seed: int
    ) -> tuple[float, ...]:
        """`count` new strengths for a round, from the complete trials of earlier rounds alone.

        Each comes from `sampler` on an in-memory copy of those trials in which the strengths suggested before it are
        running, so that the answer is a function of the record and the seed.
        """
        strength = FloatDistribution(*self._space["strength"])
        earlier = [asked for asked in self.trials(cell, arm) if asked.round < round_]
        tried = [_params(arm, asked.setting)["strength"] for asked in earlier]
        study = optuna.create_study(
            direction="maximize",
            sampler=_sampler(
                sampler, seed=derive_seed(seed, cell, arm, round_), gaps=_gaps([*tried, *self._space["strength"]])
            ),
        )
        for asked, tried_strength in zip(earlier, tried, strict=True):
            if not math.isnan(value := _value(asked)):
                study.add_trial(
                    create_trial(
                        params={"strength": tried_strength},
                        distributions={"strength": strength},
                        value=value,
                        user_attrs={"scores": _scores(asked)},
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
        value = _value(asked)
        self._handles[cell, asked.arm, asked.number].set_user_attr("scores", _scores(asked))
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


def _sampler(name: Sampler, *, seed: int, gaps: Sequence[float]) -> optuna.samplers.BaseSampler:
    seed %= 2**32  # the largest that numpy's legacy generators take
    samplers: dict[Sampler, Callable[[], optuna.samplers.BaseSampler]] = {
        "posterior": lambda: PosteriorSampler(seed=seed),
        "gp": lambda: optuna.samplers.GPSampler(seed=seed),
        "tpe": lambda: optuna.samplers.TPESampler(seed=seed),
        "qmc": lambda: optuna.samplers.QMCSampler(seed=seed, scramble=True),
        "grid": lambda: optuna.samplers.GridSampler({"strength": list(gaps)}, seed=seed),
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)  # QMC, since years
        return samplers[name]()


def _params(arm: Arm, setting: Setting) -> dict[str, float]:
    strengths = {
        "shared": {"strength": setting.strength_1},
        "to_1": {"strength": setting.strength_1},
        "to_2": {"strength": setting.strength_2},
        "confirm": {"strength_1": setting.strength_1, "strength_2": setting.strength_2},
    }
    return {**strengths[arm], **setting.nuisance}


def _read(arm: Arm, frozen: FrozenTrial) -> Asked:
    params = dict(frozen.params)
    if arm == "confirm":
        strength_1, strength_2 = params.pop("strength_1"), params.pop("strength_2")
    else:
        strength = params.pop("strength")
        strength_1 = 0.0 if arm == "to_2" else strength
        strength_2 = 0.0 if arm == "to_1" else strength
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
        setting=Setting(strength_1=strength_1, strength_2=strength_2, nuisance=params),
        replicates=tuple(frozen.user_attrs["replicates"]),
        results=results,
    )


def _scores(asked: Asked) -> list[float | None]:
    """What the trial's arm maximises, by replicate: the mean of both encoders, or that of the one that is pulled."""
    pick: dict[Arm, Callable[[tuple[float, float]], float]] = {
        "shared": lambda scores: (scores[0] + scores[1]) / 2,
        "confirm": lambda scores: (scores[0] + scores[1]) / 2,
        "to_1": lambda scores: scores[0],
        "to_2": lambda scores: scores[1],
    }
    values = [pick[asked.arm](asked.results[index].scores) for index in sorted(asked.results)]
    return [None if math.isnan(value) else value for value in values]


def _value(asked: Asked) -> float:
    finite = [score for score in _scores(asked) if score is not None]
    return sum(finite) / len(finite) if finite else math.nan


class PosteriorSampler(optuna.samplers.BaseSampler):
    """Thompson sampling of the strength: the maximiser of a draw from the posterior over curves.

    The surrogate is the Gaussian process of `study.selection`, with a seed effect where trials carry their replicates'
    `scores` in the user attribute of that name. Other parameters are drawn uniformly. Usable in any Optuna study.

    Args:
        name: the parameter that is the strength.
        seed: of all random choices.
    """

    def __init__(self, *, name: str = "strength", seed: int = 0) -> None:
        self._name = name
        self._seed = seed
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
        strengths = np.array([t.params[self._name] for t in complete])
        rows = [t.user_attrs.get("scores") or [t.value] for t in complete]
        width = max(map(len, rows))
        scores = np.full((len(rows), width), np.nan)
        for i, row in enumerate(rows):
            scores[i, : len(row)] = [np.nan if s is None else s for s in row]
        bounds = (param_distribution.low, param_distribution.high)
        posterior = select(strengths, scores, range_=bounds).posterior
        taken = [t.params[self._name] for t in study.get_trials(deepcopy=False) if self._name in t.params]
        probability = posterior.argmax_probability * _untried(posterior.strengths, taken)
        if not probability.any():
            probability = _untried(posterior.strengths, taken).astype(float)
        rng = np.random.default_rng(derive_seed(self._seed, trial.number))
        return float(rng.choice(posterior.strengths, p=probability / probability.sum()))


def _untried(grid: NDArray[np.float64], taken: Sequence[float]) -> NDArray[np.bool_]:
    """Which points of an ascending grid are not the nearest one of a strength that was tried already."""
    free = np.ones(len(grid), dtype=bool)
    for strength in taken:
        free[np.abs(grid - strength).argmin()] = False
    return free
