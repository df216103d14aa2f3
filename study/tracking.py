"""MLflow as a view of a study: each call writes what the report says and MLflow does not show yet.

The report is the truth. `Tracker.project` is a function of the report alone and finds its runs by tags, so it may be
called after every round, again after a kill, or for the first time when the server is back: it never makes a second
run for the same thing, and it never raises.
"""

from __future__ import annotations

import getpass
import logging
import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from study import projection
from study.config import ConfigError
from study.config.secrets import expand, redacted
from study.model_registry import register
from study.projection import RunRecord
from study.report.reading import Report
from study.storage import check_option
from trainables.spec import content_hash

DEFAULT_URI = "sqlite:///mlflow.db"  # where a bare `mlflow ui` looks

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
_ATTEMPTS = 2
_RETRY_AFTER = 0.3  # seconds
# MLflow takes 1000 metrics, parameters and tags in one request, at most 100 of them parameters and 100 tags.
_METRICS_PER_BATCH, _PARAMS_PER_BATCH = 800, 100
_VALUE_LIMIT = 6000  # characters of a parameter

# What a long chain of exceptions comes down to.
_KNOWN_FAULTS = {
    "Connection refused": "the connection was refused: is the server running?",
    "Failed to resolve": "there is no host of that name",
    "timed out": "the server did not answer in time",
    "error responses": "the server answers with errors: see its log",
    "unable to open database file": "the database file cannot be opened",
    "unsupported URI": "it is no tracking URI of MLflow: use sqlite:///FILE or http://HOST:PORT",
    "out-of-date database schema": "the database is of an older MLflow: run `mlflow db upgrade` on it",
}

_STUDY, _IDENTITY = "align_study.study", "align_study.identity"  # find a run again
_STATE = "align_study.state"  # "<revision> <content> writing|done": what the run holds


@dataclass(frozen=True, kw_only=True)
class TrackingResult:
    """What a call came to: runs written, runs that were up to date already, and why the rest is missing.

    `problem` is None where MLflow shows all of the report, else one line for the user; calling again is safe.
    """

    written: int = 0
    unchanged: int = 0
    problem: str | None = None
    seconds: float = 0.0


def tracking_uri(option: str | None) -> str:
    """What a command uses: its option, else MLFLOW_TRACKING_URI, else a SQLite file where `mlflow ui` looks.

    Raises:
        ConfigError: the option holds a password, which everyone on the machine could read.
    """
    if option:
        check_option("--tracking-uri", option)
    return option or os.environ.get("MLFLOW_TRACKING_URI") or DEFAULT_URI


