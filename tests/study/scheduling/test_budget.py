"""Budgets of trainings: what is set aside, where a search stops, and that nobody's speed decides it."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from jsonschema import Draft202012Validator

from study.cells.building import build_cells
from study.cells.trials import Arm
from study.config import BudgetSection, ConfigError, parse_config
from study.results.build import build_report
from study.results.model import SIMILARITIES, CellResult, Report, from_json, to_json
from study.results.model.schema import report_schema
from study.results.text.budget import budget_lines
from study.scheduling.coordinator import Coordinator
from study.scheduling.packs import PlannedPack, pack_work
from study.scheduling.spending import Demand, Spending
from study.search.allowance import fewest_trainings, shares
from study.search.record.cuts import Spent
from study.search.record.notes import RUN, SPENT, Run
from study.session.opening import check_in, opened
from trainables.spec import ReplicateResult, derive_seed

STUDY = """
study: spent
dataset: {{name: digits}}
pairs: {pairs}
alignment: {{one_sided: {one_sided}}}
strength: {{initial: [0, 0.5, 1, 2, 4], refine: 6, per_round: 4}}
replicates: {{search: 2, confirm: 4}}
search: {{sampler: {sampler}, stop_interval: {stop_interval}}}
models: false
"""
PAIRS = "[[left, right], [left, fourier]]"
SECONDS = 60.0  # of a training, one after the other
ONE = "[[left, right]]"
FEWEST = 5 * 2 + 4 * 4  # the first strengths, and λ = 0 with three λ* that differ


class Planted:
    """A study of planted trainings in a folder, run through the coordinator with packs completed in any order."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.said: list[str] = []
        self.now = 0.0  # seconds
        self.packs = 0
        self.trained: list[tuple[str, Arm, tuple[float, float], int]] = []

    def run(
        self,
        *,
        trainings: int | None = None,
        minutes: float | None = None,
        gpu_hours: float | None = None,
        order: int = 0,
        stop_after: int | None = None,
        pack: int = 3,
        one_sided: str = "never",
        pairs: str = PAIRS,
        sampler: str = "qmc",
        stop_interval: float = 0.0,
    ) -> Report:
        """Go on to the end, or for so many packs, and the report of what is there."""
        text = STUDY.format(one_sided=one_sided, pairs=pairs, sampler=sampler, stop_interval=stop_interval)
        limits = {"trainings": trainings, "minutes": minutes, "gpu_hours": gpu_hours}
        config = parse_config(text + f"budget: { {key: value for key, value in limits.items() if value is not None} }")
        cells, data = build_cells(config)
        self.trained, self.said, self.packs = [], [], 0
        chance, out = random.Random(order), list[PlannedPack]()
        with opened(config, out=self.folder, cells=len(cells), say=self.said.append) as study:
            _, cells, _ = check_in(study, config, cells, data, say=self.said.append)
            spending = Spending(
                config.budget, gpus=0.25, before=study.ledger.note(SPENT), say=self.said.append, clock=lambda: self.now
            )
            coordinator = Coordinator(cells, study.ledger, pack_size=pack, spending=spending)
            while not coordinator.finished and stop_after != 0:
                while (planned := coordinator.next_pack()) is not None:
                    out.append(planned)
                done = out.pop(chance.randrange(len(out)))
                self.packs += 1
                taken = SECONDS * pack_work(len(done.members), pack_size=pack)
                self.now += taken
                coordinator.complete(done.id, [self._train(done, *member) for member in done.members], seconds=taken)
                stop_after = None if stop_after is None else stop_after - 1
            self.planned = coordinator.progress.planned
            if coordinator.finished:
                study.ledger.set_note(RUN, Run(complete=True))
            told = to_json(build_report(cells, study.ledger, {}, {}, run=Run(complete=coordinator.finished)))
        return from_json(Report, told)

    def _train(self, pack: PlannedPack, trial: object, index: int) -> ReplicateResult:
        asked = next(asked for asked, _ in pack.members if asked is trial)
        self.trained.append((pack.cell.id, asked.arm, asked.setting.strengths, index))
        scores = []
        for side, strength in enumerate(asked.setting.strengths):
            seed = derive_seed(3, pack.cell.id, asked.arm == "confirm", index, side)
            luck = np.random.default_rng(seed).normal(0, 0.01)
            own = np.random.default_rng(derive_seed(seed, strength)).normal(0, 0.002)
            scores.append(float(0.7 + luck + own + 0.05 * 4 * strength / (strength + 1) ** 2 / (1 + side)))
        return ReplicateResult(
            status="ok", scores=(scores[0], scores[1]), losses=(1.0, 1.0), alignment=dict.fromkeys(SIMILARITIES, 0.5),
            curve=((1.0, scores[0], scores[1], 1.0, 1.0),),
        )  # fmt: skip


def confirmed(cell: CellResult) -> bool:
    gain = cell.pair_choice.gain_over_zero
    return gain is not None and gain.source == "confirm"


