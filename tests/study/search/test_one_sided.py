"""One-sided strengths: planted pairs, searched through the real rounds, get the strategy that was planted."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.storages import BaseStorage, InMemoryStorage

from study.cells.building import build_cells
from study.cells.cell import Cell
from study.cells.trials import ONE_SIDED, Arm, Asked, Setting, opening_size
from study.config import parse_config
from study.results.build import build_report
from study.results.frames import frames
from study.results.model import CellResult, Report, from_json, to_json
from study.scheduling.coordinator import Coordinator
from study.scheduling.packs import PlannedPack
from study.search import Ledger
from study.search.extended import Round
from study.search.one_sided import opening
from study.search.record.notes import Run
from study.search.rounds import rounds
from study.selection import prospect
from study.tracking.projection import records
from trainables.spec import ReplicateResult, derive_seed
from trainables.training.pack import Pack as Training

DESIGN = (0.0, 0.1, 0.25, 0.5, 0.6, 0.75, 1.0, 2.0, 4.0)
STUDY = """
study: planted
dataset: {name: digits}
pairs: [[left, right]]
alignment: {one_sided: %s}
strength: {range: [0, 4], initial: %s, refine: 4, per_round: 2}
replicates: {search: 5, confirm: 10}
models: false
search: {%s}
"""
REAL = """
study: real
dataset: {name: arrays, path: %s, group: video}
pairs: [[text, vision]]
encoder: {kind: mlp, layers: 2, width: 32}
training: {epochs: 30, batch_size: 64, learning_rate: 1e-3, temperature: 0.1}
alignment: {one_sided: %s}
strength: {range: [0, 4], initial: [0, 0.25, 1, 4], refine: 0}
replicates: {search: 5, confirm: 10, splits: fixed}  # eight test videos confirm little of what is new
models: false
"""
SHORT = "[0, 0.1, 0.25, 0.5, 1, 4]"
QUICK = "sampler: qmc"  # suggests without a posterior
Curve = Callable[[float], float]  # gain over λ = 0 in points


def flat(strength: float) -> float:
    return 0.0 * strength


def line(points: float) -> Curve:
    """Reached at the end of the range."""
    return lambda strength: points * float(np.log1p(strength / 0.5) / np.log1p(8))


def peak(points: float, at: float) -> Curve:
    """At 0 and from four times the peak's strength on it is nearly 0."""
    return lambda strength: points * 4 * strength * at / (strength + at) ** 2 - points * (strength / at / 16)


def falling(points: float) -> Curve:
    return line(-points)


@dataclass(frozen=True, kw_only=True)
class World:
    """Gains of both encoders when both are pulled, and of each when it alone is."""

    both: tuple[Curve, Curve]
    alone: tuple[Curve, Curve]


# By the strategy that is right, where each is by points better than the others; the noise of a training is one point.
WORLDS: Mapping[str, tuple[str, World]] = {
    "both fall": ("none", World(both=(falling(3), falling(5)), alone=(falling(2), falling(4)))),
    "nothing matters": ("none", World(both=(flat, flat), alone=(flat, flat))),
    "only together": ("shared", World(both=(line(4), line(5)), alone=(line(1), line(1.2)))),
    "opposed": ("to_1", World(both=(line(4), falling(4)), alone=(line(5), falling(3)))),
    "shared curves agree that nothing helps": (
        "to_2", World(both=(falling(4), falling(1)), alone=(falling(1), line(5.3))),
    ),
    "shared curves are flat": ("to_2", World(both=(flat, flat), alone=(flat, peak(4, 0.5)))),
    "each at its own": ("per_encoder", World(both=(peak(2, 0.2), line(2)), alone=(peak(4, 0.2), line(5)))),
}  # fmt: skip