class Tracker:
    """The view of studies in the MLflow store at `uri`: `sqlite:///…`, `http://…`, any that MLflow takes.

    Passwords in it may be references, see `study.config.secrets`; those of a server are better left to MLflow's own
    MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD.
    A relative SQLite path is resolved at once. Artifacts of a database that this process opens itself lie in
    `mlartifacts/` beside the SQLite file, where `mlflow ui` keeps its own; those of a server, where the server says.
    One call takes at most about `deadline` seconds; the next one writes what is left over. After a failure, calls
    return at once for `pause` seconds, so that a dead server is not asked after every round.
    """

    def __init__(self, uri: str = DEFAULT_URI, *, deadline: float = 60.0, pause: float = 30.0) -> None:
        try:
            self.uri, self._artifact_root = _resolve(expand(uri))
        except ValueError as error:
            raise ConfigError(f"the tracking URI: {error}") from None
        self._deadline, self._pause = deadline, pause
        self._client: Any = None
        self._failure: tuple[float, str] | None = None  # when and why the last projection failed

    def prepare(self) -> TrackingResult:
        """Create or migrate the store once, before anything else opens it (two processes at it would race)."""
        return self._attempt(lambda _: self._connect().search_experiments(max_results=1))

    def project(
        self, report: Report, *, folder: Path | None = None, config_text: str = "", last: bool = False
    ) -> TrackingResult:
        """Bring MLflow to what `report` says, with the files that `study.report` has put into `folder`.

        Idempotent: a second call with the same report and files writes nothing. Never raises. Pass `last` when no other
        call will follow: it asks the server even right after a failure, and takes up to five times as long.
        """
        if self._failure and not last and time.monotonic() - self._failure[0] < self._pause:
            return TrackingResult(problem=self._failure[1])
        until = time.monotonic() + self._deadline * (5 if last else 1)
        result = TrackingResult()
        for attempt in range(_ATTEMPTS):
            if attempt:
                time.sleep(_RETRY_AFTER)
            result = self._attempt(lambda count: self._write(report, folder, config_text, until, count))
            if result.problem is None or time.monotonic() > until:
                break
        self._failure = (time.monotonic(), result.problem) if result.problem else None
        return result

    def hint(self) -> str:
        """The command, or for a server the address, that shows the studies."""
        if self.uri.startswith(("http://", "https://")):
            return redacted(self.uri)
        here = self.uri == _resolve(DEFAULT_URI)[0] and not Path("mlruns").exists()  # else it shows that folder
        return "mlflow ui" if here else f"mlflow ui --backend-store-uri {redacted(self.uri)}"

    def _attempt(self, work: Callable[[dict[str, int]], object]) -> TrackingResult:
        """Do `work`, which counts the runs it has seen to; whatever it raises becomes the result's `problem`."""
        start, count, problem = time.monotonic(), {"written": 0, "unchanged": 0}, None
        try:
            with _as_guest():
                work(count)
        except Exception as error:  # noqa: BLE001  MLflow is a view: no fault in it may stop a study
            self._client = None
            problem = f"MLflow at {redacted(self.uri)} does not show all of the study ({_reason(error)})"
        return TrackingResult(**count, problem=problem, seconds=time.monotonic() - start)

    def _connect(self) -> Any:
        if self._client is None:
            from mlflow.tracking import MlflowClient  # a second or two to import

            with _few_database_retries():
                self._client = MlflowClient(tracking_uri=self.uri)
        return self._client

    def _write(self, report: Report, folder: Path | None, config: str, until: float, count: dict[str, int]) -> None:
        records = projection.records(report, folder=folder, config_text=config)
        client = self._connect()
        experiment = self._experiment(client, report)
        study = projection.study_key(report)
        found = _existing_runs(client, experiment, study)
        now = int(time.time() * 1000)
        runs: dict[str, str] = {}
        for position, record in enumerate(records):
            if time.monotonic() > until:
                raise TimeoutError(f"{position} of {len(records)} runs took all the time there was")
            parent = runs[record.parent] if record.parent else ""
            run = found.get(record.identity)
            content = content_hash([record.content, parent])
            if run is not None and _holds(run, content) and run.info.status == record.status:
                count["unchanged"] += 1
            else:
                if run is None:  # the interface lists the newest first: so it shows the report's order
                    run = _create(client, experiment, study, record, parent, content, start=now - position)
                _update(client, run, record, parent, content)
                count["written"] += 1
            runs[record.identity] = str(run.info.run_id)
            for model in record.models:
                register(client, model, experiment=experiment, run=str(run.info.run_id))

    def _experiment(self, client: Any, report: Report) -> str:
        """The study's experiment, found or made; one that was deleted in the interface is restored."""
        name = " ".join(str(report.get("study") or "study").split())[:400]
        note = projection.study_note(report)
        found = client.get_experiment_by_name(name)
        if found is None:
            root = self._artifact_root
            tags = {"mlflow.experimentKind": "custom_model_development", "mlflow.note.content": note}
            location = None if root is None else (root / _folder_name(name)).as_uri()
            return str(client.create_experiment(name, artifact_location=location, tags=tags))
        if found.lifecycle_stage != "active":
            client.restore_experiment(found.experiment_id)
        if found.tags.get("mlflow.note.content") != note:
            client.set_experiment_tag(found.experiment_id, "mlflow.note.content", note)
        return str(found.experiment_id)


def _existing_runs(client: Any, experiment: str, study: str) -> dict[str, Any]:
    """The study's runs by identity; of two with one identity (a request that was repeated on its way) the older."""
    found: dict[str, Any] = {}
    token = None
    while True:
        page = client.search_runs(
            [experiment], f"tags.`{_STUDY}` = '{study}'", max_results=1000, page_token=token,
            order_by=["attributes.start_time ASC", "attributes.run_id ASC"],
        )  # fmt: skip
        for run in page:
            if found.setdefault(run.data.tags.get(_IDENTITY, ""), run) is not run:
                client.delete_run(run.info.run_id)
        token = page.token
        if not token:
            return found


