"""The real MLflow on SQLite, and servers that are dead, silent or failing."""

from __future__ import annotations

import http.server
import logging
import os
import shutil
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from study.results.model import LearningCurve, Report
from study.tracking import Tracker, TrackingResult
from tests.study import servers
from tests.study.results import example

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")  # MLflow keeps its engines open to the end

REFUSED = "http://127.0.0.1:9"  # the discard port: nothing listens there


@pytest.fixture(scope="module")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store that is created once, since that takes seconds."""
    database = tmp_path_factory.mktemp("store") / "mlflow.db"
    assert Tracker(f"sqlite:///{database}").prepare().problem is None
    return database


@pytest.fixture
def uri(empty_store: Path, tmp_path: Path) -> str:
    shutil.copyfile(empty_store, tmp_path / "mlflow.db")
    return f"sqlite:///{tmp_path / 'mlflow.db'}"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study's folder as `study.report` leaves it, the figures being stand-ins."""
    folder = tmp_path_factory.mktemp("digits")
    (folder / "figures").mkdir()
    for cell in ("01-digits-left-right", "02-digits-left-fourier", "03-digits-right-fourier"):
        for kind in ("curve-1", "curve-2", "alignment", "pid"):
            for extension in ("svg", "png"):
                (folder / "figures" / f"{cell}-{kind}.{extension}").write_text(f"{cell} {kind}")
    (folder / "report.html").write_text("<p>page</p>")
    (folder / "report.json").write_text("{}")
    return folder