def planted(world: World, cell: Cell) -> Callable[[Asked, int], ReplicateResult]:
    """Trains by looking up: a seed's own level, luck that neighbouring strengths share, and noise."""

    @cache
    def level_and_luck(phase: str, side: int, index: int) -> tuple[float, float, float]:
        seed = np.random.default_rng(derive_seed(cell.id, phase, side, index))
        level, slope, bend = seed.normal(size=3)
        return float(level), float(slope), float(bend)

    def train(asked: Asked, index: int) -> ReplicateResult:
        setting = asked.setting
        pulled = (setting.strength_1, setting.strength_2)
        curves = world.both if all(pulled) else world.alone
        scores = []
        for side, strength in enumerate(pulled):
            gain = curves[side](strength) if strength else 0.0
            phase = "confirm" if asked.arm == "confirm" else "search"
            level, slope, bend = level_and_luck(phase, side, index)
            warped = float(np.log1p(strength / 0.5) / np.log1p(8))
            way = "both" if all(pulled) else "alone" if strength else "zero"
            own = np.random.default_rng(derive_seed(cell.config.seed, phase, side, index, strength, way)).normal()
            luck = 0.6 * slope * warped + 0.6 * bend * warped**2
            scores.append(0.7 + (gain + 2 * level + luck + 0.8 * own) / 100)
        return ReplicateResult(
            status="ok", scores=(scores[0], scores[1]), losses=(1.0, 1.0), alignment={"cka": 0.5},
            curve=((1.0, scores[0], scores[1], 1.0, 1.0),),
        )  # fmt: skip

    return train


@cache
def made(one_sided: str = "auto", *, design: str = str(list(DESIGN)), search: str = "") -> Cell:
    return build_cells(parse_config(STUDY % (one_sided, design, search)))[0][0]


def record(storage: BaseStorage | None = None) -> Ledger:
    return Ledger(storage or InMemoryStorage(), name="planted", space={"strength": (0, 4)})


def fill(cell: Cell, ledger: Ledger, world: World, asked: Round) -> None:
    train = planted(world, cell)
    for trial in asked:
        ledger.record(cell.id, trial, {index: train(trial, index) for index in trial.missing})


def asked_rounds(cell: Cell, ledger: Ledger) -> Iterator[Round]:
    return rounds(cell, ledger)


def run(cell: Cell, ledger: Ledger, world: World) -> dict[str, Any]:
    """The cell's entry of the report once everything that it asks for is trained."""
    for asked in asked_rounds(cell, ledger):
        fill(cell, ledger, world, asked)
    (entry,) = to_json(build_report([cell], ledger, {}, {}, run=Run(complete=True)))["cells"]
    return dict(entry)


@cache
def searched(name: str, one_sided: str) -> tuple[dict[str, Any], Ledger, Cell]:
    """A whole search of a world: the entry of the report, the record and the cell."""
    cell, ledger = made(one_sided), record()
    return run(cell, ledger, WORLDS[name][1]), ledger, cell


def trained(ledger: Ledger, cell: Cell, arm: Arm) -> set[tuple[float, float, int]]:
    return {
        (trial.setting.strength_1, trial.setting.strength_2, index)
        for trial in ledger.trials(cell.id, arm)
        for index in trial.results
    }


@pytest.mark.parametrize("name", WORLDS)
def test_auto_finds_the_planted_strategy_and_it_is_that_of_always(name: str) -> None:
    auto, always = (searched(name, way)[0] for way in ("auto", "always"))

    assert auto["pair_choice"]["strategy"] == always["pair_choice"]["strategy"] == WORLDS[name][0]
    assert auto["pair_choice"]["strengths"] == always["pair_choice"]["strengths"]
    assert auto["counts"]["trainings"] <= always["counts"]["trainings"]


@pytest.mark.parametrize("name", WORLDS)
def test_no_encoder_is_told_to_avoid_what_its_pair_is_advised_to_do(name: str) -> None:
    """One advised to be aligned on its own side is told by its own curve, with that strength and a gain that holds."""
    entry = searched(name, "auto")[0]
    choice = entry["pair_choice"]
    for side, encoder in enumerate(entry["encoders"]):
        strength, own = choice["strengths"][side], ("to_1", "to_2")[side]
        if choice["strategy"] in (own, "per_encoder"):
            assert (encoder["arm"], encoder["lambda_star"], encoder["verdict"]) == (own, strength, "align")
            assert encoder["gain_over_zero"]["mean"] > 0
        elif strength:
            assert encoder["arm"] == "shared"
            assert encoder["verdict"] != "avoid"


