"""Every estimator of the table on samples whose profile is known, and on data that can carry none."""

from dataclasses import replace

import numpy as np
import pytest

from study.pid import COMPONENTS, ESTIMATORS, Discretiser, PIDProfile, profile_pair
from study.pid.discretise import cluster, distinct_rows
from trainables.datasets import load
from trainables.datasets.base import Modality, PairData, Target
from trainables.spec import DatasetSpec

FAST = ("broja", "posterior")


def _gate(gate, *, rows=900, noise=0.05):
    data = load(DatasetSpec(name="gates", options={"gate": gate, "noise": noise, "rows": rows, "seed": 4}))
    return data.pair("first", "second")


def _pair(x1, x2, y, *, split=None, kind="classes", metric="accuracy"):
    target = Target(
        values=np.asarray(y), kind=kind, n_classes=int(np.max(y)) + 1 if kind == "classes" else 0, metric=metric
    )
    return PairData(
        dataset="made here",
        modalities=tuple(
            Modality(name=name, values=np.asarray(x, dtype=np.float32)) for name, x in (("first", x1), ("second", x2))
        ),
        targets=(target, target),
        split=np.zeros(len(y), dtype=np.int8) if split is None else split,
    )


def _noise(rows=300, *, classes=2, seed=0):
    rng = np.random.default_rng(seed)
    return _pair(rng.normal(size=(rows, 3)), rng.normal(size=(rows, 3)), rng.integers(0, classes, size=rows))


def _values(profile):
    return np.array([profile[name] for name in COMPONENTS])


@pytest.fixture(scope="module")
def found():
    """The profile of a gate by an estimator, computed once."""
    known = {}

    def profile(gate, estimator):
        if (gate, estimator) not in known:
            known[gate, estimator] = profile_pair(_gate(gate), estimator=estimator, bootstrap=40)
        return known[gate, estimator]

    return profile


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_xor_is_synergy(estimator, found):
    profile, exact = found("xor", estimator), _gate("xor").exact_profile
    assert profile.dominant == "synergy"
    assert profile.synergy == pytest.approx(exact["synergy"], abs=0.12)
    assert max(profile.redundancy, profile.unique_1, profile.unique_2) < 0.05
    assert profile.estimator == estimator


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_a_label_that_one_modality_knows_is_unique(estimator, found):
    profile, exact = found("unique1", estimator), _gate("unique1").exact_profile
    assert profile.dominant == "unique_1"
    assert profile.unique_1 == pytest.approx(exact["unique_1"], abs=0.12)


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_a_label_that_both_know_is_redundant(estimator, found):
    profile, exact = found("redundant", estimator), _gate("redundant").exact_profile
    assert profile.dominant == "redundancy"
    assert profile.redundancy == pytest.approx(exact["redundancy"], abs=0.12)


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_value_lies_in_its_interval_and_survives_json(estimator, found):
    profile = found("xor", estimator)
    for name in COMPONENTS:
        low, high = profile.interval[name]
        assert 0 <= low <= profile[name] <= high
    assert PIDProfile.from_json(profile.to_json()) == profile
    assert profile.to_json()["units"] == "bits"


@pytest.mark.parametrize("estimator", FAST)
def test_noise_is_told_from_information(estimator):
    profile = profile_pair(_noise(), estimator=estimator, bootstrap=40)
    assert profile.dominant == "none"
    assert _values(profile).max() < 0.1


def test_plug_in_bias_is_removed():
    """Ten bins a side and 300 rows: the plug-in estimate of a target without information is 0.2 bits of synergy."""
    values = [
        _values(profile_pair(_noise(seed=seed), estimator="broja", bins=(10,), bootstrap=20)) for seed in range(4)
    ]
    assert np.mean([value[3] for value in values]) < 0.07


@pytest.mark.parametrize("estimator", FAST)
def test_same_seed_same_answer_whatever_was_asked_before(estimator):
    data, shared = _gate("and", rows=400), Discretiser()
    profile_pair(_gate("or", rows=400), estimator=estimator, bootstrap=20, discretiser=shared)
    first = profile_pair(data, estimator=estimator, bootstrap=20, discretiser=shared)
    np.random.seed(1)  # the global state must not matter
    assert profile_pair(data, estimator=estimator, bootstrap=20) == first


def test_every_number_of_bins_is_shown(found):
    profile = found("xor", "posterior")
    assert str(profile.settings["bins"]) in profile.spread
    for values in profile.spread.values():
        assert set(values) == set(COMPONENTS)


def test_test_rows_are_left_alone():
    data = _gate("and")
    rng = np.random.default_rng(0)
    values = data.modalities[0].values.copy()
    values[data.split == 2] = rng.normal(size=(int((data.split == 2).sum()), 1))
    other = replace(data, modalities=(replace(data.modalities[0], values=values), data.modalities[1]))
    assert profile_pair(other, estimator="broja", bootstrap=20) == profile_pair(data, estimator="broja", bootstrap=20)


