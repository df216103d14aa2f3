"""An Optuna study of somebody else, read for its trials: nothing is written, made or migrated."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import optuna
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.exceptions import OptunaError
from optuna.storages import BaseStorage, RDBStorage
from optuna.storages._rdb.models import VersionInfoModel
from optuna.study import StudyDirection
from optuna.study._frozen import FrozenStudy
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import create_engine, inspect, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool

from study.config import ConfigError
from study.search.record.journal import Journal
from study.search.record.storage import Storage, check_option, first_line

_LEFT_OUT = {
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
    TrialState.RUNNING: "running",
    TrialState.WAITING: "running",
}


@dataclass(frozen=True, kw_only=True)
class OtherStudy:
    """The trials of an Optuna study that have ended with a score, and how many have not, by why.

    `rows`: of each trial its `number`, its parameters and user attributes by name, and its score under `value`;
    `logarithmic` names the parameters that were sought on a logarithmic scale.
    """

    rows: tuple[Mapping[str, Any], ...]
    parameters: tuple[str, ...]
    minimise: bool
    logarithmic: frozenset[str]
    left_out: Mapping[str, int]


def read_other(address: str, *, study: str | None) -> OtherStudy:
    """The study of that name, or the only one, at `address`: an SQLAlchemy URL, or a journal's file.

    Raises:
        ConfigError: there is none, its storage cannot be read, or it has several objectives.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    check_option("--optuna", address)
    if "://" in address:
        return _read_database(Storage(given=address), study)
    path = Path(address.removeprefix("journal:"))
    if not path.is_file():
        raise ConfigError(f"--optuna: there is no file {path}; give a journal's file, sqlite:///FILE or postgresql://…")
    if path.read_bytes()[:15] == b"SQLite format 3":
        raise ConfigError(f"--optuna: {path} is an SQLite database; give sqlite:///{path}")
    try:
        journal = Journal(path)
        storage = journal.open()
        if damage := journal.told():
            raise ConfigError(f"--optuna: {damage}; give a sound copy")
    except OSError as error:
        raise ConfigError(f"--optuna: cannot read {path}: {error.strerror}") from None
    return _read(storage, study, str(path))


def _read_database(storage: Storage, study: str | None) -> OtherStudy:
    address = storage.address
    if (file := storage.file) is not None:
        if not file.is_file():
            raise ConfigError(f"--optuna: there is no file {file}; check the address")
        address = f"sqlite:///file:{quote(str(file.absolute()))}?mode=ro&uri=true"  # SQLite itself refuses to write
    options: dict[str, Any] = {"poolclass": NullPool}
    if storage.kind == "postgresql":
        options["connect_args"] = {"connect_timeout": 10, "options": "-c default_transaction_read_only=on"}
    try:
        _check_tables(address, options, storage.label)
        opened = RDBStorage(address, engine_kwargs=options, skip_table_creation=True)
        try:
            return _read(opened, study, storage.label)
        finally:
            opened.remove_session()
            opened.engine.dispose()
    except (ImportError, RuntimeError, SQLAlchemyError, OptunaError) as error:
        reason = first_line(error.__cause__ if isinstance(error.__cause__, SQLAlchemyError) else error)
        if "no longer compatible" in reason or "upgrade" in reason:
            reason = "its tables are of another version of Optuna; copy it and run `optuna storage upgrade` on the copy"
        raise ConfigError(f"--optuna: cannot read {storage.label}: {reason}") from None


def _check_tables(address: str, options: Mapping[str, Any], label: str) -> None:
    """Optuna would make what it misses, or fail over it at length."""
    engine = create_engine(address, **options)
    try:
        tables = set(inspect(engine).get_table_names())
        if not {"studies", "trials", VersionInfoModel.__tablename__} <= tables:
            raise ConfigError(f"--optuna: {label} holds no tables of Optuna; check the address")
        if "alembic_version" in tables:
            with engine.connect() as connection:
                connection.execute(text("SELECT version_num FROM alembic_version")).first()
    finally:
        engine.dispose()


def _read(storage: BaseStorage, name: str | None, label: str) -> OtherStudy:
    study = _the_study(storage.get_all_studies(), name, label)
    if len(study.directions) != 1:
        raise ConfigError(
            f"--study {study.study_name} has {len(study.directions)} objectives; λ* is of one: write the trials as a "
            "table (study.trials_dataframe().to_csv) and name one of its columns with --score"
        )
    trials = storage.get_all_trials(study._study_id, deepcopy=False)
    ended = [trial for trial in trials if trial.state == TrialState.COMPLETE and trial.values]
    left_out = Counter(_LEFT_OUT[trial.state] for trial in trials if trial.state in _LEFT_OUT)
    parameters = dict.fromkeys(name for trial in ended for name in trial.params)
    return OtherStudy(
        rows=tuple(
            {"number": trial.number, **trial.user_attrs, **trial.params, "value": _value(trial)} for trial in ended
        ),
        parameters=tuple(parameters),
        minimise=study.direction == StudyDirection.MINIMIZE,
        logarithmic=frozenset(name for name in parameters if any(_is_logarithmic(trial, name) for trial in ended)),
        left_out=dict(left_out),
    )


def _the_study(studies: list[FrozenStudy], name: str | None, label: str) -> FrozenStudy:
    by_name = {study.study_name: study for study in studies}
    if name is None and len(by_name) == 1:
        (study,) = by_name.values()
        return study
    if name is not None and name in by_name:
        return by_name[name]
    some = ", ".join(sorted(by_name)[:8]) or "none"
    asked = "name one with --study" if name is None else f"there is no study {name!r}"
    raise ConfigError(f"--optuna {label}: {asked}; it holds {some}{' …' if len(by_name) > 8 else ''}")


def _value(trial: FrozenTrial) -> float:
    (value,) = trial.values
    return float(value)


def _is_logarithmic(trial: FrozenTrial, name: str) -> bool:
    distribution = trial.distributions.get(name)
    if isinstance(distribution, CategoricalDistribution):
        return False
    return isinstance(distribution, (FloatDistribution, IntDistribution)) and distribution.log
