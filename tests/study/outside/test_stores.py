"""Trainings of others as they lie about: each place is read, never written, and gives the answer of its numbers."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import optuna
import pytest
from sqlalchemy.pool import NullPool

from study import select
from study.select import main
from tests.study.outside.stores import PEAK, STORES, mlflow_runs, optuna_study, planted, tune
from tests.study.servers import free_port, mlflow_server

Captured = pytest.CaptureFixture[str]
TUNED = """
import sys, warnings
warnings.filterwarnings("ignore")
import pandas as pd, ray
from ray import tune

frame = pd.read_csv(sys.argv[1]).set_index(["lambda", "seed"])["val_acc"]

def train(config):
    score = frame[config["lambda"], config["train"]["seed"]]
    for step in range(3):
        tune.report({"val_acc": float(score if step == 2 else 0.1)})

ray.init(address="local", num_cpus=2, include_dashboard=False)  # whatever else runs on this machine
strengths, seeds = (sorted(frame.index.unique(level)) for level in ("lambda", "seed"))
space = {"lambda": tune.grid_search(strengths), "train": {"seed": tune.grid_search(seeds)}}
run = tune.RunConfig(name="mine", storage_path=sys.argv[2], verbose=0)
tune.Tuner(train, param_space=space, run_config=run, tune_config=tune.TuneConfig(reuse_actors=True)).fit()
"""


def told(arguments: list[str], capsys: Captured) -> dict[str, object]:
    assert main([*arguments, "--json"]) == 0
    return dict(json.loads(capsys.readouterr().out))


def test_intervals_hold_the_planted_optimum() -> None:
    """Of the numbers themselves; the next test says that every place gives the answer of its numbers."""
    held = 0
    for draw in range(24):
        low, high = select(planted(draw)).interval or (9.0, 9.0)
        held += low <= PEAK <= high

    assert held >= 19  # of 24 with probability 0.9, as few or fewer come to pass in 5 % of cases


@pytest.mark.parametrize("kind", STORES)
def test_a_store_gives_the_answer_of_its_numbers(kind: str, tmp_path: Path, capsys: Captured) -> None:
    frame = planted(0)
    arguments = STORES[kind](frame, tmp_path)
    before = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in tmp_path.rglob("*") if path.is_file()}

    answer, expected = told(arguments, capsys), select(frame)

    assert answer["lambda_star"] == expected.lambda_star
    assert tuple(answer["interval"]) == expected.interval  # type: ignore[arg-type]
    assert answer["paired"] is True
    assert answer["counts"]["used"] == len(frame)  # type: ignore[index]
    after = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in tmp_path.rglob("*") if path.is_file()}
    assert after == before


def test_trials_without_a_score_are_counted(tmp_path: Path, capsys: Captured) -> None:
    counts = {}
    for kind in ("optuna sqlite", "mlflow sqlite", "tune"):
        folder = tmp_path / kind
        folder.mkdir()
        counts[kind] = told(STORES[kind](planted(0), folder), capsys)["counts"]

    whole = {"used": 28, "diverged": 0}
    assert counts["optuna sqlite"] == {**whole, "trainings": 31, "pruned": 1, "failed": 1, "running": 1}
    assert counts["mlflow sqlite"] == {**whole, "trainings": 30, "failed": 1, "running": 1}
    assert counts["tune"] == {**whole, "trainings": 30, "pruned": 1, "failed": 1}


def test_the_direction_is_the_studys_own(tmp_path: Path, capsys: Captured) -> None:
    frame = planted(0)
    optuna_study(frame, f"sqlite:///{tmp_path}/o.db", sign=-1)

    answer, expected = told(["--optuna", f"sqlite:///{tmp_path}/o.db"], capsys), select(frame).result

    assert answer["minimise"] is True
    assert answer["lambda_star"] == expected.lambda_star
    assert expected.expected_score is not None
    assert answer["expected_score"] == pytest.approx(-expected.expected_score)
    assert answer["gain_over_zero"]["mean"] > 0  # type: ignore[index]


def test_a_logarithmic_parameter_is_smoothed_on_a_logarithmic_axis(tmp_path: Path, capsys: Captured) -> None:
    study = optuna.create_study(storage=f"sqlite:///{tmp_path}/o.db", sampler=optuna.samplers.RandomSampler(seed=0))
    study.optimize(lambda t: (t.suggest_float("weight_decay", 1e-6, 1e-1, log=True) ** 0.5 - 0.03) ** 2, n_trials=40)

    answer = told(["--optuna", f"sqlite:///{tmp_path}/o.db", "--name", "weight decay"], capsys)

    low, high = answer["interval"]  # type: ignore[misc]
    assert low <= 9e-4 <= high
    assert any("logarithmic" in remark for remark in answer["remarks"])  # type: ignore[union-attr]


def test_a_study_of_several_objectives_is_refused(tmp_path: Path, capsys: Captured) -> None:
    optuna.create_study(storage=f"sqlite:///{tmp_path}/o.db", study_name="two", directions=["minimize", "maximize"])

    assert main(["--optuna", f"sqlite:///{tmp_path}/o.db"]) == 2
    line = capsys.readouterr().err
    assert "2 objectives" in line
    assert line.count("\n") == 1


def test_a_database_of_another_version_is_left_as_it_is(tmp_path: Path, capsys: Captured) -> None:
    optuna_study(planted(0), f"sqlite:///{tmp_path}/o.db")
    with sqlite3.connect(tmp_path / "o.db") as database:
        database.execute("UPDATE alembic_version SET version_num = 'v1.3.0.a'")
    before = (tmp_path / "o.db").read_bytes()

    assert main(["--optuna", f"sqlite:///{tmp_path}/o.db"]) == 2
    assert "optuna storage upgrade" in capsys.readouterr().err
    assert (tmp_path / "o.db").read_bytes() == before


def test_an_mlflow_database_of_an_earlier_version_is_read_and_not_migrated(tmp_path: Path, capsys: Captured) -> None:
    arguments = STORES["mlflow sqlite"](planted(0), tmp_path)
    with sqlite3.connect(tmp_path / "m.db") as database:  # as MLflow 1 left it
        database.execute("UPDATE alembic_version SET version_num = 'bd07f7e963c5'")
        database.execute("DROP TABLE IF EXISTS trace_info")
    before = (tmp_path / "m.db").read_bytes()

    assert told(arguments, capsys)["lambda_star"] == select(planted(0)).lambda_star
    assert (tmp_path / "m.db").read_bytes() == before


def test_what_cannot_be_written_can_be_read(tmp_path: Path, capsys: Captured) -> None:
    arguments = STORES["optuna journal"](planted(0), tmp_path)
    os.chmod(tmp_path / "journal.log", 0o444)

    assert told(arguments, capsys)["lambda_star"] == select(planted(0)).lambda_star


def test_postgresql(postgres: Any, capsys: Captured) -> None:
    address = postgres.database("others")
    driven = address.replace("postgresql://", "postgresql+psycopg://")
    storage = optuna.storages.RDBStorage(driven, engine_kwargs={"poolclass": NullPool})
    optuna_study(planted(0), storage)
    storage.remove_session()
    storage.engine.dispose()

    assert told(["--optuna", address, "--study", "mine"], capsys)["lambda_star"] == select(planted(0)).lambda_star


def test_the_folder_that_tune_itself_writes_is_known_by_its_files(tmp_path: Path, capsys: Captured) -> None:
    arguments = tune(planted(0), tmp_path)
    (tmp_path / "run" / "trainable_00000" / "params.json").write_text("{")

    assert main(arguments) == 2
    assert "params.json" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_folder_of_a_run_of_ray_tune(tmp_path: Path, capsys: Captured) -> None:
    frame = planted(0)
    frame.to_csv(tmp_path / "trainings.csv", index=False)
    ended = subprocess.run(
        [sys.executable, "-c", TUNED, str(tmp_path / "trainings.csv"), str(tmp_path / "runs")],
        env={**os.environ, "OMP_NUM_THREADS": "1", "RAY_AIR_NEW_OUTPUT": "0"},
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr

    answer, expected = told(["--tune", str(tmp_path / "runs" / "mine"), "--seed", "train/seed"], capsys), select(frame)

    assert answer["counts"]["used"] == len(frame)  # type: ignore[index]
    assert answer["paired"] is True
    assert answer["lambda_star"] == expected.lambda_star
    assert tuple(answer["interval"]) == expected.interval  # type: ignore[arg-type]


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_an_mlflow_server(tmp_path: Path, capsys: Captured) -> None:
    frame = planted(0)
    with mlflow_server(tmp_path, port=free_port()) as address:
        arguments = mlflow_runs(frame, address)
        capsys.readouterr()  # MLflow's client prints where each run is shown
        answer = told(arguments, capsys)
        assert main([*arguments[:2], "--experiment", "another"]) == 2
        line = capsys.readouterr().err
    assert "another" in line
    assert line.count("\n") == 1
    expected = select(frame)
    assert answer["lambda_star"] == expected.lambda_star
    assert tuple(answer["interval"]) == expected.interval  # type: ignore[arg-type]
    assert answer["counts"] == {**answer["counts"], "used": len(frame), "failed": 1, "running": 1}  # type: ignore[dict-item]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--optuna", "sqlite:///nowhere.db"], "there is no file"),
        (["--optuna", "nowhere.log"], "there is no file"),
        (["--optuna", "mysql://host/db"], "known kind"),
        (["--optuna", "postgresql://u:s3cret@127.0.0.1:1/db"], "password"),
        (["--optuna", "postgresql://u@127.0.0.1:1/db", "--study", "x"], "cannot read"),
        (["--mlflow", "sqlite:///nowhere.db"], "there is no file"),
        (["--mlflow", "nowhere"], "there is no folder"),
        (["--mlflow", "http://u:s3cret@127.0.0.1:1"], "password"),
        (["--mlflow", "http://127.0.0.1:1"], "refused"),
        (["--tune", "nowhere"], "there is no folder"),
        (["--tune", "."], "no trial of Ray Tune"),
        (["nowhere.csv"], "there is no file"),
        (["nowhere.xlsx"], ".parquet"),
        ([], "nothing to read"),
        (["a.csv", "--tune", "."], "2 sources"),
        (["a.csv", "--study", "x"], "--optuna"),
    ],
)
def test_a_wrong_place_is_one_line(
    arguments: list[str], told: str, tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    assert main(arguments) == 2
    line = capsys.readouterr().err
    assert line.startswith("error: ")
    assert line.count("\n") == 1
    assert told in line
    assert "s3cret" not in line
    assert list(tmp_path.iterdir()) == []
