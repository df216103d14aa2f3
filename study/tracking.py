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
from study.projection import RunRecord
from study.report.words import Report

DEFAULT_URI = "sqlite:///mlflow.db"  # where a bare `mlflow ui` looks

# A server that is down, slow or failing must not hold a study up: short waits, no retries below ours, no usage reports.
# What the user has set stands.
_ENVIRONMENT = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "5",
    "MLFLOW_ARTIFACT_UPLOAD_DOWNLOAD_TIMEOUT": "30",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_DISABLE_TELEMETRY": "true",
}
_ATTEMPTS = 2
_LOGGERS = ("mlflow", "alembic", "urllib3")
_METRICS_PER_BATCH = 900  # MLflow takes 1000 metrics, parameters and tags together, of the latter 100 each
_PARAMS_PER_BATCH = 90

# Tags by which a run is found again and judged up to date.
_STUDY, _IDENTITY, _REVISION, _CONTENT = (f"align_study.{name}" for name in ("study", "identity", "revision", "content"))


@dataclass(frozen=True, kw_only=True)
class TrackingResult:
    """What a call came to: runs written, runs that were up to date already, and why the rest is missing.

    `problem` is None where MLflow shows all of the report, else one line for the user; `project` may then simply be
    called again.
    """

    written: int = 0
    unchanged: int = 0
    problem: str | None = None
    seconds: float = 0.0


class _OutOfTimeError(Exception):
    """The call has used up its seconds."""


class Tracker:
    """The view of studies in the MLflow store at `uri`: `sqlite:///…`, `http://…`, any that MLflow takes.

    A relative SQLite path is resolved at once. Artifacts of a store that this process opens itself lie in
    `mlartifacts/` beside the SQLite file, where `mlflow ui` keeps its own; those of a server, where the server says.
    One call takes at most about `deadline` seconds; the next one writes what is left over. After a failure, calls
    return at once for `pause` seconds, so that a dead server is not asked after every round.
    """

    def __init__(self, uri: str = DEFAULT_URI, *, deadline: float = 60.0, pause: float = 30.0) -> None:
        self.uri, self._artifact_root = _resolve(uri)
        self._deadline, self._pause = deadline, pause
        self._client: Any = None
        self._failed_at: float | None = None
        self._last_problem: str | None = None

    def prepare(self) -> TrackingResult:
        """Create or migrate the store once, before anything else opens it (two processes at it would race)."""
        return self._guarded(lambda _: self._open().search_experiments(max_results=1), attempts=1)

    def project(self, report: Report, *, folder: Path | None = None, config_text: str = "", last: bool = False) -> TrackingResult:
        """Bring MLflow to what `report` says, with the files that `study.report` has put into `folder`.

        Idempotent: a second call with the same report and files writes nothing. Never raises. `last` asks the server
        again even right after a failure: pass it when no other call will follow.
        """
        recent = self._failed_at is not None and time.monotonic() - self._failed_at < self._pause
        if recent and not last:
            return TrackingResult(problem=self._last_problem)
        return self._guarded(lambda count: self._write(report, folder, config_text, count), attempts=_ATTEMPTS)

    def hint(self) -> str:
        """The command, or for a server the address, that shows the studies."""
        if self.uri.startswith(("http://", "https://")):
            return _without_password(self.uri)
        database = _sqlite_path(self.uri)
        plain = database == Path.cwd() / "mlflow.db" and not Path("mlruns").exists()
        return "mlflow ui" if plain else f"mlflow ui --backend-store-uri {_without_password(self.uri)}"

    def _guarded(self, work: Callable[[dict[str, int]], object], *, attempts: int) -> TrackingResult:
        """Run `work` against MLflow, quietly and within limits; whatever it raises becomes the result's `problem`."""
        start, count, problem = time.monotonic(), {"written": 0, "unchanged": 0}, None
        with _environment():
            for attempt in range(attempts):
                count |= {"written": 0 if attempt == 0 else count["written"], "unchanged": 0, "until": 0}
                try:
                    work(count)
                except Exception as error:  # noqa: BLE001  tracking is a view: no fault in it may stop a study
                    problem = f"MLflow at {_without_password(self.uri)} is behind: {_reason(error)}"
                    self._client = None
                    if isinstance(error, _OutOfTimeError):
                        break
                    time.sleep(0.3 if attempt + 1 < attempts else 0)
                else:
                    problem = None
                    break
        self._failed_at, self._last_problem = (time.monotonic(), problem) if problem else (None, None)
        seconds = time.monotonic() - start
        return TrackingResult(written=count["written"], unchanged=count["unchanged"], problem=problem, seconds=seconds)

    def _open(self) -> Any:
        if self._client is None:
            from mlflow.tracking import MlflowClient  # seconds to import: only when something is written

            with _silence():
                self._client = MlflowClient(tracking_uri=self.uri)
        return self._client

    def _write(self, report: Report, folder: Path | None, config_text: str, count: dict[str, int]) -> None:
        until = time.monotonic() + self._deadline
        wanted = projection.records(report, folder=folder, config_text=config_text)
        client = self._open()
        with _silence():
            experiment = self._experiment(client, report)
            study = projection.study_key(report)
            found = _existing(client, experiment, study)
            runs: dict[str, str] = {}
            for record in wanted:
                if time.monotonic() > until:
                    raise _OutOfTimeError(f"{self._deadline:.0f} s were not enough")
                parent = runs[record.parent] if record.parent else ""
                run, written = _bring_up_to_date(client, experiment, study, record, parent, found.get(record.identity))
                runs[record.identity] = run
                count["written" if written else "unchanged"] += 1

    def _experiment(self, client: Any, report: Report) -> str:
        """The study's experiment, found or made; one that was deleted in the UI is restored, its name is taken."""
        name = " ".join(str(report.get("study") or "study").split())[:400]
        found = client.get_experiment_by_name(name)
        note = projection.study_note(report)
        if found is None:
            root = self._artifact_root
            location = None if root is None else (root / _folder_name(name)).as_uri()
            tags = {"mlflow.experimentKind": "custom_model_development", "mlflow.note.content": note}
            return str(client.create_experiment(name, artifact_location=location, tags=tags))
        if found.lifecycle_stage != "active":
            client.restore_experiment(found.experiment_id)
        if found.tags.get("mlflow.note.content") != note:
            client.set_experiment_tag(found.experiment_id, "mlflow.note.content", note)
        return str(found.experiment_id)


