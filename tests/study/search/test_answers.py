"""One decision for each pair: the encoders that a study keeps are trained for the strategy that its report names.

The coordinator hands out packs, this test makes up what they score, and the ledger is a real one.
"""

from __future__ import annotations

import math
import random
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.storages import InMemoryStorage

from study.cells.building import build_cells
from study.cells.cell import Cell
from study.config import parse_config
from study.results.build import build_report
from study.results.encoders import lacks_encoders
from study.results.model import Report, to_json
from study.scheduling.coordinator import Coordinator
from study.scheduling.packs import PlannedPack
from study.search import Ledger, open_storage
from study.search.answers import recommended_settings
from study.search.record.notes import Run
from study.search.rounds import encoder_round
from study.selection import strengths_by_encoder
from trainables.spec import ReplicateResult

STUDY = """
study: decided
dataset: {name: digits}
pairs: [[left, right], [left, fourier], [right, fourier]]
encoder: {width: 4}
training: {epochs: 1, batch_size: 256}
alignment: {one_sided: %s}
strength: {initial: [0, 1, 4], refine: 0}
replicates: {search: 3, confirm: 8}
"""
Cells = tuple[Cell, ...]
Effects = Mapping[tuple[int, int], float]  # gain in standard deviations of a difference, by cell and encoder


@pytest.fixture(scope="module")
def prepared() -> dict[str, Cells]:
    return {sided: build_cells(parse_config(STUDY % sided))[0] for sided in ("never", "always")}


def planted(cells: Cells, effects: Effects, *, sd: float = 0.01) -> Callable[[PlannedPack], list[ReplicateResult]]:
    """A trainer whose scores rise by `effects` at λ = 1, of the encoder that is pulled, with luck around it."""
    place = {cell.id: index for index, cell in enumerate(cells)}

    def train(pack: PlannedPack) -> list[ReplicateResult]:
        found = []
        for asked, index in pack.members:
            strengths = (asked.setting.strength_1, asked.setting.strength_2)
            key = f"{pack.cell.id} {[strength > 0 for strength in strengths]} {index} {asked.arm == 'confirm'}"
            luck = np.random.default_rng(zlib.crc32(key.encode())).normal(size=2)
            first, second = (
                0.7 + sd * (effects[place[pack.cell.id], encoder] * strength * math.exp(1 - strength) + luck[encoder])
                for encoder, strength in enumerate(strengths)
            )
            curve = ((1.0, first, second, 1.0, 1.0),)
            found.append(
                ReplicateResult(
                    status="ok", scores=(first, second), losses=(1.0, 1.0), alignment={"cka": 0.5}, curve=curve
                )
            )
        return found

    return train


def memory() -> Ledger:
    return Ledger(InMemoryStorage(), name="decided", space={"strength": (0, 4)})


def drain(
    cells: Cells,
    ledger: Ledger,
    train: Callable[[PlannedPack], list[ReplicateResult]],
    *,
    seed: int = 0,
    pack_size: int = 7,
    stop_after: int | None = None,
    failing: Sequence[int] = (),
) -> Coordinator:
    """Train in a random order; the packs of this place in the order of completion fail for good."""
    order = random.Random(seed)
    coordinator = Coordinator(cells, ledger, pack_size=pack_size)
    out: list[PlannedPack] = []
    count = 0
    while not coordinator.finished and count != stop_after:
        while (pack := coordinator.next_pack()) is not None:
            out.append(pack)
        pack = out.pop(order.randrange(len(out)))
        if count in failing:
            coordinator.fail(pack.id, "the disk is full")
        else:
            coordinator.complete(pack.id, train(pack))
        count += 1
    return coordinator


def report_of(cells: Cells, ledger: Ledger, coordinator: Coordinator | None = None) -> dict[str, Any]:
    errors = dict(coordinator.errors) if coordinator else {}
    told: dict[str, Any] = to_json(build_report(cells, ledger, {}, {}, run=Run(complete=True, errors=errors)))
    return told


