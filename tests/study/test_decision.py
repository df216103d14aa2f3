"""What to do with a study's answer: the decision to paste, and two studies side by side."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from study.config import load_config, parse_config, to_yaml
from study.report import main
from study.results.beside import side_by_side
from study.results.decision import decision
from study.results.model import Report
from tests.study.results import example

Captured = pytest.CaptureFixture[str]
SPACE = """
study: digits
dataset: {name: digits}
training: {learning_rate: 0.003, temperature: 0.2}
alignment: {direction: both}
"""


def written(folder: Path, name: str, report: dict[str, Any]) -> None:
    """A study's folder with its report and its study file, as a study leaves them."""
    (folder / name).mkdir(parents=True)
    (folder / name / "report.json").write_text(json.dumps({**report, "study": name}))
    (folder / name / "config.yaml").write_text(to_yaml(parse_config(SPACE, source="the test")))


def test_the_decision_names_all_that_a_trainer_needs(tmp_path: Path, capsys: Captured) -> None:
    report = example.digits_report()
    written(tmp_path, "digits", report)

    assert main(["digits", "--out", str(tmp_path), "--config"]) == 0
    told = yaml.safe_load(capsys.readouterr().out)
    assert main(["digits", "--out", str(tmp_path), "--config", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == told

    shared, one_sided, none = told["pairs"]
    assert [pair["strategy"] for pair in told["pairs"]] == ["shared", "to_2", "none"]
    assert [pair["alignment"]["direction"] for pair in told["pairs"]] == ["both", "to_2", "none"]
    for pair, cell in zip(told["pairs"], report["cells"], strict=True):
        strengths = [pair["encoders"][name]["strength"] for name in cell["pair"]]
        assert strengths == cell["pair_choice"]["strengths"]
    assert one_sided["encoders"]["left"]["strength"] == 0
    assert none["encoders"]["fourier"]["verdict"] == "avoid"
    assert shared["encoders"]["left"]["learning_rate"] == 0.003
    assert shared["encoders"]["left"]["temperature"] == 0.2
    assert told["versions"] == report["versions"]


def test_the_decision_tells_a_recipe_that_is_not_the_usual_one() -> None:
    report = Report.from_json(example.digits_report())
    usual, other = SPACE, SPACE.replace("temperature: 0.2", "temperature: 0.2, optimiser: sgd, keep: best, patience: 4")
    told = [decision(report, parse_config(space, source="the test"))["pairs"][0] for space in (usual, other)]

    assert [set(pair["training"]) - {"epochs", "batch_size", "clip_norm"} for pair in told] == [
        set(),
        {"optimiser", "keep", "patience"},
    ]
    assert told[1]["training"]["patience"] == 4


def test_a_tuned_hyperparameter_is_that_of_the_encoder_or_not_known() -> None:
    space = SPACE + "search: {nuisance: {learning_rate: {log: [0.001, 0.1]}}, trials_per_strength: 2}\n"
    report = example.digits_report()
    report["cells"][0]["encoders"][0]["model"] = {
        "nuisance": {"learning_rate": 0.05},
        "registered": "d.left-right.left",
    }

    pair = decision(Report.from_json(report), parse_config(space, source="the test"))["pairs"][0]

    assert pair["encoders"]["left"]["learning_rate"] == 0.05

    del report["cells"][0]["encoders"][0]["model"]
    report["cells"][0]["encoders"][0]["tuned"] = {"learning_rate": 0.02}
    pair = decision(Report.from_json(report), parse_config(space, source="the test"))["pairs"][0]

    assert pair["encoders"]["left"]["learning_rate"] == 0.02
    assert pair["encoders"]["right"]["learning_rate"] is None or report["cells"][0]["encoders"][1].get("model")


def test_a_gain_stands_beside_the_strength_that_it_was_measured_at() -> None:
    """An encoder's own λ* has another gain, and may not be what it is to be trained at at all."""
    report = example.digits_report()
    pairs = decision(Report.from_json(report), parse_config(SPACE, source="the test"))["pairs"]

    for pair, cell in zip(pairs, report["cells"], strict=True):
        gains = {one["strategy"]: one["gains"] for one in cell["pair_choice"]["alternatives"]}[pair["strategy"]]
        for name, gain in zip(cell["pair"], gains, strict=True):
            told = pair["encoders"][name]
            assert (told["gain_over_zero"], told["gain_interval"]) == (gain and gain["mean"], gain and gain["interval"])
    assert pairs[2]["encoders"]["right"]["gain_over_zero"] is None


def test_an_encoder_that_no_strength_pulls_is_told_none() -> None:
    report = example.digits_report()
    report["cells"][0]["direction"] = "to_1"

    pair = decision(Report.from_json(report), parse_config(SPACE.replace("both", "to_1"), source="the test"))["pairs"][
        0
    ]

    assert pair["alignment"]["direction"] == "to_1"
    assert [one["strength"] for one in pair["encoders"].values()] == [0.9, 0.0]


def test_one_score_of_a_pair_is_set_beside_the_other_once() -> None:
    report = example.digits_report()
    report["cells"][0]["own_training"] = {"call": "a.py:train", "one_score": True}
    read = Report.from_json(report)

    told = side_by_side(read, read).encoders

    assert [one.modality for one in told if one.pair == read.cells[0].title] == ["the pair"]
    assert [one.gains_at for one in told[-2:]] == [(None, None)] * 2
    assert told[0].gains_at == (0.62, 0.62)


def test_two_studies_are_set_side_by_side_pair_by_pair(tmp_path: Path, capsys: Captured) -> None:
    one, two = example.digits_report(), copy.deepcopy(example.digits_report())
    two["cells"] = two["cells"][:2]
    two["cells"][0]["encoders"][0] |= {"lambda_star": 3.0, "interval": [2.0, 4.0]}
    written(tmp_path, "a", one)
    written(tmp_path, "b", two)

    assert main(["a", "b", "--out", str(tmp_path), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)

    first, second = told["encoders"][:2]
    assert told["studies"] == ["a", "b"]
    assert first["lambda_star"] == [0.62, 3.0]
    assert first["overlap"] is None  # [0.31, 1.1] and [2, 4]
    assert second["overlap"] == [1.4, 4.0]
    assert len(told["encoders"]) == 4
    assert told["only_first"] == [one["cells"][2]["label"]]
    assert told["only_second"] == []

    assert main(["a", "b", "--out", str(tmp_path)]) == 0
    shown = capsys.readouterr().out
    assert "apart" in shown
    assert "only in a: digits, right + fourier" in shown
    assert "study files differ" not in shown


def test_two_studies_of_other_recipes_say_in_what_they_differ(tmp_path: Path, capsys: Captured) -> None:
    for name in ("a", "b"):
        written(tmp_path, name, example.digits_report())
    other = SPACE.replace("study: digits", "study: b").replace("learning_rate: 0.003", "learning_rate: 0.01")
    (tmp_path / "b" / "config.yaml").write_text(to_yaml(parse_config(other, source="the test")))

    assert main(["a", "b", "--out", str(tmp_path)]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert main(["a", "b", "--out", str(tmp_path), "--json"]) == 0

    line = "training.learning_rate: 0.003 -> 0.01"
    assert f"study files differ (a -> b): {line}" in shown
    assert json.loads(capsys.readouterr().out)["differences"] == [line]


def test_a_name_is_that_of_a_study_also_where_a_folder_here_is_called_so(
    tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    written(tmp_path / "studies", "digits", example.digits_report())
    (tmp_path / "digits").mkdir()
    monkeypatch.chdir(tmp_path)

    assert main(["digits", "--config"]) == 0
    assert yaml.safe_load(capsys.readouterr().out)["study"] == "digits"
    assert main(["./digits", "--config"]) == 2
    assert "digits/report.json" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["a", "b", "c"], "3 studies were named"),
        (["a", "b", "--config"], "2 studies were named"),
        (["a", "other"], "no pair in common"),
        (["a", "nowhere"], "cannot read"),
        (["bare", "--config"], "config.yaml"),
    ],
)
def test_what_cannot_be_compared_is_one_line(arguments: list[str], told: str, tmp_path: Path, capsys: Captured) -> None:
    report = example.digits_report()
    for name in ("a", "b", "bare"):
        written(tmp_path, name, report)
    written(tmp_path, "other", {**report, "cells": [{**report["cells"][0], "dataset": "mfeat"}]})
    (tmp_path / "bare" / "config.yaml").unlink()

    assert main([*arguments, "--out", str(tmp_path)]) == 2
    line = capsys.readouterr().err
    assert line.startswith("error: ")
    assert line.count("\n") == 1
    assert told in line


def test_the_study_file_of_a_decision_is_read_as_it_was_written(tmp_path: Path) -> None:
    written(tmp_path, "digits", example.digits_report())

    assert load_config(tmp_path / "digits" / "config.yaml").training.temperature == 0.2
