"""A record of a study in a run of MLflow: found again by its tags, and written so that writing it twice is once."""

from __future__ import annotations

import getpass
import shutil
from collections.abc import Mapping
from typing import Any

from study.tracking.content import RunRecord
from study.tracking.naming import IDENTITY, STATE, STUDY, done_with
from trainables.saving.scratch import scratch

# MLflow takes 1000 metrics, parameters and tags in one request, at most 100 of them parameters and 100 tags.
_METRICS_PER_BATCH, _PARAMS_PER_BATCH = 800, 100
_VALUE_LIMIT = 6000  # characters of a parameter


def existing_runs(client: Any, experiment: str, study: str) -> dict[str, Any]:
    """The study's runs by identity; of two with one identity (a request that was repeated on its way) the older."""
    runs: dict[str, Any] = {}
    token = None
    while True:
        page = client.search_runs(
            [experiment], f"tags.`{STUDY}` = '{study}'", max_results=1000, page_token=token,
            order_by=["attributes.start_time ASC", "attributes.run_id ASC"],
        )  # fmt: skip
        for run in page:
            if runs.setdefault(run.data.tags.get(IDENTITY, ""), run) is not run:
                client.delete_run(run.info.run_id)
        token = page.token
        if not token:
            return runs


def show(
    client: Any, record: RunRecord, run: Any, *, experiment: str, study: str, parent: str, start: int
) -> tuple[str, bool]:
    """Bring a record's run up to date; its id, and whether anything had to be written.

    Args:
        client: of MLflow.
        record: what the run is to show.
        run: that shows it, None for one that must be made.
        experiment: the id of the study's.
        study: key of the study.
        parent: id of the run above it, or "".
        start: of a run that must be made, in milliseconds of the clock.
    """
    content = record.content_below(parent)
    if run is not None and _holds(run, content) and run.info.status == record.status:
        return str(run.info.run_id), False
    if run is None:
        run = _create(client, experiment, study, record, parent, content, start=start)
    _update(client, run, record, parent, content)
    return str(run.info.run_id), True


def _create(
    client: Any, experiment: str, study: str, record: RunRecord, parent: str, content: str, *, start: int
) -> Any:
    """A run that can be found again from its first moment on."""
    tags = {
        **record.tags, **({"mlflow.parentRunId": parent} if parent else {}), "mlflow.user": _user(),
        "mlflow.source.name": "study.run", STUDY: study, IDENTITY: record.identity, STATE: f"1 {content} writing",
    }  # fmt: skip
    return client.create_run(experiment, start_time=start, tags=tags, run_name=record.name)


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):  # a container's user may have no name
        return "unknown"


def _holds(run: Any, content: str) -> bool:
    return str(run.data.tags.get(STATE, "")).endswith(done_with(content))


def _update(client: Any, run: Any, record: RunRecord, parent: str, content: str) -> None:
    """Write a record into its run.

    Metrics are append-only in MLflow, and the newest timestamp counts. So a timestamp is the run's start plus its
    revision in milliseconds, and the revision, noted before anything else, moves only when the content does: writing
    the same content again, after a kill half-way, repeats the same rows and changes nothing.
    """
    identifier = str(run.info.run_id)
    revision, pending, _ = str(run.data.tags.get(STATE, "0 - done")).split(" ")
    if pending != content:
        revision = str(int(revision) + 1)
        client.set_tag(identifier, STATE, f"{revision} {content} writing")
    _log_artifacts(client, identifier, record)
    _log_dataset(client, identifier, record)
    tags = {**record.tags, STATE: f"{revision}{done_with(content)}"}
    if record.note:
        tags["mlflow.note.content"] = record.note.replace("{run}", identifier)
    if parent:
        tags["mlflow.parentRunId"] = parent
    params = {key: value for key, value in record.params.items() if key not in run.data.params}  # they cannot change
    _log_batches(client, identifier, record, params, tags, timestamp=run.info.start_time + int(revision))
    if run.info.run_name != record.name:
        client.update_run(identifier, name=record.name)
    if record.status != "RUNNING":
        client.set_terminated(identifier, status=record.status)
    elif run.info.status != "RUNNING":
        client.update_run(identifier, status="RUNNING")


def _log_batches(
    client: Any, run: str, record: RunRecord, params: Mapping[str, str], tags: Mapping[str, str], *, timestamp: int
) -> None:
    """Metrics and parameters in as few requests as MLflow's limits allow, the tags with the last one."""
    from mlflow.entities import Metric, Param, RunTag

    metrics = [Metric(name, value, timestamp, step) for name, value, step in record.metrics]
    rows = [Param(key, value[:_VALUE_LIMIT]) for key, value in params.items()]
    while len(metrics) > _METRICS_PER_BATCH or len(rows) > _PARAMS_PER_BATCH:
        client.log_batch(run, metrics=metrics[:_METRICS_PER_BATCH], params=rows[:_PARAMS_PER_BATCH])
        metrics, rows = metrics[_METRICS_PER_BATCH:], rows[_PARAMS_PER_BATCH:]
    client.log_batch(run, metrics=metrics, params=rows, tags=[RunTag(key, value) for key, value in tags.items()])


def _log_artifacts(client: Any, run: str, record: RunRecord) -> None:
    if not record.files and not record.texts:
        return
    with scratch() as staging:  # so that all go up in one call
        for folder, path in record.files:
            target = staging / folder
            target.mkdir(exist_ok=True)
            shutil.copyfile(path, target / path.name)
        for name, text in record.texts.items():
            (staging / name).write_text(text, encoding="utf-8")
        client.log_artifacts(run, str(staging))


def _log_dataset(client: Any, run: str, record: RunRecord) -> None:
    if record.dataset is None:
        return
    from mlflow.entities import Dataset, DatasetInput, InputTag

    dataset = Dataset(source_type="align_study", **record.dataset)
    client.log_inputs(run, datasets=[DatasetInput(dataset, [InputTag("mlflow.data.context", "training")])])
