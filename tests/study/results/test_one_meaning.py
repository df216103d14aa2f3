"""Words and numbers that mean one thing wherever they stand, and are true in every case."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import pytest
from optuna.storages import InMemoryStorage
from rich.console import Console

from study.cells.building import build_cells
from study.cells.cell import Cell
from study.config import parse_config
from study.results.build import build_report
from study.results.frames import frames
from study.results.model import EncoderResult, Report, SearchedResult
from study.results.page.html import render
from study.results.selected import interval_around
from study.results.text.amounts import shape_text
from study.results.text.doubts import caveats
from study.results.text.encoder import encoder_sentence
from study.results.text.pair import advice_with_gain, cell_sentence
from study.results.text.summary import summary
from study.scheduling.coordinator import Coordinator
from study.search import Ledger
from study.search.record.notes import Run
from study.tracking.projection import records
from tests.study.results import example
from trainables.spec import ReplicateResult

STUDY = """
study: failing
dataset: {name: digits}
pairs: [[left, right]]
strength: {initial: [0, 1, 2, 4], refine: 0}
replicates: {search: 3, confirm: 4}
models: true
"""


@cache
def cells() -> tuple[Cell, ...]:
    return build_cells(parse_config(STUDY))[0]


def failed_in(phase: str) -> Report:
    """The report of a study whose trainings gain by λ, and fail from a phase on."""
    ledger = Ledger(InMemoryStorage(), name="failing", space={"strength": (0, 4)})
    coordinator = Coordinator(cells(), ledger, pack_size=20)
    while (pack := coordinator.next_pack()) is not None:
        if pack.members[0][0].arm == phase:
            coordinator.fail(pack.id, "the disk is full")
            break
        coordinator.complete(
            pack.id,
            [
                ReplicateResult(
                    status="ok",
                    scores=(0.7 + 0.02 * max(asked.setting.strengths) + 0.001 * index,) * 2,
                    losses=(1.0, 1.0),
                    alignment={},
                    curve=(),
                )
                for asked, index in pack.members
            ],
        )
    assert coordinator.errors
    return build_report(cells(), ledger, {}, {}, run=Run(complete=True, errors=coordinator.errors))


def shown(report: Report) -> str:
    console = Console(width=200, force_terminal=False)
    with console.capture() as capture:
        console.print(summary(report))
    return capture.get()


def test_a_pair_that_failed_before_its_answer_was_confirmed_has_none_anywhere() -> None:
    report = failed_in("confirm")
    (cell,) = report.cells
    assert [encoder.lambda_star for encoder in cell.encoders] == [None, None]
    assert (cell.pair_choice.strategy, cell.pair_choice.lambda_star, cell.advice.strength) == (None, None, None)
    assert len(cell.encoders[0].curve) == 4  # what was trained is still shown
    lines = shown(report).splitlines()
    assert [line.split()[-2:] for line in lines if line.startswith(("  left ", "  right "))] == [["answer", "–"]] * 2
    assert "because its search failed (the disk is full)" in cell_sentence(cell)
    (run, *_) = records(report)
    assert (run.status, "advised_strength" in {name for name, _, _ in run.metrics}) == ("FAILED", False)


def test_what_fails_while_encoders_are_kept_takes_nothing_from_the_answer() -> None:
    report = failed_in("final")
    (cell,) = report.cells
    assert cell.pair_choice.strategy is not None
    assert all(encoder.lambda_star is not None for encoder in cell.encoders)
    assert "no answer" not in shown(report)
    assert any("its encoders were not trained: the disk is full" in line for line in caveats(cell))


def test_no_curve_is_called_falling_beside_a_best_strength_above_zero() -> None:
    report = example.digits_report()
    report["cells"][1]["encoders"][0] |= {"shape": "falling", "lambda_star": 0.3, "interval": [0.0, 1.2]}
    cell = Report.from_json(report).cells[1]
    assert "falling" not in shown(Report(cells=(cell,)))
    assert "ends lower" in shown(Report(cells=(cell,)))
    assert "the curve ends lower than it begins" in encoder_sentence(cell, 0)
    assert shape_text(EncoderResult(shape="falling", lambda_star=0.0)) == "falling"


def test_a_gain_of_the_pair_that_is_not_confirmed_says_so() -> None:
    report = example.digits_report()
    shared = report["cells"][2]["pair_choice"]["alternatives"][1]
    shared["gain_mean"] = {
        "mean": 0.002, "interval": [-0.001, 0.005], "p_value": 0.2, "p_adjusted": 0.6, "seeds": 10, "source": "confirm",
    }  # fmt: skip
    cell = Report.from_json(report).cells[2]
    assert cell.encoders[0].verdict == "avoid"
    assert advice_with_gain(cell).endswith("+0.2 [−0.1, +0.5] points over λ = 0, p = 0.6 after Holm, not confirmed")


@pytest.mark.parametrize(
    ("fewer", "told"), [(0, "9 strengths of 5 seeds each in"), (3, "9 strengths of 2 to 5 seeds in")]
)
def test_seeds_are_counted_at_every_strength(fewer: int, told: str) -> None:
    report = example.digits_report()
    report["cells"][0]["encoders"][0]["curve"][2]["seeds"] -= fewer
    assert told in render(Report.from_json(report))


def test_the_interval_of_a_best_strength_holds_it_as_it_is_told() -> None:
    assert interval_around(1.24, (0.5, 1.236)) == (0.5, 1.24)
    assert interval_around(0.0, (0.0, 0.3)) == (0.0, 0.3)


def test_a_pair_whose_data_only_a_function_knows_is_called_by_its_study() -> None:
    text = "study: mine\ntrainer: {call: 'steps.py:train'}\npairs: [[image, text]]\n"
    (cell,), _ = build_cells(parse_config(text))
    assert cell.label == "mine: image + text"
    assert cell.id == "train/image+text"  # as before: a study goes on


def test_one_gain_has_one_name() -> None:
    """What the terminal tells of an encoder that is better left alone is `gain` in report.json, tables and MLflow."""
    report = Report.from_json(example.digits_report())
    encoder = report.cells[2].encoders[0]
    gain = report.cells[0].encoders[0].gain_over_zero
    searched = replace(encoder, searched=SearchedResult(lambda_star=0.15, gain_over_zero=gain))
    cell = replace(report.cells[2], encoders=(searched, report.cells[2].encoders[1]))
    told = searched.told_gain
    assert gain is not None
    assert (searched.lambda_star, told.mean, told.strength) == (0.0, gain.mean, 0.15)
    row = frames(replace(report, cells=(cell,)))["encoders"].iloc[0]
    metrics = {name: value for name, value, _ in records(replace(report, cells=(cell,)))[0].metrics}
    for name, value in (("gain", told.mean), ("gain_strength", 0.15), ("p_value", told.p_value)):
        assert row[name] == metrics[f"{name}_1"] == value
    assert row["p_adjusted"] == metrics["p_adjusted_1"] == told.p_adjusted != told.p_value
    assert "at 0.15" in shown(replace(report, cells=(cell,)))
