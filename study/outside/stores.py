"""Trials read from where other programs keep them; nothing is written there."""

from __future__ import annotations

import pandas as pd

from study.config.secrets import redacted
from study.outside.trials import Trials


def read_optuna(address: str, *, study: str | None) -> Trials:
    """The trials of an Optuna study, at an SQLAlchemy URL or in a journal's file.

    Raises:
        ConfigError: as `study.search.record.others.read_other`.
    """
    from study.search.record.others import read_other

    told = read_other(address, study=study)
    return Trials(
        source=redacted(address) + (f", study {study}" if study else ""),
        frame=pd.DataFrame(list(told.rows)),
        parameters=told.parameters,
        scores=("value",),
        minimise=told.minimise,
        logarithmic=told.logarithmic,
        left_out=told.left_out,
    )


def read_mlflow(uri: str, *, experiment: str | None) -> Trials:
    """The runs of an MLflow experiment, in a database, a folder or on a server.

    Raises:
        ConfigError: as `study.tracking.others.read_runs`.
    """
    from study.tracking.others import read_runs

    told = read_runs(uri, experiment=experiment)
    return Trials(
        source=redacted(uri) + (f", experiment {experiment}" if experiment else ""),
        frame=pd.DataFrame(list(told.rows)),
        parameters=told.parameters,
        scores=told.metrics,
        left_out=told.left_out,
    )
