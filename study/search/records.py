"""What lies in Optuna's storage, read as the study means it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

from optuna.storages import BaseStorage
from optuna.study._frozen import FrozenStudy
from optuna.trial import FrozenTrial

from study.trials import Arm, Asked, Setting
from trainables.spec import ReplicaResult

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
    found = {study.study_name: study for study in storage.get_all_studies()}
    studies = [study for key, study in found.items() if "/" not in key and name in (None, key)]
    return tuple(_read_study(storage, study, found) for study in studies)


def read_notes(storage: BaseStorage, name: str) -> Mapping[str, Any]:
    """What the study called `name` noted beside its trials; nothing where there is none."""
    try:
        return storage.get_study_user_attrs(storage.get_study_id_from_name(name))
    except KeyError:
        return {}


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
    """A trial as it was asked, with the replicates that it has."""
    results = {
        int(index): ReplicaResult.from_json(result)
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
