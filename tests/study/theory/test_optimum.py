"""Closed forms of `study.theory` against the spiked model, gradient descent, and their own limits."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.covariance import ledoit_wolf_shrinkage

from study.theory import (
    Moments,
    alignment_directions,
    critical_strengths,
    information_loss,
    joint_optimum,
    prediction_directions,
    risk,
)


def random_rows(seed, n=400, d_1=7, d_2=6, q_1=3, q_2=2, shared=3):
    """Correlated modalities of different widths, each with a target of its own that needs shared and own parts."""
    rng = np.random.default_rng(seed)
    s = rng.standard_normal((n, shared))
    x_1 = np.hstack([s, rng.standard_normal((n, d_1 - shared))]) @ rng.standard_normal((d_1, d_1))
    x_2 = np.hstack([s + 0.6 * rng.standard_normal((n, shared)), rng.standard_normal((n, d_2 - shared))])
    x_2 = x_2 @ rng.standard_normal((d_2, d_2))
    y_1 = x_1 @ rng.standard_normal((d_1, q_1)) / 3 + rng.standard_normal((n, q_1))
    y_2 = x_2 @ rng.standard_normal((d_2, q_2)) / 3 + rng.standard_normal((n, q_2))
    return tuple(v - v.mean(axis=0) for v in (x_1, x_2, y_1, y_2))


def random_moments(seed, **sizes):
    return Moments.from_samples(*random_rows(seed, **sizes), shrinkage=None)


def spiked_model(seed=0, *, k_squared, gx, gy, gx_rest, gy_rest, eta):
    """The spiked model: the target of encoder 1 is x_2 and the reverse; signal directions first, then nuisance."""
    rng = np.random.default_rng(seed)
    d = len(k_squared) + len(eta)
    q_x, q_y = (np.linalg.qr(rng.standard_normal((d, d)))[0] for _ in range(2))
    s_xx = q_x @ np.diag([*np.add(k_squared, gx), *gx_rest]) @ q_x.T
    s_yy = q_y @ np.diag([*np.add(k_squared, gy), *gy_rest]) @ q_y.T
    s_xy = q_x @ np.diag([*k_squared, *eta]) @ q_y.T
    return q_x, Moments(s11=s_xx, s22=s_yy, s12=s_xy, s1y=s_xy, s2y=s_xy.T, syy_1=s_yy, syy_2=s_xx)


def largest_angle(a, b, covariance):
    """Sine of the largest principal angle between the representations a x and b x."""
    q_a, q_b = (scipy.linalg.orth(np.linalg.cholesky(covariance).T @ w.T) for w in (a, b))
    return float(np.linalg.norm(q_a - q_b @ (q_b.T @ q_a), 2))


SPIKES = {
    "k_squared": np.array([2.0, 1.5, 1.0]),
    "gx": np.array([0.5, 0.4, 0.3]),
    "gy": np.array([0.6, 0.2, 0.5]),
    "gx_rest": np.array([1.0, 2.0, 0.5]),
    "gy_rest": np.array([40.0, 1.0, 0.7]),
    "eta": np.array([5.0, 0.3, 0.2]),
}


def spiked_values(spikes):
    """Signal ρ_i and nuisance ν_j of alignment, signal τ_i and nuisance ξ_j of prediction (protocol formulas)."""
    k_squared, eta = spikes["k_squared"], spikes["eta"]
    power_x, power_y = k_squared + spikes["gx"], k_squared + spikes["gy"]
    rho, nu = k_squared / np.sqrt(power_x * power_y), eta / np.sqrt(spikes["gx_rest"] * spikes["gy_rest"])
    return rho, nu, k_squared / np.sqrt(power_x), eta / np.sqrt(spikes["gx_rest"])


def test_alignment_of_the_spiked_model_has_its_canonical_correlations():
    _, m = spiked_model(**SPIKES)
    rho, nu, _, _ = spiked_values(SPIKES)
    np.testing.assert_allclose(alignment_directions(m, k=6).correlations, np.sort([*rho, *nu])[::-1], atol=1e-10)


def test_prediction_in_the_spiked_model_explains_its_singular_values_squared():
    _, m = spiked_model(**SPIKES)
    _, _, tau, xi = spiked_values(SPIKES)
    np.testing.assert_allclose(
        prediction_directions(m, encoder=1).values, np.sort(np.square([*tau, *xi]))[::-1], rtol=1e-10
    )


@pytest.mark.parametrize(
    ("nuisance_x", "nuisance_y", "aligns", "predicts"),
    [(5.5, 40.0, True, False), (5.5, 5.5, False, False), (100.0, 0.3, False, True), (100.0, 40.0, True, True)],
)
def test_spiked_signal_is_recovered_exactly_where_the_ratios_say(nuisance_x, nuisance_y, aligns, predicts):
    spikes = SPIKES | {"gx_rest": np.array([nuisance_x, 2.0, 0.5]), "gy_rest": np.array([nuisance_y, 1.0, 0.7])}
    q_x, m = spiked_model(**spikes)
    rho, nu, tau, xi = spiked_values(spikes)
    assert (min(rho) > max(nu), min(tau) > max(xi)) == (aligns, predicts)
    aligned = alignment_directions(m, k=3).encoder_1
    predicted = prediction_directions(m, encoder=1).encoder[:3]
    assert (largest_angle(aligned, q_x[:, :3].T, m.s11) < 1e-6) == aligns
    assert (largest_angle(predicted, q_x[:, :3].T, m.s11) < 1e-6) == predicts


def test_alignment_resists_noise_of_the_other_modality_by_the_ratio_of_the_two():
    # Δ_CA / Δ_CP = √(max γ̃_y / min(k² + γ_y)), the same directions being the extreme ones of both
    spikes = SPIKES | {"k_squared": np.array([3.0, 2.0, 1.0]), "gx": np.full(3, 0.5), "gy": np.full(3, 0.5)}
    spikes |= {"eta": np.array([3.0, 0.1, 0.1]), "gx_rest": np.full(3, 1.0), "gy_rest": np.full(3, 12.0)}
    _, m = spiked_model(**spikes)
    correlations = alignment_directions(m, k=4).correlations  # ν_1, ρ_1, ρ_2, ρ_3
    powers = np.sqrt(prediction_directions(m, encoder=1).values[:4])  # ξ_1, τ_1, τ_2, τ_3
    ratio = (correlations[3] / correlations[0]) / (powers[3] / powers[0])
    assert ratio == pytest.approx(np.sqrt(12.0 / 1.5))


def test_the_spiked_joint_optimum_leaves_the_nuisance_where_the_lines_cross():
    spikes = SPIKES | {"gx_rest": np.array([5.5, 2.0, 0.5]), "gy_rest": np.array([40.0, 1.0, 0.7])}
    q_x, m = spiked_model(**spikes)
    rho, nu, tau, xi = spiked_values(spikes)
    first = int(np.argmin(tau**2))
    expected = (xi[0] ** 2 - tau[first] ** 2) / (rho[first] ** 2 - nu[0] ** 2)
    np.testing.assert_allclose(critical_strengths(m, k=3, encoder=1), [expected], rtol=1e-6)
    after = joint_optimum(m, expected * 1.001, k=3, encoder=1).encoder
    assert largest_angle(after, q_x[:, :3].T, m.s11) < 1e-6


def descend(rows, strength, k, *, steps=1200, seed=0):
    """Gradient descent on E‖B W x_1 − y_1‖² + λ E‖W x_1 − V x_2‖² over W (whitened by Cholesky), B and V."""
    x_1, x_2, y_1, _ = (torch.tensor(v) for v in rows)
    n = len(x_1)
    generator = torch.Generator().manual_seed(seed)

    def start(*shape):
        return (torch.randn(*shape, generator=generator, dtype=torch.float64) / 3).requires_grad_()

    free, probe, other = start(k, x_1.shape[1]), start(y_1.shape[1], k), start(k, x_2.shape[1])
    # whitened inputs are a change of variables of W and V: they make plain descent converge in seconds
    root_1, root_2 = (torch.linalg.inv(torch.linalg.cholesky(x.T @ x / n)) for x in (x_1, x_2))
    x_1, x_2 = x_1 @ root_1.T, x_2 @ root_2.T
    optimiser = torch.optim.SGD([free, probe, other], lr=0.1 / (1 + strength), momentum=0.9, nesterov=True)
    for _ in range(steps):
        z = x_1 @ free.T
        z = z @ torch.linalg.inv(torch.linalg.cholesky(z.T @ z / n)).T
        task = (z @ probe.T - y_1).square().sum() / n
        loss = task + strength * (z - x_2 @ other.T).square().sum() / n
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return (free @ root_1).detach().numpy(), float(task.detach()), float(loss.detach())


@pytest.mark.parametrize(("seed", "strength", "k"), [(0, 0.3, 2), (1, 1.0, 3), (2, 4.0, 2)])
def test_gradient_descent_on_linear_encoders_ends_at_the_closed_form(seed, strength, k):
    rows = random_rows(seed)
    m = Moments.from_samples(*rows, shrinkage=None)
    expected = joint_optimum(m, strength, k=k, encoder=1)
    weights, task, loss = descend(rows, strength, k)
    assert loss == pytest.approx(np.trace(m.syy_1) - expected.values[:k].sum(), rel=1e-6)
    assert task == pytest.approx(risk(m, expected.encoder, encoder=1), rel=0.01)
    assert largest_angle(weights, expected.encoder, m.s11) < 1e-3


@pytest.mark.parametrize("strength", [0.0, 1e-3, 0.5, 7.0, np.inf])
def test_the_optimum_is_whitened_and_attains_its_spectrum(strength):
    m = random_moments(3)
    found = joint_optimum(m, strength, k=4, encoder=1)
    np.testing.assert_allclose(found.encoder @ m.s11 @ found.encoder.T, np.eye(4), atol=1e-9)
    matrix = m.s12 @ np.linalg.solve(m.s22, m.s12.T) - m.s11
    if np.isfinite(strength):
        matrix = m.s1y @ m.s1y.T + strength * matrix
    attained = np.diag(found.encoder @ matrix @ found.encoder.T)
    np.testing.assert_allclose(attained, found.values[:4], atol=1e-9)


def test_no_whitened_encoder_does_better_than_the_optimum():
    m, rng = random_moments(4), np.random.default_rng(0)
    matrix = m.s1y @ m.s1y.T + 0.8 * (m.s12 @ np.linalg.solve(m.s22, m.s12.T) - m.s11)
    best = joint_optimum(m, 0.8, k=3, encoder=1).values[:3].sum()
    for _ in range(200):
        w = rng.standard_normal((3, 7))
        w = np.linalg.solve(np.linalg.cholesky(w @ m.s11 @ w.T), w)
        assert np.trace(w @ matrix @ w.T) <= best + 1e-9


@pytest.mark.parametrize("encoder", [1, 2])
def test_strength_zero_is_reduced_rank_regression(encoder):
    m = random_moments(5)
    own = m if encoder == 1 else m.swapped()
    _, vectors = scipy.linalg.eigh(own.s1y @ own.s1y.T, own.s11)
    reference = vectors[:, ::-1][:, :2].T
    for strength in (0.0, 1e-9):
        found = joint_optimum(m, strength, k=2, encoder=encoder)
        assert largest_angle(found.encoder, reference, own.s11) < 1e-6


@pytest.mark.parametrize("encoder", [1, 2])
def test_infinite_strength_is_canonical_correlation_analysis(encoder):
    m = random_moments(6)
    own = m if encoder == 1 else m.swapped()
    _, vectors = scipy.linalg.eigh(own.s12 @ np.linalg.solve(own.s22, own.s12.T), own.s11)
    reference = vectors[:, ::-1][:, :2].T
    for strength in (np.inf, 1e9):
        found = joint_optimum(m, strength, k=2, encoder=encoder)
        assert largest_angle(found.encoder, reference, own.s11) < 1e-6
    aligned = alignment_directions(m, k=2)
    assert largest_angle((aligned.encoder_1, aligned.encoder_2)[encoder - 1], reference, own.s11) < 1e-6


def test_in_the_limit_alignment_chooses_what_prediction_leaves_open():
    m = random_moments(7, q_1=1)
    limit, small = (joint_optimum(m, strength, k=3, encoder=1).encoder for strength in (0.0, 1e-7))
    assert largest_angle(limit, small, m.s11) < 1e-5


def test_aligned_encoders_correlate_direction_by_direction():
    m = random_moments(8)
    found = alignment_directions(m, k=4)
    cross = found.encoder_1 @ m.s12 @ found.encoder_2.T
    np.testing.assert_allclose(cross, np.diag(found.correlations), atol=1e-9)
    np.testing.assert_allclose(found.encoder_2 @ m.s22 @ found.encoder_2.T, np.eye(4), atol=1e-9)


@settings(max_examples=25)
@given(seed=st.integers(0, 10_000), strength=st.floats(0, 1e3), k=st.integers(1, 5))
def test_swapping_the_modalities_swaps_the_answer(seed, strength, k):
    m = random_moments(seed, n=60)
    swapped = m.swapped()
    for encoder, other in ((1, 2), (2, 1)):
        here, there = (
            joint_optimum(m, strength, k=k, encoder=encoder),
            joint_optimum(swapped, strength, k=k, encoder=other),
        )
        np.testing.assert_allclose(here.values, there.values, rtol=1e-9, atol=1e-9)
        assert risk(m, here.encoder, encoder=encoder) == pytest.approx(risk(swapped, there.encoder, encoder=other))


@settings(max_examples=25)
@given(seed=st.integers(0, 10_000), k=st.integers(1, 6))
def test_risk_never_falls_and_correlation_never_falls_with_strength(seed, k):
    m = random_moments(seed, n=60)
    risks, shared = [], []
    for strength in (0.0, 0.01, 0.1, 1.0, 10.0, 100.0, np.inf):
        w = joint_optimum(m, strength, k=k, encoder=1).encoder
        risks.append(risk(m, w, encoder=1))
        shared.append(np.trace(w @ m.s12 @ np.linalg.solve(m.s22, m.s12.T) @ w.T))
    assert np.all(np.diff(risks) >= -1e-8)
    assert np.all(np.diff(shared) >= -1e-8)


def test_risk_is_that_of_least_squares_on_the_representation():
    x_1, _, y_1, _ = rows = random_rows(9)
    m = Moments.from_samples(*rows, shrinkage=None)
    weights = np.random.default_rng(0).standard_normal((3, 7))  # not whitened
    residual = y_1 - (x_1 @ weights.T) @ np.linalg.lstsq(x_1 @ weights.T, y_1, rcond=None)[0]
    assert risk(m, weights, encoder=1) == pytest.approx(np.sum(residual**2) / len(x_1))
    repeated = np.vstack([weights, weights])  # more rows than rank
    assert risk(m, repeated, encoder=1) == pytest.approx(risk(m, weights, encoder=1))


def unique_and_shared(mu_unique, mu_shared, rho):
    """One shared and one unique direction of power μ each, of unit variance; the target is their weighted pair."""
    s12 = np.diag([rho, 0.0])
    s1y = np.diag(np.sqrt([mu_shared, mu_unique]))
    syy = np.eye(2)
    return Moments(s11=np.eye(2), s22=np.eye(2), s12=s12, s1y=s1y, s2y=s1y, syy_1=syy, syy_2=syy)


def test_aligned_encoder_loses_exactly_the_unique_direction():
    m = unique_and_shared(0.6, 0.1, 0.9)
    lost = information_loss(m, alignment_directions(m, k=1).encoder_1, encoder=1)
    assert lost.excess_risk == pytest.approx(0.5)
    assert (lost.r2, lost.best_r2) == (pytest.approx(0.05), pytest.approx(0.3))


def test_nothing_is_lost_where_the_width_holds_both_directions():
    m = unique_and_shared(0.6, 0.1, 0.9)
    for strength in (0.0, 1.0, np.inf):
        assert information_loss(m, joint_optimum(m, strength, k=2, encoder=1).encoder, encoder=1).excess_risk < 1e-12


def test_repeated_columns_change_neither_correlations_nor_risks():
    x_1, x_2, y_1, y_2 = random_rows(10)
    m = Moments.from_samples(x_1, x_2, y_1, y_2, shrinkage=None)
    wide = Moments.from_samples(np.hstack([x_1, x_1 @ np.ones((7, 2)), x_1[:, :1]]), x_2, y_1, y_2, shrinkage=None)
    np.testing.assert_allclose(
        alignment_directions(wide, k=3).correlations, alignment_directions(m, k=3).correlations, atol=1e-9
    )
    for strength in (0.0, 0.7, np.inf):
        here, there = (joint_optimum(v, strength, k=3, encoder=1).encoder for v in (m, wide))
        assert risk(wide, there, encoder=1) == pytest.approx(risk(m, here, encoder=1))


def test_units_of_the_features_change_neither_correlations_nor_risks():
    x_1, x_2, y_1, y_2 = random_rows(11)
    m = Moments.from_samples(x_1, x_2, y_1, y_2, shrinkage=None)
    scaled = Moments.from_samples(x_1 * np.geomspace(1e-8, 1e8, 7), x_2 * 1e6, y_1, y_2, shrinkage=None)
    for strength in (0.0, 0.7, np.inf):
        here, there = (joint_optimum(v, strength, k=3, encoder=1) for v in (m, scaled))
        np.testing.assert_allclose(there.values, here.values, rtol=1e-6, atol=1e-9)
        assert risk(scaled, there.encoder, encoder=1) == pytest.approx(risk(m, here.encoder, encoder=1))


@pytest.mark.parametrize("rows", [12, 40])
def test_shrunk_moments_of_few_rows_belong_to_some_data(rows):
    rng = np.random.default_rng(0)
    x_1, x_2, y = rng.standard_normal((rows, 60)), rng.standard_normal((rows, 50)), rng.standard_normal((rows, 2))
    x_2[:, 0] = x_1[:, 0] * 3
    m = Moments.from_samples(x_1, x_2, y, y)
    assert all(0 < a <= 1 for a in m.intensity)
    assert alignment_directions(m, k=50).correlations.max() <= 1 + 1e-9
    for strength in (0.0, 1.0, np.inf):
        w = joint_optimum(m, strength, k=5, encoder=1).encoder
        assert -1e-9 <= risk(m, w, encoder=1) <= np.trace(m.syy_1) + 1e-9


def test_shrinkage_of_uncorrelated_columns_leaves_the_cross_moments():
    # intensity near 1, where scaling the cross moments along with the covariance would leave nothing to predict from
    rng = np.random.default_rng(0)
    x = rng.standard_normal((500, 20))
    y = x[:, 0] + 0.1 * rng.standard_normal(500)
    m = Moments.from_samples(x, x + rng.standard_normal(x.shape), y, y)
    assert m.intensity[0] > 0.9
    assert information_loss(m, joint_optimum(m, 0.0, k=1, encoder=1).encoder, encoder=1).r2 > 0.9


@pytest.mark.parametrize("shape", [(30, 80), (300, 20), (50, 50)])
def test_shrinkage_intensity_is_ledoit_and_wolf_s(shape):
    rng = np.random.default_rng(1)
    x = rng.standard_normal(shape) * np.linspace(0.2, 3, shape[1])
    y = rng.standard_normal(shape[0])
    m = Moments.from_samples(x, x[:, :4], y, y)
    expected = ledoit_wolf_shrinkage(x)
    assert m.intensity[0] == pytest.approx(expected, rel=1e-9)


def identity_moments(**changed):
    eye = np.eye(2)
    moments = {"s11": eye, "s22": eye, "s12": 0.5 * eye, "s1y": eye, "s2y": eye, "syy_1": eye, "syy_2": eye}
    return Moments(**(moments | changed))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: identity_moments(s12=np.eye(3)), "s12 has shape"),
        (lambda: identity_moments(s1y=np.full((2, 2), np.nan)), "s1y has values that are not finite"),
        (lambda: identity_moments(s22=np.array([[1.0, 0.5], [0.0, 1.0]])), "s22 is not symmetric"),
        (lambda: joint_optimum(identity_moments(s12=2 * np.eye(2)), 1.0, k=1, encoder=1), "canonical correlation is 2"),
        (lambda: joint_optimum(identity_moments(), -0.1, k=1, encoder=1), "strength is -0.1"),
        (lambda: joint_optimum(identity_moments(), np.nan, k=1, encoder=1), "strength is nan"),
        (lambda: joint_optimum(identity_moments(), 1.0, k=3, encoder=1), "k is 3; it may be 1 to 2"),
        (lambda: joint_optimum(identity_moments(), 1.0, k=0, encoder=1), "k is 0"),
        (lambda: joint_optimum(identity_moments(), 1.0, k=1, encoder=3), "encoder is 3"),
        (lambda: joint_optimum(identity_moments(s11=np.zeros((2, 2))), 1.0, k=1, encoder=2), "does not vary"),
        (lambda: risk(identity_moments(), np.ones((1, 3)), encoder=1), r"weights have shape \(1, 3\)"),
        (lambda: risk(identity_moments(), np.ones((1, 2)), encoder=0), "encoder is 0"),
        (
            lambda: information_loss(
                identity_moments(s1y=np.zeros((2, 2)), syy_1=np.zeros((2, 2))), np.ones((1, 2)), encoder=1
            ),
            "target of encoder 1 does not vary",
        ),
        (lambda: Moments.from_samples(np.ones((1, 2)), np.ones((1, 2)), [1.0], [1.0]), "at least 2"),
        (lambda: Moments.from_samples(np.ones((3, 2)), np.ones((4, 2)), np.ones(3), np.ones(3)), "3, 4, 3, 3 rows"),
        (lambda: Moments.from_samples(np.ones((3, 2)), [[1, 2], [3, np.inf], [0, 0]], [1, 2, 3], [1, 2, 3]), "x_2"),
        (lambda: Moments.from_samples(np.ones((3, 2, 2)), np.ones((3, 2)), np.ones(3), np.ones(3)), "x_1 has shape"),
        (
            lambda: Moments.from_samples(np.eye(3), np.eye(3), np.ones(3), np.ones(3), shrinkage="ridge"),
            "unknown shrinkage 'ridge'",
        ),
    ],
)
def test_bad_input_is_one_clear_line(call, message):
    with pytest.raises(ValueError, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)
