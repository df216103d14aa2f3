"""Trials read from a table on disk, or from the folder that Ray Tune writes its results to."""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from study.config import ConfigError
from study.outside.trials import Trials

_TABLES = (".csv", ".tsv", ".txt", ".csv.gz", ".tsv.gz", ".parquet", ".pq")
_OF_TUNE = {  # what Tune adds to every result
    "time_this_iter_s", "time_total_s", "training_iteration", "iterations_since_restore", "time_since_restore",
    "timestamp", "pid", "done", "trial_id", "date", "hostname", "node_ip", "checkpoint_dir_name", "should_checkpoint",
    "experiment_tag", "timesteps_total", "episodes_total", "experiment_id", "warmup_time", "timesteps_since_restore",
}  # fmt: skip


def read_table(path: Path) -> Trials:
    """The rows of a CSV, TSV or Parquet file.

    Raises:
        ConfigError: it cannot be read as one.
    """
    name = path.name.lower()
    if not name.endswith(_TABLES):
        raise ConfigError(f"{path} is no table that is read here; give one of {', '.join(_TABLES)}, or name a store")
    if not path.is_file():
        raise ConfigError(f"there is no file {path}; give a table, or name a store with --optuna, --mlflow or --tune")
    try:
        frame = pd.read_parquet(path) if name.endswith((".parquet", ".pq")) else _read_text(path)
    except (OSError, ValueError, EOFError, ImportError) as error:  # of pandas and pyarrow, most are ValueErrors
        told = " ".join(str(error).split())[:200]
        anew = "in UTF-8, as CSV" if isinstance(error, UnicodeError) else "as CSV"
        raise ConfigError(f"cannot read {path} as a table: {told}; write it anew {anew} or Parquet") from None
    if not len(frame.columns) or not len(frame):
        raise ConfigError(f"{path} has no rows below its first line; give one row per training")
    frame.columns = [str(column).strip() for column in frame.columns]
    if frame.columns.has_duplicates:
        twice = frame.columns[frame.columns.duplicated()][0]
        raise ConfigError(f"{path} has two columns {twice!r}; give each its own name")
    return Trials(source=str(path), frame=frame)


def _read_text(path: Path) -> pd.DataFrame:
    """Every cell as it is written: an empty one is no score, `nan` is one of a training that diverged."""
    separator = "\t" if ".tsv" in path.name.lower() else None
    if separator is None:
        head = pd.read_csv(path, nrows=1, header=None, sep="\x01", dtype=str, quoting=csv.QUOTE_NONE).iloc[0, 0]
        separator = max(",;\t", key=str(head).count)
    how: dict[str, Any] = {"dtype": str, "keep_default_na": False, "sep": separator, "encoding": "utf-8-sig"}
    frame: pd.DataFrame = pd.read_csv(path, **how)
    names = pd.read_csv(path, **how, header=None, nrows=1).iloc[0].tolist()
    if len(names) == len(frame.columns):  # pandas gives the second of one name another, a.1
        frame.columns = pd.Index(
            [own if own.strip() else given for own, given in zip(names, frame.columns, strict=True)]
        )
    return frame


def read_tune(folder: Path) -> Trials:
    """The trials of a run of Ray Tune: the last result of each, by its folder's files alone.

    A trial with `error.txt` has failed; one that ended before the others did was stopped by a scheduler, and its score
    is not theirs.

    Raises:
        ConfigError: there are no results.
    """
    if not folder.is_dir():
        raise ConfigError(f"--tune: there is no folder {folder}; give the one that holds the trials' folders")
    rows, left_out = [], Counter[str]()
    parameters: dict[str, None] = {}
    for place in sorted({path.parent for path in folder.rglob("params.json")}):
        config = dict(_flat(_json(place / "params.json")))
        if (place / "error.txt").exists() or (place / "error.pkl").exists():
            left_out["failed"] += 1
            continue
        result = _last_result(place)
        if result is None:
            left_out["running"] += 1
            continue
        flat = {key: value for key, value in _flat(result) if not key.startswith("config/")}
        parameters |= dict.fromkeys(config)
        rows.append({**flat, **config})
    if not rows and not left_out:
        raise ConfigError(f"--tune: {folder} holds no trial of Ray Tune (DIR/*/params.json); give the run's own folder")
    last = max((_iteration(row) for row in rows), default=0)
    whole = [row for row in rows if _iteration(row) >= last]
    left_out["pruned"] += len(rows) - len(whole)
    frame = pd.DataFrame(whole)
    scores = tuple(str(name) for name in frame.columns if name not in parameters and name not in _OF_TUNE)
    return Trials(
        source=str(folder), frame=frame, parameters=tuple(parameters), scores=scores, left_out=dict(+left_out)
    )


def _iteration(row: Mapping[str, Any]) -> int:
    value = row.get("training_iteration", 0)
    return int(value) if isinstance(value, (int, float)) else 0


def _last_result(place: Path) -> Mapping[str, Any] | None:
    """The last whole line of `result.json`, or of `progress.csv`; None where there is none yet."""
    path = place / "result.json"
    if path.is_file():
        for line in reversed(path.read_text(encoding="utf-8", errors="replace").splitlines()):
            try:
                told = json.loads(line)
            except ValueError:  # half a line of a trial that was killed
                continue
            if isinstance(told, dict):
                return told
    path = place / "progress.csv"
    if path.is_file() and path.stat().st_size:
        with path.open(encoding="utf-8", errors="replace", newline="") as file:
            rows = list(csv.DictReader(file))
        if rows:
            row: dict[str, Any] = {str(key): value for key, value in rows[-1].items()}
            row["training_iteration"] = int(float(row.get("training_iteration") or 0))
            return row
    return None


def _json(path: Path) -> Mapping[str, Any]:
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"--tune: cannot read {path}: {error}") from None
    return told if isinstance(told, dict) else {}


def _flat(values: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    """Nested values by their path, `train_loop_config/lambda`, as Tune itself names them."""
    for key, value in values.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{before}{key}/")
        else:
            yield f"{before}{key}", value
