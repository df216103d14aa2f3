"""A whole study without Ray: the coordinator hands out packs, this test trains them, the ledger is a real one."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np
import pytest

from study.cells.building import build_cells
from study.cells.cell import Cell
from study.config import parse_config
from study.pid import PIDProfile
from study.results.build import build_report
from study.results.model import to_json
from study.scheduling.coordinator import Coordinator, Progress
from study.scheduling.packs import PlannedPack
from study.search import Ledger, open_storage
from study.search.curves import curve
from study.search.design import nuisance_settings
from study.search.record.notes import Run
from study.search.rounds import has_answer
from trainables.spec import ReplicateResult
from trainables.training import pack as engine

STUDY = """
study: small
dataset: {name: digits}
pairs: [[left, right], [left, fourier]]
encoder: {width: 8}
training: {epochs: 2, batch_size: 256}
alignment: {one_sided: %s}
strength: {initial: [0, 1, 4], refine: 2, per_round: 1}
replicates: {search: 2, confirm: 2}
search: {nuisance: {learning_rate: {log: [1e-3, 1e-2]}}, trials_per_strength: 2}
"""
Cells = tuple[Cell, ...]
Trainer = Callable[[PlannedPack], list[ReplicateResult]]


def prepared(folder: Path, *, one_sided: str = "never") -> tuple[Cells, Trainer, Callable[[], Ledger]]:
    config = parse_config(STUDY % one_sided)
    cells, datasets = build_cells(config)

    def train(pack: PlannedPack) -> list[ReplicateResult]:
        running = engine.Pack(pack.spec, datasets[pack.cell.data_key].pair(*pack.cell.pair))
        running.run()
        return list(running.results())

    def ledger() -> Ledger:
        space = {"strength": config.strength.range, "learning_rate": (1e-3, 1e-2)}
        return Ledger(open_storage(folder=folder), name=config.study, space=space)

    return cells, train, ledger


def drain(coordinator: Coordinator, train: Trainer, *, order: random.Random, stop_after: int | None = None) -> int:
    """Complete packs in a random order, as workers of different speed would; how many there were."""
    out: list[PlannedPack] = []
    count = 0
    while not coordinator.finished and count != stop_after:
        while (pack := coordinator.next_pack()) is not None:
            out.append(pack)
        pack = out.pop(order.randrange(len(out)))
        coordinator.complete(pack.id, train(pack))
        count += 1
    return count


def report(cells: Cells, ledger: Ledger) -> dict[str, object]:
    profiles: dict[str, PIDProfile] = {}
    told: dict[str, object] = to_json(build_report(cells, ledger, profiles, {}, run=Run(complete=True)))
    return told


def test_the_report_depends_neither_on_the_order_of_completion_nor_on_a_restart(tmp_path: Path) -> None:
    cells, train, ledger = prepared(tmp_path / "one")
    drain(Coordinator(cells, ledger(), pack_size=5), train, order=random.Random(0))
    undisturbed = report(cells, ledger())

    cells, train, ledger = prepared(tmp_path / "two")
    first = drain(
        Coordinator(cells, ledger(), pack_size=5),
        train,
        order=random.Random(1),
        stop_after=4,
    )
    resumed = Coordinator(cells, ledger(), pack_size=5)
    before = resumed.progress.done
    second = drain(resumed, train, order=random.Random(2))

    assert report(cells, ledger()) == undisturbed
    assert first == 4
    assert before > 0
    assert resumed.progress.done == resumed.progress.planned
    assert second == count_packs(tmp_path / "three") - first


def count_packs(folder: Path) -> int:
    cells, train, ledger = prepared(folder)
    return drain(Coordinator(cells, ledger(), pack_size=5), train, order=random.Random(0))


def test_every_strength_has_the_same_nuisance_settings_and_seeds(tmp_path: Path) -> None:
    cells, train, ledger = prepared(tmp_path)
    drain(Coordinator(cells, ledger(), pack_size=50), train, order=random.Random(0))

    for cell in cells:
        settings = {tuple(setting.nuisance.items()) for setting in nuisance_settings(cell)}
        trials = ledger().trials(cell.id, "shared")
        strengths = {trial.setting.strength_1 for trial in trials}
        assert len(settings) == 2
        for strength in strengths:
            tried = [trial for trial in trials if trial.setting.strength_1 == strength]
            seeds = {setting: set[int]() for setting in settings}
            for trial in tried:
                seeds[tuple(trial.setting.nuisance.items())] |= set(trial.results)
            assert all(found == seeds[min(settings)] >= {0, 1} for found in seeds.values())
        assert {0.0, 1.0, 4.0} < strengths


def test_the_best_nuisance_setting_stands_for_its_strength(tmp_path: Path) -> None:
    cells, train, ledger = prepared(tmp_path)
    drain(Coordinator(cells, ledger(), pack_size=50), train, order=random.Random(0))
    trials = ledger().trials(cells[0].id, "shared")

    found = curve(trials, "pair")

    at_zero: dict[float, list[float]] = {}
    for trial in trials:
        if trial.setting.strength_1 == 0:
            scores = [score for score in trial.scores if score is not None]
            at_zero.setdefault(trial.setting.nuisance["learning_rate"], []).extend(scores)
    means = {rate: np.mean(scores) for rate, scores in at_zero.items()}
    assert len(means) == 2
    assert np.nanmean(found.scores[0]) == pytest.approx(max(means.values()))
    assert means[found.chosen[0].setting.nuisance["learning_rate"]] == max(means.values())


def test_confirmation_uses_fresh_seeds_and_the_test_split(tmp_path: Path) -> None:
    cells, train, ledger = prepared(tmp_path)
    specs = []
    drain(
        Coordinator(cells, ledger(), pack_size=50),
        lambda pack: specs.append(pack.spec) or train(pack),  # type: ignore[func-returns-value]
        order=random.Random(0),
    )
    seeds = {split: {r.seed for s in specs if s.evaluate == split for r in s.replicas} for split in ("valid", "test")}

    assert len(seeds["test"]) == 2 * len(cells)
    assert len(seeds["valid"]) >= 2 * len(cells)
    assert seeds["test"].isdisjoint(seeds["valid"])
    assert all(0.0 in {r.strength_1 for r in s.replicas} for s in specs if s.evaluate == "test")


def test_one_sided_strengths_pull_one_encoder_and_lead_to_four_alternatives(tmp_path: Path) -> None:
    cells, train, ledger = prepared(tmp_path, one_sided="always")
    specs = []
    drain(
        Coordinator(cells[:1], ledger(), pack_size=50),
        lambda pack: specs.append(pack.spec) or train(pack),  # type: ignore[func-returns-value]
        order=random.Random(0),
    )

    directions = {spec.alignment.direction for spec in specs}
    assert directions == {"both", "to_1", "to_2"}
    for spec in specs:
        if spec.alignment.direction == "to_1":
            assert {replica.strength_2 for replica in spec.replicas} == {0.0}
    (cell,) = report(cells[:1], ledger())["cells"]  # type: ignore[misc]
    offered = {alternative["strategy"] for alternative in cell["pair_choice"]["alternatives"]}  # type: ignore[index]
    assert {"shared"} <= offered <= {"shared", "to_1", "to_2", "per_encoder"}


def test_a_pack_that_does_not_fit_is_halved_until_it_does(tmp_path: Path) -> None:
    cells, train, ledger = prepared(tmp_path / "halved")
    coordinator = Coordinator(cells[:1], ledger(), pack_size=50)
    while not coordinator.finished:
        pack = coordinator.next_pack()
        assert pack is not None
        if len(pack.members) > 4:
            assert coordinator.split(pack.id)
        else:
            coordinator.complete(pack.id, train(pack))

    assert coordinator.progress.done == coordinator.progress.planned
    assert not coordinator.errors


def test_a_cell_that_fails_is_given_up_and_the_others_go_on(tmp_path: Path) -> None:
    cells, train, ledger = prepared(tmp_path)
    coordinator = Coordinator(cells, ledger(), pack_size=50)
    broken = coordinator.next_pack()
    assert broken is not None
    coordinator.fail(broken.id, "the disk is full")
    drain(coordinator, train, order=random.Random(0))

    assert coordinator.errors == {broken.cell.id: "the disk is full"}
    answers = report(cells, ledger())["cells"]
    assert [cell["encoders"][0]["lambda_star"] is None for cell in answers] == [True, False]  # type: ignore[attr-defined]


def half_diverging(arms: set[str]) -> Trainer:
    """Above λ = 0 in these arms every other training diverges; the others score the better, the stronger."""

    def train(pack: PlannedPack) -> list[ReplicateResult]:
        found = []
        for asked, index in pack.members:
            strength = max(asked.setting.strength_1, asked.setting.strength_2)
            blown = asked.arm in arms and strength > 0 and index % 2 == 1
            score = float("nan") if blown else 0.5 + strength / 10 + index / 100
            status: Literal["ok", "diverged"] = "diverged" if blown else "ok"
            curve = ((1.0, score, score, 1.0, 1.0),)
            found.append(
                ReplicateResult(
                    status=status, scores=(score, score), losses=(1.0, 1.0), alignment={"cka": 0.5}, curve=curve
                )
            )
        return found

    return train


def test_a_cell_with_one_strength_that_is_sound_has_no_answer(tmp_path: Path) -> None:
    cells, _, ledger = prepared(tmp_path)
    coordinator = Coordinator(cells[:1], ledger(), pack_size=50)
    drain(coordinator, half_diverging({"shared"}), order=random.Random(0))

    assert not has_answer(cells[0], ledger())
    assert coordinator.progress.done == 3 * 2 * 2  # nothing but the first round: strengths, settings, seeds
    (cell,) = report(cells[:1], ledger())["cells"]  # type: ignore[misc]
    assert cell["encoders"][0]["lambda_star"] is None  # type: ignore[index]


def test_one_sided_strengths_that_half_diverge_are_not_offered(tmp_path: Path) -> None:
    cells, _, ledger = prepared(tmp_path, one_sided="always")
    coordinator = Coordinator(cells[:1], ledger(), pack_size=50)
    drain(coordinator, half_diverging({"to_1"}), order=random.Random(0))

    (cell,) = report(cells[:1], ledger())["cells"]  # type: ignore[misc]
    offered = {alternative["strategy"] for alternative in cell["pair_choice"]["alternatives"]}  # type: ignore[index]
    assert offered == {"shared", "to_2"}


def test_a_setting_that_half_diverges_stands_for_no_strength_that_has_a_sound_one(tmp_path: Path) -> None:
    cells, _, ledger = prepared(tmp_path)
    book = ledger()
    own, other = nuisance_settings(cells[0])
    asked = book.ask(cells[0].id, "shared", round_=0, settings=[own, other], replicates=range(2))
    for trial, scores in zip(asked, [(0.5, 0.5), (0.9, float("nan"))], strict=True):
        found = {
            index: ReplicateResult(
                status="ok" if score == score else "diverged",
                scores=(score, score),
                losses=(1.0, 1.0),
                alignment={},
                curve=(),
            )
            for index, score in enumerate(scores)
        }
        book.record(cells[0].id, trial, found)

    (chosen,) = curve(book.trials(cells[0].id, "shared"), "pair").chosen

    assert chosen.setting == own


def test_a_cell_whose_trainings_all_diverge_has_no_answer_and_says_how_many_diverged(tmp_path: Path) -> None:
    cells, _, ledger = prepared(tmp_path)
    nan = float("nan")
    blown = ReplicateResult(status="diverged", scores=(nan, nan), losses=(nan, nan), alignment={"cka": nan}, curve=())
    coordinator = Coordinator(cells[:1], ledger(), pack_size=50)
    drain(coordinator, lambda pack: [blown] * len(pack.members), order=random.Random(0))

    (cell,) = report(cells[:1], ledger())["cells"]  # type: ignore[misc]
    assert cell["counts"]["diverged"] == cell["counts"]["trainings"] > 0  # type: ignore[index]
    assert cell["encoders"][0]["verdict"] is None  # type: ignore[index]


@pytest.mark.parametrize("seed", range(4))
def test_the_number_of_trainings_lies_in_a_range_that_closes_around_it(tmp_path: Path, seed: int) -> None:
    """Of scores that are drawn at random, so that searches go on or end as it happens."""
    cells, _, ledger = prepared(tmp_path, one_sided="auto")
    drawn = np.random.default_rng(seed)
    seen: list[Progress] = []

    def train(pack: PlannedPack) -> list[ReplicateResult]:
        levels = drawn.normal(0.7, 0.1, 2)
        return [
            ReplicateResult(status="ok", scores=tuple(levels + drawn.normal(0, 0.02, 2)), losses=(0.5, 0.5))  # type: ignore[arg-type]
            for _ in pack.members
        ]

    coordinator = Coordinator(cells, ledger(), pack_size=5, on_progress=seen.append)
    seen.append(coordinator.progress)
    drain(coordinator, train, order=random.Random(seed))
    ranges = [one.planned_range or (0, 0) for one in seen]
    assert ranges[0][0] < ranges[0][1]
    assert ranges[-1] == (coordinator.progress.done,) * 2
    assert all(least <= one.planned <= most for one, (least, most) in zip(seen, ranges, strict=True))
    assert all(before[0] <= after[0] and after[1] <= before[1] for before, after in itertools.pairwise(ranges))
    assert all(low <= one.work_left <= high for one in seen for low, high in [one.work_left_range or (0, 0)])
