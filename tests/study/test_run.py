"""The command line through the real Ray, Optuna and MLflow: whole studies, killed ones, and bad input of every kind."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from wsgiref.util import setup_testing_defaults

import jsonschema
import numpy as np
import optuna
import psutil
import pytest
from mlflow import MlflowClient
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from study.results.model.schema import report_schema
from study.run import main
from study.search import open_storage
from tests.study import studies
from trainables.datasets import load
from trainables.spec import DatasetSpec

TINY = """
study: tiny
dataset: {name: digits}
pairs: [[left, right], [left, fourier]]
pid: {estimator: broja, bootstrap: 20}
encoder: {width: 8}
training: {epochs: 40, batch_size: 128}
strength: {initial: [0, 0.5, 2], refine: 2, per_round: 1}
replicates: {search: 3, confirm: 3}
resources: {pack: 5}
"""  # not `studies.TINY`, which spares itself one-sided arms, several rounds, and models
Ended = tuple[Any, subprocess.CompletedProcess[str]]  # a `studies.TinyStudy`, and how its command ended


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Ended:
    study = studies.TinyStudy(tmp_path_factory.mktemp("undisturbed"), text=TINY)
    return study, study.run()


@pytest.fixture
def study(tmp_path: Path) -> Iterator[Any]:
    yield studies.TinyStudy(tmp_path, text=TINY)
    for process in psutil.process_iter():  # Ray's daemons notice the death of their driver, but in their own time
        try:
            if str(tmp_path) in process.cwd():
                process.kill()
        except psutil.Error:
            continue


def test_a_dry_run_says_what_a_study_that_has_ended_would_train_still(
    undisturbed: Ended, capsys: pytest.CaptureFixture[str]
) -> None:
    study, _ = undisturbed
    trained = study.report()["trainings"]
    again = ["--space", str(study.folder / "tiny.yaml"), "--out", str(study.out.parent), "--dry-run"]

    assert main(again) == 0
    assert f"tiny has begun: {trained} trainings on record, none to come; a run writes" in capsys.readouterr().out
    assert main([*again, "--set", "replicates.search=4", "--json"]) == 0
    rest = json.loads(capsys.readouterr().out)["rest"]
    assert (rest["on_record"], rest["changes"]) == (trained, ["replicates.search: 3 -> 4"])
    assert rest["trainings"] >= 2 * 5
    assert main([*again, "--set", "replicates.search=1"]) == 2
    assert "has more on record (replicates.search: 3 -> 1)" in one_line(capsys.readouterr().err)


def test_a_study_ends_with_a_report_a_table_and_where_to_look(undisturbed: Ended) -> None:
    study, ended = undisturbed

    assert ended.returncode == 0, ended.stderr
    report = study.report()
    assert report["status"] == "complete"
    assert [cell["pair"] for cell in report["cells"]] == [["left", "right"], ["left", "fourier"]]
    for cell in report["cells"]:
        assert [encoder["modality"] for encoder in cell["encoders"]] == cell["pair"]
        for encoder in cell["encoders"]:
            low, high = encoder["interval"]
            assert 0 <= low <= encoder["lambda_star"] <= high <= 4
            assert encoder["gain_over_zero"]["seeds"] == 3
            assert encoder["curve"][0]["strength"] == 0
        projections = cell["pictures"]["projections"]
        largest = cell["encoders"][0]["curve"][-1]["strength"]
        assert (projections[0]["strengths"], projections[-1]["strengths"]) == ([0, 0], [largest] * 2)
        assert [change["modality"] for change in cell["pictures"]["classes"]] in ([], cell["pair"])
    assert len(list((study.out / "figures").glob("*-space.svg"))) == 2
    assert "verdict" in ended.stdout
    assert "studies/tiny/report.html" in ended.stdout
    assert re.search(r"mlflow ui.*, then http://\S+/#/experiments/\d+\?workflowType=machine_learning", ended.stdout)
    first, *others = ended.stderr.splitlines()
    assert first == "reading data …"
    assert any(line.startswith("report while it runs: studies/tiny/report.html") for line in others)
    assert re.search(r"^0 of (about )?\d+ trainings", ended.stderr, flags=re.M)
    assert 'http-equiv="refresh"' not in (study.out / "report.html").read_text()
    assert "Warning" not in ended.stderr + ended.stdout
    assert (study.out / "report.html").read_text().startswith("<!doctype html>")
    assert 'href="tiny/report.html"' in (study.out.parent / "index.html").read_text()
    assert list((study.out / "packs").iterdir()) == []


def test_mlflow_shows_a_parent_a_cell_and_a_child_a_strength(undisturbed: Ended) -> None:
    study, _ = undisturbed
    client = MlflowClient(f"sqlite:///{study.folder / 'mlflow.db'}")
    (experiment,) = [e for e in client.search_experiments() if e.name == "tiny"]
    runs = client.search_runs([experiment.experiment_id])

    children = [run for run in runs if "mlflow.parentRunId" in run.data.tags]
    parents = [run for run in runs if run not in children]
    report = study.report()
    assert len(parents) == len(report["cells"])
    assert len(children) == sum(len(cell["encoders"][0]["curve"]) for cell in report["cells"])


USE = """
import sys, mlflow, numpy as np
mlflow.set_tracking_uri(sys.argv[1])
for name, file in zip(sys.argv[2::2], sys.argv[3::2]):
    rows = np.load(file)
    said = mlflow.pyfunc.load_model(f"models:/{name}@best").predict(rows["x"])
    print((said["logits"].argmax(1) == rows["y"]).mean())
    assert np.allclose(said["probabilities"].sum(1), 1, atol=1e-5) and len(said["features"]) == len(rows["y"])
