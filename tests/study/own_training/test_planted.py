"""A planted function through the real Ray, Optuna and MLflow: its λ* is found, and what it lacks is not missed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import mlflow
import pandas as pd
import pytest
from jsonschema import Draft202012Validator

from study import load_report
from study.results.model.schema import report_schema
from study.session.status import read_statuses
from tests.study.studies import TinyStudy

Make = Callable[..., TinyStudy]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_lambda_star_of_a_function_is_found_and_told_without_what_it_does_not_give(own_study: Make) -> None:
    study = own_study()
    ended = study.run()
    assert ended.returncode == 0, ended.stderr
    report = json.loads((study.out / "report.json").read_text())
    Draft202012Validator(report_schema()).validate(report)

    (cell,) = report["cells"]
    for encoder, known in zip(cell["encoders"], (1.5, 0.5), strict=True):
        assert encoder["interval"][0] <= known <= encoder["interval"][1]
        assert encoder["verdict"] == "align"
    assert cell["dataset"] is cell["pid"] is cell["forecast"] is None
    assert cell["rows"] == {}
    assert cell["alignment"] == []
    assert cell["pair_choice"]["strategy"] == "shared"  # one-sided strengths are not searched unless asked for
    assert {one["strategy"] for one in cell["pair_choice"]["alternatives"]} == {"shared"}
    assert set(cell["own_training"]["code"].values()) == {report["trainings"]}
    assert [point["numbers"]["cka"] for point in cell["other_numbers"]] == pytest.approx(
        [point["strength"] / 4 for point in cell["other_numbers"]]
    )

    page = (study.out / "report.html").read_text()
    assert "planted.py:train" in page
    assert "recall@1" in page
    assert "information profile" not in page
    assert "None" not in ended.stdout + page
    numbers = pd.read_csv(study.out / "tables" / "numbers.csv")
    assert list(numbers["number_cka"]) == pytest.approx(list(numbers["strength"] / 4))
    assert (study.out / "figures" / "01-train-image-text-numbers.png").exists()
    assert list(study.out.glob("packs/*")) == []  # no folder of a trial is left
    assert len(load_report(study.out).sentences) == 1
    _check_mlflow(study.folder)

    again = study.run()  # nothing is left to train
    assert again.returncode == 0, again.stderr
    assert json.loads((study.out / "report.json").read_text()) == report
    rebuilt = study.run("--json", module="study.report")
    assert rebuilt.returncode == 0, rebuilt.stderr
    assert json.loads((study.out / "report.json").read_text()) == report
    (state,) = read_statuses(study.out.parent, say=lambda _: None)
    assert (state.ended, state.done, state.planned) == (True, report["trainings"], report["trainings"])


def _check_mlflow(folder: Path) -> None:
    client = mlflow.MlflowClient(f"sqlite:///{folder}/mlflow.db")
    experiments = [one.experiment_id for one in client.search_experiments() if one.name != "Default"]
    runs = client.search_runs(experiments)
    parents = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
    assert [run.data.params["trainer"] for run in parents] == ["planted.py:train"]
    by_strength = {run.data.params["strength"]: run.data.metrics for run in runs if "strength" in run.data.params}
    assert by_strength["4"]["number_cka"] == pytest.approx(1)
    assert by_strength["4"]["number_recall_1"] == pytest.approx(by_strength["4"]["score_1"] / 2)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_one_score_of_a_loss_is_one_answer_told_once(own_study: Make) -> None:
    study = own_study("loss", more="")
    text = (study.folder / "tiny.yaml").read_text().replace("options: {}", "options: {}, maximise: false, score: loss")
    (study.folder / "tiny.yaml").write_text(text)
    ended = study.run()
    assert ended.returncode == 0, ended.stderr
    (cell,) = study.report()["cells"]

    assert cell["own_training"]["one_score"]
    assert cell["metrics"] == ["negative loss"] * 2
    first, second = cell["encoders"]
    assert first["interval"][0] <= 1 <= first["interval"][1]
    assert {**first, "modality": None} == {**second, "modality": None}
    assert first["gain_over_zero"]["p_adjusted"] == first["gain_over_zero"]["p_value"]  # one claim, not three
    assert ended.stdout.count("align") == 1 + ended.stdout.count("Align")
    page = (study.out / "report.html").read_text()
    assert page.count('<th scope="row">the pair</th>') == 1
    assert not list((study.out / "figures").glob("*curve-2*"))


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_hyperparameters_of_any_name_and_kind_are_tuned_at_every_strength(own_study: Make) -> None:
    more = """
search:
  nuisance: {kind: {choices: [bad, good]}, warm_up: {choices: [false, true]}, rate: {log: [1.0e-5, 1.0e-3]}}
  trials_per_strength: 6
"""
    study = own_study("tuned", more=more, refine=0, search=2, confirm=3)
    (cell,) = study.finish()["cells"]
    best = max(point["mean"] for point in cell["encoders"][0]["curve"])
    assert best > 0.9  # the bonus is found at every strength
    assert min(point["mean"] for point in cell["encoders"][0]["curve"]) > 0.9 - 0.06 * 9 - 0.1
    assert cell["encoders"][0]["tuned"]["kind"] == "good"
    resumed = study.run()
    assert resumed.returncode == 0, resumed.stderr


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_models_that_a_function_keeps_are_served_as_they_were(own_study: Make) -> None:
    study = own_study("keeps", refine=0, more="models: true")
    ended = study.run()
    assert ended.returncode == 0, ended.stderr
    first, second = study.report()["cells"][0]["encoders"]
    assert first["model"]["registered"] == "tiny.image-text.image"
    assert first["model"]["strengths"] == second["model"]["strengths"]
    assert (study.out / first["model"]["file"]).is_file()

    code = f"""
import mlflow
mlflow.set_tracking_uri("sqlite:///{study.folder}/mlflow.db")
models = [mlflow.pyfunc.load_model(f"models:/tiny.image-text.{{name}}@best") for name in ("image", "text")]
image, text = models
print(image.predict([[2.0]]).round(6).tolist(), text.predict([1, 2]), text.unwrap_python_model().model.strength)
"""
    bare = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    elsewhere = subprocess.run(  # where neither the function's file nor this package can be imported by its name
        [sys.executable, "-c", code], cwd=study.folder.parent, capture_output=True, text=True, check=False, env=bare
    )
    assert elsewhere.stdout.startswith("[6.0] [2, 4] "), elsewhere.stderr


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_an_encoder_that_a_function_does_not_keep_is_not_said_to_be_there(own_study: Make) -> None:
    study = own_study("keeps_one", refine=0, more="models: true")
    ended = study.run()
    assert ended.returncode == 0, ended.stderr
    assert "the function kept no encoder of text; call trial.keep('text', model)" in ended.stderr
    first, second = study.report()["cells"][0]["encoders"]
    assert (study.out / first["model"]["file"]).is_file()
    assert second["model"] is None
    trained = len(study.events("pack_done"))
    again = study.run()  # and trains nothing anew
    assert again.returncode == 0, again.stderr
    assert len(study.events("pack_done")) == trained


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_report_stands_alone_in_the_output_where_workers_die(own_study: Make) -> None:
    """Ray prints a line for each."""
    study = own_study("dies", refine=0, search=1, confirm=1)
    ended = study.run("--json")
    assert ended.returncode == 1, ended.stderr
    assert json.loads(ended.stdout)["cells"][0]["error"].startswith("its training failed 3 times")
