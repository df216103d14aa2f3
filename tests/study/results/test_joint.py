"""The third curve of a report: what both representations tell together, told everywhere, and deciding nothing."""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Callable
from dataclasses import replace
from html import unescape

import numpy as np
import pytest
from optuna.storages import InMemoryStorage
from rich.console import Console

from study.cells.building import build_cells
from study.cells.cell import Cell
from study.config import StudyConfig, parse_config
from study.results.build import build_report
from study.results.figures.drawing import figures
from study.results.frames import frames
from study.results.model import Report, to_json
from study.results.page.html import render
from study.results.text.joint import joint_sentence
from study.results.text.summary import summary
from study.scheduling.coordinator import Coordinator
from study.scheduling.packs import PlannedPack
from study.search import Ledger
from study.search.record.notes import Run
from study.tracking.projection import records
from trainables.spec import ReplicateResult

STUDY = """
study: probed
dataset: {name: digits}
pairs: [[left, right]]
encoder: {width: 4}
training: {epochs: 1, batch_size: 256}
alignment: {one_sided: never}
strength: {initial: [0, 0.5, 1, 4], refine: 0}
replicates: {search: 4, confirm: 6, splits: fixed}
models: false
"""
Change = Callable[[float], float]  # of a score, by the strength


@pytest.fixture(scope="module")
def cells() -> tuple[Cell, ...]:
    return build_cells(parse_config(STUDY))[0]


def reported(
    cells: tuple[Cell, ...],
    *,
    encoders: Change,
    joint: Change | None,
    crossed: bool = False,
    probed: Callable[[PlannedPack, int], bool] = lambda _pack, _index: True,
) -> Report:
    """The report of made-up trainings; those that are not `probed` are of a version that knew no probe."""

    def train(pack: PlannedPack) -> list[ReplicateResult]:
        results = []
        for asked, index in pack.members:
            strength = asked.setting.strength_1
            luck = np.random.default_rng(zlib.crc32(f"{asked.arm} {index} {strength}".encode())).normal(size=3) * 2e-3
            shared = np.random.default_rng(zlib.crc32(f"{asked.arm} {index}".encode())).normal() * 5e-3
            one, two = (0.7 + encoders(strength) + shared + luck[side] for side in (0, 1))
            together = None if joint is None else 0.9 + joint(strength) + shared + luck[2]
            own = None if together is None or not probed(pack, index) else (together, together)
            results.append(
                ReplicateResult(
                    status="ok", scores=(one, two), joint=own, crossed=(one / 2, two / 4) if crossed and own else None
                )
            )
        return results

    ledger = Ledger(InMemoryStorage(), name="probed", space={"strength": (0, 4)})
    coordinator = Coordinator(cells, ledger, pack_size=50)
    while (pack := coordinator.next_pack()) is not None:
        coordinator.complete(pack.id, train(pack))
    report = build_report(cells, ledger, {}, {}, run=Run(complete=True, versions={}))
    return Report.from_json(json.loads(json.dumps(to_json(report))))


def terminal(report: Report) -> str:
    console = Console(width=80, force_terminal=False)
    with console.capture() as capture:
        console.print(summary(report))
    return capture.get()


def rising(strength: float) -> float:
    return 0.05 * float(np.tanh(2 * strength))


def falling(strength: float) -> float:
    return -0.04 * float(np.tanh(strength))


@pytest.fixture(scope="module")
def cost(cells: tuple[Cell, ...]) -> Report:
    """Both encoders gain, and lose what they know together."""
    return reported(cells, encoders=rising, joint=falling, crossed=True)


