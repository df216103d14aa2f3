"""Encoders trained together: closed forms, invariances, brute force, and that training goes where the theory says."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from study.theory import (
    Moments,
    alignment_directions,
    crossings,
    forecast_together,
    info_nce_strength,
    joint_optimum,
    optimum_together,
    risk,
    squared_distance_weight,
)
from trainables import datasets
from trainables.datasets.generated.linear import load_linear, population
from trainables.spec import AlignmentSpec, DatasetSpec, EncoderSpec, PackSpec, ReplicaSpec, TrainingSpec
from trainables.training.pack import Pack

LINEAR = {"redundancy": 0.2, "correlation": 0.8, "latents": 2, "features": 8, "noise": 0.0, "rows": 20_000, "seed": 0}


def moments_of(law):
    eye, power = np.eye(len(law.rotations[0])), np.eye(2 * law.latents)
    covariances = law.target_covariance(0), law.target_covariance(1)
    return Moments(
        s11=eye, s22=eye, s12=law.cross_covariance, s1y=covariances[0], s2y=covariances[1], syy_1=power, syy_2=power
    )


def random_moments(seed, d_1=5, d_2=6):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((400, 3)) @ rng.standard_normal((3, d_1 + d_2)) + rng.standard_normal((400, d_1 + d_2))
    y_1, y_2 = (x @ rng.standard_normal((d_1 + d_2, 2)) for _ in "12")
    return Moments.from_samples(x[:, :d_1], x[:, d_1:], y_1, y_2, shrinkage=None)


def loss(m, encoders, strength, weights):
    w_1, w_2 = encoders
    distance = 2 * len(w_1) - 2 * np.trace(w_1 @ m.s12 @ w_2.T)
    tasks = weights[0] * risk(m, w_1, encoder=1) + weights[1] * risk(m, w_2, encoder=2)
    return tasks + strength / len(w_1) * distance


@pytest.mark.parametrize("redundancy", [0.0, 0.25, 0.4])
def test_the_linear_family_swaps_where_loss_and_gain_of_both_encoders_balance(redundancy):
    law = population({**LINEAR, "redundancy": redundancy})
    m = moments_of(law)
    weights = (0.25, 0.25)  # a mean over four columns
    critical = (1 - 2 * redundancy) / (2 * law.correlation)
    for strength, kept in ((0.97 * critical, 1 - redundancy), (1.03 * critical, redundancy)):
        for encoder, weight in zip((1, 2), optimum_together(m, strength, k=2, weights=weights), strict=True):
            assert 4 - risk(m, weight, encoder=encoder) == pytest.approx(2 * kept, abs=1e-3)


def test_it_is_the_squared_distance_that_info_nce_weighs_by_its_temperature():
    law = population(LINEAR)
    first, second = (crossings(moments_of(law), k=2, encoder=encoder)[0] for encoder in (1, 2))
    by_info_nce = info_nce_strength(first, second, k=2, temperature=0.3) / 4  # the same mean over four columns
    weight = squared_distance_weight("info_nce", temperature=0.3)
    assert by_info_nce * weight == pytest.approx((1 - 2 * 0.2) / (2 * 0.8), rel=1e-6)
    assert squared_distance_weight("vicreg", temperature=0.3) is None


@pytest.mark.parametrize("seed", range(3))
def test_strength_zero_is_each_encoder_alone_and_a_large_one_is_canonical_correlation_analysis(seed):
    m = random_moments(seed)
    for encoder, weight in zip((1, 2), optimum_together(m, 0.0, k=2), strict=True):
        alone = joint_optimum(m, 0.0, k=2, encoder=encoder).encoder
        assert risk(m, weight, encoder=encoder) == pytest.approx(risk(m, alone, encoder=encoder))
    w_1, w_2 = optimum_together(m, 1e6, k=2)
    assert np.trace(w_1 @ m.s12 @ w_2.T) == pytest.approx(alignment_directions(m, k=2).correlations.sum(), rel=1e-4)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("strength", [0.1, 2.0])
def test_the_optimum_is_whitened_and_no_random_start_finds_a_better_one(seed, strength):
    m, weights = random_moments(seed), (0.5, 2.0)
    found = optimum_together(m, strength, k=2, weights=weights)
    for s, w in zip((m.s11, m.s22), found, strict=True):
        np.testing.assert_allclose(w @ s @ w.T, np.eye(2), atol=1e-8)
    rng = np.random.default_rng(seed)
    best = loss(m, found, strength, weights)
    for _ in range(300):
        near = [w + 10 ** rng.uniform(-3, 0) * rng.standard_normal(w.shape) for w in found]
        factors = (np.linalg.cholesky(w @ s @ w.T) for s, w in zip((m.s11, m.s22), near, strict=True))
        whitened = [np.linalg.solve(factor, w) for factor, w in zip(factors, near, strict=True)]
        assert loss(m, whitened, strength, weights) >= best - 1e-7 * abs(best)


def test_swapping_the_modalities_swaps_the_encoders():
    m = random_moments(0)
    there, back = optimum_together(m, 0.5, k=2), optimum_together(m.swapped(), 0.5, k=2)[::-1]
    for encoder, (a, b) in enumerate(zip(there, back, strict=True), start=1):
        assert risk(m, a, encoder=encoder) == pytest.approx(risk(m, b, encoder=encoder), rel=1e-5)


def test_the_forecast_of_the_linear_family_is_its_two_branches_and_the_strength_between_them():
    found = forecast_together(load_linear(LINEAR).pair("first", "second"), k=2, largest=2.0)
    for crossing, scores in zip(found.crossings, found.scores, strict=True):
        assert crossing == pytest.approx(0.6 / 1.6, rel=0.05)
        assert (scores[0], scores[-1]) == (pytest.approx(0.4, abs=0.02), pytest.approx(0.1, abs=0.02))


def test_twice_the_weight_crosses_at_half_the_strength():
    pair = load_linear({**LINEAR, "rows": 4000}).pair("first", "second")
    once, twice = (forecast_together(pair, k=2, largest=2.0 / weight, weight=weight) for weight in (1.0, 2.0))
    assert twice.crossings[0] == pytest.approx(once.crossings[0] / 2)


def test_a_redundant_pair_has_no_crossing():
    pair = load_linear({**LINEAR, "redundancy": 0.8, "rows": 4000}).pair("first", "second")
    assert forecast_together(pair, k=2, largest=2.0).crossings == (None, None)


def test_trained_linear_encoders_are_on_the_predicted_branch():
    """Below and above the crossing, by 30 %: the scores of the real training, to 0.02 of R²."""
    spec = datasets.cells(DatasetSpec(name="linear", options={**LINEAR, "rows": 4000}))[0]
    pair = datasets.load(spec).pair("first", "second")
    expected = forecast_together(pair, k=2, largest=2.0)
    crossing = expected.crossings[0]
    encoder = EncoderSpec(kind="linear", width=2)
    strengths = (0.0, 0.7 * crossing, 1.3 * crossing, 2.0)
    pack = Pack(
        PackSpec(
            dataset=spec,
            pair=("first", "second"),
            encoders=(encoder, encoder),
            alignment=AlignmentSpec(objective="whitened_mse"),
            training=TrainingSpec(epochs=60, batch_size=480),
            replicas=tuple(
                ReplicaSpec(strength_1=s, strength_2=s, seed=1, learning_rate=1e-2, weight_decay=0) for s in strengths
            ),
        ),
        pair,
    )
    pack.run()
    measured = np.array([result.scores for result in pack.results()]).T
    for scores, theory in zip(measured, expected.scores, strict=True):
        np.testing.assert_allclose(scores, np.interp(strengths, expected.strengths, theory), atol=0.02)


def test_bad_input_is_refused():
    m, pair = random_moments(0), load_linear({**LINEAR, "rows": 400}).pair("first", "second")
    classes = dataclasses.replace(pair.targets[0], kind="classes", n_classes=2)
    with pytest.raises(ValueError, match="k is 6; it may be 1 to 5"):
        optimum_together(m, 1.0, k=6)
    with pytest.raises(ValueError, match="strength is -1"):
        optimum_together(m, -1.0, k=2)
    with pytest.raises(ValueError, match="largest 0"):
        forecast_together(pair, k=2, largest=0.0)
    with pytest.raises(ValueError, match="hold classes"):
        forecast_together(dataclasses.replace(pair, targets=(classes, classes)), k=2, largest=1.0)