"""


def test_the_kept_encoders_are_models_that_score_what_the_report_says(undisturbed: Ended, tmp_path: Path) -> None:
    study, _ = undisturbed
    models, arguments = [], []
    for cell in study.report()["cells"]:
        data = load(DatasetSpec(name="digits")).pair(*cell["pair"])
        rows = data.rows("test")
        for modality, target, encoder in zip(data.modalities, data.targets, cell["encoders"], strict=True):
            model = encoder["model"]
            assert model["registered"] == f"tiny.{'-'.join(cell['pair'])}.{encoder['modality']}"
            assert model["strengths"] == cell["pair_choice"]["strengths"]
            assert (study.out / model["file"]).is_file()
            file = tmp_path / f"{len(models)}.npz"
            np.savez(file, x=modality.values[rows], y=target.values[rows])
            models.append(model)
            arguments += [model["registered"], str(file)]
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    used = subprocess.run(  # in a process that knows nothing of this package
        [sys.executable, "-P", "-c", USE, f"sqlite:///{study.folder / 'mlflow.db'}", *arguments],
        cwd=tmp_path, env={**environment, "OMP_NUM_THREADS": "1"}, text=True, capture_output=True, check=True,
    )  # fmt: skip
    assert [float(line) for line in used.stdout.split()] == pytest.approx([m["score"] for m in models], abs=1e-6)


NOTEBOOK = """
import yaml
import study.run
from study import load_report, run
report = run(yaml.safe_load(open("tiny.yaml")), progress=False)
assert report.data["trainings"] == load_report("tiny").data["trainings"]
print(report.encoders["lambda_star"].tolist(), report.data["config_hash"])
"""


def test_a_notebook_runs_the_same_study_and_the_report_keeps_to_its_schema(undisturbed: Ended) -> None:
    study, _ = undisturbed
    before = study.report()
    whole = json.loads((study.out / "report.json").read_text())
    jsonschema.validate(whole, report_schema())

    ended = subprocess.run(
        [sys.executable, "-c", NOTEBOOK],
        cwd=study.folder, env={**os.environ, "OMP_NUM_THREADS": "1"}, text=True, capture_output=True, check=True,
    )  # fmt: skip
    stars = [encoder["lambda_star"] for cell in before["cells"] for encoder in cell["encoders"]]
    assert ended.stdout == f"{stars} {before['config_hash']}\n"
    assert study.report() == before


def test_the_same_command_again_trains_nothing_and_says_the_same(undisturbed: Ended) -> None:
    study, _ = undisturbed
    before, stored = study.report(), recorded(study)

    assert study.run("--address", "127.0.0.1:1").returncode == 0  # where no Ray is, nor needed

    assert study.report() == before
    assert recorded(study) == stored


@pytest.mark.slow
def test_one_worker_and_two_give_the_same_report(undisturbed: Ended, study: Any) -> None:
    assert study.run("--workers", "1").returncode == 0

    assert study.report() == undisturbed[0].report()


@pytest.mark.slow
def test_a_killed_study_resumes_to_the_same_report_and_a_second_driver_is_refused(
    undisturbed: Ended, study: Any
) -> None:
    driver = study.start()
    studies.wait_for(lambda: recorded(study) > 0, driver)
    driver.send_signal(signal.SIGKILL)
    driver.communicate()
    stored = recorded(study)

    resumed = study.start()
    studies.wait_for(lambda: lock_holder(study) == resumed.pid, resumed)
    second = study.run()
    _, err = resumed.communicate(timeout=200)

    assert second.returncode == 2
    assert "is being run already" in one_line(second.stderr)
    assert resumed.returncode == 0, err
    said = err.splitlines()
    (line,) = [line for line in said if re.fullmatch(r"resuming: [1-9]\d* trainings? done", line)]
    assert not [before for before in said[: said.index(line)] if before.startswith("starting Ray")]
    assert "resuming" not in undisturbed[1].stderr
    assert study.report() == undisturbed[0].report()
    # Attributes hold each pack's replicates once: none of the finished ones was trained or stored again.
    assert recorded(study) == recorded(undisturbed[0]) > stored > 0
    states = {trial.state.name for trial in optuna_trials(study)}
    assert states == {"COMPLETE"}
    assert mlflow_runs(study) == mlflow_runs(undisturbed[0])


@pytest.mark.slow
def test_a_study_killed_before_its_profile_comes_to_the_same_profile(tmp_path: Path) -> None:
    """To the bit: on the way to it a resumed study does less than a fresh one, and `study.profile` less again."""
    text = studies.SMALLEST.replace("estimator: broja", "estimator: posterior")
    threads = {"OMP_NUM_THREADS": "2"}  # as a user has them: on one alone there is nothing to get wrong
    whole, killed = (studies.TinyStudy(tmp_path / name, text=text, environment=threads) for name in ("whole", "killed"))
    profile = whole.finish()["cells"][0]["pid"]

    driver = killed.start()
    studies.wait_for(lambda: '"pack_size"' in journal(killed), driver)
    studies.kill(driver)
    assert '"pid:' not in journal(killed)
    assert killed.finish()["cells"][0]["pid"] == profile
    options = ["--space", "tiny.yaml", "--json"]
    profiled = subprocess.run(
        [sys.executable, "-m", "study.profile", *options],
        cwd=killed.folder,
        env=os.environ | threads,
        capture_output=True,
        text=True,
        check=True,
    )
    (value,) = json.loads(profiled.stdout).values()
    assert {key: value[key] for key in profile} == profile


@pytest.mark.slow
def test_a_damaged_record_is_said_and_gone_on_from_and_no_partial_report_replaces_the_whole(
    undisturbed: Ended, study: Any
) -> None:
    shutil.copytree(undisturbed[0].out, study.out)
    journal = study.out / "optuna/journal.log"
    lines = journal.read_bytes().splitlines(keepends=True)
    at = len(lines) * 2 // 3
    journal.write_bytes(b"".join([*lines[:at], b"\x00\x00garbage\n", *lines[at:]]))
    page = (study.out / "report.html").read_bytes()

    rebuilt = study.run(module="study.report")
    untouched = (study.out / "report.html").read_bytes() == page
    resumed = study.run()

    assert rebuilt.returncode == 2
    line = one_line(rebuilt.stderr)
    assert f"journal.log: line {at + 1} is damaged" in line
    assert "run the study again with study.run" in line
    assert untouched
    assert resumed.returncode == 0, resumed.stderr
    assert f"line {at + 1} is damaged" in resumed.stderr
    assert f"it and {len(lines) - at} after it" in resumed.stderr
    assert study.events("record_damaged")
    assert study.report() == undisturbed[0].report()
    assert recorded(study) == recorded(undisturbed[0])


@pytest.mark.slow
def test_control_c_ends_with_130_and_the_command_that_resumes(study: Any) -> None:
    driver = study.start()
    studies.wait_for(lambda: recorded(study) > 0, driver)
    driver.send_signal(signal.SIGINT)
    _, err = driver.communicate(timeout=60)

    assert driver.returncode == 130
    assert "python -m study.run --space tiny.yaml" in err
    assert "Traceback" not in err


def test_control_c_while_ray_starts_leaves_no_process_behind(study: Any) -> None:
    driver = study.start()
    until = time.monotonic() + 60
    seen: set[psutil.Process] = set()

    def look() -> set[str]:
        with contextlib.suppress(psutil.NoSuchProcess):
            seen.update(psutil.Process(driver.pid).children(recursive=True))
        return {Path(line[0]).name for process in seen if (line := command_line(process))}

    while driver.poll() is None and "raylet" not in look():
        assert time.monotonic() < until
        time.sleep(0.02)
    driver.send_signal(signal.SIGINT)
    while driver.poll() is None:  # it says little, which the pipes hold
        assert time.monotonic() < until
        look()
        time.sleep(0.02)
    driver.communicate()
    _, alive = psutil.wait_procs(seen, timeout=20)

    assert driver.returncode == 130
    assert [line for process in alive if (line := command_line(process))] == []  # one that has ended has none


def command_line(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


LOSE_THE_EXCEPTION = """
import contextlib, sys
import study.run as command
handler = command._Interruption.__call__
def lost(self, number, frame):
    with contextlib.suppress(KeyboardInterrupt):
        handler(self, number, frame)
