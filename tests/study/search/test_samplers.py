"""The ledger over a real Optuna journal: what is asked is found again, what is recorded is never lost or doubled."""

from __future__ import annotations

from pathlib import Path

import optuna
import pytest
from optuna.distributions import FloatDistribution
from optuna.storages import JournalStorage
from optuna.trial import TrialState, create_trial

from study.cells.trials import Setting
from study.config import Sampler
from study.search import Ledger, open_storage
from study.search.posterior_sampler import PosteriorSampler
from study.search.samplers import suggest
from study.selection import Unit
from trainables.spec import ReplicateResult

SPACE = {"strength": (0.0, 4.0), "learning_rate": (1e-4, 1e-2)}


def result(score: float, *, status: str = "ok") -> ReplicateResult:
    return ReplicateResult(
        status=status,  # type: ignore[arg-type]
        scores=(score, score / 2),
        losses=(1.0, 1.0),
        alignment={"cka": 0.5},
        curve=((1.0, score, score, 1.0, 1.0),),
    )


def shared(strength: float, **nuisance: float) -> Setting:
    return Setting(strength_1=strength, strength_2=strength, nuisance=nuisance)


def ledger(folder: Path) -> Ledger:
    return Ledger(open_storage(folder=folder), name="study", space=SPACE)


def fill(book: Ledger, cell: str = "a", round_: int = 0) -> None:
    settings = [shared(0), shared(1), shared(2), shared(4)]
    for asked in book.ask(cell, "shared", round_=round_, settings=settings, replicates=range(2)):
        strength = asked.setting.strength_1
        book.record(cell, asked, {i: result(0.9 - (strength - 1.5) ** 2 / 10 + 0.001 * i) for i in asked.missing})


def test_what_was_asked_is_found_again_and_not_asked_twice(tmp_path: Path) -> None:
    first = ledger(tmp_path).ask("a", "shared", round_=0, settings=[shared(0), shared(1)], replicates=range(3))

    again = ledger(tmp_path).ask("a", "shared", round_=0, settings=[shared(0), shared(1)], replicates=range(3))

    assert again == first
    assert [asked.setting.strength_1 for asked in first] == [0, 1]
    assert first[0].missing == (0, 1, 2)


def test_a_round_that_was_half_asked_is_completed(tmp_path: Path) -> None:
    ledger(tmp_path).ask("a", "shared", round_=0, settings=[shared(0)], replicates=range(1))

    both = ledger(tmp_path).ask("a", "shared", round_=0, settings=[shared(0), shared(1)], replicates=range(1))

    assert [(asked.slot, asked.setting.strength_1) for asked in both] == [(0, 0), (1, 1)]


def test_recorded_replicates_survive_and_complete_the_trial(tmp_path: Path) -> None:
    book = ledger(tmp_path)
    (asked,) = book.ask("a", "shared", round_=0, settings=[shared(1)], replicates=range(3))
    book.record("a", asked, {0: result(0.5), 2: result(0.7)})

    reread = ledger(tmp_path)
    (known,) = reread.trials("a", "shared")
    assert known.missing == (1,)
    reread.record("a", known, {1: result(0.6), 2: result(0.0)})

    (complete,) = ledger(tmp_path).trials("a", "shared")
    assert [complete.results[i].scores[0] for i in range(3)] == [0.5, 0.6, 0.7]
    (trial,) = optuna.load_study(study_name="study/a/shared", storage=open_storage(folder=tmp_path)).trials
    assert trial.state.name == "COMPLETE"
    assert trial.value == pytest.approx(0.75 * 0.6)


def test_no_trial_is_left_running_when_the_driver_died_before_telling(tmp_path: Path) -> None:
    book = ledger(tmp_path)
    (asked,) = book.ask("a", "shared", round_=0, settings=[shared(1)], replicates=range(1))

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(JournalStorage, "set_trial_state_values", die)
        with pytest.raises(KeyboardInterrupt):
            book.record("a", asked, {0: result(0.5)})

    ledger(tmp_path).trials("a", "shared")

    (trial,) = optuna.load_study(study_name="study/a/shared", storage=open_storage(folder=tmp_path)).trials
    assert trial.state.name == "COMPLETE"


def test_a_diverged_training_is_kept_and_fails_the_trial_only_if_no_other_is_left(tmp_path: Path) -> None:
    book, nan = ledger(tmp_path), float("nan")
    half, none = book.ask("a", "shared", round_=0, settings=[shared(1), shared(2)], replicates=range(2))
    book.record("a", half, {0: result(0.5), 1: result(nan, status="diverged")})
    book.record("a", none, {i: result(nan, status="diverged") for i in range(2)})

    trials = optuna.load_study(study_name="study/a/shared", storage=open_storage(folder=tmp_path)).trials
    assert [trial.state.name for trial in trials] == ["COMPLETE", "FAIL"]
    assert [t.results[1].status for t in ledger(tmp_path).trials("a", "shared")] == ["diverged", "diverged"]


