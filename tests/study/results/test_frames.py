"""A report as tables, in its published schema, and from a notebook."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import jsonschema
import pandas as pd
import pytest
from matplotlib.figure import Figure

from study import load_report
from study.report import main
from study.results.frames import export, frames
from study.results.model import Report, to_json
from study.results.model.schema import report_schema
from study.results.writing import write_report
from tests.study.results import example

REPORTS = ("digits_report", "partial_report", "hostile_report")


@pytest.fixture
def validator() -> jsonschema.Draft202012Validator:
    schema = report_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def test_reports_keep_to_their_schema(validator: Any) -> None:
    validator.validate(example.digits_report())


@pytest.mark.parametrize(
    "spoil",
    [
        lambda report: report["cells"][0]["encoders"][0].update(verdict="perhaps"),
        lambda report: report["cells"][0]["encoders"][0].pop("lambda_star"),
        lambda report: report["cells"][0]["pair"].append("third"),
        lambda report: report["cells"][0]["pid"].update(units="nats"),
        lambda report: report.update(schema=2),
        lambda report: report.pop("trainings"),
    ],
)
def test_the_schema_refuses_what_readers_do_not_expect(validator: Any, spoil: Any) -> None:
    report = example.digits_report()
    spoil(report)
    assert not validator.is_valid(report)


def test_the_schema_can_be_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--schema"]) == 0
    assert json.loads(capsys.readouterr().out)["title"] == "report.json of Align Study"


def test_tables_say_what_the_report_says() -> None:
    report = example.digits_report()
    tables = frames(Report.from_json(report))
    assert len(tables["pairs"]) == len(report["cells"])
    assert len(tables["encoders"]) == 2 * len(report["cells"])
    for (_, row), entry in zip(
        tables["encoders"].iterrows(), [e for cell in report["cells"] for e in cell["encoders"]], strict=True
    ):
        assert row["lambda_star"] == entry["lambda_star"]
        assert (row["lambda_star_low"], row["lambda_star_high"]) == tuple(entry["interval"])
        if entry["lambda_star"]:
            assert (row["gain"], row["gain_strength"]) == (entry["gain_over_zero"]["mean"], entry["lambda_star"])
        else:  # by definition nothing, and no other strength was confirmed
            assert math.isnan(row["gain"])
        assert row["verdict"] == entry["verdict"]
    points = [p for cell in report["cells"] for e in cell["encoders"] for p in e["curve"]]
    assert tables["curves"]["mean"].tolist() == [p["mean"] for p in points]
    assert len(tables["scores"]) == sum(len(p.get("scores") or ()) for p in points)


@pytest.mark.parametrize("name", REPORTS)
def test_files_of_tables_can_be_read_back(tmp_path: Path, name: str) -> None:
    report = getattr(example, name)()
    for path in export(Report.from_json(report), tmp_path):
        if path.stat().st_size > 1:
            read = pd.read_csv(path) if path.suffix == ".csv" else pd.read_parquet(path)
            assert len(read) == len(frames(Report.from_json(report))[path.stem])


def test_a_report_in_a_notebook(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    report = example.digits_report()
    write_report(Report.from_json(report), tmp_path / "studies" / "digits")
    monkeypatch.chdir(tmp_path)
    for given in ("digits", tmp_path / "studies/digits", tmp_path / "studies/digits/report.json"):
        loaded = load_report(given)
        assert loaded.data == json.loads(json.dumps(to_json(Report.from_json(report))))
        assert loaded.report == Report.from_json(report)
    assert (
        loaded.encoders["lambda_star"].tolist() == frames(Report.from_json(report))["encoders"]["lambda_star"].tolist()
    )
    assert {"pairs", "curves", "scores", "alignment"} <= set(loaded.tables)
    assert all(isinstance(figure, Figure) for figure in loaded.figures.values())
    assert loaded.sentences[0] in repr(loaded)
    assert "<table" in loaded._repr_html_()
    with pytest.raises(FileNotFoundError, match="run the study first"):
        load_report("nothing")