def _existing(client: Any, experiment: str, study: str) -> dict[str, Any]:
    """The study's runs by identity; of several with one identity (a request repeated on the way) the oldest stays."""
    found: dict[str, Any] = {}
    token = None
    while True:
        page = client.search_runs(
            [experiment], f"tags.`{_STUDY}` = '{study}'", max_results=1000, page_token=token,
            order_by=["attributes.start_time ASC", "attributes.run_id ASC"],
        )  # fmt: skip
        for run in page:
            if run.data.tags.get(_IDENTITY) in found:
                client.delete_run(run.info.run_id)
            else:
                found[run.data.tags.get(_IDENTITY, "")] = run
        token = page.token
        if not token:
            return found


def _bring_up_to_date(
    client: Any, experiment: str, study: str, record: RunRecord, parent: str, run: Any
) -> tuple[str, bool]:
    """Write a record into its run, made if missing; the run's id, and False where it was up to date.

    Metrics are append-only in MLflow, and the newest timestamp counts. So timestamps are the run's start plus its
    revision in milliseconds, and the revision, noted before anything else, moves only when the content does: writing
    the same content again, after a kill half-way, repeats the same rows and changes nothing.
    """
    content = projection.content_hash([record.content, parent])
    known: Mapping[str, str] = {} if run is None else run.data.tags
    if run is not None and known.get(_CONTENT) == content and run.info.status == record.status:
        return str(run.info.run_id), False
    last, _, pending = known.get(_REVISION, "0 ").partition(" ")
    revision = int(last) if pending == content else int(last) + 1
    if run is None:
        tags = {
            "mlflow.runName": record.name, "mlflow.user": getpass.getuser(), "mlflow.source.name": "study.run",
            _STUDY: study, _IDENTITY: record.identity, _REVISION: f"{revision} {content}",
        } | ({"mlflow.parentRunId": parent} if parent else {})  # fmt: skip
        run = client.create_run(experiment, start_time=int(time.time() * 1000), tags=tags, run_name=record.name)
    elif pending != content:
        client.set_tag(run.info.run_id, _REVISION, f"{revision} {content}")
    identifier = str(run.info.run_id)
    _log_artifacts(client, identifier, record)
    _log_dataset(client, identifier, record)
    note = record.note.replace("{run}", identifier)
    tags = {**record.tags, **({"mlflow.note.content": note} if note else {}), **({"mlflow.parentRunId": parent} if parent else {})}
    params = {key: value for key, value in record.params.items() if key not in run.data.params}  # they cannot change
    _log_batches(client, identifier, record, params, {**tags, _CONTENT: content}, run.info.start_time + revision)
    if run.info.run_name != record.name:
        client.update_run(identifier, name=record.name)
    if record.status == "RUNNING":
        if run.info.status != "RUNNING":
            client.update_run(identifier, status="RUNNING")
    else:
        client.set_terminated(identifier, status=record.status)
    return identifier, True


