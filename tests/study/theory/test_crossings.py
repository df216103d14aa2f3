"""Critical strengths against the lines they are made of."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from study.theory import Moments, critical_strengths, crossings, info_nce_strength, information_loss, joint_optimum
from study.theory.crossings import crossings_of
from study.theory.problem import joint_problem
from trainables.datasets.generated.linear import population


def commuting(mu, rho, *, seed=0):
    """Directions with power `mu` and canonical correlation `rho` each, seen through random invertible maps."""
    rng = np.random.default_rng(seed)
    d = len(mu)
    a, b = rng.standard_normal((2, d, d))
    prediction = a @ np.diag(np.sqrt(mu))
    target = np.eye(d) * np.max(mu)
    return Moments(
        s11=a @ a.T, s22=b @ b.T, s12=a @ np.diag(rho) @ b.T, s1y=prediction, s2y=b, syy_1=target, syy_2=2 * np.eye(d)
    )


def staircase(mu, rho, k, smallest_loss):
    """Where the set of the k highest lines μ + λ ρ² changes, by brute force over all pairs of lines."""
    mu, slope = np.asarray(mu), np.square(rho)
    steps = []
    for i in range(len(mu)):
        for j in range(len(mu)):
            if slope[j] > slope[i] and mu[i] > mu[j]:
                at = (mu[i] - mu[j]) / (slope[j] - slope[i])
                before, after = (set(np.argsort(-(mu + at * f * slope))[:k]) for f in (1 - 1e-9, 1 + 1e-9))
                if before - after == {i}:
                    steps.append((at, (mu[i] - mu[j]) / np.sort(mu)[-k:].sum()))
    return sorted(step for step in steps if step[1] >= smallest_loss)


@pytest.mark.parametrize(("mu_u", "mu_s", "rho"), [(0.8, 0.2, 0.9), (3.0, 0.0, 0.3), (1.0, 0.99, 0.5)])
def test_one_unique_and_one_shared_direction_swap_at_the_closed_form(mu_u, mu_s, rho):
    m = commuting([mu_u, mu_s], [0.0, rho])
    found = critical_strengths(m, k=1, encoder=1, smallest_loss=0.005)
    np.testing.assert_allclose(found, [(mu_u - mu_s) / rho**2], rtol=1e-6)


def test_risk_steps_up_by_the_swapped_power_at_the_critical_strength():
    m = commuting([0.8, 0.2], [0.0, 0.9])
    (crossing,) = crossings(m, k=1, encoder=1)
    before, after = (
        information_loss(m, joint_optimum(m, crossing.strength * f, k=1, encoder=1).encoder, encoder=1)
        for f in (0.999, 1.001)
    )
    assert before.excess_risk == pytest.approx(0.0, abs=1e-9)
    assert after.excess_risk == pytest.approx(0.6)
    assert crossing.lost == pytest.approx(0.6 / 0.8)
    assert crossing.correlation == pytest.approx(0.9)


def test_an_encoder_pair_trained_together_swaps_where_loss_and_gain_of_both_balance():
    m, k, temperature = commuting([0.8, 0.8, 0.2, 0.2], [0.0, 0.0, 0.9, 0.9]), 2, 0.5
    (crossing,) = crossings(m, k=k, encoder=1)
    both_lose = 2 * (0.8 + 0.8 - 0.2 - 0.2)
    # 2 directions of correlation 0.9 add 2 · 0.9/(kτ) to the positives of InfoNCE
    expected = both_lose / (2 * 0.9 / (k * temperature))
    assert info_nce_strength(crossing, crossing, k=k, temperature=temperature) == pytest.approx(expected)


def test_partly_shared_directions_swap_where_their_lines_cross():
    m = commuting([1.0, 0.7, 0.3], [0.2, 0.6, 0.95])
    found = critical_strengths(m, k=1, encoder=1)
    first = (1.0 - 0.7) / (0.6**2 - 0.2**2)
    second = (0.7 - 0.3) / (0.95**2 - 0.6**2)
    direct = (1.0 - 0.3) / (0.95**2 - 0.2**2)
    np.testing.assert_allclose(found, [first, second] if first < second else [direct], rtol=1e-6)


@settings(max_examples=100)
@given(
    mu=st.lists(st.integers(0, 20), min_size=5, max_size=5, unique=True),
    rho=st.lists(st.integers(1, 19), min_size=5, max_size=5, unique=True),
    k=st.integers(1, 4),
)
def test_every_swap_of_commuting_directions_is_found(mu, rho, k):
    mu, rho = np.array(mu, dtype=float), np.array(rho) / 20
    expected = staircase(mu, rho, k, 0.05)
    found = crossings(commuting(mu, rho), k=k, encoder=1, smallest_loss=0.02)
    for strength, lost in expected:
        near = [c for c in found if abs(np.log(c.strength / strength)) < 2e-3]
        assert near, (strength, lost, found)
    assert sum(c.lost for c in found) <= 1 + 1e-9


def test_lines_that_avoid_each_other_swap_at_45_degrees():
    # μ_u and μ_s of A, and C with a little coupling between them: half of the loss is done where the diagonals meet
    coupling = 0.02
    c = np.array([[0.3, coupling], [coupling, 0.8]])
    root = np.linalg.cholesky(c)
    m = Moments(
        s11=np.eye(2),
        s22=np.eye(2),
        s12=root,
        s1y=np.diag(np.sqrt([0.9, 0.1])),
        s2y=np.eye(2),
        syy_1=np.eye(2),
        syy_2=np.eye(2),
    )
    (found,) = critical_strengths(m, k=1, encoder=1)
    assert found == pytest.approx((0.9 - 0.1) / (0.8 - 0.3), rel=0.02)


@pytest.mark.parametrize("redundancy", [0.0, 0.1, 0.25, 0.4])
def test_the_linear_family_swaps_all_its_directions_at_its_critical_strength(redundancy):
    law = population({"seed": 3, "features": 12, "redundancy": redundancy, "correlation": 0.8, "latents": 3})
    eye, power = np.eye(12), np.diag(law.target_scale**2)
    m = Moments(
        s11=eye,
        s22=eye,
        s12=law.cross_covariance,
        s1y=law.target_covariance(0),
        s2y=law.target_covariance(1),
        syy_1=power,
        syy_2=power,
    )
    for encoder in (1, 2):
        np.testing.assert_allclose(critical_strengths(m, k=3, encoder=encoder), [law.critical_strength], rtol=1e-6)


@pytest.mark.parametrize(
    ("mu", "rho", "k"),
    [
        ([0.2, 0.9], [0.0, 0.9], 1),  # the shared direction predicts best
        ([0.9, 0.2], [0.0, 0.9], 2),  # room for both
        ([0.9, 0.2], [0.0, 0.0], 1),  # nothing is shared
        ([0.0, 0.0], [0.5, 0.9], 1),  # nothing can be predicted
    ],
)
def test_there_is_no_critical_strength_where_nothing_is_given_up(mu, rho, k):
    assert critical_strengths(commuting(mu, rho), k=k, encoder=1).size == 0


def test_a_critical_strength_scales_with_the_power_of_the_target():
    small, large = commuting([0.8, 0.2], [0.0, 0.9]), commuting([8e6, 2e6], [0.0, 0.9])
    ratio = critical_strengths(large, k=1, encoder=1) / critical_strengths(small, k=1, encoder=1)
    np.testing.assert_allclose(ratio, 1e7, rtol=1e-6)


@pytest.mark.parametrize("k", [1, 4, 16])
def test_the_reduced_problem_has_the_same_optimum_and_crossings(k):
    rng = np.random.default_rng(0)
    s = rng.standard_normal((900, 30))
    x_1, x_2 = (np.hstack([s, rng.standard_normal((900, 120))]) + 0.5 * rng.standard_normal((900, 150)) for _ in "12")
    y = x_1 @ rng.standard_normal((150, 4)) + 10 * rng.standard_normal((900, 4))
    m = Moments.from_samples(x_1, x_2, y, y)
    problem = joint_problem(m, encoder=1)
    reduced = problem.reduced(k=k)
    assert reduced.rank < 0.6 * problem.rank
    for strength in (0.0, 0.1, 10.0, 300.0, np.inf):
        (values, basis), (few, narrow) = (v.leading(strength, k=k) for v in (problem, reduced))
        np.testing.assert_allclose(few[:k], values[:k], rtol=1e-6, atol=1e-9 * values[0])
        assert reduced.explained(narrow) == pytest.approx(problem.explained(basis), rel=1e-6)
    dense, fast = (crossings_of(v, k=k) for v in (problem, reduced))
    assert [c.strength for c in fast] == pytest.approx([c.strength for c in dense], rel=1e-4)
    assert dense


def test_bad_input_is_refused():
    m = commuting([0.8, 0.2], [0.0, 0.9])
    with pytest.raises(ValueError, match="k is 3; it may be 1 to 2"):
        critical_strengths(m, k=3, encoder=1)
    with pytest.raises(ValueError, match="smallest_loss is 0"):
        crossings(m, k=1, encoder=1, smallest_loss=0)
    (crossing,) = crossings(m, k=1, encoder=1)
    with pytest.raises(ValueError, match="k is 1 and temperature"):
        info_nce_strength(crossing, crossing, k=1, temperature=0.1)