def test_what_both_lose_together_is_told_where_the_encoders_gain(cost: Report) -> None:
    (cell,) = cost.cells
    assert cell.advice.verdict == "align"
    assert cell.joint is not None
    assert (cell.joint.lambda_star, cell.joint.verdict, cell.joint.shape) == (0, "avoid", "falling")
    change = cell.joint.change
    assert change is not None
    assert change.gain is not None
    assert change.gain.source == "confirm"
    assert change.gain.seeds == 6
    assert change.gain.interval is not None
    assert change.gain.interval[1] < 0
    star = cell.advice.strength
    assert star is not None
    assert change.gain.mean == pytest.approx(falling(star), abs=0.004)
    told = joint_sentence(cell)
    assert told.startswith("What both know together falls from ")
    assert f"at λ = 0 to {100 * (change.at_advised or 0):.1f} % at λ* = " in told
    page = unescape(re.sub("<[^>]+>", "", render(cost)))
    assert told in " ".join(page.split())
    row = next(line for line in terminal(cost).splitlines() if line.lstrip().startswith("together"))
    assert "avoid" in row
    assert "falling" in row


def test_the_third_curve_is_in_tables_figures_and_runs(cost: Report) -> None:
    table = frames(cost)["joint"]
    assert table["strength"].tolist() == [0, 0.5, 1, 4]
    assert table["mean"].tolist() == pytest.approx([0.9 + falling(s) for s in (0, 0.5, 1, 4)], abs=0.006)
    assert table["crossed_1"].tolist() == pytest.approx([(0.7 + rising(s)) / 2 for s in (0, 0.5, 1, 4)], abs=0.006)
    assert table["crossed_2"].tolist() == pytest.approx([(0.7 + rising(s)) / 4 for s in (0, 0.5, 1, 4)], abs=0.006)
    assert any(name.endswith("-joint") for name in figures(cost.cells))
    metrics = [{name: value for name, value, _ in run.metrics} for run in records(cost)]
    assert any(one.get("lambda_star_joint") == 0 for one in metrics)
    at_strengths = sorted((one["joint"] for one in metrics if "joint" in one), reverse=True)
    assert at_strengths == pytest.approx(table["mean"].tolist())
    assert "left on the target of right" in render(cost)


def test_nothing_else_in_a_report_depends_on_it(cells: tuple[Cell, ...], cost: Report) -> None:
    plain = reported(cells, encoders=rising, joint=None)
    assert to_json(plain)["cells"][0].get("joint", "absent") == "absent"
    (cell,) = cost.cells
    assert replace(cost, cells=(replace(cell, joint=None),)) == plain
    assert joint_sentence(plain.cells[0]) == ""
    assert "together" not in terminal(plain)
    assert "ridge" not in render(plain)
    assert "joint" not in frames(plain)


def test_where_nothing_is_advised_its_own_curve_is_told(cells: tuple[Cell, ...]) -> None:
    (cell,) = reported(cells, encoders=falling, joint=lambda strength: rising(strength)).cells
    assert cell.advice.strategy == "none"
    assert cell.joint is not None
    assert cell.joint.change is None
    assert cell.joint.shape == "rising"
    assert "the curve is rising" in joint_sentence(cell)


def test_what_does_not_change_is_not_told_to_fall(cells: tuple[Cell, ...]) -> None:
    (cell,) = reported(cells, encoders=rising, joint=lambda _strength: 0.0).cells
    assert "stays about the same" in joint_sentence(cell)


def test_a_record_that_was_begun_without_a_probe_tells_of_what_was_probed_since(cells: tuple[Cell, ...]) -> None:
    """Of the search two seeds at each strength are older; the confirmation is all of it newer."""
    since = reported(
        cells, encoders=rising, joint=falling, probed=lambda pack, index: index >= 2 or pack.members[0][0].round > 0
    )
    (cell,) = since.cells
    assert cell.joint is not None
    assert {point.seeds for point in cell.joint.curve} == {2}
    assert {point.diverged for point in cell.joint.curve} == {0}
    assert {point.seeds for point in cell.encoders[0].curve} == {4}


def test_the_option_is_no_part_of_what_a_study_is() -> None:
    on, off = (parse_config(STUDY.replace("batch_size: 256", f"batch_size: 256{more}")) for more in (
        "", ", joint_probe: false",
    ))  # fmt: skip
    assert on.training.joint_probe
    assert not off.training.joint_probe
    assert on.hash == off.hash
    assert StudyConfig.of_identity(on.identity).training.joint_probe
