"""The files of a report: what has not changed is not made again, and what was touched is."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from study.results.model import Report
from study.results.writing import write_report
from tests.study.results import example

WHOLE = example.digits_report()
PROFILED = {**WHOLE, "cells": [{**WHOLE["cells"][0], "encoders": [], "alignment": []}]}
FIGURE = "figures/01-digits-left-right-pid"
WRITES_AGAIN = """
import json, sys
from pathlib import Path
from study.results.model import Report
from study.results.writing import write_report

write_report(Report.from_json(json.loads(sys.argv[2])), Path(sys.argv[1]))
print([name for name in ("matplotlib", "pandas", "torch") if name in sys.modules])
"""


@pytest.fixture(scope="module")
def report() -> Report:
    """A pair of which the profile alone is known, which makes one figure."""
    return Report.from_json(PROFILED)


def _files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def _times(folder: Path) -> dict[str, int]:
    return {str(path.relative_to(folder)): path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def once(report: Report, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("once")
    write_report(report, folder)
    return folder


@pytest.fixture
def written(once: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(once, tmp_path / "study"))


def test_the_same_report_leaves_every_file_alone(report: Report, written: Path) -> None:
    before = _times(written)
    assert {f"{FIGURE}.png", f"{FIGURE}.svg", "report.json", "report.html", "card.html"} < set(before)
    write_report(report, written)
    assert _times(written) == before


def test_the_same_report_needs_no_library_that_draws(written: Path) -> None:
    command = [sys.executable, "-c", WRITES_AGAIN, str(written), json.dumps(PROFILED)]
    assert subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip() == "[]"


@pytest.mark.parametrize("edited", [True, False])
@pytest.mark.parametrize("name", [f"{FIGURE}.png", "tables/pairs.csv", "report.json", "report.html", ".written.json"])
def test_a_file_that_was_edited_or_deleted_is_made_again(
    name: str, edited: bool, report: Report, written: Path
) -> None:
    before = _files(written)
    if edited:
        (written / name).write_text("mine")
    else:
        (written / name).unlink()
    write_report(report, written)
    assert _files(written) == before


def test_another_report_is_written(report: Report, written: Path) -> None:
    before = _files(written)
    write_report(replace(report, seed=7), written)
    assert _files(written)["report.json"] != before["report.json"]
    write_report(report, written)
    assert _files(written) == before


def test_a_figure_of_another_report_does_not_stay(report: Report, written: Path) -> None:
    stray, mine = (written / "figures" / name for name in ("07-digits-left-top-pid.png", "2024-mine.png"))
    for path in (stray, mine):
        path.write_text("other")
    write_report(report, written)
    assert not stray.exists()
    assert mine.exists()


def test_a_link_to_the_study_file_comes_with_it(report: Report, written: Path) -> None:
    link = 'href="config.yaml"'
    assert link not in (written / "report.html").read_text()
    (written / "config.yaml").write_text("study: digits\n")
    write_report(report, written)
    assert link in (written / "report.html").read_text()
