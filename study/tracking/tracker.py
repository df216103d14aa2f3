"""MLflow as a view of a study: each call writes what the report says and MLflow does not show yet.

The report is the truth. `Tracker.project` is a function of the report alone and finds its runs by tags, so it may be
called after every round, again after a kill, or for the first time when the server is back: it never makes a second
run for the same thing, and it never raises.
"""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from study.config import ConfigError
from study.config.secrets import expand, redacted
from study.results.model import Report
from study.tracking import projection
from study.tracking.database import whole
from study.tracking.first_start import one_at_a_time
from study.tracking.guest import as_guest, few_database_retries
from study.tracking.naming import EXPERIMENT, NOTE, STUDY
from study.tracking.notes import study_note
from study.tracking.runs import existing_runs, show
from study.tracking.shown import shown_in
from study.tracking.store import DEFAULT_URI, database_file, explain, resolve
from trainables.spec import content_hash

_LOCAL = "http://127.0.0.1:5000"  # where `mlflow ui` is, unless it is told otherwise
_ATTEMPTS = 2
_RETRY_AFTER = 0.3  # seconds


@dataclass(frozen=True, kw_only=True)
class TrackingResult:
    """What a call came to: runs written, runs that were up to date already, and why the rest is missing.

    `problem` is None where MLflow shows all of the report, else one line for the user; calling again is safe.
    """

    written: int = 0
    unchanged: int = 0
    problem: str | None = None
    seconds: float = 0.0


def _on_stderr(line: str) -> None:
    print(line, file=sys.stderr)


