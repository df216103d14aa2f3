"""An MLflow experiment of somebody else, read for its runs: nothing is written, made or migrated.

A database is read by its tables, which have been the same since MLflow 1: MLflow itself would bring an older one up to
date in place. A folder is read by its files, and a server is asked.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

from sqlalchemy import Connection, create_engine, inspect, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool

from study.config import ConfigError
from study.config.notation import read_yaml
from study.config.secrets import expand, redacted
from study.search.record.storage import check_option, first_line
from study.tracking.guest import as_guest
from study.tracking.store import database_file, explain, resolve

_LEFT_OUT = {"FAILED": "failed", "KILLED": "failed", "RUNNING": "running", "SCHEDULED": "running"}
_STATUS_NUMBERS = {1: "RUNNING", 2: "SCHEDULED", 3: "FINISHED", 4: "FAILED", 5: "KILLED"}  # in the files of a folder
_PAGE = 1000


@dataclass(frozen=True, kw_only=True)
class OtherRuns:
    """The runs of an experiment that have finished, and how many have not, by why.

    `rows`: of each run its parameters (texts) and the latest value of each metric, by name; where a name is both, the
    metric is called `metrics.NAME`.
    """

    rows: tuple[Mapping[str, Any], ...]
    parameters: tuple[str, ...]
    metrics: tuple[str, ...]
    left_out: Mapping[str, int]


@dataclass(frozen=True)
class _Run:
    status: str
    params: Mapping[str, str]
    metrics: Mapping[str, float]


def read_runs(uri: str, *, experiment: str | None) -> OtherRuns:
    """The runs of the experiment of that name, or of the only one, at `uri`: a database, a folder or a server.

    Raises:
        ConfigError: there is none, or the store cannot be read.
    """
    check_option("--mlflow", uri)
    try:
        address = expand(uri)
    except ValueError as error:
        raise ConfigError(f"--mlflow: {error}") from None
    if address.startswith(("http:", "https:", "databricks")):
        return _runs(_ask_server(address, experiment))
    if "://" not in address or address.startswith("file:"):
        return _runs(_read_folder(Path(unquote(address.removeprefix("file://"))), experiment))
    return _runs(_read_database(address, experiment))


def _runs(found: Sequence[_Run]) -> OtherRuns:
    left_out = Counter(_LEFT_OUT[run.status] for run in found if run.status in _LEFT_OUT)
    ended = [run for run in found if run.status not in _LEFT_OUT]
    parameters = tuple(dict.fromkeys(name for run in ended for name in run.params))
    names = dict.fromkeys(name for run in ended for name in run.metrics)
    called = {name: f"metrics.{name}" if name in parameters else name for name in names}
    rows = tuple({**run.params, **{called[name]: value for name, value in run.metrics.items()}} for run in ended)
    return OtherRuns(rows=rows, parameters=parameters, metrics=tuple(called.values()), left_out=dict(left_out))


def _choose(known: Mapping[str, Any], name: str | None, where: str) -> Any:
    """The experiment of that name among those that are known, or the only one that is not MLflow's own first."""
    own = {key: value for key, value in known.items() if key != "Default"} or dict(known)
    if name is None and len(own) == 1:
        return next(iter(own.values()))
    if name is not None and name in known:
        return known[name]
    asked = "name one with --experiment" if name is None else f"there is no experiment {name!r}"
    some = ", ".join(sorted(known)[:8]) or "none"
    raise ConfigError(f"--mlflow {where}: {asked}; it holds {some}{' …' if len(known) > 8 else ''}")


def _read_database(uri: str, experiment: str | None) -> list[_Run]:
    address, _ = resolve(uri)
    where, options = redacted(uri), dict[str, Any](poolclass=NullPool)
    if address.startswith("sqlite:"):
        file = database_file(address)
        if file is None or not file.is_file():
            raise ConfigError(f"--mlflow: there is no file {file or where}; check the address")
        address = f"sqlite:///file:{quote(str(file))}?mode=ro&uri=true"  # SQLite itself refuses to write
    elif address.startswith("postgresql"):
        options["connect_args"] = {"connect_timeout": 10, "options": "-c default_transaction_read_only=on"}
    try:
        engine = create_engine(address, **options)
        try:
            if not {"experiments", "runs", "params", "latest_metrics"} <= set(inspect(engine).get_table_names()):
                raise ConfigError(f"--mlflow: {where} holds no tables of MLflow; check the address")
            with engine.connect() as connection:
                return _select(connection, experiment, where)
        finally:
            engine.dispose()
    except (ImportError, SQLAlchemyError) as error:
        raise ConfigError(f"--mlflow: cannot read {where}: {first_line(error)}") from None


