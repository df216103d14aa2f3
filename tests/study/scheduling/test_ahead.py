"""What a cell will ask for, counted by hand; the time of a pack between two that were timed."""

from __future__ import annotations

import json
from typing import Any

import pytest

from study.cells.building import build_cells
from study.cells.cell import Cell
from study.config import parse_config
from study.scheduling.ahead import CASES, ONE_SIDED_SHARE, Ahead, Case, planned_rounds
from study.scheduling.packs import even_groups
from study.scheduling.speed import example
from trainables.datasets import load
from trainables.spec import DatasetSpec
from trainables.training.timing import PackSeconds, few_rows, time_pack

STUDY: dict[str, Any] = {
    "study": "planned",
    "dataset": {"name": "digits"},
    "pairs": [["left", "right"]],
    "strength": {"initial": [0, 0.5, 2], "refine": 3, "per_round": 2},
    "replicates": {"search": 4, "confirm": 10},
}


def cell(**changes: Any) -> Cell:
    return build_cells(parse_config(json.dumps({**STUDY, **changes})))[0][0]


@pytest.mark.parametrize(
    ("case", "counts"),
    [
        ("least", [[12], [8], [4], [8, 8], [10], [1]]),
        ("likely", [[12], [8], [4], [8, 8], [30], [1]]),
        ("most", [[12], [8], [4], [8, 8], [8, 8], [4, 4], [60], [2]]),
    ],
)
def test_the_rounds_of_a_cell_are_those_of_its_study_file(case: Case, counts: list[list[int]]) -> None:
    assert [[count for _, count in asked] for asked in planned_rounds(cell(), case=case)] == counts


def test_a_target_may_end_the_search_after_its_first_round_at_the_earliest() -> None:
    stops = cell(search={"stop_interval": 0.1})

    least = planned_rounds(stops, case="least")
    assert [asked[0] for asked in least][:3] == [("shared", 12), ("to_1", 8), ("confirm", 10)]
    assert planned_rounds(stops, case="likely") == planned_rounds(cell(), case="likely")


def test_a_one_sided_arm_begins_with_half_of_the_design_and_goes_on_with_the_rest() -> None:
    wide = cell(strength={"initial": [0, 0.1, 0.25, 0.5, 0.6, 0.75, 1, 2, 4], "refine": 0})

    counts = {case: [sum(count for _, count in asked) for asked in planned_rounds(wide, case=case)] for case in CASES}
    one_going = [[count for _, count in asked] for asked in planned_rounds(wide, case="most", going=("to_2",))]

    assert counts["likely"] == [36, 2 * 16, 30, 1]
    assert counts["most"] == [36, 2 * 16, 2 * 16, 60, 2]
    assert one_going == [[36], [16, 16], [16], [50], [2]]


def test_nothing_is_confirmed_or_kept_without_confirming_seeds() -> None:
    alone = cell(replicates={"search": 4, "confirm": 0})
    assert sum(count for asked in planned_rounds(alone, case="likely") for _, count in asked) == 24


def test_what_lies_ahead_is_what_was_planned_less_what_was_asked_for() -> None:
    ahead = Ahead(cell=cell(alignment={"one_sided": "never"}), pack_size=8)
    assert ahead.left.trainings == 55
    for arm, count, left in (
        ("shared", 12, 43),
        ("shared", 8, 35),
        ("shared", 4, 31),
        ("confirm", 20, 1),
        ("final", 1, 0),
    ):
        ahead.correct({arm: count})  # type: ignore[dict-item]
        assert ahead.left.trainings == left
    assert ahead.left.work == 0


def test_a_share_of_the_one_sided_arms_is_expected_to_go_on_until_it_is_known_which_do() -> None:
    likely, most = (sum(count for asked in planned_rounds(cell(), case=case) for _, count in asked)
                    for case in ("likely", "most"))  # fmt: skip
    expected = round(likely + ONE_SIDED_SHARE * (most - likely))
    ahead = Ahead(cell=cell(), pack_size=8)
    assert ahead.left.trainings == expected
    ahead.correct({"shared": 24})
    assert ahead.left.trainings == expected - 24
    ahead.correct({"to_1": 8, "to_2": 8})
    assert ahead.left.trainings == expected - 24 - 16
    ahead.correct({"confirm": 20})
    assert ahead.left.trainings == 1  # the encoders that are kept


def test_only_the_one_sided_arms_that_go_on_are_still_ahead() -> None:
    ahead = Ahead(cell=cell(), pack_size=8)
    ahead.correct({"shared": 24})
    ahead.correct({"to_1": 8, "to_2": 8})
    ahead.correct({"to_1": 8, "to_2": 8})
    assert ahead.left.trainings == 4 + 4 + 60 + 2
    ahead.correct({"to_2": 4})
    assert ahead.left.trainings == 50 + 2


def test_groups_are_even_and_as_few_as_can_be() -> None:
    assert [len(group) for group in even_groups(range(25), 10)] == [8, 9, 8]
    assert [item for group in even_groups(range(25), 10) for item in group] == list(range(25))


def test_a_pack_between_two_that_were_timed_lies_on_their_line() -> None:
    small = PackSeconds(build=0.0, step=1.0, row=0.1, alignment=1.0)
    large = PackSeconds(build=0.0, step=3.0, row=0.3, alignment=5.0)
    between = small.at(20, small=10, other=large, large=30)

    assert between == PackSeconds(build=0.0, step=2.0, row=pytest.approx(0.2), alignment=3.0)
    assert small.at(1, small=10, other=large, large=30).step > 0
    spec = example(cell(training={"epochs": 20, "batch_size": 50}), "shared")
    # 20 epochs of 4 steps, 10 evaluations of 100 rows, one measure of alignment
    assert between.training(spec, fit_rows=210, evaluated_rows=100) == pytest.approx(80 * 2 + 10 * 100 * 0.2 + 3)
    choosing = example(cell(training={"epochs": 20, "batch_size": 50, "keep": "best"}), "shared")
    # and each epoch is measured on the validation rows
    more = between.training(choosing, fit_rows=210, evaluated_rows=100, valid_rows=60) - 20 * 60 * 0.2
    assert more == pytest.approx(between.training(spec, fit_rows=210, evaluated_rows=100, valid_rows=60))


def test_a_trial_needs_few_rows_and_times_every_part() -> None:
    spec = example(cell(training={"batch_size": 32}), "shared", 2)
    data = few_rows(spec, load(DatasetSpec(name="digits")).pair("left", "right"))
    timed = time_pack(spec, data, 5, seconds=0.05)

    assert (len(data.rows("train")), len(data.rows("valid"))) == (4 * 32, 269)
    assert min(timed.build, timed.step, timed.row) > 0
    assert timed.alignment >= 0


def test_a_trial_of_any_recipe_is_as_short() -> None:
    recipe = {"keep": "best", "patience": 2, "schedule": "cosine", "warmup": 3, "optimiser": "sgd"}
    spec = example(cell(training={"batch_size": 32, "epochs": 9, **recipe}), "shared", 2)
    data = few_rows(spec, load(DatasetSpec(name="digits")).pair("left", "right"))

    assert time_pack(spec, data, 5, seconds=0.05).step > 0