def _create(
    client: Any, experiment: str, study: str, record: RunRecord, parent: str, content: str, *, start: int
) -> Any:
    """A run that can be found again from its first moment on."""
    tags = {
        **record.tags, **({"mlflow.parentRunId": parent} if parent else {}), "mlflow.user": _user(),
        "mlflow.source.name": "study.run", _STUDY: study, _IDENTITY: record.identity, _STATE: f"1 {content} writing",
    }  # fmt: skip
    return client.create_run(experiment, start_time=start, tags=tags, run_name=record.name)


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):  # a container's user may have no name
        return "unknown"


def _holds(run: Any, content: str) -> bool:
    return str(run.data.tags.get(_STATE, "")).endswith(f" {content} done")


def _update(client: Any, run: Any, record: RunRecord, parent: str, content: str) -> None:
    """Write a record into its run.

    Metrics are append-only in MLflow, and the newest timestamp counts. So a timestamp is the run's start plus its
    revision in milliseconds, and the revision, noted before anything else, moves only when the content does: writing
    the same content again, after a kill half-way, repeats the same rows and changes nothing.
    """
    identifier = str(run.info.run_id)
    revision, pending, _ = str(run.data.tags.get(_STATE, "0 - done")).split(" ")
    if pending != content:
        revision = str(int(revision) + 1)
        client.set_tag(identifier, _STATE, f"{revision} {content} writing")
    _log_artifacts(client, identifier, record)
    _log_dataset(client, identifier, record)
    tags = {**record.tags, _STATE: f"{revision} {content} done"}
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
    with tempfile.TemporaryDirectory(prefix="align-study-") as staging:  # so that all go up in one call
        for folder, path in record.files:
            target = Path(staging) / folder
            target.mkdir(exist_ok=True)
            shutil.copyfile(path, target / path.name)
        for name, text in record.texts.items():
            (Path(staging) / name).write_text(text, encoding="utf-8")
        client.log_artifacts(run, staging)


def _log_dataset(client: Any, run: str, record: RunRecord) -> None:
    if record.dataset is None:
        return
    from mlflow.entities import Dataset, DatasetInput, InputTag

    dataset = Dataset(source_type="align_study", **record.dataset)
    client.log_inputs(run, datasets=[DatasetInput(dataset, [InputTag("mlflow.data.context", "training")])])


@contextmanager
def _as_guest() -> Iterator[None]:
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
def _few_database_retries() -> Iterator[None]:
    """MLflow tries for 100 s to open a database, by a constant for which it has no setting."""
    from mlflow.store.db import utils

    before, utils.MAX_RETRY_COUNT = utils.MAX_RETRY_COUNT, 2
    try:
        yield
    finally:
        utils.MAX_RETRY_COUNT = before


def _resolve(uri: str) -> tuple[str, Path | None]:
    """The URI with its SQLite path made absolute, and the folder for artifacts where this process writes them."""
    if uri.startswith("sqlite:///") and ":memory:" not in uri:
        path, mark, options = uri.removeprefix("sqlite:///").partition("?")
        database = Path(path).resolve()
        return f"sqlite:///{database}{mark}{options}", database.parent / "mlartifacts"
    if uri.startswith(("postgresql://", "postgres://")):  # by the one driver that the project installs
        uri = f"postgresql+psycopg://{uri.partition('://')[2]}"
    a_database = urlsplit(uri).scheme.partition("+")[0] in ("postgresql", "mysql", "mssql", "sqlite")
    return uri, Path.cwd() / "mlartifacts" if a_database else None


def _folder_name(study: str) -> str:
    """A safe folder for a study's artifacts, told apart by a hash where the name itself is not safe."""
    safe = re.sub(r"[^A-Za-z0-9._-]+", "-", study).strip("-.")[:80]
    return safe if safe == study else f"{safe or 'study'}-{content_hash(study)[:8]}"


def _reason(error: Exception) -> str:
    """An exception as one short line without passwords."""
    text = " ".join(str(error).split()) or type(error).__name__
    known = next((told for sign, told in _KNOWN_FAULTS.items() if sign in text), None)
    return known or redacted(text if len(text) <= 200 else f"{text[:199]}…")
