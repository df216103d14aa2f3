"""The page over all studies of a folder."""

from __future__ import annotations

import json
import os
import re
import time
from pathlib import Path
from urllib.parse import unquote

import pytest

from study.report import main
from study.results.model import Report
from study.results.text.pair import advice_with_gain
from study.results.writing import write_index, write_report
from tests.study.results import example
from tests.study.results.test_html import Page

ODD = "x%20 #'<b>\""


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Studies: a finished one, a partial one, one of hostile names, one without a report, one with half of one."""
    out = tmp_path_factory.mktemp("studies")
    for age, (name, report) in enumerate(
        {"digits": "digits_report", "part": "partial_report", ODD: "hostile_report"}.items()
    ):
        (out / name).mkdir()
        write_report(Report.from_json(getattr(example, report)()), out / name)
        os.utime(out / name / "report.json", (time.time() - 60 * age,) * 2)
    (out / "digits" / "card.html").unlink()  # as of the version before
    (out / "begun" / "optuna").mkdir(parents=True)
    (out / "begun" / "optuna" / "journal.log").touch()
    (out / "half").mkdir()
    (out / "half" / "report.json").write_text('{"cells": [')
    return out


def test_every_study_is_there_with_its_decisions_and_its_curves(out: Path) -> None:
    page = Page(write_index(out).read_text(encoding="utf-8"))
    sections = [found["id"] or "" for tag, found in page.tags if tag == "section"]
    names = [unquote(section.removeprefix("study-").replace(".", "%")) for section in sections]
    assert names == ["digits", "part", ODD, "begun", "half"]
    for cell in Report.from_json(example.digits_report()).cells:
        assert page.text.count(advice_with_gain(cell)) >= 1
    curves = [found["aria-label"] or "" for tag, found in page.tags if tag == "svg"]
    assert len(curves) == 6 + 4 + 6
    told = r"left: 9\d\.\d % at λ = 0, 9\d\.\d % at λ = 4; λ\* 0.62 \[0.31, 1.1\]"
    assert any(re.match(told, curve) for curve in curves)
    assert page.text.count("It has no report yet") == 2


def test_its_links_lead_to_the_reports_and_nothing_is_loaded(out: Path) -> None:
    text = write_index(out).read_text(encoding="utf-8")
    page = Page(text)
    links = [found["href"] or "" for tag, found in page.tags if tag == "a"]
    ids = {found["id"] for _, found in page.tags if "id" in found}
    assert all((out / unquote(link)).is_file() for link in links if not link.startswith("#"))
    assert {link[1:] for link in links if link.startswith("#")} <= ids
    assert len([link for link in links if link.endswith("report.html")]) == 3
    assert not {"script", "link", "img", "iframe"} & {tag for tag, _ in page.tags}
    assert "<script" not in text
    assert not list(out.glob("*.tmp"))


def test_the_command_writes_it(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (out / "index.html").unlink(missing_ok=True)
    assert main(["--index", "--out", str(out)]) == 0
    assert capsys.readouterr().out == f"studies: {out / 'index.html'}\n"
    assert (out / "index.html").is_file()
    assert main(["--index", "--out", str(out / "nowhere")]) == 2
    assert "there is no folder" in capsys.readouterr().err


def test_a_folder_without_studies_has_a_page_too(tmp_path: Path) -> None:
    assert "No study of this folder has a report yet" in write_index(tmp_path).read_text(encoding="utf-8")


def test_many_studies_are_listed_in_a_moment(tmp_path: Path) -> None:
    """By their cards: reading 200 reports would take half a minute."""
    write_report(Report.from_json(example.synthetic_report()), tmp_path)
    for number in range(200):
        folder = tmp_path / "studies" / f"s{number}"
        folder.mkdir(parents=True)
        for name in ("report.json", "card.html"):
            os.link(tmp_path / name, folder / name)
    began = time.perf_counter()
    page = write_index(tmp_path / "studies")
    assert time.perf_counter() - began < 5
    assert page.read_text(encoding="utf-8").count('class="study"') == 200
    assert json.loads((tmp_path / "report.json").read_text())["study"] == "synthetic"