def _log_batches(
    client: Any, run: str, record: RunRecord, params: Mapping[str, str], tags: Mapping[str, str], timestamp: int
) -> None:
    """Metrics and parameters in as few requests as MLflow's limits allow, the tags with the last one."""
    from mlflow.entities import Metric, Param, RunTag

    metrics = [Metric(name, value, timestamp, step) for name, value, step in record.metrics]
    rows = [Param(key, value[:6000]) for key, value in params.items()]
    marks = [RunTag(key, value) for key, value in tags.items()]
    while len(metrics) > _METRICS_PER_BATCH - 200 or len(rows) > _PARAMS_PER_BATCH:
        client.log_batch(run, metrics=metrics[: _METRICS_PER_BATCH - 200], params=rows[:_PARAMS_PER_BATCH])
        metrics, rows = metrics[_METRICS_PER_BATCH - 200 :], rows[_PARAMS_PER_BATCH:]
    client.log_batch(run, metrics=metrics, params=rows, tags=marks)


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

    described = record.dataset
    dataset = Dataset(
        name=described["name"], digest=described["digest"], source_type="align_study", source=described["source"],
        profile=described["profile"],
    )  # fmt: skip
    client.log_inputs(run, datasets=[DatasetInput(dataset, [InputTag("mlflow.data.context", "training")])])


@contextmanager
def _environment() -> Iterator[None]:
    """MLflow's own settings for the time of a call, back as they were after it."""
    added = {key: value for key, value in _ENVIRONMENT.items() if key not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for key in added:
            os.environ.pop(key, None)


@contextmanager
def _silence() -> Iterator[None]:
    """Without the libraries' progress messages: what the user can act on is in the result."""
    before = {name: logging.getLogger(name).level for name in _LOGGERS}
    for name in _LOGGERS:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for name, level in before.items():
            logging.getLogger(name).setLevel(level)


def _resolve(uri: str) -> tuple[str, Path | None]:
    """The URI with its SQLite path made absolute, and the folder for artifacts where this process writes them."""
    database = _sqlite_path(uri)
    if database is not None:
        return f"sqlite:///{database}", database.parent / "mlartifacts"
    local = urlsplit(uri).scheme.partition("+")[0] in ("postgresql", "mysql", "mssql", "sqlite")
    return uri, Path.cwd() / "mlartifacts" if local else None


def _sqlite_path(uri: str) -> Path | None:
    if not uri.startswith("sqlite:///") or ":memory:" in uri:
        return None
    return (Path.cwd() / uri.removeprefix("sqlite:///")).resolve()


def _folder_name(study: str) -> str:
    """A safe folder for a study's artifacts, told apart by a hash where the name itself is not safe."""
    safe = re.sub(r"[^A-Za-z0-9._-]+", "-", study).strip("-.")[:80]
    return safe if safe == study else f"{safe or 'study'}-{projection.content_hash(study)[:8]}"


def _reason(error: Exception) -> str:
    """An exception as one short line without passwords."""
    text = " ".join(str(error).split()) or type(error).__name__
    return _without_password(text if len(text) <= 240 else text[:239] + "…")


def _without_password(text: str) -> str:
    return re.sub(r"(?<=://)[^/@\s]+@", "…@", text)