@pytest.mark.parametrize("name", WORLDS)
def test_a_pair_is_told_by_its_strategy_in_mlflow_and_in_tables(name: str) -> None:
    cell = from_json(CellResult, searched(name, "auto")[0])
    choice, report = cell.pair_choice, Report(study="planted", cells=(cell,))
    run, table = records(report)[0], frames(report)["pairs"].iloc[0]
    metrics = {metric: value for metric, value, _ in run.metrics}
    strategy = WORLDS[name][0]
    chosen = next((one.gain_mean for one in choice.alternatives if one.strategy == strategy), None)
    gain, p_adjusted = (chosen.mean, chosen.p_adjusted) if chosen else (None, None)

    assert run.tags["strategy"] == table["strategy"] == strategy
    assert (run.tags["verdict"] == "align") == (table["verdict"] == "align") == (strategy != "none")
    for told in (metrics, known(table)):
        assert [told[f"advised_strength_{side}"] for side in (1, 2)] == list(choice.strengths or ())
        assert (told.get("advised_gain"), told.get("advised_p_adjusted")) == (gain, p_adjusted)
        assert told["lambda_star"] == choice.lambda_star  # of one λ for both, whatever is advised
        if strategy == "none":
            assert told["advised_strength"] == 0
        elif strategy != "per_encoder":
            assert told["advised_strength"] == max(choice.strengths or ())


def known(row: pd.Series) -> dict[str, Any]:
    return {str(name): value for name, value in row.items() if pd.notna(value)}


def test_what_auto_trains_one_sided_is_what_always_trains_until_an_arm_is_given_up() -> None:
    (_, auto, cell), (_, always, _) = (searched("opposed", way) for way in ("auto", "always"))

    assert trained(auto, cell, "to_1") == trained(always, cell, "to_1")
    assert trained(auto, cell, "to_2") < trained(always, cell, "to_2")
    assert {two for one, two, _ in trained(auto, cell, "confirm") if not one} == {0.0}


@pytest.mark.parametrize("name", ["both fall", "only together"])
def test_arms_of_no_use_are_given_up_early_and_not_confirmed(name: str) -> None:
    """λ = 0 is that of the shared arm: an arm that is given up at once costs half a design."""
    _, ledger, cell = searched(name, "auto")

    for arm in ONE_SIDED:
        assert 4 * 5 <= len(trained(ledger, cell, arm)) <= 8 * 5
        assert all(one or two for one, two, _ in trained(ledger, cell, arm))
    assert all((one > 0) == (two > 0) for one, two, _ in trained(ledger, cell, "confirm"))


def test_never_searches_the_shared_strength_alone() -> None:
    _, ledger, cell = searched("opposed", "never")

    assert not any(ledger.trials(cell.id, arm) for arm in ONE_SIDED)


@pytest.mark.slow  # trains a hundred pairs of encoders
@pytest.mark.timeout(600)
def test_of_a_real_pair_auto_finds_the_strength_that_one_encoder_has_of_its_own(shared_data: Path) -> None:
    """Text and vision of CMU-MOSI: what vision gains at one strength for both, text loses in part."""
    known: dict[Any, ReplicateResult] = {}
    choices = {}
    for way in ("auto", "always"):
        text = REAL % (shared_data / "mosi752/mosi752.npz", way)
        cells, datasets = build_cells(parse_config(text))
        ledger = Ledger(InMemoryStorage(), name="real", space={"strength": (0, 4)})
        coordinator = Coordinator(cells, ledger, pack_size=40)
        while (pack := coordinator.next_pack()) is not None:
            keys = [(pack.spec.alignment.direction, pack.spec.evaluate, one) for one in pack.spec.replicas]
            if not all(key in known for key in keys):
                training = Training(pack.spec, datasets[pack.cell.data_key].pair(*pack.cell.pair))
                training.run()
                known |= zip(keys, training.results(), strict=True)
            coordinator.complete(pack.id, [known[key] for key in keys])
        choices[way] = to_json(build_report(cells, ledger, {}, {}, run=Run(complete=True)))["cells"][0]["pair_choice"]

    assert choices["auto"]["strategy"] == choices["always"]["strategy"]
    assert choices["auto"]["strategy"] in ("to_2", "per_encoder")
    assert choices["auto"]["strengths"] == choices["always"]["strengths"]
    gains = {one["strategy"]: [gain["mean"] for gain in one["gains"]] for one in choices["auto"]["alternatives"]}
    assert gains["to_2"][1] > 0.03
    assert gains["shared"][0] < gains["to_2"][0] + 1e-9


# --- rounds depend on the record alone


