"""Strengths asked from and told to Optuna, whose storage is the only truth of a study.

One Optuna study per cell and arm; one Optuna trial per strength and nuisance setting, its replicates in user
attributes. What a round asks for depends only on the results of earlier rounds, so a round can be asked again after a
crash and is the same; trials already asked are found by their round and slot. There is one writer at a time (the
coordinator holds the study's lock), so a trial left RUNNING by a killed coordinator is taken over as it is: it keeps
the replicates that were recorded and waits for the rest.
"""

from __future__ import annotations

import math
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from optuna.exceptions import StorageInternalError
from optuna.storages import BaseStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial
from sqlalchemy.exc import DBAPIError, InterfaceError, InternalError, OperationalError

from study.cells.trials import Arm, Asked, Setting
from study.config import ConfigError
from study.search.record.notes import WRITER, Note
from study.search.record.opening import close_storage
from study.search.record.reading import RESULTS, count_results, read_trial
from study.search.record.storage import first_line
from trainables.functions.spec import Value
from trainables.spec import ReplicateResult

T = TypeVar("T")
_PAUSE_SECONDS, _PATIENCE_SECONDS = 0.2, 30.0  # before a write is tried again, and until it is not any more


class Ledger:
    """All trials of one study, read once from Optuna's storage and kept in step with it.

    Args:
        storage: as `open_storage` gives it.
        name: name of the study; Optuna's studies are called `<name>/<cell>/<arm>`.
        space: smallest and largest value of every parameter, `strength` and the nuisance hyperparameters.
        choices: all values of those nuisance hyperparameters that have no range.
        renew: makes sure that this process may still write, waiting for a database that is down, and says whether it
            had lost that right meanwhile; called before every write.

    Every change is one transaction that may be repeated: where it is not known whether one came through, what is
    stored is read again and only what is missing is written.
    """

    def __init__(
        self,
        storage: BaseStorage,
        *,
        name: str,
        space: Mapping[str, tuple[float, float]],
        choices: Mapping[str, Sequence[Value]] = {},
        renew: Callable[[], bool] = lambda: False,
    ) -> None:
        self._storage = storage
        self._name = name
        self._space, self._choices = space, choices
        self._renew = renew
        self._writer: str | None = None
        self._fault: OSError | None = None
        self._studies: dict[str, int] = {}
        self._trial_ids: dict[tuple[str, Arm, int, int], int] = {}
        self._asked: dict[tuple[str, Arm], dict[tuple[int, int], Asked]] = {}  # by round and slot
        self._notes = self._durably(lambda: self._study_id(name))

    def close(self) -> None:
        """Close the connections to the database, if it is one."""
        close_storage(self._storage)

    @property
    def trained(self) -> int:
        """How many trainings have a result."""
        return self._durably(lambda: count_results(self._storage, self._name))

    def note(self, note: Note[T]) -> T | None:
        """What `set_note` stored as this note of `study.search.record.notes`; None where nothing is."""
        return note.among(self._durably(lambda: self._storage.get_study_user_attrs(self._notes)))

    def set_note(self, note: Note[T], value: T) -> None:
        """Store a value beside the trials, in the place of the one before."""
        encoded = note.encode(value)
        self._durably(lambda: self._storage.set_study_user_attr(self._notes, note.key, encoded))

    def notes_elsewhere(self, note: Note[T]) -> dict[str, T]:
        """What the other studies in this storage stored as this note, by their names."""
        studies = self._durably(self._storage.get_all_studies)
        named = {study.study_name: study.user_attrs for study in studies if study.study_name != self._name}
        told: dict[str, T] = {}
        for name in sorted(named):
            try:
                value = note.among(named[name])
            except ConfigError:  # of another study, which says so itself
                continue
            if value is not None:
                told[name] = value
        return told

    def take_over(self) -> None:
        """Sign as the one who writes from now on: a coordinator that lost its lock for a while finds out by this."""
        self._writer = uuid.uuid4().hex
        self.set_note(WRITER, self._writer)

    def trials(self, cell: str, arm: Arm) -> tuple[Asked, ...]:
        """Everything asked so far in one arm of a cell, ordered by round and slot."""
        asked = self._asked.get((cell, arm))
        if asked is None:
            asked = self._durably(lambda: self._load(cell, arm), cell, arm)
        return tuple(asked[place] for place in sorted(asked))

    def forget(self, cell: str) -> None:
        """Keep a cell's trials in memory no longer; they are read again when somebody asks."""
        for key in [key for key in self._asked if key[0] == cell]:
            for place in self._asked.pop(key):
                self._trial_ids.pop((*key, *place), None)

    def ask(
        self,
        cell: str,
        arm: Arm,
        *,
        round_: int,
        settings: Sequence[Setting],
        replicates: Sequence[int],
        first_slot: int = 0,
    ) -> tuple[Asked, ...]:
        """The trials of a round, one per setting; those that an interrupted run asked already are found again.

        Settings of one round with different replicates are asked for one after another, `first_slot` counting on.
        """
        slots = dict(enumerate(settings, start=first_slot))
        self._durably(lambda: self._ask(cell, arm, round_, slots, replicates), cell, arm)
        return tuple(trial for trial in self.trials(cell, arm) if trial.round == round_)

    def trials_before(self, cell: str, arm: Arm, *, round_: int) -> tuple[Asked, ...]:
        """What is known of an arm when a round is chosen: its earlier rounds, and λ = 0, the same in every arm."""
        earlier = [asked for asked in self.trials(cell, arm) if asked.round < round_]
        if arm != "shared":
            earlier += [asked for asked in self.trials(cell, "shared") if not asked.setting.strength_1]
        return tuple(earlier)

    def record(self, cell: str, asked: Asked, results: Mapping[int, ReplicateResult]) -> None:
        """Store replicates of a trial, and tell Optuna its value once none is missing; known ones are left alone."""
        self._durably(lambda: self._record(cell, asked, results), cell, asked.arm)

    def _ask(
        self, cell: str, arm: Arm, round_: int, settings: Mapping[int, Setting], replicates: Sequence[int]
    ) -> None:
        asked = self._load(cell, arm)
        for slot, setting in settings.items():
            if (round_, slot) not in asked:
                params = setting.params(arm)
                trial = create_trial(
                    state=TrialState.RUNNING,
                    params=params,
                    distributions={name: self._distribution(name, value) for name, value in params.items()},
                    user_attrs={"round": round_, "slot": slot, "replicates": list(replicates)},
                )
                study = self._study_id(f"{self._name}/{cell}/{arm}")
                # Reading the trial back would cost several queries, to learn nothing.
                trial.number = 1 + max((known.number for known in asked.values()), default=-1)
                trial._trial_id = self._storage.create_new_trial(study, trial)
                self._adopt(cell, read_trial(arm, trial), trial)

    def _distribution(self, name: str, value: Value) -> BaseDistribution:
        if name in self._choices:
            return CategoricalDistribution(self._choices[name])
        value = float(value)
        low, high = self._space["strength" if name.startswith("strength") else name]
        return FloatDistribution(min(low, value), max(high, value))

    def _record(self, cell: str, asked: Asked, results: Mapping[int, ReplicateResult]) -> None:
        place = (asked.round, asked.slot)
        current = self._load(cell, asked.arm)[place]
        fresh = {index: results[index] for index in current.missing if index in results}
        if not fresh:
            return
        payload = {str(index): result.to_json() for index, result in fresh.items()}
        trial = self._trial_ids[cell, asked.arm, *place]
        self._storage.set_trial_user_attr(trial, f"{RESULTS}{min(fresh)}", payload)
        updated = replace(current, results={**current.results, **fresh})
        self._asked[cell, asked.arm][place] = updated
        if not updated.missing:
            self._tell(cell, updated)

    def _tell(self, cell: str, asked: Asked) -> None:
        trial, value = self._trial_ids[cell, asked.arm, asked.round, asked.slot], asked.value
        self._storage.set_trial_user_attr(trial, "scores", asked.scores)
        if math.isnan(value):
            self._storage.set_trial_state_values(trial, TrialState.FAIL)
        else:
            self._storage.set_trial_state_values(trial, TrialState.COMPLETE, [value])

    def _load(self, cell: str, arm: Arm) -> dict[tuple[int, int], Asked]:
        key = (cell, arm)
        if key not in self._asked:
            stored = self._storage.get_all_trials(self._study_id(f"{self._name}/{cell}/{arm}"), deepcopy=False)
            ours = [trial for trial in stored if "slot" in trial.user_attrs]  # not those that somebody else put there
            self._asked[key] = {}
            for frozen in sorted(ours, key=lambda trial: (-len(read_trial(arm, trial).results), trial.number)):
                asked = read_trial(arm, frozen)
                if (asked.round, asked.slot) in self._asked[key]:  # made twice, as the answer to the first got lost
                    if not frozen.state.is_finished():
                        self._storage.set_trial_state_values(frozen._trial_id, TrialState.FAIL)
                    continue
                self._adopt(cell, asked, frozen)
                if frozen.state == TrialState.RUNNING and not asked.missing:  # killed before telling
                    self._tell(cell, asked)
        return self._asked[key]

    def _adopt(self, cell: str, asked: Asked, frozen: FrozenTrial) -> None:
        self._trial_ids[cell, asked.arm, asked.round, asked.slot] = frozen._trial_id
        self._asked[cell, asked.arm][asked.round, asked.slot] = asked

    def _study_id(self, name: str) -> int:
        """The id of the Optuna study of this name, which is made if there is none."""
        if name not in self._studies:
            try:
                self._studies[name] = self._storage.get_study_id_from_name(name)
            except KeyError:
                self._studies[name] = self._storage.create_new_study([StudyDirection.MAXIMIZE], name)
        return self._studies[name]

    def _durably(self, work: Callable[[], T], cell: str | None = None, arm: Arm | None = None) -> T:
        """Do `work`, and again from what is stored if the database goes away meanwhile; it must bear repetition."""
        failing_since: float | None = None
        while True:
            if self._fault is not None:  # a file that was written in part must not be written on
                raise self._fault
            if self._renew():
                failing_since = None
                self._check_writer()
            try:
                return work()
            except OSError as error:
                self._fault = error
                raise
            except (StorageInternalError, DBAPIError) as error:
                lost = error if isinstance(error, DBAPIError) else error.__cause__
                failing_since = failing_since or time.monotonic()
                if not isinstance(lost, OperationalError | InterfaceError | InternalError):
                    raise
                if time.monotonic() - failing_since > _PATIENCE_SECONDS:
                    raise ConfigError(
                        f"the storage of {self._name} takes no more ({first_line(lost)}); "
                        "see to it and run the same command again, nothing is lost"
                    ) from None
                self._asked.pop((cell, arm), None)  # type: ignore[arg-type]
                time.sleep(_PAUSE_SECONDS)

    def _check_writer(self) -> None:
        if self._writer is not None and WRITER.among(self._storage.get_study_user_attrs(self._notes)) != self._writer:
            raise ConfigError(
                f"another coordinator ran the study {self._name} while its storage was away; "
                "run the same command again to go on from there"
            )
