"""Studies that name their score: mistakes in a line, what is told of errors, and one by a function of the user's."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from study.api import load_report, read_study
from study.cells.building import build_cells
from study.cells.cell import Cell
from study.config import ConfigError, StudyConfig, load_config
from study.results.model import CellResult, EncoderResult, GainResult, ToldGain, from_json
from study.results.text import amounts
from study.results.text.encoder import effect, encoder_sentence
from study.tracking.numbers import strength_metrics
from tests.study import studies

CODE = '''
import numpy as np


def exact(targets, outputs):
    """Share of rows of which all labels are right."""
    return ((outputs > 0.5) == (targets > 0.5)).all(axis=1).mean()


def within(targets, outputs):
    return float(np.mean(np.abs(targets - outputs) < 5))


def wrong(targets, outputs):
    return targets / 0 if hasattr(targets, "none") else targets.missing


def word(targets, outputs):
    return "good"
'''
STUDY: Mapping[str, Any] = {
    "study": "scored",
    "pid": {"estimator": "broja", "bootstrap": 20},
    "encoder": {"width": 4},
    "training": {"epochs": 2, "batch_size": 32},
    "alignment": {"one_sided": "never"},
    "strength": {"initial": [0, 1], "refine": 0},
    "replicates": {"search": 2, "confirm": 3},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The user's code, and data with targets of every kind."""
    folder = tmp_path_factory.mktemp("user")
    (folder / "mine.py").write_text(CODE)
    rng = np.random.default_rng(0)
    a = rng.normal(size=(240, 5))
    b = a[:, ::-1] + 0.3 * rng.normal(size=(240, 5))
    real = a[:, 0] * 10 + 3
    np.savez(
        folder / "d.npz", a=a, b=b, real=real, other=b[:, 0] * 0.01, above=real + 1000,
        classes=(a[:, 0] > 0).astype(int), labels=(a[:, :3] > 0.2).astype(int),
        split=np.arange(240) % 3, halves=np.repeat([0, 1, 2], 80),
        late=(np.arange(240) % 80 < 40) * (np.arange(240) < 80).astype(int),
    )  # fmt: skip
    return folder


def config(folder: Path, *, target: Any = "real", **changes: Any) -> StudyConfig:
    path = folder / "scored.yaml"
    data = {
        "name": "arrays", "path": str(folder / "d.npz"), "target": target, "modalities": ["a", "b"],
        **changes.pop("data", {}),
    }  # fmt: skip
    path.write_text(json.dumps({**STUDY, "dataset": data, **changes}))
    return load_config(path)


def cell(folder: Path, **asked: Any) -> Cell:
    (one,), _ = build_cells(config(folder, **asked))
    return one


