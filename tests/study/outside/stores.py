"""Planted trainings, and every kind of place that others keep theirs in, written by the programs themselves."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import optuna
import pandas as pd

STRENGTHS = (0.0, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0)
SEEDS = 4
PEAK = 0.7


def planted(draw: int, *, noise: float = 0.01) -> pd.DataFrame:
    """A row per training: `lambda`, `seed`, `val_acc`; the mean is highest at PEAK, by 0.04 over λ = 0."""
    rng = np.random.default_rng(draw)
    offsets = rng.normal(0, noise, SEEDS)
    return pd.DataFrame(
        [
            {"lambda": strength, "seed": seed, "val_acc": mean(strength) + offsets[seed] + rng.normal(0, noise)}
            for strength in STRENGTHS
            for seed in range(SEEDS)
        ]
    )


def mean(strength: float) -> float:
    """The planted curve."""
    return float(0.7 - 0.04 * (np.log1p(strength) / np.log1p(PEAK) - 1) ** 2)


def csv(frame: pd.DataFrame, folder: Path) -> list[str]:
    frame.to_csv(folder / "runs.csv", index=False)
    return [str(folder / "runs.csv")]


def semicolons(frame: pd.DataFrame, folder: Path) -> list[str]:
    frame.to_csv(folder / "runs.csv.gz", index=False, sep=";")
    return [str(folder / "runs.csv.gz")]


def tsv(frame: pd.DataFrame, folder: Path) -> list[str]:
    frame.to_csv(folder / "runs.tsv", index=False, sep="\t")
    return [str(folder / "runs.tsv")]


def parquet(frame: pd.DataFrame, folder: Path) -> list[str]:
    frame.to_parquet(folder / "runs.parquet")
    return [str(folder / "runs.parquet")]


def optuna_study(frame: pd.DataFrame, storage: optuna.storages.BaseStorage | str, *, sign: float = 1.0) -> None:
    """The trials as a study `mine` of theirs, with one that was pruned, one that failed and one that still runs."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    direction = "maximize" if sign > 0 else "minimize"
    study = optuna.create_study(storage=storage, study_name="mine", direction=direction)
    kinds = {
        "lambda": optuna.distributions.FloatDistribution(0, 4),
        "seed": optuna.distributions.IntDistribution(0, 99),
    }
    study.add_trials(
        [
            optuna.trial.create_trial(
                params={"lambda": row["lambda"], "seed": int(row["seed"])}, distributions=kinds,
                value=sign * row["val_acc"],
            )
            for _, row in frame.iterrows()
        ]
    )  # fmt: skip
    for state in (optuna.trial.TrialState.PRUNED, optuna.trial.TrialState.FAIL):
        study.add_trial(
            optuna.trial.create_trial(state=state, params={"lambda": 4.0}, distributions={"lambda": kinds["lambda"]})
        )
    study.ask()


def optuna_sqlite(frame: pd.DataFrame, folder: Path) -> list[str]:
    optuna_study(frame, f"sqlite:///{folder}/o.db")
    return ["--optuna", f"sqlite:///{folder}/o.db", "--study", "mine"]


def optuna_journal(frame: pd.DataFrame, folder: Path) -> list[str]:
    backend = optuna.storages.journal.JournalFileBackend(f"{folder}/journal.log")
    optuna_study(frame, optuna.storages.JournalStorage(backend))
    return ["--optuna", f"{folder}/journal.log"]


def mlflow_runs(frame: pd.DataFrame, uri: str, *, artifacts: str | None = None) -> list[str]:
    """The trainings as runs of an experiment `mine`, with one that failed and one that still runs."""
    from mlflow import MlflowClient
    from mlflow.entities import Metric, Param

    client = MlflowClient(tracking_uri=uri)
    experiment = client.create_experiment("mine", artifact_location=artifacts)
    for _, row in frame.iterrows():
        run = client.create_run(experiment).info.run_id
        params = [Param("lambda", str(row["lambda"])), Param("seed", str(int(row["seed"])))]
        scores = [Metric("val_acc", 0.1, 0, 0), Metric("val_acc", row["val_acc"], 1, 1)]
        client.log_batch(run, metrics=scores, params=params)
        client.set_terminated(run)
    client.set_terminated(client.create_run(experiment).info.run_id, status="FAILED")
    client.create_run(experiment)
    return ["--mlflow", uri, "--experiment", "mine"]


def mlflow_sqlite(frame: pd.DataFrame, folder: Path) -> list[str]:
    return mlflow_runs(frame, f"sqlite:///{folder}/m.db", artifacts=str(folder / "artifacts"))


def mlruns(frame: pd.DataFrame, folder: Path) -> list[str]:
    """The files that MLflow 1 and 2 wrote by default, and MLflow 3 no longer opens."""
    place = folder / "mlruns" / "7"
    place.mkdir(parents=True)
    (place / "meta.yaml").write_text("experiment_id: '7'\nlifecycle_stage: active\nname: mine\n")
    for index, row in frame.iterrows():
        run = place / f"{index:032x}"
        (run / "params").mkdir(parents=True)
        (run / "metrics").mkdir()
        (run / "meta.yaml").write_text(f"run_id: {index:032x}\nlifecycle_stage: active\nstatus: 3\nend_time: null\n")
        (run / "params" / "lambda").write_text(str(row["lambda"]))
        (run / "params" / "seed").write_text(str(int(row["seed"])))
        (run / "metrics" / "val_acc").write_text(f"1700000000000 0.1 0\n1700000000001 {float(row['val_acc'])!r} 1\n")
    return ["--mlflow", str(folder / "mlruns")]


def tune(frame: pd.DataFrame, folder: Path) -> list[str]:
    """The files that Ray Tune leaves of a run, with a trial that a scheduler stopped and one that failed."""
    rows = [(row["lambda"], int(row["seed"]), row["val_acc"], 3) for _, row in frame.iterrows()]
    for index, (strength, seed, score, iterations) in enumerate([*rows, (4.0, 0, 0.9, 1)]):
        place = trial(folder / "run", index, {"lambda": strength, "train": {"seed": seed}})
        lines = [
            {"val_acc": score if step == iterations else 0.1, "training_iteration": step, "done": step == iterations,
             "time_total_s": 1.0, "config": {"lambda": strength, "train": {"seed": seed}}}
            for step in range(1, iterations + 1)
        ]  # fmt: skip
        (place / "result.json").write_text("".join(json.dumps(line) + "\n" for line in lines) + '{"val_ac')
    failed = trial(folder / "run", 99, {"lambda": 1.0, "train": {"seed": 0}})
    (failed / "error.txt").write_text("ValueError")
    return ["--tune", str(folder / "run"), "--seed", "train/seed"]


def trial(run: Path, index: int, config: Mapping[str, object]) -> Path:
    place = run / f"trainable_{index:05d}"
    place.mkdir(parents=True)
    (place / "params.json").write_text(json.dumps(config))
    return place


STORES: Mapping[str, Callable[[pd.DataFrame, Path], list[str]]] = {
    "csv": csv, "semicolons": semicolons, "tsv": tsv, "parquet": parquet, "optuna sqlite": optuna_sqlite,
    "optuna journal": optuna_journal, "mlflow sqlite": mlflow_sqlite, "mlruns": mlruns, "tune": tune,
}  # fmt: skip
