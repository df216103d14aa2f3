from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest

from study.config import parse_config, to_yaml
from study.results.model import Report
from study.tracking import projection
from study.tracking.content import RunRecord
from study.tracking.notes import study_note
from tests.study.results import example


@pytest.fixture
def digits() -> dict[str, Any]:
    report: dict[str, Any] = example.digits_report()
    return report


def records(content: dict[str, Any], *, folder: Path | None = None, config_text: str = "") -> list[RunRecord]:
    """The records of the report whose report.json has this content."""
    return projection.records(Report.from_json(content), folder=folder, config_text=config_text)


def _cells(made: list[RunRecord]) -> list[RunRecord]:
    return [record for record in made if record.parent is None]


def _under(made: list[RunRecord], cell: RunRecord) -> list[RunRecord]:
    return [record for record in made if record.parent == cell.identity]


def test_there_is_one_run_per_cell_and_one_per_strength_under_it(digits: dict[str, Any]) -> None:
    made = records(digits)
    assert len(made) == 3 * (1 + 9)
    assert [len(_under(made, cell)) for cell in _cells(made)] == [9, 9, 9]
    assert len({record.identity for record in made}) == len(made)


def test_each_cell_comes_before_its_strengths(digits: dict[str, Any]) -> None:
    seen: set[str | None] = {None}
    for record in records(digits):
        assert record.parent in seen
        seen.add(record.identity)


def test_names_sort_in_the_order_of_the_report() -> None:
    report = example.synthetic_report()
    for cell, redundancy in zip(report["cells"], (0, 2, 4, 8, 12), strict=True):
        cell["label"] = f"synthetic R = {redundancy}"
    names = [record.name for record in _cells(records(report))]
    assert sorted(names) == names


def test_strengths_sort_by_name(digits: dict[str, Any]) -> None:
    for entry in digits["cells"][0]["encoders"]:
        entry["curve"][-1]["strength"] = 16.0
    made = records(digits)
    names = [record.name for record in _under(made, made[0])]
    assert names[0] == "λ = 00"
    assert names[-1] == "λ = 16"
    assert sorted(names) == names


def test_the_same_report_makes_the_same_records(digits: dict[str, Any]) -> None:
    first, second = records(digits), records(copy.deepcopy(digits))
    assert [(r.identity, r.content) for r in first] == [(r.identity, r.content) for r in second]


def test_progress_changes_what_runs_hold_and_not_which_runs_there_are(digits: dict[str, Any]) -> None:
    before = {record.identity: record.content for record in records(example.partial_report())}
    after = {record.identity: record.content for record in records(digits)}
    assert before.keys() <= after.keys()
    assert before != {key: after[key] for key in before}


def test_another_configuration_has_other_runs(digits: dict[str, Any]) -> None:
    other = records(digits | {"config_hash": "another"})
    assert not {record.identity for record in other} & {record.identity for record in records(digits)}


def test_the_answer_of_a_cell_is_its_metrics(digits: dict[str, Any]) -> None:
    found = {name: value for name, value, _ in records(digits)[0].metrics}
    cell = digits["cells"][0]
    assert found["lambda_star"] == cell["pair_choice"]["lambda_star"]
    assert found["lambda_star_2_high"] == cell["encoders"][1]["interval"][1]
    assert found["gain_1"] == cell["encoders"][0]["gain_over_zero"]["mean"]
    assert found["gain_to_2_2"] == cell["pair_choice"]["alternatives"][2]["gains"][1]["mean"]
    assert found["redundancy"] == cell["pid"]["redundancy"]
    assert found["trainings"] == cell["counts"]["trainings"]


def test_the_study_file_is_parameters_by_which_studies_compare(digits: dict[str, Any]) -> None:
    """Of a strength those that all its trainings share; what a study may be extended by is none, as none can change."""
    text = to_yaml(
        parse_config(
            "study: digits\ndataset: {name: digits}\npairs: [[left, right]]\n"
            "training: {epochs: 7, temperature: 0.2}\nencoder: {width: 24}\nencoders: {left: {kind: linear}}\n"
            "search: {nuisance: {learning_rate: {log: [1e-4, 1e-2]}}}\n"
        )
    )
    parent, child, *_ = records(digits, config_text=text)
    expected = {
        "training.epochs": "7", "training.temperature": "0.2", "alignment.objective": "info_nce",
        "alignment.direction": "both", "encoder.width": "24", "encoders.left.kind": "linear", "dataset.name": "digits",
        "seed": "0",
    }  # fmt: skip
    assert expected.items() <= parent.params.items()
    assert not [name for name in parent.params if name.startswith(("replicates", "strength", "search", "storage"))]
    assert (child.params["strength"], child.params["training.epochs"]) == ("0", "7")
    assert child.params["alignment.direction"] == "both"
    assert "training.learning_rate" not in child.params  # each strength has its own