BOTH = {"a": "real", "b": "other"}


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"score": "auc"}, "score: there is no score 'auc', choose one of accuracy, .*; do you mean auroc?"),
        ({"score": "macro f1"}, "do you mean macro_f1?"),
        ({"score": "mine.py"}, "score: 'mine.py' names no function; give FILE.py:NAME"),
        ({"score": 3}, "score is 3, but must be"),
        ({"score": {}}, "score"),
        ({"score": {"c": "r2"}}, "score.c: no such modality; this dataset has a, b"),
        (
            {"score": "auroc"},
            "score of a: auroc is not for its target, which holds real numbers; choose one of r2, rmse",
        ),
        ({"score": "rmse", "target": "classes"}, "score of a: rmse is not for its target, which holds classes"),
        ({"score": "r2", "target": "labels"}, "which holds labels of which a row may have several; choose one of accu"),
        ({"score": "sign_accuracy", "target": "above"}, "score of a: its target runs from .*100% of it above 0"),
        (
            {"score": "auroc", "target": "late", "data": {"split": "halves"}},
            "score of a: auroc compares rows with different targets, and all of the valid split have the same one",
        ),
        ({"score": "none.py:f"}, "score of a: there is no file .*none.py"),
        ({"score": "mine.py:nothing"}, "score of a: mine.py has no nothing"),
        ({"score": "mine.py:wrong"}, "score of a: score mine.py:wrong raised AttributeError.*mine.py, line 15"),
        ({"score": "mine.py:word"}, "score of a: score mine.py:word returned the text 'good'; return one number"),
        (
            {"score": {"a": "rmse", "b": "r2"}},
            "a is scored by rmse and b by r2, and what a pair gains is the mean of both, which would mix their units",
        ),
        ({"score": {"a": "mine.py:within"}}, "a is scored by mine.py:within and b by r2"),
        ({"score": "mae", "target": BOTH}, "mae is in the unit of its target, and a and b have different targets"),
        ({"score": "r2", "search": {"smallest_gain": 0.5}}, "0.5 would be half of all that an accuracy"),
        ({"training": {"class_weights": "balanced", "batch_size": 32}}, "class_weights: balanced is for classes"),
    ],
)
def test_mistakes_are_one_line_before_anything_starts(folder: Path, asked: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as refused:
        cell(folder, **asked)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("asked", "metrics", "smallest"),
    [
        ({}, ("r2", "r2"), 0.005),
        ({"score": "rmse"}, ("negative rmse", "negative rmse"), 0.0),
        ({"score": "mine.py:within"}, ("mine.py:within", "mine.py:within"), 0.0),
        ({"score": {"a": "pearson"}}, ("pearson", "r2"), 0.005),
        ({"score": "spearman", "target": BOTH}, ("spearman", "spearman"), 0.005),
        ({"score": "log_loss", "target": "labels"}, ("negative log_loss", "negative log_loss"), 0.0),
        ({"score": {"a": "auroc", "b": "r2"}, "target": {"a": "classes", "b": "real"}}, ("auroc", "r2"), 0.005),
        ({"score": "mae", "search": {"smallest_gain": 2.5}}, ("negative mae", "negative mae"), 2.5),
    ],
)
def test_what_decides_and_how_little_of_it_matters(
    folder: Path, asked: dict[str, Any], metrics: tuple[str, str], smallest: float
) -> None:
    one = cell(folder, **asked)
    assert one.metrics == metrics
    assert one.config.search.smallest_gain == smallest
    assert Cell.from_json(json.loads(json.dumps(one.to_json())), config=one.config) == replace(one, code="")


def test_the_score_is_part_of_what_a_study_is_and_its_folder_is_not(folder: Path, tmp_path: Path) -> None:
    plain, named = config(folder).identity, config(folder, score="mine.py:within").identity
    assert "score" not in plain
    assert "class_weights" not in plain["training"]
    assert named["score"] == "mine.py:within"
    (tmp_path / "mine.py").write_text(CODE)
    moved = config(folder, score=str(tmp_path / "mine.py:within"))
    assert moved.identity == named
    assert StudyConfig.of_identity(plain).score is None


def test_beside_a_trainer_of_the_user_s_it_is_told_where_it_belongs() -> None:
    with pytest.raises(ConfigError, match=r"what trainer.call returns decides: .* as trainer.score"):
        read_study({"study": "s", "trainer": {"call": "t.py:f"}, "pairs": [["a", "b"]], "score": "auroc"})


def test_from_python_a_score_is_the_function_itself(folder: Path) -> None:
    limit = 5.0

    def near(targets: Any, outputs: Any) -> float:
        return float((abs(targets - outputs) < limit).mean())

    space = {**STUDY, "dataset": {"name": "arrays", "path": str(folder / "d.npz"), "target": "real"}, "score": near} | {
        "pairs": [["a", "b"]]
    }
    (one,), _ = build_cells(read_study(space))
    assert one.metrics == ("python:near", "python:near")
    assert one.scores is not None
    assert one.scores[0].code


def of_errors(**gain: Any) -> CellResult:
    encoder = EncoderResult(
        lambda_star=1.0, interval=(0.5, 2.0), verdict="align", shape="rising",
        gain_over_zero=GainResult(mean=0.25, interval=(0.1, 0.4), p_value=0.01, seeds=10, source="confirm", **gain),
    )  # fmt: skip
    curve = [
        {"strength": 0.0, "mean": -2.0, "sd": 0.1, "seeds": 3, "scores": [-2.0]},
        {"strength": 1.0, "mean": -1.75, "sd": 0.1, "seeds": 3, "scores": [-1.75]},
    ]
    read = from_json(CellResult, {"pair": ["a", "b"], "metrics": ["negative rmse"] * 2})
    point = from_json(EncoderResult, {"curve": curve})
    return replace(read, encoders=(replace(encoder, curve=point.curve),) * 2)