command._Interruption.__call__ = lost
sys.exit(command.main(["--space", "tiny.yaml"]))
"""


@pytest.mark.slow
def test_an_interrupt_whose_exception_is_lost_in_native_code_ends_the_study_all_the_same(study: Any) -> None:
    driver = subprocess.Popen(
        [sys.executable, "-c", LOSE_THE_EXCEPTION],
        cwd=study.folder, env={**os.environ, "OMP_NUM_THREADS": "1"}, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip
    studies.wait_for(lambda: recorded(study) > 0, driver)
    driver.send_signal(signal.SIGTERM)
    _, err = driver.communicate(timeout=60)

    assert driver.returncode == 130, err
    assert "Resume with: python -m study.run --space tiny.yaml" in err


@pytest.mark.slow
def test_encoders_that_fit_no_memory_end_their_cell_with_a_reason_and_exit_code_1(study: Any) -> None:
    too_wide = ["--set", "encoder.width=400000", "--set", "resources.pack=2", "--set", "pairs=[[left, right]]"]

    ended = study.run(*too_wide)

    assert ended.returncode == 1, ended.stderr
    assert "one training alone does not fit into memory" in ended.stderr
    assert "no answer" in ended.stdout


def test_another_configuration_of_the_same_name_is_refused_with_what_changed(
    undisturbed: Ended, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(undisturbed[0].folder)

    assert main(["--space", "tiny.yaml", "--set", "training.epochs=41"]) == 2
    assert "training.epochs: 40 -> 41" in one_line(capsys.readouterr().err)


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("dataset.name=digit", "did you mean 'digits'"),
        ("dataset.rows=3", "unknown dataset option"),
        ("pairs=[[left, middle]]", "unknown modality 'middle'"),
        ("training.batch_size=5000", "at most 1078"),
        ("encoders={middle: {width: 3}}", "no such modality"),
        ("encoders={left: {width: 3}}", "projector"),
        ("resources.gpus=1", "there are 0 here"),
        ("replicates.search=0", "greater than or equal to 1"),
        ("strength.initial=[-1]", "greater than or equal to 0"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2_before_anything_trains(
    override: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("tiny.yaml").write_text(TINY)

    assert main(["--space", "tiny.yaml", "--set", override]) == 2
    assert said in one_line(capsys.readouterr().err)
    assert not list(tmp_path.glob("studies/tiny/packs/*"))


def test_an_output_folder_that_cannot_be_written_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("tiny.yaml").write_text(TINY)
    Path("taken").write_text("a file, not a folder")

    assert main(["--space", "tiny.yaml", "--out", "taken"]) == 2
    assert "cannot write the output folder taken/tiny" in one_line(capsys.readouterr().err)


@pytest.mark.parametrize(
    "command", ["study.report tiny", "study.profile --space tiny.yaml", "study.status", "trainables.datasets"]
)
def test_the_other_commands_print_nothing_but_what_was_asked_for(undisturbed: Ended, command: str) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", *command.split()], cwd=undisturbed[0].folder, capture_output=True, text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}, check=False,
    )  # fmt: skip

    assert (ended.returncode, ended.stderr) == (0, "")
    assert "\x1b" not in ended.stdout
    assert "Warning" not in ended.stdout


def test_a_study_opens_in_optuna_dashboard(undisturbed: Ended) -> None:
    dashboard = pytest.importorskip("optuna_dashboard", reason="pip install optuna-dashboard")
    journal = undisturbed[0].out / "optuna/journal.log"
    serve = dashboard.wsgi(JournalStorage(JournalFileBackend(str(journal))))

    def page(path: str) -> Any:
        request: dict[str, Any] = {"REQUEST_METHOD": "GET", "PATH_INFO": path, "CONTENT_TYPE": "application/json"}
        setup_testing_defaults(request)
        return json.loads(b"".join(serve(request, lambda *_: None)))

    listed = page("/api/studies")["study_summaries"]
    arm = next(one["study_id"] for one in listed if one["study_name"] == "tiny/digits/left+right/shared")
    trials = page(f"/api/studies/{arm}")["trials"]
    assert {trial["state"] for trial in trials} == {"Complete"}
    assert {float(trial["params"][0]["param_internal_value"]) for trial in trials} >= {0.0, 0.5, 2.0}
    assert all(0 <= trial["values"][0] <= 1 for trial in trials)


def test_a_dry_run_prints_the_plan_and_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("tiny.yaml").write_text(TINY)

    assert main(["--space", "tiny.yaml", "--dry-run", "--price-per-gpu-hour", "3600", "--json"]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert plan["cells"] == ["digits: left + right", "digits: left + fourier"]
    # 5 strengths of 3 seeds, 2 to 4 more one-sided ones in each direction, 1 to 6 to confirm, 1 or 2 encoder pairs;
    # likely is three quarters of the way from 37 trainings, 3 strengths to confirm and no arm that goes on, to all
    assert [plan[case]["trainings"] for case in ("least", "likely", "most")] == [2 * 31, 107, 2 * 59]
    assert plan["most"]["packs"] == 2 * (2 + 1 + 1 + 4 + 2 + 2 + 4 + 1)  # of at most 5 trainings, in 8 rounds
    assert 0 < plan["least"]["seconds"] <= plan["likely"]["seconds"] <= plan["most"]["seconds"] < 600
    assert plan["likely"]["cost"] == pytest.approx(plan["likely"]["seconds"])
    assert [path.name for path in tmp_path.iterdir()] == ["tiny.yaml"]


def test_a_missing_data_file_says_where_it_goes_and_names_the_stand_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    space = Path(__file__).parents[2] / "search_spaces/mosei.yaml"

    assert main(["--space", str(space)]) == 2
    line = one_line(capsys.readouterr().err)
    assert "data/mosei_senti_data.pkl" in line
    assert "--stand-in" in line


def one_line(text: str) -> str:
    """The error that a command printed, which must be one line and no traceback."""
    lines = [line for line in text.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1, text
    assert "Traceback" not in text
    return lines[0]


def journal(study: Any) -> str:
    path = study.out / "optuna" / "journal.log"
    return path.read_text() if path.exists() else ""


def recorded(study: Any) -> int:
    """Replicates in the journal so far."""
    return journal(study).count('"results:')


def lock_holder(study: Any) -> int:
    """Process that runs the study; 0 for none."""
    return int((study.out / ".lock").read_text() or 0)


def optuna_trials(study: Any) -> list[optuna.trial.FrozenTrial]:
    storage = open_storage(folder=study.out / "optuna")
    names = [name for name in optuna.get_all_study_names(storage) if name.endswith(("shared", "confirm"))]
    return [trial for name in names for trial in optuna.load_study(study_name=name, storage=storage).trials]


def mlflow_runs(study: Any) -> list[str]:
    client = MlflowClient(f"sqlite:///{study.folder / 'mlflow.db'}")
    (experiment,) = [e for e in client.search_experiments() if e.name == "tiny"]
    return sorted(str(run.info.run_name) for run in client.search_runs([experiment.experiment_id]))
