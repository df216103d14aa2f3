"""The typed results: what is read of a report, what is written of it, and what its schema says."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, get_args

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.storages import InMemoryStorage

from study.cells.building import build_cells
from study.config import parse_config
from study.pid import PIDProfile
from study.pid.profile import COMPONENTS, Dominant
from study.results.build import build_report
from study.results.model import CellResult, CurvePoint, EncoderResult, ForecastResult, Report, from_json, to_json
from study.results.model.schema import report_schema
from study.scheduling.coordinator import Coordinator
from study.search import Ledger
from study.search.record.notes import Run
from study.selection import Shape, Strategy, Verdict
from tests.study.results import example
from trainables.spec import ReplicateResult

STUDY = """
study: typed
dataset: {name: digits}
pairs: [[left, right], [left, fourier]]
encoder: {width: 4}
training: {epochs: 1, batch_size: 256}
alignment: {one_sided: always}
strength: {initial: [0, 1, 4], refine: 0}
replicates: {search: 3, confirm: 4}
"""
PROFILE = PIDProfile(
    **dict.fromkeys(COMPONENTS, 0.5), estimator="broja", gap=None, interval=dict.fromkeys(COMPONENTS, (0.25, 0.75)),
    null=dict.fromkeys(COMPONENTS, 0.125), significant=dict.fromkeys(COMPONENTS, True), settings={"bins": 5},
)  # fmt: skip
FORECAST = {
    "k": 4,
    "correlations": [0.9, 0.1],
    "shrinkage": [0.0, 0.25],
    "together": {
        "objective": "whitened_mse",
        "strengths": [0.0, 4.0],
        "encoders": [
            {"modality": "left", "scores": [0.5, 0.1], "crossing": 2.0},
            {"modality": "right", "scores": [0.5, 0.5], "crossing": None},
        ],
    },
    "encoders": [
        {
            "modality": modality, "strengths": [0.0, 1.0], "risk": [0.5, 0.6], "held_out": [0.5, 0.7],
            "best_strength": best, "critical_strengths": [],
        }
        for modality, best in (("left", 0.0), ("right", 1.0))
    ],
}  # fmt: skip

# The order in which readers of a report know its entries; a new one may stand anywhere.
NO_ANSWER = "lambda_star interval lambda_1se gain_over_zero verdict shape flags curve"
ANSWER = (
    "lambda_star interval lambda_1se expected_regret gain_over_zero gain searched verdict shape shape_p_value "
    "harm_p_value drop_p_value flags curve posterior"
)
GAIN = "mean interval p_value seeds p_adjusted p_needed source smallest_gain"
ORDERS = {
    "": "schema study status config_hash seed stand_in versions wall_seconds training_seconds peak_memory_bytes "
    "trainings forecast_agreement cells",
    "forecast_agreement": "encoders spearman interval p_value",
    "cells.0": "id label dataset variant stand_in pair metrics rows error counts transfer pid encoders pair_choice "
    "advised alignment learning_curves forecast",
    "cells.0.counts": "trainings diverged strengths replicates",
    "cells.0.transfer": "from first spared",
    "cells.0.pid": "redundancy unique_1 unique_2 synergy units estimator interval dominant gap null significant spread "
    "settings exact",
    "cells.0.encoders.0": f"modality kind {ANSWER} arm own_side baseline model",
    "cells.0.encoders.0.gain_over_zero": GAIN,
    "cells.0.encoders.0.gain": f"{GAIN} strength",
    "cells.0.encoders.0.searched": "lambda_star shape gain_over_zero",
    "cells.0.encoders.0.curve.0": "strength mean sd seeds diverged scores",
    "cells.0.encoders.0.posterior": "strength mean low high scale",
    "cells.0.encoders.0.baseline": "mean sd split",
    "cells.0.encoders.0.model": "file registered training strengths nuisance seed fit split score",
    "cells.0.pair_choice": f"{ANSWER} strategy strengths reason alternatives",
    "cells.0.pair_choice.alternatives.0": "strategy strengths gains gain_mean",
    "cells.0.pair_choice.alternatives.0.gains.0": "mean interval p_value seeds source smallest_gain",
    "cells.0.pair_choice.alternatives.0.gain_mean": GAIN,
    "cells.0.advised": "strategy strength interval strengths gain verdict",
    "cells.0.alignment.0": "strength cka svcca mutual_knn",
    "cells.0.learning_curves.0": "strength epoch score_1 score_2 loss_1 loss_2",
    "cells.0.forecast": "k correlations shrinkage together encoders",
    "cells.0.forecast.together": "objective strengths encoders",
    "cells.0.forecast.together.encoders.0": "modality scores crossing measured",
    "cells.0.forecast.together.encoders.1.measured": "strength interval lost",
    "cells.0.forecast.encoders.0": "modality strengths risk held_out best_strength critical_strengths",
}
KEYS = {word for order in ORDERS.values() for word in order.split()}


def score(strength: float, index: int, encoder: int) -> float:
    """Encoder 1 rises and falls, encoder 2 falls."""
    luck = 0.003 * math.sin(7 * index + 3 * encoder + strength)
    return (0.7 + 0.2 * strength * math.exp(1 - strength) if encoder == 0 else 0.7 - 0.1 * strength) + luck


@pytest.fixture(scope="module")
def built() -> dict[str, Report]:
    """What the product reports of a study: before its first training, half-way, and in the end."""
    cells, _ = build_cells(parse_config(STUDY))
    ledger = Ledger(InMemoryStorage(), name="typed", space={"strength": (0, 4)})
    coordinator = Coordinator(cells, ledger, pack_size=40)
    profiles, forecasts = {cells[0].id: PROFILE}, {cells[0].id: from_json(ForecastResult, FORECAST)}
    reports = {"begun": build_report(cells, ledger, {}, {}, run=Run(complete=False))}
    while (pack := coordinator.next_pack()) is not None:
        results = []
        for asked, index in pack.members:
            one, two = score(asked.setting.strength_1, index, 0), score(asked.setting.strength_2, index, 1)
            results.append(
                ReplicateResult(
                    status="ok", scores=(one, two), losses=(1.0, 1.0), curve=((1.0, one, two, 1.0, 1.0),),
                    alignment={"cka": 0.5, "svcca": math.nan, "mutual_knn": 0.25},
                )
            )  # fmt: skip
        coordinator.complete(pack.id, results)
        if "half-way" not in reports and coordinator.progress.done > 10:
            reports["half-way"] = build_report(cells, ledger, {}, {}, run=Run(complete=False, errors={"x": "y"}))
    reports["ended"] = build_report(cells, ledger, profiles, forecasts, run=Run(complete=True, wall_seconds=1.23456))
    return reports


@pytest.fixture(scope="module")
def validator() -> jsonschema.Draft202012Validator:
    schema = report_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def at(value: Any, path: str) -> Any:
    for step in filter(None, path.split(".")):
        value = value[int(step) if step.isdigit() else step]
    return value


@pytest.mark.parametrize("stage", ["begun", "half-way", "ended"])
def test_a_report_of_the_product_is_read_and_written_to_the_same_bytes(built: dict[str, Report], stage: str) -> None:
    text = json.dumps(to_json(built[stage]), allow_nan=False)
    read = Report.from_json(json.loads(text))
    assert read == built[stage]
    assert json.dumps(to_json(read)) == text


@pytest.mark.parametrize("path", ORDERS)
def test_entries_keep_their_order(built: dict[str, Report], path: str) -> None:
    assert list(at(to_json(built["ended"]), path)) == ORDERS[path].split()


def test_what_there_is_no_answer_for_is_null_or_absent_as_ever(built: dict[str, Report]) -> None:
    begun = to_json(built["begun"])
    cell = begun["cells"][0]
    assert begun["forecast_agreement"] is None
    assert list(cell["encoders"][0]) == f"modality kind {NO_ANSWER} baseline model".split()
    assert cell["pair_choice"] == {**dict.fromkeys(NO_ANSWER.split()), "flags": ["diverged"], "curve": []}
    assert list(cell["pair_choice"]) == NO_ANSWER.split()
    assert [cell[key] for key in ("error", "pid", "forecast", "alignment")] == [None, None, None, []]


@pytest.mark.parametrize("stage", ["begun", "half-way", "ended"])
def test_reports_of_the_product_keep_to_the_schema(built: dict[str, Report], validator: Any, stage: str) -> None:
    validator.validate(to_json(built[stage]))


@pytest.mark.parametrize("name", ["digits_report", "synthetic_report", "hostile_report"])
def test_what_is_written_of_a_report_of_another_version_keeps_to_the_schema(validator: Any, name: str) -> None:
    told = getattr(example, name)()
    validator.validate(to_json(Report.from_json(told)))
    validator.validate(to_json(Report.from_json(example.without_optional_fields(example.digits_report()))))


def test_a_profile_says_what_the_estimator_said(built: dict[str, Report]) -> None:
    assert to_json(built["ended"])["cells"][0]["pid"] == {**PROFILE.to_json(), "exact": None}
    assert built["ended"].cells[0].pid is not None
    assert built["ended"].cells[0].pid.components == dict.fromkeys(COMPONENTS, 0.5)


def test_the_schema_names_what_the_product_can_say() -> None:
    defined = report_schema()["$defs"]
    answer, pair = defined["EncoderResult"], defined["PairResult"]
    assert set(answer["properties"]["verdict"]["enum"]) == {*get_args(Verdict), None}
    assert set(answer["properties"]["shape"]["enum"]) == {*get_args(Shape), None}
    assert set(pair["properties"]["strategy"]["enum"]) == {*get_args(Strategy), None}
    assert set(defined["ProfileResult"]["properties"]["dominant"]["enum"]) == set(get_args(Dominant))


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(sorted(KEYS)), inner, max_size=6),
    )
)
def test_anything_can_be_read(value: object) -> None:
    report = Report.from_json({"cells": [value, {"encoders": [value], "pid": value, "forecast": value}]})
    json.dumps(to_json(report), allow_nan=False)
    assert json.dumps(to_json(Report.from_json(value)), allow_nan=False)


@pytest.mark.parametrize("value", [None, True, "1", math.nan, math.inf, 10**400, [1], {}])
def test_what_is_not_a_finite_number_reads_as_none(value: object) -> None:
    told: Mapping[str, Any] = {"lambda_star": value, "curve": [{"strength": value, "seeds": value, "scores": [value]}]}
    (encoder,) = Report.from_json({"cells": [{"encoders": [told]}]}).cells[0].encoders
    assert encoder == EncoderResult(curve=(CurvePoint(scores=(None,)),))


@pytest.mark.parametrize("value", [None, [1], [1, 2, 3], "12", [None, 1], [1, math.nan]])
def test_what_is_not_two_finite_numbers_reads_as_no_interval(value: object) -> None:
    cell = Report.from_json({"cells": [{"pair_choice": {"interval": value}}]}).cells[0]
    assert cell.pair_choice.interval is None


def test_words_of_a_later_version_are_kept() -> None:
    cell = Report.from_json({"cells": [{"encoders": [{"verdict": "perhaps"}], "later": 1}]}).cells[0]
    assert cell.encoders[0].verdict == "perhaps"


def test_a_similarity_of_any_name_is_read_and_written() -> None:
    told = {"strength": 0.5, "cka": 0.1, "procrustes": None}
    cell = Report.from_json({"cells": [{"alignment": [told]}]}).cells[0]
    assert cell.alignment[0].similarities == {"cka": 0.1, "procrustes": None}
    assert to_json(cell.alignment[0]) == told


def test_a_cell_without_names_still_has_some() -> None:
    assert CellResult().names == ("encoder 1", "encoder 2")
    assert CellResult(dataset="d", pair=("a", "b")).title == "d, a + b"
    assert CellResult(dataset="d", pair=("a", "b")).identity == "d, a + b"
    assert CellResult().metric(1) == "accuracy"
    assert CellResult(metrics=("r2", "r2")).metric(1) == "r2"


def test_names_are_told_on_one_line() -> None:
    assert CellResult(pair=("a\nb", "c\x00\x1b[31md")).names == ("a b", "c [31md")


def test_a_curve_knows_the_strengths_that_were_tried() -> None:
    assert EncoderResult(curve=(CurvePoint(strength=2.0), CurvePoint(), CurvePoint(strength=0.0))).tried == [0.0, 2.0]


@given(st.text(), st.integers(1, 99))
def test_file_stems_are_safe_on_any_file_system(name: str, position: int) -> None:
    assert re.fullmatch(r"\d\d-[a-z0-9-]{1,60}", CellResult(id=name).file_stem(position))


def test_cells_have_different_file_stems_even_where_their_names_collapse() -> None:
    stems = [CellResult(id=name).file_stem(place) for place, name in enumerate(["a/b", "a b", "…"], start=1)]
    assert len(set(stems)) == 3


def test_a_report_is_answered_once_every_encoder_is(built: dict[str, Report]) -> None:
    assert [built[stage].answered for stage in ("begun", "ended")] == [False, True]


def test_a_cell_whose_confirmation_failed_is_not_answered(built: dict[str, Report]) -> None:
    """What is said of it, and the exit code, agree."""
    cell = built["ended"].cells[0]
    assert [one.answered for one in (cell, replace(cell, error="its training failed 3 times"))] == [True, False]