def test_a_search_that_is_killed_within_any_round_goes_on_as_if_it_had_not_been() -> None:
    _, world = WORLDS["opposed"]
    cell, whole = made(design=SHORT, search=QUICK), record()
    undisturbed = run(cell, whole, world)
    arms = [asked[0].arm for asked in asked_rounds(cell, whole)]
    one_sided = [index for index, arm in enumerate(arms) if arm != "shared"]

    assert len(one_sided) == 5  # two rounds of the design, two of refinement, and the confirmation
    for stop in one_sided:
        storage, order = InMemoryStorage(), random.Random(stop)
        killed = record(storage)
        for index, asked in enumerate(asked_rounds(cell, killed)):
            if index == stop:
                fill(cell, killed, world, tuple(order.sample(asked, len(asked) // 2)))
                break
            fill(cell, killed, world, asked)
        assert run(cell, record(storage), world) == undisturbed


def test_a_target_is_judged_by_earlier_rounds_when_a_killed_search_goes_on() -> None:
    """Half of a round may meet a target that its earlier rounds had not met: that round must be completed."""
    cell, storage = made(design=SHORT, search="stop_interval: 0.5, sampler: qmc"), InMemoryStorage()
    _, world = WORLDS["each at its own"]
    killed = record(storage)
    asked = asked_rounds(cell, killed)
    first = next(asked)
    fill(cell, killed, world, first)
    second = next(asked)
    found = World(both=(peak(40, 0.5), peak(40, 0.5)), alone=(flat, flat))  # and now all is clear
    fill(cell, killed, found, second[:1])

    again = asked_rounds(cell, record(storage))
    assert [trial.replicates for trial in next(again)] == [trial.replicates for trial in first]
    assert [(trial.round, trial.slot) for trial in next(again)] == [(trial.round, trial.slot) for trial in second]


@pytest.mark.parametrize("pack_size", [7, 60])
def test_neither_packs_nor_the_order_in_which_they_end_change_the_answer(pack_size: int) -> None:
    _, world = WORLDS["shared curves agree that nothing helps"]
    cell = made(design=SHORT, search=QUICK)
    undisturbed = run(cell, record(), world)
    ledger, train, order = record(), planted(world, cell), random.Random(pack_size)
    coordinator = Coordinator([cell], ledger, pack_size=pack_size)
    out: list[PlannedPack] = []
    while not coordinator.finished:
        while (pack := coordinator.next_pack()) is not None:
            out.append(pack)
        pack = out.pop(order.randrange(len(out)))
        coordinator.complete(pack.id, [train(trial, index) for trial, index in pack.members])

    (entry,) = to_json(build_report([cell], ledger, {}, {}, run=Run(complete=True)))["cells"]
    assert entry == undisturbed
    assert coordinator.progress.done == coordinator.progress.planned


# --- records of the version before


def test_a_search_that_was_begun_with_the_whole_design_goes_on_to_its_end() -> None:
    _, world = WORLDS["opposed"]
    cell, storage = made(design=SHORT, search=QUICK), InMemoryStorage()
    begun = record(storage)
    shared = made("never", design=SHORT, search=QUICK)
    for asked in asked_rounds(shared, begun):
        if asked[0].arm == "confirm":
            break
        fill(shared, begun, world, asked)
    for arm in ONE_SIDED:
        for place, strength in enumerate((0.1, 0.25, 0.5, 1.0, 4.0)):
            one, two = (strength, 0.0) if arm == "to_1" else (0.0, strength)
            setting = Setting(strength_1=one, strength_2=two)
            begun.ask(cell.id, arm, round_=0, settings=[setting], replicates=range(5), first_slot=place)
    entry = run(cell, record(storage), world)

    for arm in ONE_SIDED:
        trials = record(storage).trials(cell.id, arm)
        assert [trial.setting.params(arm)["strength"] for trial in trials if trial.round == 0] == [0.1, 0.25, 0.5, 1, 4]
        assert len(trained(record(storage), cell, arm)) == (5 + 4) * 5
        assert max(trial.round for trial in trials) == 2
    assert entry["pair_choice"]["strategy"] == "to_1"


def test_what_was_confirmed_without_one_sided_strengths_stays_so() -> None:
    name = "shared curves agree that nothing helps"
    storage = InMemoryStorage()
    run(made("never"), record(storage), WORLDS[name][1])
    cell = made("auto")

    left = list(asked_rounds(cell, record(storage)))

    assert not any(trial.missing for asked in left for trial in asked)
    assert {trial.arm for asked in left for trial in asked} == {"shared", "confirm"}


# --- what an arm begins with


def test_an_arm_begins_with_half_of_the_design_spread_over_it() -> None:
    assert opening(DESIGN, near=0.0) == (0.25, 0.6, 2.0, 4.0)
    assert opening(DESIGN, near=0.12) == (0.1, 0.75, 2.0, 4.0)
    assert opening((0.0, 0.5, 2.0), near=1.0) == (0.5, 2.0)
    assert opening((0.0,), near=0.0) == ()


@given(st.sets(st.floats(1e-6, 4), min_size=1, max_size=20), st.floats(0, 4))
def test_an_opening_is_part_of_the_design_with_its_end_and_what_is_nearest(strengths: set[float], near: float) -> None:
    design = tuple(sorted({0.0, *strengths}))
    first = opening(design, near=near)

    assert set(first) <= strengths
    assert len(first) == opening_size(design)
    assert first[-1] == design[-1]
    assert list(first) == sorted(first)
    if near > 0 and len(first) > 1:
        assert min(abs(s - near) for s in first) == min(abs(s - near) for s in strengths)


# --- what a curve may still gain


def noisy(gains: list[float], *, seeds: int = 5, sd: float = 1.0) -> np.ndarray[Any, Any]:
    r = np.random.default_rng(1)
    return np.array(gains)[:, None] + 2 * r.normal(size=seeds) + sd * r.normal(size=(len(gains), seeds))


STRENGTHS = [0.0, 0.25, 0.6, 1.0, 4.0]


@pytest.mark.parametrize(
    ("gains", "negligible"),
    [
        ([0, 0, 0, 0, 0], True),
        ([0, -1, -2, -3, -5], True),
        ([0, 1, 2, 3, 5], False),
        ([0, 3, 4, 3, -5], False),
        ([0, 0, 0, 0, 6], False),
    ],
)
def test_only_a_curve_that_cannot_gain_has_nothing_to_gain(gains: list[float], negligible: bool) -> None:
    found = prospect(STRENGTHS, noisy(gains, sd=0.7), confirm=10, seed=0)
    assert found is not None
    assert found.is_negligible == negligible
    for unit, shift in ((1e-12, 0.0), (1e9, 5e9)):  # no answer depends on the unit
        same = prospect(STRENGTHS, unit * noisy(gains, sd=0.7) + shift, confirm=10, seed=0)
        assert same is not None
        assert same.is_negligible == negligible
        assert same.confirmable == pytest.approx(unit * found.confirmable, rel=1e-4)


def test_the_more_seeds_confirm_the_smaller_a_gain_they_can_tell() -> None:
    few, many = (prospect(STRENGTHS, noisy([0] * 5), confirm=confirm) for confirm in (5, 100))
    assert few is not None
    assert many is not None
    assert many.confirmable < few.confirmable / 4


def test_scatter_where_trainings_begin_to_fail_does_not_hide_a_gain_elsewhere() -> None:
    scores = noisy([0, 3, 4, 2, -20], sd=0.5)
    scores[-1] += [0, -30, 10, -60, 0]
    found = prospect(STRENGTHS, scores, confirm=10)
    assert found is not None
    assert not found.is_negligible


@pytest.mark.parametrize(("seeds", "confirm"), [(1, 10), (5, 1)])
def test_where_nothing_can_be_told_nothing_is_negligible(seeds: int, confirm: int) -> None:
    scores = noisy([0, -1, -2, -3, -5], seeds=seeds)
    found = prospect(STRENGTHS, scores, confirm=confirm)
    assert found is not None
    assert not found.is_negligible
    assert not found.is_sure


def test_without_a_score_at_zero_there_is_nothing_to_gain_over() -> None:
    scores = noisy([0, 1, 2, 3, 5])
    scores[0] = np.nan
    assert prospect(STRENGTHS, scores, confirm=10) is None
    assert prospect(STRENGTHS[1:], scores[1:], confirm=10) is None


def test_trainings_without_any_scatter_are_judged_too() -> None:
    for gains, negligible in (([0.0] * 5, True), ([0.7] * 5, True), ([0.0, 1, 2, 3, 4], False)):
        exact = np.repeat(np.array(gains)[:, None], 5, axis=1)
        found = prospect(STRENGTHS, exact, confirm=10)
        assert found is not None
        assert found.is_negligible == negligible