def _select(connection: Connection, experiment: str | None, where: str) -> list[_Run]:
    listed = text("SELECT name, experiment_id FROM experiments WHERE lifecycle_stage = 'active'")
    chosen = _choose({str(name): key for name, key in connection.execute(listed)}, experiment, where)
    of_it = "FROM runs r {join} WHERE r.experiment_id = :chosen AND r.lifecycle_stage = 'active' ORDER BY r.start_time"

    def rows(columns: str, join: str = "") -> Any:
        return connection.execute(text(f"SELECT {columns} {of_it.format(join=join)}"), {"chosen": chosen})

    runs = {str(key): _Run(str(status), {}, {}) for key, status in rows("r.run_uuid, r.status")}
    params: dict[str, dict[str, str]] = {key: {} for key in runs}
    metrics: dict[str, dict[str, float]] = {key: {} for key in runs}
    for run, name, value in rows("p.run_uuid, p.key, p.value", "JOIN params p ON p.run_uuid = r.run_uuid"):
        params[str(run)][str(name)] = str(value)
    joined = "JOIN latest_metrics m ON m.run_uuid = r.run_uuid"
    for run, name, value, is_nan in rows("m.run_uuid, m.key, m.value, m.is_nan", joined):
        metrics[str(run)][str(name)] = float("nan") if is_nan else float(value)
    return [_Run(run.status, params[key], metrics[key]) for key, run in runs.items()]


def _read_folder(folder: Path, experiment: str | None) -> list[_Run]:
    """`FOLDER/EXPERIMENT/RUN/{params,metrics}/NAME`, as the file store of MLflow writes it."""
    if not folder.is_dir():
        raise ConfigError(f"--mlflow: there is no folder {folder}; give mlruns, sqlite:///FILE or http://HOST:PORT")
    known = {}
    for meta in sorted(folder.glob("*/meta.yaml")):
        told = _meta(meta)
        if "experiment_id" in told and told.get("lifecycle_stage", "active") == "active":
            known[str(told.get("name", meta.parent.name))] = meta.parent
    if not known:
        raise ConfigError(f"--mlflow: {folder} holds no experiment of MLflow; give the folder mlruns itself")
    chosen: Path = _choose(known, experiment, str(folder))
    runs = []
    for meta in sorted(chosen.glob("*/meta.yaml")):
        told = _meta(meta)
        if told.get("lifecycle_stage", "active") == "active":
            status = told.get("status")
            runs.append(
                _Run(
                    _STATUS_NUMBERS.get(status, "") if isinstance(status, int) else str(status),
                    {name: path.read_text(encoding="utf-8") for name, path in _named(meta.parent / "params")},
                    {name: _latest(path) for name, path in _named(meta.parent / "metrics")},
                )
            )
    return runs


def _meta(path: Path) -> Mapping[str, Any]:
    try:
        told = read_yaml(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"--mlflow: cannot read {path}: {error}") from None
    return told if isinstance(told, Mapping) else {}


def _named(folder: Path) -> list[tuple[str, Path]]:
    """The files of a folder by their names, which may hold slashes."""
    return [(str(path.relative_to(folder)), path) for path in sorted(folder.rglob("*")) if path.is_file()]


def _latest(path: Path) -> float:
    """The last value of a metric's lines `time value step`."""
    lines = path.read_text(encoding="utf-8").split("\n")
    try:
        return max(((int(step), int(at), float(value)) for at, value, step in (x.split()[:3] for x in lines if x)))[2]
    except ValueError:
        raise ConfigError(f"--mlflow: {path} holds no lines `time value step`; it is damaged") from None


def _ask_server(uri: str, experiment: str | None) -> list[_Run]:
    with as_guest():
        from mlflow import MlflowClient

        try:
            client = MlflowClient(tracking_uri=resolve(uri)[0])
            known = {each.name: each.experiment_id for each in client.search_experiments()}
            chosen = _choose(known, experiment, redacted(uri))
            runs: list[_Run] = []
            token: str | None = ""
            while token is not None:
                page = client.search_runs([chosen], max_results=_PAGE, page_token=token or None)
                runs += [_Run(run.info.status, run.data.params, run.data.metrics) for run in page]
                token = page.token or None
        except ConfigError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever MLflow raises over a server is one line
            raise ConfigError(f"--mlflow: cannot read {redacted(uri)}: {explain(error, uri=uri)}") from None
    return runs
