"""Whether a SQLite file of MLflow's shows records already, told without MLflow, whose import takes seconds.

Only what is certain counts: where the tables are not as they are known here, or anything is amiss, MLflow itself looks.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

from study.tracking.content import ModelRecord, RunRecord
from study.tracking.naming import (
    ALIAS,
    ENCODER,
    EXPERIMENT,
    IDENTITY,
    NOTE,
    STATE,
    STUDY,
    TRAINING,
    done_with,
    logged_name,
)

_BUSY_SECONDS = 1.0

_EXPERIMENTS = """
SELECT e.experiment_id, note.value FROM experiments e
JOIN experiment_tags name ON name.experiment_id = e.experiment_id AND name.key = :name AND name.value = :key
JOIN experiment_tags note ON note.experiment_id = e.experiment_id AND note.key = :note
WHERE e.lifecycle_stage = 'active' ORDER BY e.experiment_id
"""
_RUNS = """
SELECT identity.value, r.run_uuid, r.status, state.value FROM runs r
JOIN tags study ON study.run_uuid = r.run_uuid AND study.key = :study AND study.value = :key
JOIN tags identity ON identity.run_uuid = r.run_uuid AND identity.key = :identity
JOIN tags state ON state.run_uuid = r.run_uuid AND state.key = :state
WHERE r.experiment_id = :experiment AND r.lifecycle_stage = 'active'
"""
_BEST = """
SELECT v.source FROM registered_model_aliases a
JOIN model_versions v ON v.name = a.name AND v.version = a.version AND v.workspace = a.workspace
JOIN model_version_tags t ON t.name = v.name AND t.version = v.version AND t.workspace = v.workspace
WHERE a.alias = :alias AND a.name = :name AND v.run_id = :run AND t.key = :tag AND t.value = :training
"""
_LOGGED = """
SELECT artifact_location FROM logged_models
WHERE source_run_id = :run AND name = :name AND model_type = :type AND lifecycle_stage = 'active'
"""


def shown_in(file: Path, records: Sequence[RunRecord], *, study: str, experiment: str, note: str) -> str | None:
    """The id of the experiment in which a file shows all records of a study already; None where MLflow has to look.

    Args:
        file: of MLflow's, which is only read.
        records: of the study, each cell before its strengths.
        study: key of the study.
        experiment: key of its experiment.
        note: of its experiment.
    """
    try:
        with closing(sqlite3.connect(f"file:{quote(str(file))}?mode=ro", uri=True, timeout=_BUSY_SECONDS)) as database:
            given = {"name": EXPERIMENT, "key": experiment, "note": NOTE}
            experiments = database.execute(_EXPERIMENTS, given).fetchall()
            if len(experiments) != 1 or experiments[0][1] != note:
                return None
            number = experiments[0][0]
            runs = _runs(database, number, study)
            if runs is not None and all(_shows(database, record, runs) for record in records):
                return str(number)
    except (sqlite3.Error, OSError):
        pass
    return None


def _runs(database: sqlite3.Connection, experiment: int, study: str) -> Mapping[str, tuple[str, str, str]] | None:
    """Id, status and state of the study's runs by identity; None where two have one."""
    given = {"study": STUDY, "key": study, "identity": IDENTITY, "state": STATE, "experiment": experiment}
    rows = database.execute(_RUNS, given).fetchall()
    runs = {str(identity): (str(run), str(status), str(state)) for identity, run, status, state in rows}
    return runs if len(runs) == len(rows) else None


def _shows(database: sqlite3.Connection, record: RunRecord, runs: Mapping[str, tuple[str, str, str]]) -> bool:
    if record.identity not in runs or (record.parent is not None and record.parent not in runs):
        return False
    run, status, state = runs[record.identity]
    parent = runs[record.parent][0] if record.parent else ""
    return (
        status == record.status
        and state.endswith(done_with(record.content_below(parent)))
        and all(_is_best(database, model, run) for model in record.models)
    )


def _is_best(database: sqlite3.Connection, model: ModelRecord, run: str) -> bool:
    """Whether a model is the best version of its name, and nothing half-made lies beside it."""
    given = {"alias": ALIAS, "name": model.name, "run": run, "tag": TRAINING, "training": model.training}
    best = database.execute(_BEST, given).fetchall()
    logged = database.execute(_LOGGED, {"run": run, "name": logged_name(model.name), "type": ENCODER}).fetchall()
    return len(best) == 1 and logged == best