def test_clusters_are_fitted_on_training_rows():
    data = _gate("and")
    with_outlier = data.modalities[0].values.copy()
    with_outlier[np.flatnonzero(data.split == 1)[0]] = 1e6
    codes = [
        Discretiser().codes(replace(data.modalities[0], values=values), data.split, bins=2)
        for values in (data.modalities[0].values, with_outlier)
    ]
    assert np.array_equal(codes[0][data.split == 0], codes[1][data.split == 0])


def test_rows_that_differ_by_rounding_alone_are_one_state():
    """Networks answer equal rows equally up to the last bits, and these depend on the machine."""
    rng = np.random.default_rng(0)
    states = rng.dirichlet(np.ones(3), size=17)
    points = np.sqrt(states[rng.integers(17, size=900)]) * (1 + 1e-15 * rng.normal(size=(900, 3)))
    for scale in (1e-20, 1.0, 1e12):
        assert distinct_rows(scale * points) == 17
        found = cluster(scale * points, bins=18, seed=0)  # warns of too few clusters, an error here, if it asks for 18
        assert len(found.cluster_centers_) == 17


def test_points_without_any_difference_are_one_state():
    assert len(cluster(np.zeros((40, 2)), bins=5, seed=0).cluster_centers_) == 1
    assert len(cluster(np.full((40, 2), 7.0), bins=5, seed=0).cluster_centers_) == 1


def test_two_targets_are_one_pair_of_classes():
    data = _gate("and")
    labels = data.modalities[0].values[:, 0].astype(np.int64)
    both = replace(data, targets=(Target(values=labels, kind="classes", n_classes=2), data.targets[1]))
    total = profile_pair(both, estimator="broja", bootstrap=20).total
    assert total > profile_pair(data, estimator="broja", bootstrap=20).total + 0.3


def test_real_targets_are_cut_into_classes():
    rng = np.random.default_rng(2)
    x = rng.normal(size=(600, 2))
    data = _pair(x, rng.normal(size=(600, 2)), x[:, 0].astype(np.float32), kind="real", metric="r2")
    assert profile_pair(data, estimator="broja", bootstrap=20).dominant == "unique_1"


def _with_nan(data):
    values = data.modalities[0].values.copy()
    values[3] = np.nan
    return replace(data, modalities=(replace(data.modalities[0], values=values), data.modalities[1]))


def _constant(data):
    values = np.ones_like(data.modalities[1].values)
    return replace(data, modalities=(data.modalities[0], replace(data.modalities[1], values=values)))


def _labelled(data, values):
    target = replace(data.targets[0], values=np.asarray(values))
    return replace(data, targets=(target, target))


BAD = {
    "NaN": (lambda d: _with_nan(d), "NaN"),
    "constant": (lambda d: _constant(d), "constant"),
    "one class": (lambda d: _labelled(d, np.zeros(len(d.split), dtype=np.int64)), "class"),
    "fractions": (lambda d: _labelled(d, np.linspace(0, 1, len(d.split))), "integers"),
    "negative": (lambda d: _labelled(d, np.arange(len(d.split)) % 2 - 1), "integers"),
    "words": (lambda d: _labelled(d, np.array(["cat", "dog"] * len(d.split))[: len(d.split)]), "integers"),
    "one-hot": (lambda d: _labelled(d, np.eye(2)[np.arange(len(d.split)) % 2]), "integers"),
    "NaN label": (lambda d: _labelled(d, np.full(len(d.split), np.nan)), "NaN"),
    "no training rows": (lambda d: replace(d, split=np.full(len(d.split), 1, dtype=np.int8)), "training rows"),
}


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize("case", BAD)
def test_data_that_carries_no_profile_is_refused_in_one_line(case, estimator):
    spoil, words = BAD[case]
    with pytest.raises(ValueError, match=words) as caught:
        profile_pair(spoil(_noise(60)), estimator=estimator)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("estimator", FAST)
def test_fewer_rows_than_bins(estimator):
    with pytest.raises(ValueError, match="bins"):
        profile_pair(_noise(60), estimator=estimator, bins=(100,))


@pytest.mark.parametrize("estimator", ["batch", "lsmi"])
def test_too_few_rows_to_halve(estimator):
    with pytest.raises(ValueError, match="at least 40"):
        profile_pair(_noise(30), estimator=estimator)


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ({"estimator": "brojo"}, "posterior"),
        ({"bootstrap": 3}, "bootstrap"),
        ({"level": 1.0}, "level"),
        ({"bins": ()}, "bins"),
        ({"bins": (1,)}, "bins"),
    ],
)
def test_settings_out_of_range_are_refused(setting, words):
    with pytest.raises(ValueError, match=words):
        profile_pair(_noise(60), **setting)