def test_an_error_is_told_as_it_is_and_that_less_of_it_is_better() -> None:
    told, gain = "negative rmse", of_errors().encoders[0].gain_over_zero
    assert gain is not None
    assert amounts.score_text(-1.75, told) == "1.750"
    assert amounts.gain_with_interval(gain, told) == "−0.250 [−0.400, −0.100]"
    assert amounts.gain_unit(told) == "of RMSE (lower is better)"
    assert effect(gain, told) == "improves by 0.250 of RMSE (lower is better) [0.100, 0.400]"
    assert effect(replace(gain, mean=-0.25, interval=(-0.4, -0.1)), told).startswith("worsens by 0.250 of RMSE")
    sentence = encoder_sentence(of_errors(), 0)
    assert "the error falls with λ. At λ* it gets −0.250 [−0.400, −0.100] of RMSE (lower is better) over" in sentence


def test_a_curve_of_errors_is_not_said_to_fall_where_the_error_rises() -> None:
    from study.results.figures.curves import curve_figure
    from study.tracking.notes import cell_note

    read = of_errors()
    worse = replace(read, encoders=tuple(replace(one, shape="falling", lambda_star=0.0) for one in read.encoders))
    assert amounts.curve_text(worse.encoders[0], "negative rmse") == "error rises"
    assert amounts.curve_text(worse.encoders[0], "r2") == "falling"
    (first, second), peak = worse.encoders, ToldGain(mean=-0.25, interval=(-0.4, -0.1), strength=0.5)
    at_peak = replace(worse, encoders=(replace(first, gain=peak), second))
    assert "at λ = 0.5, where the searched error is lowest, it" in encoder_sentence(at_peak, 0)
    figure = curve_figure(worse, worse.told_encoders[0])
    for told in (figure.get_suptitle() or figure.axes[0].get_title(), cell_note(worse, ())):
        assert "error rises" in told
        assert "falling" not in told


def test_mlflow_has_the_error_under_its_own_name() -> None:
    metrics = {name: value for name, value, _ in strength_metrics(of_errors(), 1.0)}
    assert (metrics["rmse_1"], metrics["rmse_2"]) == (1.75, 1.75)
    assert not any("negative" in name for name in metrics)


def test_the_axis_of_an_error_has_its_own_numbers_and_better_is_up() -> None:
    from study.results.figures.curves import curve_figure

    cell = of_errors()
    figure = curve_figure(cell, cell.told_encoders[0])
    (axes,) = figure.axes
    figure.canvas.draw()
    assert axes.get_ylabel() == "RMSE (validation), lower is better"
    ticks = {round(tick.get_position()[1], 6): float(tick.get_text()) for tick in axes.get_yticklabels()}
    assert ticks
    assert all(text == pytest.approx(-place) for place, text in ticks.items())


@pytest.mark.slow  # a study with Ray, its models and MLflow
def test_a_study_of_labels_by_a_score_of_the_user_s(folder: Path, tmp_path: Path) -> None:
    config(folder, target="labels", score="mine.py:exact", training={**STUDY["training"], "class_weights": "balanced"})
    out = studies.run_space(folder / "scored.yaml", folder=tmp_path)
    results = load_report(out)
    (one,) = results.report.cells
    assert one.metrics == ("mine.py:exact", "mine.py:exact")
    for encoder in one.encoders:
        scores = {score.score: score for score in encoder.scores}
        assert set(scores) == {
            "accuracy", "balanced_accuracy", "macro_f1", "auroc", "average_precision", "log_loss", "mine.py:exact",
        }  # fmt: skip
        assert [name for name, score in scores.items() if score.decides] == ["mine.py:exact"]
        assert encoder.baseline is not None
        assert scores["mine.py:exact"].at_zero == pytest.approx(encoder.baseline.mean)
    (gain,) = (choice.gain_mean for choice in one.pair_choice.alternatives)
    assert gain is not None
    assert (gain.unit, gain.units) == ("blocks", 60)
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "All scores at λ = 0 and at λ*, on test rows" in page
    assert "60 blocks of them in turn (grouped jackknife)" in page