def trained_as_told(report: Mapping[str, Any]) -> list[bool]:
    """For each encoder that was kept, whether it was trained with the strengths of its pair's strategy."""
    checked = []
    for cell in report["cells"]:
        choice = cell["pair_choice"]
        if choice.get("strategy"):
            wanted = strengths_by_encoder(choice["strategy"], tuple(choice["strengths"]))
            for entry, strengths in zip(cell["encoders"], wanted, strict=True):
                if entry["model"]:
                    checked.append(tuple(entry["model"]["strengths"]) == strengths)
    return checked


def test_a_gain_that_falls_to_the_correction_over_the_study_trains_no_aligned_encoders(
    prepared: dict[str, Cells],
) -> None:
    """Confirmed within its pair, and among the nine claims of three pairs not: the encoders follow the report."""
    cells, ledger = prepared["never"], memory()
    effects = {(cell, encoder): 0.0 for cell in range(3) for encoder in range(2)} | {(0, 0): 1.6, (0, 1): 1.2}
    drain(cells, ledger, planted(cells, effects))
    report = report_of(cells, ledger)

    choice = report["cells"][0]["pair_choice"]
    gain = next(one for one in choice["alternatives"] if one["strategy"] == "shared")["gain_mean"]
    assert gain["p_value"] < 0.05 < gain["p_adjusted"]  # as it is alone in its pair, and in the study
    assert choice["strategy"] == "none"
    trials = ledger.trials(cells[0].id, "final")
    assert [(trial.setting.strength_1, trial.setting.strength_2) for trial in trials] == [(0.0, 0.0)]
    assert [entry["model"]["strengths"] for entry in report["cells"][0]["encoders"]] == [[0.0, 0.0]] * 2


