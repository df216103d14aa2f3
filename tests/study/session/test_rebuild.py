"""A study's report, written again where nothing is left of it but its record."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from study.report import main
from tests.study import studies

STUDY = """
study: tiny
dataset: {name: digits}
pairs: [[left, right]]
pid: {estimator: broja, bootstrap: 20}
encoder: {width: 4}
training: {epochs: 6, batch_size: 128}
alignment: {one_sided: always}
strength: {initial: [0, 0.5, 2], refine: 1}
replicates: {search: 2, confirm: 2}
search: {nuisance: {weight_decay: {linear: [0, 0.1]}, learning_rate: {log: [1e-3, 1e-2]}}, trials_per_strength: 2}
resources: {pack: 12}
"""
NOT_RECORDED = {".lock", "events.jsonl", "models", "optuna", "packs"}  # beside the report, and no part of it


def files(folder: Path) -> dict[str, bytes]:
    """What a report is made of, by path."""
    found = (path for path in folder.rglob("*") if path.is_file())
    paths = {path.relative_to(folder): path for path in found}
    return {str(name): path.read_bytes() for name, path in paths.items() if name.parts[0] not in NOT_RECORDED}


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["journal", "postgresql"])
def test_a_record_alone_gives_the_same_report_byte_for_byte(
    kind: str, tmp_path: Path, postgres: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = studies.TinyStudy(tmp_path / "there", text=STUDY)
    here = studies.TinyStudy(tmp_path / "here", text="")
    offline = ("--tracking-uri", "http://127.0.0.1:9")
    if kind == "journal":
        there.finish(*offline)
        shutil.copytree(there.out / "optuna", here.out / "optuna")
        options: tuple[str, ...] = ()
    else:
        address = postgres.database("rebuild")
        there.finish(*offline, "--set", f"storage={address}")
        options = ("--storage", address)

    monkeypatch.chdir(here.folder)
    assert main(["tiny", *options]) == 0
    original = files(there.out)
    assert {"report.json", "report.html", "config.yaml"} < set(original)
    assert len(original) > 10
    assert files(here.out) == original
    assert main(["tiny"]) == 0  # now that the folder says where its record is
    assert files(here.out) == original


def test_a_name_that_is_not_there_is_one_line_and_leaves_nothing(
    postgres: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    empty, out = postgres.database("rebuild-empty"), tmp_path / "studies"
    for options, said in [
        (["tiny", "--storage", empty], "cannot open the storage"),
        (["tiny", "--storage", "postgresql://a:hunter2@b/c"], "process list"),
        (["tiny", "--storage", "mysql://b/c"], "known kind"),
        (["tiny"], "there is no study in"),
    ]:
        assert main([*options, "--out", str(out)]) == 2
        error = capsys.readouterr().err
        assert said in error
        assert error.count("\n") == 1
        assert not out.exists()
    assert postgres.sql("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'", database="rebuild-empty") == "0"
