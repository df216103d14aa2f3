"""What a function is asked for: its seeds, splits and settings; and what is known of a cell that it trains."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from study.cells.building import build_cells
from study.cells.cell import Cell
from study.cells.profiles import forecast_cells, profile_cells
from study.cells.trials import Arm, Setting
from study.config import ConfigError, StudyConfig, parse_config
from study.scheduling.coordinator import Coordinator
from study.scheduling.size import pack_size
from study.search import Ledger, open_storage
from study.search.design import nuisance_settings
from study.search.record.notes import CELLS, RecordedCell
from study.session.opening import choices_of, space_of
from study.session.same_study import as_recorded
from trainables.functions.spec import FunctionSpec
from trainables.spec import ReplicateResult

STUDY = """
study: mine
trainer: {call: own.py:train, options: {epochs: 2}}
pairs: [[image, text], [image, audio]]
strength: {initial: [0, 1, 4], refine: 0}
replicates: {search: 2, confirm: 3}
search: {nuisance: {rate: {log: [1.0e-4, 1.0e-2]}, kind: {choices: [a, b, c]}, on: {choices: [true, false]},
  share: {linear: [0, 1]}}, trials_per_strength: 3}
"""
WITH_DATA = """
study: mine
dataset: {name: digits}
trainer: {call: own.py:train}
pairs: [[left, fourier]]
pid: {estimator: broja, bootstrap: 20}
"""


def cells_of(text: str, *, code: str = "c0de") -> tuple[Cell, ...]:
    return build_cells(parse_config(text), code=code)[0]


def ledger_of(config: StudyConfig, folder: Path) -> Ledger:
    storage = open_storage(folder=folder)
    return Ledger(storage, name=config.study, space=space_of(config), choices=choices_of(config))


def test_seeds_are_the_same_at_every_strength_and_fresh_where_it_is_confirmed() -> None:
    first, second = cells_of(STUDY)

    def seeds(cell: Cell, arm: Arm, strength: float) -> list[int]:
        setting = Setting(strength_1=strength, strength_2=strength)
        return [cell.job(arm, [(setting, index)]).replicas[0].seed for index in range(3)]

    assert seeds(first, "shared", 0.0) == seeds(first, "shared", 4.0)
    everyone = [*seeds(first, "shared", 1.0), *seeds(first, "confirm", 1.0), *seeds(second, "shared", 1.0)]
    assert len(set(everyone)) == 9
    assert all(0 <= seed < 2**31 for seed in everyone)


def test_a_job_says_what_to_train_and_is_known_by_that_alone() -> None:
    (cell, _), (changed, _) = cells_of(STUDY), cells_of(STUDY, code="0ther")
    setting = Setting(strength_1=0.0, strength_2=2.0, nuisance={"rate": 0.1, "kind": "b"})
    jobs = {arm: cell.job(arm, [(setting, 1)]) for arm in ("to_2", "confirm", "final")}
    for job in jobs.values():
        assert isinstance(job, FunctionSpec)
        assert FunctionSpec.from_json(job.to_json()) == job
    assert {arm: (job.phase, job.evaluate) for arm, job in jobs.items() if isinstance(job, FunctionSpec)} == {
        "to_2": ("search", "valid"), "confirm": ("confirm", "test"), "final": ("final", "test"),
    }  # fmt: skip
    assert jobs["to_2"].hash == changed.job("to_2", [(setting, 1)]).hash
    assert len({job.hash for job in jobs.values()}) == 3


def test_hyperparameters_are_asked_for_and_read_back_as_they_were(tmp_path: Path) -> None:
    (cell, _) = cells_of(STUDY)
    settings = nuisance_settings(cell)
    assert settings[0].nuisance == pytest.approx({"rate": 1e-3, "share": 0.5, "kind": "a", "on": True})
    assert len(settings) == 3
    for setting in settings:
        assert 1e-4 <= float(setting.nuisance["rate"]) <= 1e-2
        assert setting.nuisance["kind"] in ("a", "b", "c")
        assert isinstance(setting.nuisance["on"], bool)

    ledger = ledger_of(cell.config, tmp_path)
    ledger.ask(cell.id, "shared", round_=0, settings=settings, replicates=range(2))
    ledger.close()
    (again,) = [ledger_of(cell.config, tmp_path)]
    assert tuple(trial.setting for trial in again.trials(cell.id, "shared")) == settings
    again.close()


def test_a_coordinator_hands_out_one_replicate_at_a_time_and_notes_the_code(tmp_path: Path) -> None:
    cells = cells_of(STUDY)
    size = pack_size(cells, {}, cpus=1, gpus=0)
    assert size == 1
    coordinator = Coordinator(cells, ledger := ledger_of(cells[0].config, tmp_path), pack_size=size)
    seen = set()
    while (pack := coordinator.next_pack()) is not None:
        assert len(pack.members) == len(pack.spec.replicas) == 1
        assert pack.cell.job_key == "c0de"
        seen.add(pack.id)
        replica = pack.spec.replicas[0]
        score = 1 - (replica.strength_1 - 1) ** 2 / 9 + replica.seed / 2**40 + replica.strength_1 * replica.seed / 2**42
        result = ReplicateResult(status="ok", scores=(score, score), one_score=True, extras={"cka": 0.5})
        coordinator.complete(pack.id, [result])
    assert coordinator.finished
    assert not coordinator.errors
    assert len(seen) == 2 * (3 * 3 * 2 + 2 * 3)  # strengths x settings x seeds, then λ = 0 and one λ* on fresh seeds
    trials = [trial for cell in cells for trial in ledger.trials(cell.id, "confirm")]
    assert {result.code for trial in trials for result in trial.results.values()} == {"c0de"}
    ledger.close()


def test_a_dataset_beside_a_function_gives_profile_and_forecast_as_ever() -> None:
    config = parse_config(WITH_DATA)
    cells, datasets = build_cells(config, code="c0de")
    (cell,) = cells
    assert cell.metrics == ("score", "score")
    assert Cell.from_json(cell.to_json(), config=config).dataset == cell.dataset
    recorded = [RecordedCell.of(cell)]
    assert as_recorded(config, config.identity, datasets, cells=recorded).identity == config.identity
    assert cell.job_key != cell.data_key
    profile = profile_cells(cells, datasets)[cell.id]
    assert profile.redundancy > 0
    forecast = forecast_cells(cells, datasets)[cell.id]
    assert forecast.together is None  # nobody knows what the function minimises


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (WITH_DATA.replace("left, fourier", "left, middle"), "middle"),
        (
            WITH_DATA.replace("digits", "synthetic, redundancy: [0, 8]").replace("left, fourier", "first, second"),
            "vari",
        ),
    ],
)
def test_a_dataset_that_does_not_fit_the_pairs_is_refused(text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        build_cells(parse_config(text))


def test_the_cells_of_a_function_are_read_back_from_their_note() -> None:
    """Else such a study can be neither resumed nor reported."""
    cells = cells_of(STUDY)
    note = json.loads(json.dumps(CELLS.encode([RecordedCell.of(cell) for cell in cells])))
    known = CELLS.among({CELLS.key: note})
    assert known is not None
    assert [one.cell(cells[0].config).to_json() for one in known] == [cell.to_json() for cell in cells]