@given(
    st.tuples(*[st.floats(-2, 2.5)] * 6),
    st.sampled_from(["never", "always"]),
    st.integers(0, 99),
    st.integers(1, 12),
    st.integers(0, 40),
    st.lists(st.integers(0, 30), max_size=2),
)
@settings(max_examples=4, deadline=None, derandomize=True)
def test_encoders_are_trained_for_the_strategy_of_the_report(
    prepared: dict[str, Cells],
    effects: tuple[float, ...],
    sided: str,
    seed: int,
    pack_size: int,
    stop_after: int,
    failing: list[int],
) -> None:
    """For any gains, order of completion, size of packs, kill, and cells that are given up and come back."""
    cells = prepared[sided]
    train = planted(cells, {(index // 2, index % 2): value for index, value in enumerate(effects)})
    undisturbed = memory()
    drain(cells, undisturbed, train)
    expected = report_of(cells, undisturbed)
    assert trained_as_told(expected) == [True] * 6

    ledger = memory()
    drain(cells, ledger, train, seed=seed, pack_size=pack_size, stop_after=stop_after)
    partial = report_of(cells, ledger)
    assert all(trained_as_told(partial))
    second = drain(cells, ledger, train, seed=seed + 1, pack_size=pack_size, failing=failing)
    assert all(trained_as_told(report_of(cells, ledger, second)))
    drain(cells, ledger, train, seed=seed + 2, pack_size=pack_size)
    assert without_packs(report_of(cells, ledger)) == without_packs(expected)


def without_packs(report: dict[str, Any]) -> dict[str, Any]:
    """A report without the number of trainings, which counts encoders that a cell's failure had trained otherwise."""
    for cell in report["cells"]:
        cell.pop("counts")
    report.pop("trainings")
    return report


def test_no_encoder_is_trained_before_every_cell_is_confirmed(prepared: dict[str, Cells], tmp_path: Path) -> None:
    cells, order = prepared["always"], list[tuple[str, str]]()
    ledger = Ledger(open_storage(folder=tmp_path), name="decided", space={"strength": (0, 4)})
    train = planted(cells, dict.fromkeys([(cell, encoder) for cell in range(3) for encoder in range(2)], 1.0))

    def noting(pack: PlannedPack) -> list[ReplicateResult]:
        order.append((pack.cell.id, pack.members[0][0].arm))
        return train(pack)

    coordinator = drain(cells, ledger, noting, seed=3)
    arms = [arm for _, arm in order]
    assert arms.count("final") >= 3
    assert "final" not in arms[: len(arms) - arms.count("final")]
    assert coordinator.progress.done == coordinator.progress.planned
    assert coordinator.progress.work_left == 0


def test_a_cell_that_fails_last_does_not_keep_the_others_from_their_encoders(prepared: dict[str, Cells]) -> None:
    cells, ledger = prepared["never"], memory()
    train = planted(cells, dict.fromkeys([(cell, encoder) for cell in range(3) for encoder in range(2)], 2.0))
    coordinator = Coordinator(cells, ledger, pack_size=50)
    held = coordinator.next_pack()
    assert held is not None
    while (pack := coordinator.next_pack()) is not None:
        coordinator.complete(pack.id, train(pack))
    assert not ledger.trials(cells[1].id, "final")
    coordinator.fail(held.id, "the disk is full")
    while (pack := coordinator.next_pack()) is not None:
        coordinator.complete(pack.id, train(pack))

    assert coordinator.finished
    models = [[entry["model"] is not None for entry in cell["encoders"]] for cell in report_of(cells, ledger)["cells"]]
    assert models == [[False, False], [True, True], [True, True]]


def test_encoders_of_an_earlier_decision_are_not_shown_and_trained_anew(prepared: dict[str, Cells]) -> None:
    """A record of the version before, whose encoders followed the correction within the pair."""
    cells, ledger = prepared["never"], memory()
    effects = {(cell, encoder): 0.0 for cell in range(3) for encoder in range(2)} | {(0, 0): 1.6, (0, 1): 1.2}
    train = planted(cells, effects)

    no_models = cells[0].config.model_copy(update={"models": False})
    drain(tuple(replace(cell, config=no_models) for cell in cells), ledger, train)
    star = next(t.setting for t in ledger.trials(cells[0].id, "confirm") if t.setting.strength_1)
    within_the_pair = {**recommended_settings(cells, ledger), cells[0].id: (star, star)}
    for cell in cells:
        for asked in encoder_round(cell, ledger, within_the_pair[cell.id]):
            (result,) = train(
                PlannedPack(spec=cell.pack("final", [(asked.setting, 0)]), cell=cell, members=((asked, 0),))
            )
            ledger.record(cell.id, asked, {0: result})
    before = report_of(cells, ledger)
    assert [entry["model"] is None for entry in before["cells"][0]["encoders"]] == [True, True]
    assert lacks_encoders(Report.from_json(before), cells, ledger)

    drain(cells, ledger, train)
    after = report_of(cells, ledger)
    assert trained_as_told(after) == [True] * 6
    assert not lacks_encoders(Report.from_json(after), cells, ledger)


SPARSE = """
study: decided
dataset: {name: digits}
pairs: [[left, right]]
alignment: {one_sided: never}
strength: {range: [0, 4], refine: %d, per_round: 2}
replicates: {search: 1, confirm: 8}
search: {stop_regret: %g}
"""


def test_a_search_of_one_seed_finds_a_planted_optimum_and_its_gain_is_confirmed_on_fresh_seeds() -> None:
    """Nine trainings to begin with, where five seeds would be 45, and then one at a time where it tells most."""
    cells, ledger = build_cells(parse_config(SPARSE % (12, 0)))[0], memory()
    drain(cells, ledger, planted(cells, {(0, 0): 12.0, (0, 1): 12.0}))
    (cell,) = report_of(cells, ledger)["cells"]

    searched = sum(len(trial.results) for trial in ledger.trials(cells[0].id, "shared"))
    low, high = cell["encoders"][0]["interval"]
    assert searched == 9 + 12
    assert low <= 1 <= high < 4
    assert [encoder["verdict"] for encoder in cell["encoders"]] == ["align", "align"]
    assert "stopping_spared" not in cell


def test_what_a_met_target_spared_is_told_whatever_the_order_of_completion() -> None:
    """Refinement that was not asked for is counted, and it is all that is missing."""
    spared = []
    for seed in range(2):
        cells, ledger = build_cells(parse_config(SPARSE % (12, 0.02)))[0], memory()
        drain(cells, ledger, planted(cells, {(0, 0): 12.0, (0, 1): 12.0}), seed=seed, pack_size=1 + 3 * seed)
        (cell,) = report_of(cells, ledger)["cells"]
        searched = sum(len(trial.results) for trial in ledger.trials(cells[0].id, "shared"))
        assert searched + cell["stopping_spared"] == 9 + 12
        spared.append(cell["stopping_spared"])
    assert spared[0] == spared[1] > 0
