"""Unique information that is none: what chance shows of it in laws without any, and profiles of symmetric tables."""

from __future__ import annotations

import numpy as np
import pytest

from study.pid import COMPONENTS, broja
from study.pid.blackwell import equal_channels, fitted, garbled
from study.pid.exact import information
from study.pid.resampling import measure
from study.pid.states import States

ROWS, DRAWS = 1500, 20


def _sums(states, *, same=0.0, noise=0.1):
    """p(x1, x2, y) of y = x1 + x2, with equal states in the share `same`: both modalities tell the same."""
    first, second = np.indices((states, states))
    table = np.zeros((states, states, 2 * states - 1))
    table[first, second, first + second] = (1 - same) / states**2 + same / states * np.eye(states)
    flip = np.full((2 * states - 1,) * 2, noise / (2 * states - 2))
    np.fill_diagonal(flip, 1 - noise)
    return table @ flip


def _merged(states):
    """The same with the last two states of the first modality as one: the second alone has something of its own."""
    table = _sums(states)
    table[-2] += table[-1]
    return table[:-1]


def _alike(seed):
    table = np.random.default_rng(seed).dirichlet(np.full(48, 0.5)).reshape(4, 4, 3)
    return (table + table.swapaxes(0, 1)) / 2


SYMMETRIC = {"3 x 3": _sums(3), "5 x 5": _sums(5), "half equal": _sums(3, same=0.5), "random": _alike(0)}


def _exact(table):
    profile = broja(table)
    return np.array([profile[name] for name in COMPONENTS])


def _measured(table, seed, *, bootstrap=60):
    rng = np.random.default_rng([seed, 77])
    x1, x2, y = np.unravel_index(rng.choice(table.size, size=ROWS, p=table.ravel() / table.sum()), table.shape)
    return measure(States.of(x1, x2, y), bootstrap=bootstrap, level=0.9, rng=np.random.default_rng([seed, 1]))


def _significant(found):
    return (found.value > found.null) & (found.interval[0] > 0)


def _held(found, exact):
    return (found.interval[0] - 1e-3 <= exact) & (exact <= found.interval[1] + 1e-3)


@pytest.mark.parametrize("table", SYMMETRIC.values(), ids=SYMMETRIC)
def test_unique_information_of_a_symmetric_table_is_seldom_found_and_its_profile_held(table):
    """Both parts are 0; chance alone shows 0.04 bits of each in 3 x 3 states and 0.09 in 5 x 5."""
    exact, found = _exact(table), [_measured(table, seed) for seed in range(DRAWS)]
    assert np.mean([_significant(one)[1:3] for one in found]) <= 0.1
    assert np.mean([_held(one, exact) for one in found]) >= 0.85
    assert np.mean([one.value for one in found], axis=0) == pytest.approx(exact, abs=0.03)


def test_one_modality_with_something_of_its_own_does_not_lend_it_to_the_other():
    table = _merged(4)
    exact, found = _exact(table), [_measured(table, seed) for seed in range(DRAWS)]
    assert np.mean([_significant(one)[1] for one in found]) <= 0.1
    assert np.mean([_significant(one)[2] for one in found]) >= 0.9
    assert np.mean([_held(one, exact) for one in found]) >= 0.85


def test_unique_information_that_is_there_is_found():
    table = np.zeros((2, 2, 4))
    table[np.indices((2, 2))[0], np.indices((2, 2))[1], [[0, 1], [2, 3]]] = 0.25  # each modality tells its own bit
    found = _measured(0.9 * table + 0.1 / 16, 0)
    assert _significant(found)[1:3].all()
    assert _held(found, _exact(0.9 * table + 0.1 / 16)).all()


def test_profiles_without_resamples_are_corrected_alike():
    values = [_measured(SYMMETRIC["5 x 5"], seed, bootstrap=0).value for seed in range(4)]
    assert np.mean(values, axis=0)[1:3].max() < 0.03  # 0.06 where the sample's asymmetry counts as the law's


@pytest.mark.parametrize("seed", range(5))
def test_laws_at_the_edge_have_no_unique_information(seed):
    table = np.random.default_rng(seed).dirichlet(np.full(60, 0.5)).reshape(5, 4, 3)
    p1, p2 = table.sum(axis=1), table.sum(axis=0)

    def unique(p1, p2):
        q = np.einsum("iy,jy,y->ijy", p1, p2, 1 / p1.sum(axis=0))  # any table with these pair marginals
        return _exact(q)[1:3]

    one, other = equal_channels(p1, p2)
    assert unique(one, other) == pytest.approx([0, 0], abs=1e-6)
    assert information(one[None]) == pytest.approx(information(other[None]))
    assert unique(garbled(p1, p2), p2)[0] == pytest.approx(0, abs=1e-6)
    for law in (one, other, garbled(p1, p2)):
        assert law.sum() == pytest.approx(1)


def test_a_fitted_law_has_the_wanted_marginals_and_no_other_cells():
    rng = np.random.default_rng(0)
    joint = rng.dirichlet(np.ones(36)).reshape(12, 3)
    x1, x2 = np.indices((4, 3)).reshape(2, 12)
    wanted = rng.dirichlet(np.ones(36)).reshape(12, 3)
    joint[0] = 0.0
    wanted[0] = 0.0
    wanted /= wanted.sum()
    p1, p2 = wanted.reshape(4, 3, 3).sum(axis=1), wanted.reshape(4, 3, 3).sum(axis=0)
    law = fitted(joint, x1, x2, p1, p2)
    assert law.reshape(4, 3, 3).sum(axis=1) == pytest.approx(p1, abs=1e-6)
    assert law.reshape(4, 3, 3).sum(axis=0) == pytest.approx(p2, abs=1e-6)
    assert not law[0].any()
