"""The claims of the papers: what the planted curves hold, what they do not, and what bears on nothing."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from study import report as command
from study.results.claims import claims
from study.results.claims.published import PROFILES, agrees, published_profile
from study.results.experience import beside
from study.results.model import CellResult, ProfileResult, Report, from_json
from tests.study.results import example

REGIMES = {
    "RQ1: with R = 6 and 8 both encoders improve with λ and saturate": "not reproduced",
    "RQ1: with R = 0 and 2 both encoders get worse with λ": "reproduced",
    "RQ1: with R = 4 the curve is an inverted U that peaks at λ = 0.4–0.6": "not reproduced",
    "RQ1: the best λ rises with redundancy": "reproduced",
}


def outcomes(*reports: dict[str, Any]) -> dict[str, claims.Verdict]:
    return {verdict.claim.text: verdict for verdict in claims.judge([Report.from_json(report) for report in reports])}


@pytest.fixture
def synthetic() -> dict[str, Any]:
    report: dict[str, Any] = copy.deepcopy(example.synthetic_report())
    for cell in report["cells"]:
        cell["dataset"] = "synthetic"
    return report


def renamed(report: dict[str, Any], dataset: str, pair: tuple[str, str]) -> dict[str, Any]:
    report = {**copy.deepcopy(report), "cells": copy.deepcopy(report["cells"][:1])}
    report["cells"][0].update(dataset=dataset, pair=list(pair))
    return report


def test_the_regimes_are_judged_by_the_shapes_of_the_synthetic_cells(synthetic: dict[str, Any]) -> None:
    found = outcomes(synthetic)
    assert {text: found[text].outcome for text in REGIMES} == REGIMES


def test_evidence_says_which_encoder_holds_and_which_does_not(synthetic: dict[str, Any]) -> None:
    evidence = outcomes(synthetic)["RQ1: with R = 6 and 8 both encoders improve with λ and saturate"].evidence
    assert [line[:18] for line in evidence] == [f"{mark} synthetic: R = {r}" for mark, r in ("✗6", "✓6", "✓8", "✓8")]
    assert ": rising, 72.0 % at λ = 0, 76.8 % at 2" in evidence[3]


def test_metrics_that_rise_and_one_that_does_not(synthetic: dict[str, Any]) -> None:
    text = "alignment metrics always rise with λ"
    assert outcomes(synthetic)[text].evidence == ("✓ synthetic: 15 of 15 rise",)
    for point in synthetic["cells"][2]["alignment"]:
        point["svcca"] = 0.5
    found = outcomes(synthetic)[text]
    assert found.outcome == "not reproduced"
    assert found.evidence[0].startswith("✗ synthetic: 14 of 15 rise, not svcca of ")


def test_without_a_study_nothing_is_testable_and_the_line_says_what_is_needed() -> None:
    found = claims.judge([])
    assert {verdict.outcome for verdict in found} == {"not testable"}
    assert all(verdict.evidence[0].startswith("needs ") for verdict in found)


def test_evidence_of_two_studies_of_the_same_data_is_told_apart(synthetic: dict[str, Any]) -> None:
    found = outcomes(synthetic, synthetic | {"study": "again"})
    evidence = found["RQ1: with R = 4 the curve is an inverted U that peaks at λ = 0.4–0.6"].evidence
    assert sorted(line.split(":")[0] for line in evidence) == ["✗ again"] * 2 + ["✗ synthetic"] * 2


def test_stand_in_data_bears_on_nothing(synthetic: dict[str, Any]) -> None:
    synthetic["stand_in"] = True
    assert {verdict.outcome for verdict in claims.judge([Report.from_json(synthetic)])} == {"not testable"}


def test_a_published_peak_has_to_be_in_the_interval() -> None:
    text = "MOSEI, vision with text: text is an inverted U that peaks at λ = 0.75"
    report = renamed(example.digits_report(), "mosei", ("text", "vision"))  # λ* of encoder 1 is 0.62 [0.31, 1.1]
    assert outcomes(report)[text].outcome == "reproduced"
    report["cells"][0]["encoders"][0]["interval"] = [0.8, 1.1]
    assert outcomes(report)[text].outcome == "not reproduced"


def test_mustard_is_judged_by_the_paired_gains_of_both_encoders() -> None:
    text = "MUStARD, vision with audio: vision .54 → .62, audio .58 → .66"
    report = renamed(example.digits_report(), "mustard", ("audio", "vision"))  # a hump below λ = 0 at the end, a rise
    found = outcomes(report)[text]
    assert found.outcome == "not reproduced"
    assert sorted(line[0] for line in found.evidence) == ["✓", "✗"]


@pytest.mark.parametrize(("change", "outcome"), [(0.02, "reproduced"), (-0.04, "not reproduced")])
def test_harm_on_houston(change: float, outcome: str) -> None:
    report = renamed(example.digits_report(), "houston", ("hsi", "lidar"))
    curve = report["cells"][0]["encoders"][0]["curve"]
    curve[-1]["scores"] = [score + change + 0.001 * i for i, score in enumerate(curve[0]["scores"])]
    assert outcomes(report)["on real remote-sensing data alignment did not degrade the encoders"].outcome == outcome


def linear_report(redundancy: float, measured: dict[str, Any] | None) -> dict[str, Any]:
    report = renamed(example.digits_report(), "linear", ("first", "second"))
    report["cells"][0]["variant"] = {"redundancy": redundancy}
    entries = [{"modality": name, "crossing": 0.35, "measured": measured} for name in ("first", "second")]
    report["cells"][0]["forecast"] = {"together": {"encoders": entries}}
    return report


def test_the_linear_family_decides_the_claims_on_lost_information() -> None:
    lost = {"strength": 0.33, "interval": [0.3, 0.4], "lost": 0.2}
    found = outcomes(linear_report(0.2, lost), linear_report(0.8, None))
    assert found["where modalities inform different targets, alignment loses information"].outcome == "reproduced"
    assert found["redundant modalities lose nothing"].outcome == "reproduced"
    assert found["what is lost follows from generalised eigenproblems"].evidence[0] == (
        "✓ digits: r = 0.2, first: expected 0.35, measured 0.33 [0.3, 0.4]"
    )
    late = {**lost, "interval": [0.4, 0.5]}
    others = linear_report(0.2, late)
    for encoder in others["cells"][0]["encoders"]:
        encoder["kind"] = "mlp"  # of which the linear theory claims nothing
    assert outcomes(others)["what is lost follows from generalised eigenproblems"].outcome == "not testable"
    found = outcomes(linear_report(0.2, late))
    assert found["what is lost follows from generalised eigenproblems"].outcome == "not reproduced"


def test_published_profiles_are_turned_with_the_pair_and_read_in_either_unit() -> None:
    cell = CellResult(dataset="mosei", pair=("text", "vision"))
    assert published_profile(cell) == (0.123, 0.163, 0.001, 0.005)
    assert published_profile(CellResult(dataset="digits", pair=("left", "right"))) is None
    for unit in (1.0, 1.4427):
        values = dict(zip(("redundancy", "unique_1", "unique_2", "synergy"), published_profile(cell), strict=True))
        interval = {name: [unit * v - 0.001, unit * v + 0.001] for name, v in values.items()}
        assert agrees(replace(cell, pid=from_json(ProfileResult, {"interval": interval})))
    assert (
        agrees(replace(cell, pid=from_json(ProfileResult, {"interval": {**interval, "synergy": [0.2, 0.3]}}))) is False
    )
    assert agrees(cell) is None
    assert all(len(profile) == 4 for profile in PROFILES.values())


def test_the_table_has_a_row_per_claim(synthetic: dict[str, Any]) -> None:
    lines = claims.claims_table(claims.judge([Report.from_json(synthetic)])).splitlines()
    assert len(lines) == 2 + len(claims.CLAIMS)
    assert {line.count(" | ") for line in lines} == {4}


def test_much_evidence_is_told_in_few_lines_what_speaks_against_it_first() -> None:
    evidence = (*(f"✓ cell {i}" for i in range(5)), "✗ cell 5")
    verdict = claims.Verdict(claim=claims.CLAIMS[0], outcome="not reproduced", evidence=evidence)
    row = claims.claims_table([verdict]).splitlines()[2]
    assert "| 5 of 6 hold:<br>✗ cell 5<br>✓ cell 0<br>✓ cell 1<br>… |" in row


@pytest.mark.parametrize("report", [{}, {"cells": [{}]}, {"cells": [{"dataset": "synthetic", "encoders": [{}]}]}])
def test_reports_that_lack_everything_are_passed_over(report: dict[str, Any]) -> None:
    assert {verdict.outcome for verdict in claims.judge([Report.from_json(report)])} == {"not testable"}


def test_the_command_reads_all_reports_of_a_folder(
    synthetic: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "synthetic").mkdir()
    (tmp_path / "synthetic" / "report.json").write_text(json.dumps(synthetic), encoding="utf-8")
    assert command.main(["--claims", "--out", str(tmp_path)]) == 0
    assert "RQ1: with R = 0 and 2 both encoders get worse with λ | reproduced" in capsys.readouterr().out
    assert command.main(["--claims", "--out", str(tmp_path / "nowhere")]) == 2
    assert "no study in" in capsys.readouterr().err
    assert command.main([]) == 2
    assert capsys.readouterr().err == "error: name a study, e.g. python -m study.report digits\n"
    assert command.main(["one", "two", "three"]) == 2
    assert "name one, or two to see them side by side, or ask for --claims" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["[]", "null", "5", '{"cells": 5}', "{}", "[" * 100_000], ids=lambda text: text[:14])
def test_what_is_no_report_is_one_line(text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "odd").mkdir()
    (tmp_path / "odd" / "report.json").write_text(text)
    assert command.main(["--claims", "--out", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert "report.json" in error
    assert "write it again with python -m study.report" in error
    assert error.count("\n") == 1
    assert beside(tmp_path, study="mine") == []


def test_a_name_that_no_study_can_have_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["x" * 300]) == 2
    assert "File name too long" in capsys.readouterr().err
