"""One nuisance setting stands for each strength, and the next strength follows from the same table for everybody."""

from __future__ import annotations

import numpy as np
import optuna
import pytest
from optuna.distributions import FloatDistribution
from optuna.trial import TrialState, create_trial

from study.cells.trials import Asked, Setting
from study.search.posterior_sampler import PosteriorSampler
from study.search.samplers import suggest
from study.search.tables import Row, Tried, best_by_strength, score_table
from trainables.spec import ReplicateResult


def best(*tried: tuple[float, str, Row]) -> dict[float, str]:
    rows = best_by_strength(Tried(strength=strength, setting=setting, scores=row) for strength, setting, row in tried)
    return {row.strength: row.setting for row in rows}


def test_the_setting_of_the_best_mean_stands_for_its_strength() -> None:
    assert best((1, "slow", {0: 0.5, 1: 0.7}), (0, "slow", {0: 0.9}), (1, "fast", {0: 0.8, 1: 0.5})) == {
        0: "slow",
        1: "fast",
    }


def test_of_equals_the_first_stands() -> None:
    assert best((1, "a", {0: 0.5}), (1, "b", {0: 0.5})) == {1: "a"}


def test_a_setting_that_mostly_diverged_stands_only_where_there_is_no_other() -> None:
    lucky: Row = {0: 0.9, 1: None}
    assert best((1, "lucky", lucky), (1, "sound", {0: 0.5, 1: 0.5}), (2, "lucky", lucky)) == {1: "sound", 2: "lucky"}


def test_trials_of_one_setting_are_put_together_and_what_has_no_scores_is_left_out() -> None:
    rows = best_by_strength(
        Tried(strength=strength, setting="own", scores=scores)
        for strength, scores in ((1.0, {0: 0.1}), (1.0, {2: None}), (2.0, {}))
    )
    assert [(row.strength, row.scores) for row in rows] == [(1.0, {0: 0.1, 2: None})]


def test_a_table_tells_what_diverged_from_what_is_missing() -> None:
    scores, diverged = score_table([{0: 0.5, 2: None}], replicates=range(3))
    np.testing.assert_array_equal(scores, [[0.5, np.nan, np.nan]])
    np.testing.assert_array_equal(diverged, [[False, False, True]])
    assert score_table([], replicates=())[0].shape == (0, 0)


@pytest.mark.parametrize("known", [(0.0, 4.0), (0.0, 1.0, 2.0, 4.0)])
def test_a_user_of_optuna_is_told_the_strength_that_a_study_would_try(known: tuple[float, ...]) -> None:
    """With a curve and, from two strengths, without one."""
    earlier = [
        Asked(
            arm="to_1", number=slot, round=0, slot=slot, replicates=(0, 1),
            setting=Setting(strength_1=strength, strength_2=0.0),
            results={
                index: ReplicateResult(
                    status="ok", scores=(0.9 - (strength - 1.5) ** 2 / 10 + 0.01 * index, 0.0),
                    losses=(1.0, 1.0), alignment={}, curve=(),
                )
                for index in (0, 1)
            },
        )
        for slot, strength in enumerate(known)
    ]  # fmt: skip
    (unit,) = suggest(
        earlier, "to_1", count=1, sampler="posterior", seed=2**40 + 3, range_=(0.0, 4.0), scale=0.5, seeds=2
    )

    study = optuna.create_study(direction="maximize", sampler=PosteriorSampler(seed=2**40 + 3, scale=0.5, seeds=2))
    space = {"strength": FloatDistribution(0, 4)}
    for asked in earlier:
        study.add_trial(
            create_trial(
                state=TrialState.COMPLETE, params={"strength": asked.setting.strength}, distributions=space,
                value=asked.value, user_attrs={"scores": asked.scores, "replicates": list(asked.replicates)},
            )
        )  # fmt: skip
    assert study.ask(space).params["strength"] == pytest.approx(unit.strength, abs=0.01)