@pytest.fixture(scope="module")
def shown(empty_store: Path, folder: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A store that shows the whole study, to be read only."""
    database = tmp_path_factory.mktemp("shown") / "mlflow.db"
    shutil.copyfile(empty_store, database)
    uri = f"sqlite:///{database}"
    report = Report.from_json(example.digits_report())
    result = Tracker(uri).project(report, folder=folder, config_text="study: digits\n")
    assert (result.problem, result.written, result.unchanged) == (None, 30, 0)
    return uri


@pytest.fixture
def small() -> Report:
    """One cell of three strengths: four runs."""
    report: dict[str, Any] = example.digits_report()
    report["cells"] = report["cells"][:1]
    for entry in report["cells"][0]["encoders"]:
        entry["curve"] = entry["curve"][:3]
    return Report.from_json(report)


def _client(uri: str) -> Any:
    from mlflow.tracking import MlflowClient

    return MlflowClient(tracking_uri=uri)


def _runs(uri: str, experiment: str = "digits") -> list[Any]:
    client = _client(uri)
    return list(client.search_runs([client.get_experiment_by_name(experiment).experiment_id], max_results=5000))


def _cells(runs: list[Any]) -> dict[str, Any]:
    return {run.info.run_name: run for run in runs if "mlflow.parentRunId" not in run.data.tags}


def _metric_rows(uri: str) -> list[tuple[Any, ...]]:
    """Every metric ever logged, without the runs' random ids and the clock."""
    with sqlite3.connect(uri.removeprefix("sqlite:///")) as database:
        rows = database.execute(
            "SELECT t.value, m.key, m.step, m.value, m.timestamp - r.start_time FROM metrics m "
            "JOIN runs r USING (run_uuid) JOIN tags t ON t.run_uuid = m.run_uuid AND t.key = 'align_study.identity'"
        )
        return sorted(rows)


def test_a_study_becomes_an_experiment_with_cells_and_strengths(shown: str) -> None:
    runs = _runs(shown)
    cells = _cells(runs)
    under = [run.data.tags["mlflow.parentRunId"] for run in runs if run.info.run_name not in cells]
    assert list(cells) == ["digits, left + right", "digits, left + fourier", "digits, right + fourier"]
    assert sorted(under) == sorted(9 * [run.info.run_id for run in cells.values()])
    assert {run.info.status for run in runs} == {"FINISHED"}


def test_a_cell_shows_its_answer_its_note_its_files_and_its_data(shown: str) -> None:
    run = _cells(_runs(shown))["digits, left + fourier"]
    files = _client(shown).list_artifacts(run.info.run_id)
    assert run.data.metrics["lambda_star"] == 1.9
    assert run.data.tags["strategy"] == "to_2"
    assert run.data.tags["mlflow.note.content"].startswith("**Align fourier to left only")
    assert f"run_uuid={run.info.run_id}" in run.data.tags["mlflow.note.content"]
    assert [file.path for file in files] == ["config.yaml", "figures", "report.html", "report.json"]
    assert len(_client(shown).list_artifacts(run.info.run_id, "figures")) == 8
    assert run.inputs.dataset_inputs[0].dataset.name == "digits"
    assert (Path(shown.removeprefix("sqlite:///")).parent / "mlartifacts" / "digits").is_dir()


def test_a_strength_shows_its_scores_and_learning_curve(shown: str) -> None:
    run = next(run for run in _runs(shown) if run.data.params.get("strength") == "0.6")
    history = _client(shown).get_metric_history(run.info.run_id, "by_epoch/accuracy_1")
    assert 0.7 < run.data.metrics["accuracy_1"] < 1
    assert [point.step for point in history] == list(range(5, 55, 5))


def test_projecting_again_writes_nothing(shown: str, folder: Path) -> None:
    before = _metric_rows(shown)
    report = Report.from_json(example.digits_report())
    result = Tracker(shown).project(report, folder=folder, config_text="study: digits\n")
    assert (result.problem, result.written, result.unchanged) == (None, 0, 30)
    assert _metric_rows(shown) == before


def test_what_a_file_shows_already_is_told_without_the_seconds_that_mlflow_takes(shown: str, folder: Path) -> None:
    code = """
import sys
from pathlib import Path
from study.results.model import Report
from study.tracking import Tracker
from tests.study.results import example
tracker, report = Tracker(sys.argv[1]), Report.from_json(example.digits_report())
result = tracker.project(report, folder=Path(sys.argv[2]), config_text=sys.argv[3])
print(result.problem, result.written, result.unchanged, "mlflow" in sys.modules, tracker.page())
"""
    ended = subprocess.run(
        [sys.executable, "-c", code, shown, str(folder), "study: digits\n"], capture_output=True, text=True, check=True
    )
    experiment = _client(shown).get_experiment_by_name("digits").experiment_id
    page = f"http://127.0.0.1:5000/#/experiments/{experiment}?workflowType=machine_learning"
    assert ended.stdout.split() == ["None", "0", "30", "False", page]


def _set(query: str) -> Callable[[sqlite3.Connection], object]:
    return lambda database: database.execute(query)


@pytest.mark.parametrize(
    "damage",
    [
        _set("UPDATE runs SET status = 'RUNNING' WHERE name LIKE 'digits%'"),
        _set("UPDATE tags SET value = replace(value, 'done', 'writing') WHERE key = 'align_study.state'"),
        _set("DELETE FROM tags WHERE key = 'align_study.state'"),
        _set("UPDATE experiment_tags SET value = 'mine' WHERE key = 'mlflow.note.content'"),
    ],
)
def test_what_somebody_has_changed_is_as_the_report_says_again(
    damage: Callable[[sqlite3.Connection], object], uri: str, small: Report
) -> None:
    Tracker(uri).project(small)
    told = _cells(_runs(uri))["digits, left + right"].data.tags
    note = _client(uri).get_experiment_by_name("digits").tags["mlflow.note.content"]
    with sqlite3.connect(uri.removeprefix("sqlite:///")) as database:
        damage(database)
    assert Tracker(uri).project(small).problem is None
    runs = _runs(uri)
    assert {run.info.status for run in runs} == {"FINISHED"}
    assert _cells(runs)["digits, left + right"].data.tags["mlflow.note.content"] == told["mlflow.note.content"]
    assert _client(uri).get_experiment_by_name("digits").tags["mlflow.note.content"] == note
    assert Tracker(uri).project(small).unchanged == 4


def test_a_partial_study_grows_into_the_complete_one(uri: str) -> None:
    tracker = Tracker(uri)
    tracker.project(Report.from_json(example.partial_report()))
    partial = _runs(uri)
    tracker.project(Report.from_json(example.digits_report()))
    complete = _runs(uri)
    assert len(partial) == 3 + 9 + 4
    assert {run.info.status for run in _cells(partial).values()} == {"RUNNING"}
    assert {run.info.run_id for run in partial} <= {run.info.run_id for run in complete}
    assert len(complete) == 30
    assert {run.info.status for run in complete} == {"FINISHED"}


def test_a_value_that_falls_is_shown_as_it_is_now(uri: str, small: Report) -> None:
    Tracker(uri).project(small)
    for value in (0.5, 0.7, 0.1):
        (cell,) = small.cells
        cell = replace(cell, pair_choice=replace(cell.pair_choice, lambda_star=value))
        Tracker(uri).project(replace(small, cells=(cell,)))
        assert _cells(_runs(uri))["digits, left + right"].data.metrics["lambda_star"] == value


@pytest.mark.parametrize("allowed", [0, 2])
@pytest.mark.parametrize("request_name", ["create_run", "log_batch", "set_terminated", "log_artifacts"])
def test_a_projection_that_was_cut_short_is_completed_without_traces(
    uri: str, folder: Path, small: Report, monkeypatch: pytest.MonkeyPatch, request_name: str, allowed: int
) -> None:
    from mlflow.tracking import MlflowClient

    tracker = Tracker(uri, pause=0)
    real, calls = getattr(MlflowClient, request_name), iter(range(10**6))

    def failing(*arguments: Any, **options: Any) -> Any:
        if next(calls) >= allowed:
            raise OSError("cut short")
        return real(*arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(MlflowClient, request_name, failing)
        cut = tracker.project(small, folder=folder)
    result = tracker.project(small, folder=folder)
    runs = _runs(uri)
    rows = _metric_rows(uri)
    assert "cut short" in (cut.problem or "") or (request_name, allowed) == ("log_artifacts", 2)
    assert result.problem is None
    assert len(runs) == 4
    assert {run.info.status for run in runs} == {"FINISHED"}
    assert len(rows) == len({row[:3] for row in rows})  # every metric once at every step


def test_a_run_made_twice_by_a_repeated_request_is_one_again(uri: str, small: Report) -> None:
    Tracker(uri).project(small)
    first = _cells(_runs(uri))["digits, left + right"]
    later = first.info.start_time + 5
    twin = _client(uri).create_run(first.info.experiment_id, start_time=later, tags=dict(first.data.tags))
    Tracker(uri).project(small)
    runs = {run.info.run_id for run in _runs(uri)}
    assert len(runs) == 4
    assert first.info.run_id in runs
    assert twin.info.run_id not in runs


def test_a_run_deleted_by_hand_comes_back(uri: str, small: Report) -> None:
    Tracker(uri).project(small)
    _client(uri).delete_run(_cells(_runs(uri))["digits, left + right"].info.run_id)
    Tracker(uri).project(small)
    runs = _runs(uri)
    parents = {run.data.tags["mlflow.parentRunId"] for run in runs if "mlflow.parentRunId" in run.data.tags}
    assert len(runs) == 4
    assert parents == {run.info.run_id for run in _cells(runs).values()}


def test_an_experiment_deleted_by_hand_comes_back(uri: str, small: Report) -> None:
    Tracker(uri).project(small)
    _client(uri).delete_experiment(_client(uri).get_experiment_by_name("digits").experiment_id)
    assert Tracker(uri).project(small).problem is None
    assert len(_runs(uri)) == 4


def _rename(uri: str, name: str, new: str) -> str:
    experiment = _client(uri).get_experiment_by_name(name).experiment_id
    _client(uri).rename_experiment(experiment, new)
    return str(experiment)


@pytest.mark.parametrize("new", ["mine", 'it\'s "mine" %', "digits 2"])
def test_a_renamed_experiment_is_found_again_under_its_new_name(uri: str, small: Report, new: str) -> None:
    Tracker(uri).project(small)
    _rename(uri, "digits", new)
    result = Tracker(uri).project(small)
    assert (result.problem, result.written, result.unchanged) == (None, 0, 4)
    assert sorted(experiment.name for experiment in _client(uri).search_experiments()) == sorted(["Default", new])


def test_an_experiment_renamed_and_deleted_by_hand_comes_back(uri: str, small: Report) -> None:
    Tracker(uri).project(small)
    _client(uri).delete_experiment(_rename(uri, "digits", "mine"))
    assert Tracker(uri).project(small).problem is None
    assert len(_runs(uri, "mine")) == 4


@pytest.mark.parametrize("renamed", [False, True])
def test_an_experiment_of_the_version_before_is_taken_over(uri: str, small: Report, renamed: bool) -> None:
    Tracker(uri).project(small)
    with sqlite3.connect(uri.removeprefix("sqlite:///")) as database:
        assert database.execute("DELETE FROM experiment_tags WHERE key = 'align_study.name'").rowcount == 1
    if renamed:
        _rename(uri, "digits", "mine")
    result = Tracker(uri).project(small)
    assert (result.problem, result.written, result.unchanged) == (None, 0, 4)
    _rename(uri, "mine" if renamed else "digits", "mine again")
    assert Tracker(uri).project(small).unchanged == 4


def test_a_study_called_as_another_one_was_renamed_gets_an_experiment_of_its_own(uri: str, small: Report) -> None:
    Tracker(uri).project(small)
    _rename(uri, "digits", "mine")
    for _ in range(2):
        assert Tracker(uri).project(replace(small, study="mine")).problem is None
        assert Tracker(uri).project(small).problem is None
    names = {experiment.name for experiment in _client(uri).search_experiments()} - {"Default", "mine"}
    (own,) = names
    assert own.startswith("mine (")
    assert len(_runs(uri, own)) == len(_runs(uri, "mine")) == 4


def test_another_configuration_of_the_same_name_gets_runs_of_its_own(uri: str, small: Report) -> None:
    Tracker(uri).project(small)
    result = Tracker(uri).project(replace(small, config_hash="another", seed=7))
    assert (result.problem, result.written) == (None, 4)
    assert len(_runs(uri)) == 8


def test_hostile_names_are_only_names(uri: str, tmp_path: Path) -> None:
    report = example.hostile_report()
    report["cells"] = report["cells"][:1]
    result = Tracker(uri).project(Report.from_json(report), config_text="x: 1")
    experiments = {experiment.name for experiment in _client(uri).search_experiments()}
    assert result.problem is None
    assert report["study"] in experiments
    assert len(_runs(uri, report["study"])) == 10
    assert [path.parent for path in (tmp_path / "mlartifacts").iterdir()] == [tmp_path / "mlartifacts"]


def test_more_than_mlflow_takes_at_once_is_written_in_batches(uri: str, small: Report) -> None:
    learning = LearningCurve(strength=0.0, epoch=tuple(range(1, 2001)), score_1=(0.5,) * 2000)
    variant = {f"option_{index}": index for index in range(250)}
    (cell,) = small.cells
    result = Tracker(uri).project(replace(small, cells=(replace(cell, variant=variant, learning_curves=(learning,)),)))
    runs = _runs(uri)
    zero = next(run for run in runs if run.data.params.get("strength") == "0")
    assert result.problem is None
    assert len(_cells(runs)["digits, left + right"].data.params) == 251
    assert len(_client(uri).get_metric_history(zero.info.run_id, "by_epoch/accuracy_1")) == 2000


def test_a_call_out_of_time_says_so_and_the_next_one_goes_on(uri: str, small: Report) -> None:
    first = Tracker(uri, deadline=-1).project(small)
    second = Tracker(uri).project(small)
    assert "0 of 4 runs took all the time there was" in (first.problem or "")
    assert (second.problem, second.written + second.unchanged) == (None, 4)


def test_a_dead_server_costs_nothing_and_raises_nothing(small: Report) -> None:
    start = time.monotonic()
    tracker = Tracker(REFUSED)
    results = [tracker.prepare(), tracker.project(small), tracker.project(small, last=True)]
    assert all("the connection was refused" in (result.problem or "") for result in results)
    assert all("\n" not in (result.problem or "") for result in results)
    assert time.monotonic() - start < 5


def test_after_a_failure_the_server_is_left_alone_for_a_while(small: Report) -> None:
    tracker = Tracker(REFUSED)
    failed = tracker.project(small)
    again = tracker.project(small)
    assert again == TrackingResult(problem=failed.problem)
    assert tracker.project(small, last=True).seconds > 0


@pytest.fixture
def silent_server() -> Iterator[str]:
    """Takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


@pytest.fixture
def failing_server() -> Iterator[str]:
    """Answers everything with 500."""

    class _Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_error(500)

        do_POST = do_GET  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_a_silent_server_is_given_up(silent_server: str, small: Report, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")  # what the user sets stands; without it, 5
    start = time.monotonic()
    assert "did not answer in time" in (Tracker(silent_server).project(small).problem or "")
    assert time.monotonic() - start < 6


def test_a_failing_server_is_given_up(failing_server: str, small: Report) -> None:
    start = time.monotonic()
    assert "the server answers with errors" in (Tracker(failing_server).project(small).problem or "")
    assert time.monotonic() - start < 6


@pytest.mark.parametrize(
    ("uri", "told"),
    [
        ("nonsense://x", "it is no tracking URI of MLflow"),
        ("nonsense", "a folder is no store of this MLflow: use sqlite"),
        ("sqlite:////dev/null/mlflow.db", "/dev/null"),
        ("sqlite:////proc/mlflow.db", "the database file cannot be opened"),
        ("http://user:secret@127.0.0.1:9", "…@127.0.0.1:9"),
    ],
)
def test_a_store_that_cannot_be_opened_is_one_line(small: Report, uri: str, told: str) -> None:
    problem = Tracker(uri).project(small).problem or ""
    assert told in problem
    assert "secret" not in problem
    assert "\n" not in problem


def test_mlflow_stays_quiet_and_leaves_no_settings_behind(
    uri: str, small: Report, capfd: pytest.CaptureFixture[str]
) -> None:
    names = ("mlflow", "alembic", "urllib3")
    before = dict(os.environ), [logging.getLogger(name).level for name in names]
    Tracker(uri).project(small)
    assert (dict(os.environ), [logging.getLogger(name).level for name in names]) == before
    assert capfd.readouterr() == ("", "")


def test_a_relative_store_stays_where_it_was_meant(
    empty_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small: Report
) -> None:
    (tmp_path / "elsewhere").mkdir()
    shutil.copyfile(empty_store, tmp_path / "mlflow.db")
    monkeypatch.chdir(tmp_path)
    tracker = Tracker()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert tracker.project(small).problem is None
    assert len(_runs(f"sqlite:///{tmp_path / 'mlflow.db'}")) == 4
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_the_hint_is_a_command_that_shows_this_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert Tracker().hint() == "mlflow ui"
    assert Tracker("sqlite:////data/runs.db").hint() == "mlflow ui --backend-store-uri sqlite:////data/runs.db"
    assert Tracker("http://user:secret@head:5000").hint() == "http://…@head:5000"
    (tmp_path / "mlruns").mkdir()
    assert Tracker().hint() == f"mlflow ui --backend-store-uri sqlite:///{tmp_path / 'mlflow.db'}"


def test_the_page_opens_the_view_of_trainings_of_the_study(uri: str, small: Report) -> None:
    tracker = Tracker(uri)
    assert tracker.page() is None  # nothing is shown yet
    assert tracker.browse() == tracker.hint()
    assert tracker.project(small).problem is None
    (experiment,) = [one for one in _client(uri).search_experiments() if one.name == small.study]
    view = f"/#/experiments/{experiment.experiment_id}?workflowType=machine_learning"
    assert tracker.page() == f"http://127.0.0.1:5000{view}"
    assert tracker.browse() == f"{tracker.hint()}, then {tracker.page()}"


def test_postgresql_shows_the_same_study_and_nobody_its_password(
    postgres: Any,
    folder: Path,
    small: Report,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setenv("MLFLOW_DATABASE", postgres.with_password(postgres.database("mlflow")))
    monkeypatch.delenv("PGPASSWORD")
    monkeypatch.chdir(tmp_path)  # where artifacts go
    tracker = Tracker("${MLFLOW_DATABASE}", deadline=120)
    assert tracker.prepare().problem is None
    assert tracker.project(small, folder=folder, last=True).problem is None
    again = tracker.project(small, folder=folder, last=True)
    assert (again.written, again.problem) == (0, None)
    assert "align" not in tracker.hint().partition("://")[2].partition("/")[0]
    postgres.stop()
    try:
        problem = Tracker("${MLFLOW_DATABASE}").project(small).problem or ""
    finally:
        postgres.start()
    assert "does not show all" in problem
    assert "p%40ss" not in problem
    assert servers.PASSWORD not in problem


RACE = """
import os
import mlflow.tracking
from study.tracking import Tracker

read, write = os.pipe()
children = []
for _ in range(3):
    if not (child := os.fork()):
        os.close(write)
        os.read(read, 1)  # until all are let go
        problem = Tracker("${MLFLOW_DATABASE}").prepare().problem
        print(problem or "none", flush=True)
        os._exit(0)
    children.append(child)
os.close(write)
for child in children:
    os.waitpid(child, 0)
"""


@pytest.mark.timeout(300)
def test_first_starts_against_one_empty_postgresql_do_not_break_each_other(
    postgres: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(2):
        monkeypatch.setenv("MLFLOW_DATABASE", postgres.with_password(postgres.database(f"race-{number}")))
        ended = subprocess.run(
            [sys.executable, "-c", RACE], cwd=tmp_path, capture_output=True, text=True, check=True, timeout=200
        )
        assert ended.stdout.split() == ["none"] * 3, ended.stdout