@pytest.mark.parametrize("one_sided", ["never", "auto"])
@pytest.mark.parametrize("over", [0, 20])
def test_a_study_ends_with_a_confirmed_answer_within_its_budget(tmp_path: Path, over: int, one_sided: str) -> None:
    budget = 2 * FEWEST + over

    report = Planted(tmp_path).run(trainings=budget, one_sided=one_sided)

    assert report.trainings is not None
    assert report.trainings <= budget
    assert all(confirmed(cell) for cell in report.cells)
    assert all(cell.cut is not None and cell.cut.by == "trainings" for cell in report.cells)
    told = "\n".join(budget_lines(report))
    assert f"{budget} trainings ({report.trainings} used)" in told
    assert "Raise budget.trainings and run the same command" in told
    if not over:
        assert {cell.counts.strengths for cell in report.cells} == {5}
        assert "left no room for 6 more strengths" in told
    validator = Draft202012Validator(report_schema())
    validator.validate(to_json(report))


def test_what_is_said_to_be_enough_is(tmp_path: Path) -> None:
    study = Planted(tmp_path)
    cut = study.run(trainings=FEWEST + 3, pairs=ONE)
    assert cut.budget is not None
    assert cut.budget.enough is not None

    enough = study.run(trainings=cut.budget.enough, pairs=ONE)

    assert enough.budget is not None
    assert enough.budget.enough is None
    assert not any(cell.cut for cell in enough.cells)


def test_a_budget_that_is_never_reached_changes_nothing(tmp_path: Path) -> None:
    free, bounded = Planted(tmp_path / "free"), Planted(tmp_path / "bounded")

    assert free.run(pairs=ONE) == replace(bounded.run(trainings=10_000, pairs=ONE), budget=None)
    assert sorted(free.trained) == sorted(bounded.trained)


@pytest.mark.parametrize(
    ("budget", "one_sided", "pairs"), [(2 * FEWEST + 15, "never", PAIRS), (FEWEST + 25, "auto", ONE)]
)
def test_neither_order_nor_packs_nor_a_restart_decide_what_is_trained(
    tmp_path: Path, budget: int, one_sided: str, pairs: str
) -> None:
    whole, killed = Planted(tmp_path / "whole"), Planted(tmp_path / "killed")
    undisturbed = whole.run(trainings=budget, one_sided=one_sided, pairs=pairs)

    first: list[object] = []
    for order, stop in enumerate((2, 6)):
        killed.run(trainings=budget, one_sided=one_sided, pairs=pairs, order=order, stop_after=stop, pack=2)
        first += killed.trained
    resumed = killed.run(trainings=budget, one_sided=one_sided, pairs=pairs, order=9, pack=2)

    assert resumed == undisturbed
    assert sorted(first + killed.trained) == sorted(whole.trained)  # type: ignore[type-var]


def test_a_raised_budget_goes_on_where_the_search_stopped(tmp_path: Path) -> None:
    study = Planted(tmp_path)
    cut = study.run(trainings=FEWEST + 6, one_sided="auto", pairs=ONE)
    before = set(study.trained)
    assert len(before) == len(study.trained) == cut.trainings

    raised = study.run(trainings=FEWEST + 150, one_sided="auto", pairs=ONE)

    assert not before & set(study.trained)  # nothing twice
    assert any("budget.trainings: 32 -> 176" in line for line in study.said)
    searched = Counter(arm for _, arm, _, _ in (*before, *study.trained))
    assert searched["shared"] == 2 * (5 + 6)  # all that was asked for
    assert searched["to_1"]
    assert confirmed(raised.cells[0])
    again = study.run(trainings=FEWEST + 150, one_sided="auto", pairs=ONE)
    assert not study.trained
    assert again == raised


def test_a_raise_that_is_killed_at_once_is_made_again(tmp_path: Path) -> None:
    study, other = Planted(tmp_path / "study"), Planted(tmp_path / "other")
    for one in (study, other):
        one.run(trainings=FEWEST + 6, pairs=ONE)
    study.run(trainings=FEWEST + 20, pairs=ONE, stop_after=0)
    study.run(trainings=FEWEST + 20, pairs=ONE, stop_after=2)

    assert study.run(trainings=FEWEST + 20, pairs=ONE) == other.run(trainings=FEWEST + 20, pairs=ONE)


def test_a_budget_below_the_first_strengths_and_their_confirmation_is_refused() -> None:
    config = parse_config(
        STUDY.format(one_sided="auto", pairs=PAIRS, sampler="qmc", stop_interval=0) + "budget: {trainings: 51}"
    )
    cells = build_cells(config)[0]

    assert fewest_trainings(config) == FEWEST
    with pytest.raises(ConfigError, match=r"budget\.trainings is 51, but 2 pairs need 52 .*26 each"):
        shares(config, cells)


def test_shares_are_equal_and_spend_everything() -> None:
    config = parse_config(
        STUDY.format(one_sided="auto", pairs=PAIRS, sampler="qmc", stop_interval=0) + "budget: {trainings: 55}"
    )

    assert list(shares(config, build_cells(config)[0]).values()) == [28, 27]


