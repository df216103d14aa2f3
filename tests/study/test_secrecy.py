"""No artefact of a study holds a secret, and no name, path or value of a study file leaves its place."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from study.config import ConfigError, parse_config, to_yaml
from study.results.model import Report
from study.results.writing import write_report
from study.session.opening import locked
from tests.study import servers, studies
from tests.study.results import example


@pytest.mark.slow
def test_no_artefact_log_or_process_list_shows_the_passwords(
    postgres: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PGPASSWORD")
    record, shown = postgres.database("secret-record"), postgres.database("secret-shown")
    storage = record.replace("align@", "align:${DB_SECRET}@")
    (tmp_path / "tiny.yaml").write_text(f"{studies.SMALLEST}storage: {storage}\n")
    environment = {
        **os.environ, "DB_SECRET": servers.PASSWORD, "OMP_NUM_THREADS": "1",
        "MLFLOW_TRACKING_URI": shown.replace("align@", f"align:{servers.PASSWORD}@"),
    }  # fmt: skip
    study = subprocess.Popen(
        [sys.executable, "-m", "study.run", "--space", "tiny.yaml"],
        cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    commands: set[str] = set()
    ray_logs: set[Path] = set()
    while study.poll() is None:
        for process in psutil.Process(study.pid).children(recursive=True):
            try:
                commands.add(" ".join(process.cmdline()))
            except psutil.Error:
                continue
        time.sleep(0.2)
    said = study.communicate()[0]
    assert study.returncode == 0, said
    for command in commands:
        ray_logs |= {Path(part.partition("=")[2]) for part in command.split() if part.startswith("--log_dir=")}

    secrets = servers.PIECES
    places = [
        p for folder in (tmp_path, *ray_logs) for p in folder.rglob("*") if p.is_file() and "runtime_env" not in p.name
    ]
    assert len(places) > 10
    assert not [path for path in places for secret in secrets if secret.encode() in path.read_bytes()]
    assert not [secret for secret in secrets for text in (said, *commands) if secret in text]
    for database in ("secret-record", "secret-shown"):
        tables = postgres.sql("SELECT tablename FROM pg_tables WHERE schemaname = 'public'", database=database).split()
        assert tables
        for table in tables:
            rows = postgres.sql(f'SELECT * FROM "{table}"', database=database)
            assert not [secret for secret in secrets if secret in rows], table


@given(st.text())
def test_a_study_of_any_name_stays_in_its_folder_or_is_refused(name: str) -> None:
    try:
        config = parse_config("study: x\ndataset: {name: digits}\n").model_copy(update={"study": name})
        config = type(config).model_validate(config.to_json())
    except ValueError:
        return
    place = (Path("/out") / config.study).resolve()
    assert place.parent == Path("/out")
    assert set(config.study) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")


@pytest.mark.parametrize("name", ["../up", "..", ".", "a/b", "/etc", "a b", "a;b", "$(id)", "a\nb", "a\n", "-rf", ""])
def test_names_that_lead_elsewhere_are_refused(name: str) -> None:
    value = {"study": name, "dataset": {"name": "digits"}}
    with pytest.raises(ConfigError, match="study"):
        parse_config(json.dumps(value))


def test_a_link_in_the_place_of_a_study_is_not_written_through(tmp_path: Path) -> None:
    (tmp_path / "precious").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "x").symlink_to(tmp_path / "precious")
    with pytest.raises(ConfigError, match="link"), locked(tmp_path / "out", "x"):
        pass
    assert not list((tmp_path / "precious").iterdir())


def test_a_folder_of_a_name_that_none_can_have_is_one_line(tmp_path: Path) -> None:
    with (
        pytest.raises(ConfigError, match="File name too long; choose another one"),
        locked(tmp_path / ("x" * 300), "x"),
    ):
        pass


def test_yaml_runs_no_code() -> None:
    with pytest.raises(ConfigError):
        parse_config("study: !!python/object/apply:os.system ['touch /tmp/owned']\ndataset: {name: digits}\n")


def test_hostile_values_are_text_in_the_report_and_stay_in_its_folder(tmp_path: Path) -> None:
    folder = tmp_path / "study"
    folder.mkdir()
    report = example.hostile_report()
    write_report(Report.from_json(report), folder)
    assert not [path for path in tmp_path.iterdir() if path != folder]
    page = (folder / "report.html").read_text()
    assert "<script>alert" not in page
    assert "<img src=x" not in page


def test_the_resolved_file_keeps_references_unexpanded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DB_SECRET", "hunter2")
    config = parse_config(studies.SMALLEST + "storage: postgresql://align:${DB_SECRET}@db/align\n")
    assert "${DB_SECRET}" in to_yaml(config)
    assert "hunter2" not in to_yaml(config)
