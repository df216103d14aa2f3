"""What lies in Optuna's storage, read as the study means it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

from optuna.storages import BaseStorage
from optuna.study._frozen import FrozenStudy
from optuna.trial import FrozenTrial

from study.cells.trials import Arm, Asked, Setting
from study.config import ConfigError
from study.search.record.notes import check_kind
from trainables.spec import ReplicateResult

RESULTS = "results:"  # followed by the first replicate's index: one user attribute per pack that held some


@dataclass(frozen=True, kw_only=True)
class StudyRecord:
    """What a storage holds of one study, as of now: its notes, its trials by (cell, arm), when the last one ended."""

    name: str
    notes: Mapping[str, Any]
    trials: Mapping[tuple[str, Arm], tuple[Asked, ...]]
    last_result: datetime | None


def read_studies(storage: BaseStorage, *, name: str | None = None) -> tuple[StudyRecord, ...]:
    """Every study of a storage, or the one called `name`; writes nothing, so that it may be read while it runs."""
    by_name = {study.study_name: study for study in storage.get_all_studies()}
    studies = [study for key, study in by_name.items() if "/" not in key and name in (None, key)]
    return tuple(_read_study(storage, study, by_name) for study in studies)


def read_notes(storage: BaseStorage, name: str) -> Mapping[str, Any]:
    """What the study called `name` noted beside its trials; nothing where there is none."""
    try:
        return storage.get_study_user_attrs(storage.get_study_id_from_name(name))
    except KeyError:
        return {}


def count_results(storage: BaseStorage, name: str) -> int:
    """How many trainings of the study called `name` have a result; one of a trial that was made twice counts once."""
    trained: set[tuple[tuple[object, ...], str]] = set()
    for part in storage.get_all_studies():
        if part.study_name.startswith(f"{name}/"):
            for trial in storage.get_all_trials(part._study_id, deepcopy=False):
                place = (part.study_name, trial.user_attrs.get("round"), trial.user_attrs.get("slot"))
                results = [payload for key, payload in trial.user_attrs.items() if key.startswith(RESULTS)]
                trained.update((place, index) for payload in results for index in payload)
    return len(trained)


def _read_study(storage: BaseStorage, study: FrozenStudy, all_studies: Mapping[str, FrozenStudy]) -> StudyRecord:
    trials: dict[tuple[str, Arm], tuple[Asked, ...]] = {}
    ends: list[datetime] = []
    for key, part in all_studies.items():
        if key.startswith(f"{study.study_name}/"):
            cell, _, arm = key.removeprefix(f"{study.study_name}/").rpartition("/")
            kept = [t for t in storage.get_all_trials(part._study_id, deepcopy=False) if "slot" in t.user_attrs]
            ends += [trial.datetime_complete for trial in kept if trial.datetime_complete]
            known = cast("Arm", arm)
            trials[cell, known] = tuple(read_trial(known, trial) for trial in kept)
    return StudyRecord(
        name=study.study_name, notes=study.user_attrs, trials=trials, last_result=max(ends, default=None)
    )


def read_trial(arm: Arm, frozen: FrozenTrial) -> Asked:
    """A trial as it was asked, with the replicates that it has.

    Raises:
        ConfigError: somebody else has written it.
    """
    try:
        _check_attributes(frozen.user_attrs)
        results = {
            int(index): ReplicateResult.from_json(result)
            for key, payload in frozen.user_attrs.items()
            if key.startswith(RESULTS)
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
    except (KeyError, TypeError, ValueError, AttributeError):
        raise ConfigError(
            f"the record holds a trial ({frozen.number} of {arm}) that this program does not write; restore the "
            "record, or run the study anew under another name"
        ) from None


# Of `optuna.storages.journal`: what an operation must hold, by its code.
CREATE_STUDY, CREATE_TRIAL = 0, 4
_SET_STUDY_USER_ATTR = 2
_SET_TRIAL_STATE_VALUES, _SET_TRIAL_USER_ATTR = 6, 8
_OPERATIONS: Mapping[int, tuple[str, ...]] = {
    CREATE_STUDY: ("study_name", "directions"),
    1: ("study_id",),
    _SET_STUDY_USER_ATTR: ("study_id", "user_attr"),
    3: ("study_id", "system_attr"),
    CREATE_TRIAL: ("study_id", "datetime_start"),
    5: ("trial_id", "param_name", "param_value_internal", "distribution"),
    _SET_TRIAL_STATE_VALUES: ("trial_id", "state", "values"),
    7: ("trial_id", "step", "intermediate_value"),
    _SET_TRIAL_USER_ATTR: ("trial_id", "user_attr"),
    9: ("trial_id", "system_attr"),
    10: (),
}


def check_operation(operation: Mapping[str, Any], *, studies: int, trials: int) -> None:
    """Refuse an operation of Optuna's journal that is not one, or holds a trial that `read_trial` could not read.

    Args:
        operation: as its line says it.
        studies: made by the lines before.
        trials: made by the lines before.

    Raises:
        ValueError: what is wrong.
    """
    code = operation.get("op_code")
    if type(code) is not int or code not in _OPERATIONS or not isinstance(operation.get("worker_id"), str):
        raise ValueError("it is no operation of Optuna's journal")
    try:
        held = {key: operation[key] for key in _OPERATIONS[code]}
        if code == CREATE_STUDY and not isinstance(held["study_name"], str):
            raise TypeError
        if any(key.endswith("_attr") and len(value) != 1 for key, value in held.items()):
            raise ValueError
        if code == CREATE_TRIAL:
            _check_trial(operation)
        if code == _SET_STUDY_USER_ATTR:
            for key, value in held["user_attr"].items():
                check_kind(key, value)
        if code == _SET_TRIAL_USER_ATTR:
            _check_attributes(held["user_attr"])
        if code == _SET_TRIAL_STATE_VALUES:
            _ = [float(value) for value in held["values"] or ()]
    except (KeyError, TypeError, ValueError, AttributeError):
        raise ValueError("it does not hold what an operation of its kind must") from None
    made = {"study_id": studies, "trial_id": trials}
    if any(held[key] not in range(count) for key, count in made.items() if key in held):
        raise ValueError("it is about a study or trial that no line before has made")


def _check_trial(operation: Mapping[str, Any]) -> None:
    attributes, params = operation.get("user_attrs", {}), operation.get("params", {})
    if "slot" in attributes:
        _ = (attributes["round"], attributes["replicates"])
        if "strength" not in params and not {"strength_1", "strength_2"} <= set(params):
            raise KeyError("strength")
    if not all(type(value) in (int, float) for value in params.values()):
        raise TypeError
    _check_attributes(attributes)


def _check_attributes(attributes: Mapping[str, Any]) -> None:
    for key, value in attributes.items():
        if key in ("round", "slot") and type(value) is not int:
            raise TypeError
        if key == "replicates" and not all(type(index) is int for index in value):
            raise TypeError
        if key.startswith(RESULTS):
            for index, result in value.items():
                int(index)
                if ReplicateResult.from_json(result).status not in ("ok", "diverged"):
                    raise ValueError
