"""Ridge probes in closed form against scikit-learn's, and what a linear model can and cannot read."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge, RidgeClassifierCV, RidgeCV
from sklearn.preprocessing import StandardScaler

from trainables.metrics.ridge import RIDGES, RidgeProbe
from trainables.objectives.tasks import balanced_weights

N, D = 90, 12
ALPHAS = [N * ridge for ridge in RIDGES]


@pytest.fixture
def features():
    """Three replicas of features that hang together, and of very different sizes."""
    rng = np.random.default_rng(0)
    return rng.normal(size=(3, N, D)) @ rng.normal(size=(D, D)) * np.logspace(-3, 3, D) + 5.0


def fitted(features, target, **given):
    return RidgeProbe.fit([torch.from_numpy(features)], torch.as_tensor(target), **given)


def test_real_targets_are_those_of_ridge_by_leaving_out_each_row(features):
    rng = np.random.default_rng(1)
    target = np.stack([features[0, :, 3] / features[0, :, 3].std(), rng.normal(size=N)], 1) + rng.normal(size=(N, 2))
    probe = fitted(features, target, kind="real", n_outputs=2)
    said = probe.outputs([torch.from_numpy(features)])
    for k, own in enumerate(features):
        x = StandardScaler().fit_transform(own)
        known = RidgeCV(ALPHAS).fit(x, target)
        assert probe.ridge[k].item() * N == pytest.approx(known.alpha_)
        np.testing.assert_allclose(said[k], known.predict(x), rtol=0, atol=1e-8)


@pytest.mark.parametrize("classes", [2, 4])
def test_classes_are_those_of_the_ridge_classifier(features, classes):
    rng = np.random.default_rng(2)
    target = rng.permutation(np.arange(N) % classes)
    features[:, :, 5] += 2 * target * np.sqrt(features[:, :, 5].var())
    probe = fitted(features, target, kind="classes", n_outputs=classes)
    said = probe.outputs([torch.from_numpy(features)]) / probe.sharpness.unsqueeze(2)
    for k, own in enumerate(features):
        x = StandardScaler().fit_transform(own)
        known = RidgeClassifierCV(ALPHAS).fit(x, target)
        assert probe.ridge[k].item() * N == pytest.approx(known.alpha_)
        scores = known.decision_function(x)
        np.testing.assert_allclose(said[k] if classes > 2 else said[k, :, 1], scores, rtol=0, atol=1e-8)


def test_labels_are_a_ridge_classifier_of_all_at_once(features):
    rng = np.random.default_rng(3)
    labels = (features[0, :, :3] + rng.normal(size=(N, 3)) > features[0, :, :3].mean(0)).astype(np.float32)
    probe = fitted(features[:1], labels, kind="multi_label", n_outputs=3)
    said = probe.outputs([torch.from_numpy(features[:1])]) / probe.sharpness.unsqueeze(2)
    x = StandardScaler().fit_transform(features[0])
    np.testing.assert_allclose(said[0], RidgeCV(ALPHAS).fit(x, 2 * labels - 1).predict(x), rtol=0, atol=1e-8)


def test_classes_that_count_alike_are_weights_of_rows(features):
    target = (np.arange(N) % 10 == 0).astype(np.int64)
    weights = balanced_weights(torch.as_tensor(target), classes=2)
    probe = fitted(features, target, kind="classes", n_outputs=2, weights=weights)
    counts = weights.double().numpy()[target]
    for k, own in enumerate(features):
        scaler = StandardScaler().fit(own, sample_weight=counts)
        known = Ridge(alpha=probe.ridge[k].item() * counts.sum()).fit(
            scaler.transform(own), 2 * np.eye(2)[target] - 1, sample_weight=counts
        )
        said = probe.outputs([torch.from_numpy(features)])[k] / probe.sharpness[k]
        np.testing.assert_allclose(said, known.predict(scaler.transform(own)), rtol=0, atol=1e-8)


def test_each_label_may_weigh_the_rows_in_its_own_way(features):
    labels = np.stack([np.arange(N) % 10 == 0, np.arange(N) % 2 == 0], 1).astype(np.float32)
    weights = balanced_weights(torch.as_tensor(labels), classes=2)
    together = fitted(features, labels, kind="multi_label", n_outputs=2, weights=weights)
    for label in range(2):
        alone = fitted(features, labels[:, [label]], kind="multi_label", n_outputs=1, weights=weights[:, [label]])
        seen = torch.from_numpy(features)
        torch.testing.assert_close(together.outputs([seen])[..., [label]], alone.outputs([seen]))
    assert together.ridge.shape == together.sharpness.shape == (3, 2)


def test_replicas_do_not_depend_on_each_other_and_may_have_targets_of_their_own(features):
    rng = np.random.default_rng(4)
    targets = rng.integers(0, 3, size=(3, N))
    together = fitted(features, targets, kind="classes", n_outputs=3)
    for k in range(3):
        alone = fitted(features[k : k + 1], targets[k], kind="classes", n_outputs=3)
        torch.testing.assert_close(together.coefficients[k : k + 1], alone.coefficients, rtol=1e-9, atol=1e-12)
        assert torch.equal(together.sharpness[k : k + 1], alone.sharpness)


def test_features_may_come_in_parts(features):
    target = np.arange(N) % 3
    whole = fitted(features, target, kind="classes", n_outputs=3)
    parts = [torch.from_numpy(features[..., :5]), torch.from_numpy(features[..., 5:])]
    probe = RidgeProbe.fit(parts, torch.as_tensor(target), kind="classes", n_outputs=3)
    torch.testing.assert_close(probe.outputs(parts), whole.outputs([torch.from_numpy(features)]))


def test_what_has_no_number_is_a_probe_of_none_and_spares_the_others(features):
    target = np.arange(N) % 2
    sound = fitted(features, target, kind="classes", n_outputs=2)
    features[1, 7, 2] = np.nan
    probe = fitted(features, target, kind="classes", n_outputs=2)
    assert probe.outputs([torch.from_numpy(features)])[1].isnan().all()
    torch.testing.assert_close(probe.coefficients[[0, 2]], sound.coefficients[[0, 2]])


def test_dead_copied_and_constant_features_say_nothing_of_their_own():
    rng = np.random.default_rng(5)
    seen = rng.normal(size=(1, N, 2)).astype(np.float32)
    target = (seen[0, :, 0] > 0).astype(np.int64)
    dull = np.concatenate([np.zeros((1, N, 1)), np.full((1, N, 1), 0.1), seen, seen], 2).astype(np.float32)
    dull[0, :, 1] += 1e-8 * rng.normal(size=N).astype(np.float32)  # what rounding leaves of a constant
    probe = fitted(dull, target, kind="classes", n_outputs=2)
    assert not probe.coefficients[0, :2].any()
    said = probe.outputs([torch.from_numpy(dull)]).argmax(2)[0]
    assert (said.numpy() == target).mean() > 0.9
    nothing = fitted(np.zeros((1, N, 3), np.float32), target, kind="classes", n_outputs=2)
    assert nothing.outputs([torch.zeros(1, N, 3)]).isfinite().all()


def test_more_features_than_rows_are_no_reason_to_fail():
    rng = np.random.default_rng(6)
    seen = rng.normal(size=(40, 20, 50))
    target = rng.permutation(np.arange(20) % 2)
    probe = fitted(seen, target, kind="classes", n_outputs=2)
    assert probe.outputs([torch.from_numpy(seen)]).isfinite().all()
    assert probe.ridge.median() == max(RIDGES)  # of noise mostly the strongest leaves the least error


def test_sharp_where_classes_are_apart_and_not_where_they_are_mixed():
    rng = np.random.default_rng(7)
    target = rng.permutation(np.arange(400) % 2)
    apart = target[None, :, None] + 0.01 * rng.normal(size=(1, 400, 1))
    mixed = target[None, :, None] + 3.0 * rng.normal(size=(1, 400, 1))
    first, second = (fitted(seen, target, kind="classes", n_outputs=2).sharpness.item() for seen in (apart, mixed))
    assert first == 16
    assert second <= 2
