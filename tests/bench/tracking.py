"""What MLflow costs a study: a fresh store, a whole study written, and written again, against one request per value.

python tests/bench/tracking.py --cells 3 --strengths 15
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from study.results.model import Report
from study.tracking import Tracker
from study.tracking.projection import records


def _report(cells: int, strengths: int) -> Report:
    """A study with two encoders, five seeds and ten evaluations per training, as large as asked for."""
    grid = [4.0 * index / (strengths - 1) for index in range(strengths)]
    epochs = list(range(5, 55, 5))
    scores = [0.9 for _ in epochs]
    answer = {"lambda_star": 0.6, "interval": [0.3, 1.1], "verdict": "align", "shape": "rising", "flags": []}
    curve = [{"strength": strength, "mean": 0.9, "sd": 0.01, "seeds": 5} for strength in grid]
    cell = {
        "dataset": "bench",
        "pair": ["left", "right"],
        "pid": {"redundancy": 1.0, "unique_1": 0.2, "unique_2": 0.2, "synergy": 0.4},
        "encoders": [{**answer, "curve": curve}, {**answer, "curve": curve}],
        "pair_choice": {**answer, "strategy": "shared", "strengths": [0.6, 0.6]},
        "alignment": [{"strength": strength, "cka": 0.5, "svcca": 0.5, "mutual_knn": 0.2} for strength in grid],
        "learning_curves": [{"strength": s, "epoch": epochs, "score_1": scores, "score_2": scores} for s in grid],
    }
    named = [{**cell, "id": str(index)} for index in range(cells)]
    return Report.from_json({"study": "bench", "config_hash": "0", "cells": named})


def _seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def _one_request_per_value(uri: str, report: Report) -> None:
    """The same values through MLflow's fluent calls, as logger callbacks do it."""
    import mlflow

    mlflow.set_tracking_uri(uri)
    mlflow.set_experiment("bench")
    for record in records(report):
        with mlflow.start_run(run_name=record.name):
            for key, value in record.params.items():
                mlflow.log_param(key, value)
            for name, number, step in record.metrics:
                mlflow.log_metric(name, number, step=step)
            for key, value in record.tags.items():
                mlflow.set_tag(key, value)


def main() -> None:
    """Print medians over fresh stores, and ratios to one request per value."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", type=int, default=3, help="cells of the study (3)")
    parser.add_argument("--strengths", type=int, default=15, help="strengths of a cell (15)")
    parser.add_argument("--repeats", type=int, default=5, help="fresh stores to take medians over (5)")
    given = parser.parse_args()
    report = _report(given.cells, given.strengths)
    rows: dict[str, list[float]] = {"write": [], "write again": [], "one request per value": []}
    with tempfile.TemporaryDirectory() as folder:
        empty = Path(folder) / "empty.db"
        print(f"import and fresh store   {_seconds(Tracker(f'sqlite:///{empty}').prepare):6.2f} s")
        for repeat in range(given.repeats):
            stores = [f"sqlite:///{shutil.copyfile(empty, Path(folder) / f'{name}{repeat}.db')}" for name in "ab"]
            for uri in stores:
                Tracker(uri).prepare()
            rows["write"].append(_seconds(lambda uri=stores[0]: Tracker(uri).project(report)))
            rows["write again"].append(_seconds(lambda uri=stores[0]: Tracker(uri).project(report)))
            rows["one request per value"].append(_seconds(lambda uri=stores[1]: _one_request_per_value(uri, report)))
    slowest = statistics.median(rows["one request per value"])
    for name, seconds in rows.items():
        print(f"{name:24} {statistics.median(seconds):6.2f} s {slowest / statistics.median(seconds):8.1f}×")


if __name__ == "__main__":
    main()