def test_a_journal_torn_in_its_last_line_is_read_up_to_it(tmp_path: Path) -> None:
    fill(ledger(tmp_path))
    journal = tmp_path / "journal.log"
    journal.write_bytes(journal.read_bytes() + b'{"op_code": 5, "trial')

    assert len(ledger(tmp_path).trials("a", "shared")) == 4
    fill(ledger(tmp_path), round_=1)
    assert len(ledger(tmp_path).trials("a", "shared")) == 8


@pytest.mark.parametrize("sampler", ["posterior", "gp", "tpe", "qmc", "grid"])
def test_suggestions_depend_on_earlier_rounds_alone(tmp_path: Path, sampler: Sampler) -> None:
    book = ledger(tmp_path)
    fill(book)

    def suggested(record: Ledger) -> tuple[Unit, ...]:
        earlier = record.trials_before("a", "shared", round_=1)
        return suggest(
            earlier, "shared", count=3, sampler=sampler, seed=7, range_=SPACE["strength"], scale=0.5, seeds=2
        )

    before = suggested(book)

    settings = [shared(unit.strength) for unit in before]
    asked = book.ask("a", "shared", round_=1, settings=settings, replicates=range(2))
    book.record("a", asked[0], {0: result(9.0), 1: result(9.0)})

    assert suggested(ledger(tmp_path)) == before
    assert all(0 <= unit.strength <= 4 for unit in before)
    trainings = [(unit.strength, seed) for unit in before for seed in unit.columns]
    assert len(set(trainings)) == 6
    assert not {(strength, seed) for strength in (0, 1, 2, 4) for seed in (0, 1)} & set(trainings)


def test_units_of_one_round_may_have_seeds_of_their_own(tmp_path: Path) -> None:
    book = ledger(tmp_path)
    book.ask("a", "shared", round_=1, settings=[shared(0)], replicates=range(2))
    both = book.ask("a", "shared", round_=1, settings=[shared(0)], replicates=range(2, 4), first_slot=1)

    assert [asked.replicates for asked in both] == [(0, 1), (2, 3)]
    assert ledger(tmp_path).trials("a", "shared") == both


def test_a_repeated_strength_is_one_row_of_more_seeds() -> None:
    """Without attributes, the k-th trial of a strength is its k-th seed."""
    study = optuna.create_study(direction="maximize", sampler=PosteriorSampler(seed=0))
    for strength in (0.0, 1.0, 2.0, 4.0, 1.0, 2.0):
        study.enqueue_trial({"strength": strength})
    study.optimize(lambda trial: -((trial.suggest_float("strength", 0, 4) - 1.5) ** 2), n_trials=7)

    assert 0 <= study.trials[-1].params["strength"] <= 4


def test_strengths_at_which_everything_diverges_are_left_alone() -> None:
    study = optuna.create_study(direction="maximize", sampler=PosteriorSampler(seed=0, seeds=2))
    space = {"strength": FloatDistribution(0, 4)}
    for strength in (0.0, 0.5, 1.0, 2.0, 4.0):
        dead = strength > 1
        study.add_trial(
            create_trial(
                state=TrialState.FAIL if dead else TrialState.COMPLETE,
                params={"strength": strength},
                distributions=space,
                value=None if dead else strength,
                user_attrs={"scores": [None, None] if dead else [strength, strength + 0.1], "replicates": [0, 1]},
            )
        )
    assert all(study.ask(space).params["strength"] < 1.6 for _ in range(4))


@pytest.mark.parametrize("seed", range(4))
def test_the_default_sampler_looks_where_the_optimum_is(seed: int) -> None:
    """At first it may look elsewhere, to learn how the curve bends; the last trials are spent about the optimum."""
    study = optuna.create_study(direction="maximize", sampler=PosteriorSampler(seed=seed))
    for strength in (0.0, 0.5, 1.0, 2.0, 4.0):
        study.enqueue_trial({"strength": strength})
    study.optimize(lambda trial: -((trial.suggest_float("strength", 0, 4) - 1.0) ** 2), n_trials=15)

    last = [trial.params["strength"] for trial in study.trials[-5:]]
    assert all(abs(strength - 1) < 0.75 for strength in last)


def test_nuisance_values_are_part_of_the_trial(tmp_path: Path) -> None:
    setting = shared(1, learning_rate=0.003)
    ledger(tmp_path).ask("a", "shared", round_=0, settings=[setting], replicates=range(1))

    assert ledger(tmp_path).trials("a", "shared")[0].setting == setting


@pytest.mark.parametrize(
    ("arm", "setting"),
    [
        ("to_1", Setting(strength_1=1.5, strength_2=0.0)),
        ("to_2", Setting(strength_1=0.0, strength_2=1.5)),
        ("confirm", Setting(strength_1=0.5, strength_2=1.5)),
    ],
)
def test_every_arm_reads_back_its_own_strengths(tmp_path: Path, arm: str, setting: Setting) -> None:
    ledger(tmp_path).ask("a", arm, round_=0, settings=[setting], replicates=range(1))  # type: ignore[arg-type]

    assert ledger(tmp_path).trials("a", arm)[0].setting == setting  # type: ignore[arg-type]