@pytest.mark.parametrize(("limit", "by"), [({"minutes": 100.0}, "minutes"), ({"gpu_hours": 0.4}, "gpu_hours")])
def test_a_limit_of_time_stops_the_search_in_time_to_confirm(tmp_path: Path, limit: dict[str, float], by: str) -> None:
    study = Planted(tmp_path)

    report = study.run(**limit)  # type: ignore[arg-type]

    assert all(confirmed(cell) for cell in report.cells)
    assert {cell.cut.by for cell in report.cells if cell.cut} == {by}
    assert report.budget is not None
    used = {"minutes": report.budget.used_minutes, "gpu_hours": report.budget.used_gpu_hours}[by]
    assert used is not None
    assert 0.5 * limit[by] < used <= limit[by]
    assert any("leave no room for more strengths; what was found is confirmed" in line for line in study.said)
    study.run(**limit)  # type: ignore[arg-type]
    assert not study.trained


def test_a_study_stopped_by_time_and_killed_ends_where_it_stopped(tmp_path: Path) -> None:
    whole, killed = Planted(tmp_path / "whole"), Planted(tmp_path / "killed")
    undisturbed = whole.run(minutes=100)
    killed.run(minutes=100, stop_after=whole.packs - 2)  # in the midst of the confirmation
    first = killed.trained

    resumed = killed.run(minutes=100, order=7)

    assert replace(resumed, budget=None) == replace(undisturbed, budget=None)
    assert sorted(first + killed.trained) == sorted(whole.trained)
    more = killed.run(minutes=10_000)
    assert killed.trained
    assert not any(cell.cut for cell in more.cells)


def test_a_time_that_is_too_short_is_said_and_the_answer_is_confirmed_all_the_same(tmp_path: Path) -> None:
    study = Planted(tmp_path)

    report = study.run(minutes=10)

    assert all(confirmed(cell) for cell in report.cells)
    assert {cell.counts.strengths for cell in report.cells} == {5}
    said = [line for line in study.said if line.startswith("budget: 10 minutes are less than")]
    assert len(said) == 1


def test_hours_of_gpu_count_nothing_on_cpus() -> None:
    said: list[str] = []
    now = [0.0]
    spending = Spending(BudgetSection(gpu_hours=1e-6), gpus=0.0, say=said.append, clock=lambda: now[0])
    spending.give("a")
    now[0] = 3600.0
    spending.end("a", work=1.0)

    assert spending.spent.gpu_seconds == 0
    assert spending.refusal(Demand(begun=0, left=0, round=9, reserved=9, opening=0, packs=2)) is None
    assert said == ["budget.gpu_hours: packs train on CPUs here, of which it counts nothing"]


@pytest.mark.parametrize(("places", "most"), [(1, 20), (4, 80)])
def test_speed_of_earlier_runs_is_known_to_one_that_is_resumed(places: int, most: float) -> None:
    before = Spent(seconds=3000.0, pack_seconds=3000.0, work=50.0)  # a minute each
    spending = Spending(BudgetSection(minutes=100), gpus=0.0, places=lambda: places, before=before, clock=lambda: 5.0)

    def refusal(round_: float, packs: int) -> str | None:
        return spending.refusal(Demand(begun=0, left=0, round=round_, reserved=most, opening=0, packs=packs))

    assert refusal(most, packs=8) is None
    assert refusal(1.5 * most, packs=8) == "minutes"
    assert refusal(most, packs=1) == (None if places == 1 else "minutes")  # which is on one place, whatever there are


def test_one_sided_arms_are_waited_for_where_they_fit() -> None:
    before = Spent(seconds=0.0, pack_seconds=3000.0, work=50.0)
    spending = Spending(BudgetSection(minutes=110), gpus=0.0, before=before, clock=lambda: 0.0)

    def refusal(round_: float, opening: float) -> str | None:
        return spending.refusal(Demand(begun=0, left=0, round=round_, reserved=60, opening=opening, packs=9))

    assert refusal(39, opening=0) is None
    assert refusal(39, opening=30) == "minutes"
    assert refusal(9, opening=30) is None
    assert refusal(39, opening=50) is None  # it never would


def test_a_budget_that_comes_later_leaves_rounds_on_record_as_they_are(tmp_path: Path) -> None:
    study = Planted(tmp_path)
    study.run(pairs=ONE, one_sided="auto", stop_after=10, pack=2)  # after all that the sampler may place was asked for
    before = [arm for _, arm, _, _ in study.trained]

    resumed = study.run(trainings=50, pairs=ONE, one_sided="auto", pack=2)

    assert [*before, *(arm for _, arm, _, _ in study.trained)].count("shared") == 2 * (5 + 6)
    assert confirmed(resumed.cells[0])


def test_a_target_that_a_budget_forestalled_spared_nothing(tmp_path: Path) -> None:
    report = Planted(tmp_path).run(trainings=FEWEST + 2, pairs=ONE, stop_interval=0.001)
    (cell,) = report.cells
    assert cell.cut is not None
    assert cell.cut.strengths
    assert cell.stopping_spared is None
