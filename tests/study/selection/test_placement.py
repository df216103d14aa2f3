"""Where the next trainings go: truths about what they tell, on planted curves."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from study.selection import Unit, free_columns, next_strength, select

AXIS = np.linspace(0, 1, 9)


def trained(curve: np.ndarray, *, noise: float = 0.1, seeds: int = 3, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return curve[:, None] + rng.normal(size=seeds) + noise * rng.normal(size=(len(curve), seeds))


def test_an_open_decision_between_two_strengths_gets_fresh_seeds_at_both() -> None:
    """The ends of a valley are equally good: nothing but more seeds can tell them apart."""
    scores = trained(8 * (AXIS - 0.5) ** 2, noise=0.3)
    first = next_strength(AXIS, scores, seeds=2)
    second = next_strength(AXIS, scores, running=[Unit(strength=first, columns=(3, 4))], seeds=2)
    assert {first, second} == {0.0, 1.0}


def test_trainings_go_where_the_optimum_may_lie() -> None:
    scores = trained(-4 * (AXIS - 0.5) ** 2)
    running: list[Unit] = []
    for _ in range(4):
        place = next_strength(AXIS, scores, running=running, seeds=1)
        taken = {0, 1, 2} if place in AXIS else set[int]()
        taken |= {column for unit in running if unit.strength == place for column in unit.columns}
        running.append(Unit(strength=place, columns=free_columns(taken, 1)))
    assert all(abs(unit.strength - 0.5) < 0.3 for unit in running)


def test_strengths_where_trainings_fail_are_avoided() -> None:
    scores = trained(AXIS)
    diverged = np.zeros(scores.shape, bool)
    diverged[-3:] = True
    scores[diverged] = np.nan
    assert next_strength(AXIS, scores, diverged=diverged, seeds=2) < 0.75


def test_what_is_placed_pays() -> None:
    """The same trainings as fresh seeds at every strength leave a larger expected regret."""
    rng = np.random.default_rng(0)
    curve, luck = -2 * (AXIS - 0.4) ** 2, 0.3 * rng.normal(size=(9, 40))
    scores = np.full((9, 40), np.nan)
    scores[:, :2] = (curve[:, None] + luck)[:, :2]
    even = (curve[:, None] + luck)[:, :4]
    for _ in range(6):
        running: list[Unit] = []
        for _ in range(2):
            place = next_strength(AXIS, scores, running=running, seeds=1)
            row = int(np.abs(AXIS - place).argmin())
            columns = free_columns(set(np.flatnonzero(np.isfinite(scores[row])).tolist()), 1)
            running.append(Unit(strength=float(AXIS[row]), columns=columns))
            scores[row, columns] = curve[row] + luck[row, columns]
    placed = select(AXIS, scores, diverged=np.zeros(scores.shape, bool))
    assert np.isfinite(scores).sum() <= even.size
    assert placed.expected_regret < select(AXIS, even).expected_regret


@pytest.mark.parametrize(("taken", "expected"), [(set(), (0, 1)), ({0, 1}, (2, 3)), ({0, 2}, (1, 3))])
def test_a_unit_takes_the_lowest_free_seeds(taken: set[int], expected: tuple[int, ...]) -> None:
    assert free_columns(taken, 2) == expected


@given(st.integers(0, 2**16), st.integers(1, 4), st.integers(3, 9), st.booleans())
@settings(max_examples=10)
def test_any_table_gets_a_strength_within_the_range(seed: int, seeds: int, count: int, holes: bool) -> None:
    rng = np.random.default_rng(seed)
    strengths = np.sort(rng.uniform(0, 4, count))
    scores = rng.normal(size=(count, seeds + 1))
    if holes:
        scores[1:, -1] = np.nan
    place = next_strength(strengths, scores, range_=(0, 5), seeds=2)
    assert 0 <= place <= 5
    assert place == next_strength(strengths, scores, range_=(0, 5), seeds=2)
