"""MLflow as a guest in this process: under limits of ours, quiet, and leaving nothing behind."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager

# A server that is down, slow or failing must not hold a study up: short waits, no retries below ours, no usage reports.
# What the user has set stands.
_ENVIRONMENT = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "5",
    "MLFLOW_ARTIFACT_UPLOAD_DOWNLOAD_TIMEOUT": "30",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
}
_LOGGERS = ("mlflow", "alembic", "urllib3")


@contextmanager
def as_guest() -> Iterator[None]:
    """MLflow under our limits and without its progress messages; environment and loggers afterwards as before."""
    added = {key: value for key, value in _ENVIRONMENT.items() if key not in os.environ}
    os.environ.update(added)
    import mlflow  # noqa: F401  sets its own log levels when it is imported, so that it must be before ours

    levels = {name: logging.getLogger(name).level for name in _LOGGERS}
    for name in _LOGGERS:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)
        for key in added:
            os.environ.pop(key, None)


@contextmanager
def few_database_retries() -> Iterator[None]:
    """MLflow tries for 100 s to open a database, by a constant for which it has no setting."""
    from mlflow.store.db import utils

    before, utils.MAX_RETRY_COUNT = utils.MAX_RETRY_COUNT, 2
    try:
        yield
    finally:
        utils.MAX_RETRY_COUNT = before