@pytest.mark.parametrize("text", ["", "- 1", "a: [", "x: 1", "training: 3"])
def test_a_text_that_is_no_study_file_gives_no_parameters(digits: dict[str, Any], text: str) -> None:
    assert set(records(digits, config_text=text)[1].params) <= {"strength", "training"}


def test_what_is_said_of_a_cell_is_its_tags() -> None:
    report = example.synthetic_report() | {"stand_in": True}
    tags = records(report)[-8].tags
    assert tags | {
        "dataset": "synthetic", "pair": "view_1 + view_2", "strategy": "shared", "verdict_2": "align",
        "shape_2": "rising", "flags_2": "edge", "flags_1": "none", "dominant": "redundancy", "stand_in": "yes",
    } == tags  # fmt: skip


def test_a_strength_holds_its_scores_and_its_learning_curve(digits: dict[str, Any]) -> None:
    record = next(record for record in records(digits) if record.name == "λ = 0.6")
    final = {name: value for name, value, step in record.metrics if step == 0}
    point = digits["cells"][0]["encoders"][0]["curve"][4]
    assert record.params == {"strength": "0.6"}
    assert (final["accuracy_1"], final["accuracy_1_sd"], final["seeds_1"]) == (point["mean"], point["sd"], 5)
    assert final["similarity_cka"] == digits["cells"][0]["alignment"][4]["cka"]
    assert [step for name, _, step in record.metrics if name == "by_epoch/accuracy_2"] == list(range(5, 55, 5))


def test_strengths_of_a_comparison_put_the_score_first(digits: dict[str, Any]) -> None:
    names = {name for name, _, _ in records(digits)[1].metrics}
    assert (
        min(names) == "accuracy_1"
    )  # the first metric by name is what MLflow's comparison shows against the parameter


@pytest.mark.parametrize(
    ("status", "expected"), [("complete", "FINISHED"), ("partial", "RUNNING"), ("later", "RUNNING")]
)
def test_a_cell_is_finished_when_its_study_is(digits: dict[str, Any], status: str, expected: str) -> None:
    assert records(digits | {"status": status})[0].status == expected


def test_a_cell_without_an_answer_in_a_finished_study_has_failed() -> None:
    made = records(example.partial_report() | {"status": "complete"})
    assert [record.status for record in _cells(made)] == ["FINISHED", "FAILED", "FAILED"]


def test_a_strength_at_which_all_diverged_has_failed(digits: dict[str, Any]) -> None:
    for entry in digits["cells"][0]["encoders"]:
        entry["curve"][-1] |= {"mean": None, "sd": None, "seeds": 0, "diverged": 5}
    made = records(digits)
    assert [record.status for record in _under(made, made[0])] == ["FINISHED"] * 8 + ["FAILED"]


def test_the_note_opens_with_the_sentence_and_shows_the_figures(digits: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "figures").mkdir()
    for name in ("01-digits-left-right-pid.png", "01-digits-left-right-pid.svg", "02-digits-left-fourier-pid.png"):
        (tmp_path / "figures" / name).write_text("drawn")
    (tmp_path / "report.html").write_text("page")
    record = records(digits, folder=tmp_path)[0]
    assert record.note.startswith("**Align left and right at λ ≈ 0.9 \\[0.5, 1.6\\]: left gains 1.0 points")
    assert record.note.count("![") == 1
    assert "figures%2F01-digits-left-right-pid.png&run_uuid={run}" in record.note
    assert [path.name for _, path in record.files] == [
        "report.html", "01-digits-left-right-pid.png", "01-digits-left-right-pid.svg",
    ]  # fmt: skip


def test_a_file_that_changes_changes_the_record(digits: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "report.html").write_text("one")
    before = records(digits, folder=tmp_path)[0].content
    (tmp_path / "report.html").write_text("two")
    assert records(digits, folder=tmp_path)[0].content != before


def test_notes_stay_below_the_limit_of_a_tag(digits: dict[str, Any]) -> None:
    digits["cells"][0]["encoders"][0]["flags"] = ["x" * 500] * 50
    assert len(records(digits)[0].note) < 8000


def test_hostile_names_cannot_break_out_of_the_note() -> None:
    for record in records(example.hostile_report()):
        assert "<" not in record.note
        assert "](javascript" not in record.note
        assert "\n" not in record.name


@pytest.mark.parametrize("report", [{}, {"cells": None}, {"cells": [{}]}, {"study": None, "cells": [{"pid": None}]}])
def test_a_report_of_nothing_makes_records(report: dict[str, Any]) -> None:
    assert len(records(report)) == len(report.get("cells") or [])
    assert study_note(Report.from_json(report)) is not None