class Tracker:
    """The view of studies in the MLflow store at `uri`: `sqlite:///…`, `http://…`, any that MLflow takes.

    Passwords in it may be references, see `study.config.secrets`; those of a server are better left to MLflow's own
    MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD.
    A relative SQLite path is resolved at once. Artifacts of a database that this process opens itself lie in
    `artifacts`, `mlartifacts/` beside the SQLite file, where `mlflow ui` keeps its own; those of a server, where the
    server says: then it is None.
    One call takes at most about `deadline` seconds; the next one writes what is left over. After a failure, calls
    return at once for `pause` seconds, so that a dead server is not asked after every round. `say` is told in a line of
    what was amiss and is mended.
    """

    def __init__(
        self,
        uri: str = DEFAULT_URI,
        *,
        deadline: float = 60.0,
        pause: float = 30.0,
        say: Callable[[str], None] = _on_stderr,
    ) -> None:
        try:
            self.uri, self.artifacts = resolve(expand(uri))
        except ValueError as error:
            raise ConfigError(f"the tracking URI: {error}") from None
        self._deadline, self._pause, self._say = deadline, pause, say
        self._client: Any = None
        self._shown: str | None = None  # the experiment that a study was last shown in
        self._failure: tuple[float, str] | None = None  # when and why the last projection failed

    def prepare(self) -> TrackingResult:
        """Create or migrate the store once, before anything else opens it (two processes at it would race)."""
        return self._attempt(lambda _: self._connect().search_experiments(max_results=1))

    def project(
        self, report: Report, *, folder: Path | None = None, config_text: str = "", last: bool = False
    ) -> TrackingResult:
        """Bring MLflow to what `report` says, with the files that `study.results.writing` has put into `folder`.

        Idempotent: a second call with the same report and files writes nothing. Never raises. Pass `last` when no other
        call will follow: it asks the server even right after a failure, and takes up to five times as long.
        """
        if self._failure and not last and time.monotonic() - self._failure[0] < self._pause:
            return TrackingResult(problem=self._failure[1])
        if unchanged := self._unchanged(report, folder, config_text):
            return unchanged
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

    def _unchanged(self, report: Report, folder: Path | None, config: str) -> TrackingResult | None:
        """The result where MLflow was not needed yet, nor is it now; None where it may be."""
        start, file = time.monotonic(), database_file(self.uri)
        if self._client is not None or file is None or not file.is_file():
            return None
        try:
            records = projection.records(report, folder=folder, config_text=config)
            study, name = projection.study_key(report), content_hash(_experiment_name(report))
            self._shown = shown_in(file, records, study=study, experiment=name, note=study_note(report))
        except Exception:  # noqa: BLE001  `_attempt` meets it again, and says so
            return None
        if self._shown is None:
            return None
        return TrackingResult(unchanged=len(records), seconds=time.monotonic() - start)

    @property
    def _is_server(self) -> bool:
        return self.uri.startswith(("http://", "https://"))

    def browse(self) -> str:
        """What to do to see the study that was shown: open its page, behind a command where no server runs."""
        if (page := self.page()) is None:
            return self.hint()
        return page if self._is_server else f"{self.hint()}, then {page}"

    def hint(self) -> str:
        """The command, or for a server the address, that shows the studies."""
        if self._is_server:
            return redacted(self.uri)
        here = self.uri == resolve(DEFAULT_URI)[0] and not Path("mlruns").exists()  # else it shows that folder
        return "mlflow ui" if here else f"mlflow ui --backend-store-uri {redacted(self.uri)}"

    def page(self) -> str | None:
        """The address at which a study that was shown opens, once what `hint` says runs; None where none was shown.

        Without its last part MLflow opens an experiment as one of prompts and traces, which a study has none of.
        """
        if self._shown is None:
            return None
        server = re.sub(r"//[^/@]*@", "//", self.uri.rstrip("/")) if self._is_server else _LOCAL
        return f"{server}/#/experiments/{self._shown}?workflowType=machine_learning"

    def _attempt(self, work: Callable[[dict[str, int]], object]) -> TrackingResult:
        """Do `work`, which counts the runs it has seen to; whatever it raises becomes the result's `problem`."""
        start, count, problem = time.monotonic(), {"written": 0, "unchanged": 0}, None
        try:
            with as_guest():
                work(count)
        except Exception as error:  # noqa: BLE001  MLflow is a view: no fault in it may stop a study
            self._client = None
            problem = f"MLflow at {redacted(self.uri)} does not show all of the study ({explain(error, uri=self.uri)})"
        return TrackingResult(**count, problem=problem, seconds=time.monotonic() - start)

    def _connect(self) -> Any:
        if self._client is None:
            from mlflow.tracking import MlflowClient  # a second or two to import

            with few_database_retries(), self._made_alone():
                self._client = MlflowClient(tracking_uri=self.uri)
        return self._client

    def _made_alone(self) -> AbstractContextManager[None]:
        """A context in which nobody else makes the tables of the same database, where it has none yet."""
        if file := database_file(self.uri):
            return whole(file, say=self._say)
        return one_at_a_time(self.uri) if self.uri.startswith("postgresql+psycopg://") else nullcontext()

    def _write(self, report: Report, folder: Path | None, config: str, until: float, count: dict[str, int]) -> None:
        records = projection.records(report, folder=folder, config_text=config)
        client = self._connect()
        self._shown = experiment = self._experiment(client, report)
        study = projection.study_key(report)
        existing = existing_runs(client, experiment, study)
        now = int(time.time() * 1000)  # the interface lists the newest first: so it shows the report's order
        runs: dict[str, str] = {}
        for position, record in enumerate(records):
            if time.monotonic() > until:
                raise TimeoutError(f"{position} of {len(records)} runs took all the time there was")
            run, written = show(
                client,
                record,
                existing.get(record.identity),
                experiment=experiment,
                study=study,
                parent=runs[record.parent] if record.parent else "",
                start=now - position,
            )
            count["written" if written else "unchanged"] += 1
            runs[record.identity] = run
            if record.models:
                from study.tracking.models import register  # here: it brings torch, and most runs have none

                for model in record.models:
                    register(client, model, experiment=experiment, run=run)

    def _experiment(self, client: Any, report: Report) -> str:
        """The study's experiment, found or made; one that was deleted in the interface is restored."""
        name = _experiment_name(report)
        note, key = study_note(report), content_hash(name)
        experiment = _tagged(client, key) or _of_runs(client, projection.study_key(report), key)
        for candidate in (name, f"{name} ({key[:8]})"):  # a second one, where another study's was renamed to the first
            if experiment is not None:
                break
            taken = client.get_experiment_by_name(candidate)
            if taken is None:
                root = self.artifacts
                tags = {
                    "mlflow.experimentKind": "custom_model_development", NOTE: note, EXPERIMENT: key
                }  # fmt: skip
                location = None if root is None else (root / _folder_name(name)).as_uri()
                return str(client.create_experiment(candidate, artifact_location=location, tags=tags))
            if taken.tags.get(EXPERIMENT, key) == key:
                experiment = taken
        if experiment is None:
            raise RuntimeError(f"the experiments {name} and {candidate} are another study's")
        if experiment.lifecycle_stage != "active":
            client.restore_experiment(experiment.experiment_id)
        for tag, value in ((EXPERIMENT, key), (NOTE, note)):
            if experiment.tags.get(tag) != value:
                client.set_experiment_tag(experiment.experiment_id, tag, value)
        return str(experiment.experiment_id)


def _experiment_name(report: Report) -> str:
    return " ".join((report.study or "study").split())[:400]


def _tagged(client: Any, key: str) -> Any:
    """The experiment with this key, whatever it is called by now; None if there is none. An active one comes first."""
    from mlflow.entities import ViewType

    experiments = client.search_experiments(ViewType.ALL, filter_string=f"tags.`{EXPERIMENT}` = '{key}'")
    return min(experiments, key=lambda one: (one.lifecycle_stage != "active", int(one.experiment_id)), default=None)


def _of_runs(client: Any, study: str, key: str) -> Any:
    """The experiment with a study's runs: the version before wrote no key."""
    from mlflow.entities import ViewType

    known = {one.experiment_id: one for one in client.search_experiments(ViewType.ALL)}
    free = [name for name, one in known.items() if one.tags.get(EXPERIMENT, key) == key]
    runs = client.search_runs(free, f"tags.`{STUDY}` = '{study}'", ViewType.ALL, max_results=1) if free else ()
    return known[runs[0].info.experiment_id] if runs else None


def _folder_name(study: str) -> str:
    """A safe folder for a study's artifacts, told apart by a hash where the name itself is not safe."""
    safe = re.sub(r"[^A-Za-z0-9._-]+", "-", study).strip("-.")[:80]
    return safe if safe == study else f"{safe or 'study'}-{content_hash(study)[:8]}"
