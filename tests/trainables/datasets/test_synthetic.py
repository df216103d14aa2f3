"""The Boolean generator against the published information content and the published sizes."""

import hashlib

import numpy as np
import pytest
import torch

from study.pid import broja
from trainables.datasets import load
from trainables.datasets.generated.synthetic import (
    EXACT_PROFILES,
    counts,
    feature_columns,
    joint_table,
    random_transform,
)
from trainables.spec import DatasetSpec

# protocol of Tjandrasuwita et al. 2025, by enumeration, in nats: I(X1;Y), I(X2;Y), Bayes accuracy of X1 and of X2
INFORMATION = {
    0: (0.3669, 0.4733, 0.5412, 0.5952),
    1: (0.3669, 0.6188, 0.5412, 0.6467),
    2: (0.4935, 0.6076, 0.5787, 0.6512),
    3: (0.4935, 0.7717, 0.5787, 0.7367),
    4: (0.7151, 0.7334, 0.6663, 0.7083),
    5: (0.7151, 0.8867, 0.6663, 0.7446),
    6: (0.9717, 0.8806, 0.7994, 0.7363),
    7: (0.9717, 1.1588, 0.7994, 0.9063),
    8: (1.1588, 1.1588, 0.9063, 0.9063),
}


def _information(table):
    """I(X;Y) in nats of p(x, y)."""
    product = table.sum(1, keepdims=True) * table.sum(0, keepdims=True)
    kept = table > 0
    return float((table[kept] * np.log(table[kept] / product[kept])).sum())


def _synthetic(**options):
    return load(DatasetSpec(name="synthetic", options=options))


@pytest.mark.parametrize("redundancy", INFORMATION)
def test_information_content_is_the_published_one(redundancy):
    table = joint_table(redundancy)
    views = table.sum(axis=1), table.sum(axis=0)
    measured = [_information(view) for view in views] + [view.max(axis=1).sum() for view in views]
    assert np.round(measured, 4) == pytest.approx(INFORMATION[redundancy], abs=1e-9)
    joint = table.reshape(-1, 4)
    assert _information(joint) == pytest.approx(1.1588, abs=5e-5)
    assert joint.max(axis=1).sum() == pytest.approx(0.9063, abs=5e-5)


@pytest.mark.parametrize("redundancy", INFORMATION)
def test_table_is_a_law_over_the_features_of_each_modality(redundancy):
    shared, own_1, own_2 = counts(redundancy)
    table = joint_table(redundancy)
    assert table.shape == (2 ** (shared + own_1), 2 ** (shared + own_2), 4)
    assert table.sum() == pytest.approx(1)
    x1, x2, _ = np.nonzero(table)
    mask = 2**shared - 1
    assert np.array_equal(x1 & mask, x2 & mask)  # both modalities show the same shared bits


@pytest.mark.parametrize("redundancy", EXACT_PROFILES)
def test_stored_profile_is_consistent_with_the_table(redundancy):
    profile, table = EXACT_PROFILES[redundancy], joint_table(redundancy)
    bits = [_information(t) / np.log(2) for t in (table.sum(axis=1), table.sum(axis=0), table.reshape(-1, 4))]
    assert profile["redundancy"] + profile["unique_1"] == pytest.approx(bits[0], abs=1.5e-4)
    assert profile["redundancy"] + profile["unique_2"] == pytest.approx(bits[1], abs=1.5e-4)
    assert sum(profile.values()) == pytest.approx(bits[2], abs=2e-4)


@pytest.mark.parametrize("redundancy", range(7))
def test_stored_profile_is_the_exact_one_of_the_table(redundancy):
    exact = broja(joint_table(redundancy))
    found = [exact.redundancy, exact.unique_1, exact.unique_2, exact.synergy]
    assert list(EXACT_PROFILES[redundancy].values()) == pytest.approx(found, abs=6e-5)


def test_splits_have_the_published_sizes_and_balanced_classes():
    data = _synthetic(redundancy=4)
    assert [int((data.split == code).sum()) for code in range(3)] == [45875, 9830, 9831]
    labels = data.targets["first"].values
    for code in range(3):
        shares = np.bincount(labels[data.split == code], minlength=4) / (data.split == code).sum()
        assert shares == pytest.approx(np.bincount(labels, minlength=4) / len(labels), abs=2e-4)
    assert np.bincount(labels) / len(labels) == pytest.approx(0.25, abs=0.02)


@pytest.mark.parametrize("redundancy", [0, 3, 8])
def test_drawn_rows_follow_the_law(redundancy):
    """Counting the rows over the bits that decide the label gives back the table."""
    data = _synthetic(redundancy=redundancy, transform_depth=-1)
    shared, own_1, own_2 = feature_columns(redundancy)
    states = []
    for name, own in (("first", own_1), ("second", own_2)):
        bits = data.modalities[name].values[:, [*shared, *(8 + own)]].astype(np.int64)
        states.append(bits @ (1 << np.arange(bits.shape[1])))
    expected = joint_table(redundancy)
    drawn = np.zeros_like(expected)
    np.add.at(drawn, (*states, data.targets["first"].values), 1 / 65536)
    assert np.abs(drawn - expected).sum() < 0.1  # total variation of 1,024 cells drawn 65,536 times is about .04


def test_both_modalities_show_the_same_eight_shared_bits():
    data = _synthetic(transform_depth=-1)
    first, second = (data.modalities[name].values for name in ("first", "second"))
    assert np.array_equal(first[:, :8], second[:, :8])
    assert not np.array_equal(first[:, 8:], second[:, 8:])
    assert set(np.unique(first)) == {0.0, 1.0}


def test_rows_limits_the_training_split_only():
    whole, small = _synthetic(), _synthetic(rows=512)
    assert [int((small.split == code).sum()) for code in range(3)] == [512, 9830, 9831]
    assert np.array_equal(
        whole.modalities["first"].values[whole.split == 2], small.modalities["first"].values[small.split == 2]
    )
    assert np.ptp(np.bincount(small.targets["first"].values[small.split == 0])) < 16


def test_same_options_give_the_same_data_and_another_seed_gives_other_data():
    first, again, other = (_synthetic(rows=100, seed=seed).modalities["second"].values for seed in (3, 3, 4))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_loading_leaves_the_global_random_state_alone():
    def state():
        return hashlib.sha256(
            torch.get_rng_state().numpy().tobytes() + repr(np.random.get_state()).encode()
        ).hexdigest()

    before = state()
    _synthetic(seed=11)
    assert state() == before


@pytest.mark.parametrize("depth", [0, 1, 2, 5])
def test_transform_is_pytorchs_default_network_built_after_seed_0(depth):
    x = np.random.default_rng(0).random((50, 12), dtype=np.float32)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        for size in range(depth + 1):
            layers = [torch.nn.Linear(12, 12)]
            for _ in range(size):
                layers += [torch.nn.Tanh(), torch.nn.Linear(12, 12)]
        expected = torch.nn.Sequential(*layers)(torch.from_numpy(x)).detach().numpy()
    assert random_transform(x, depth) == pytest.approx(expected, abs=1e-6)


def test_profile_is_stored_for_the_default_temperature_only_and_turns_with_the_pair():
    data = _synthetic(redundancy=2, rows=100)
    straight, turned = data.pair("first", "second"), data.pair("second", "first")
    assert straight.exact_profile == EXACT_PROFILES[2]
    assert turned.exact_profile["unique_1"] == EXACT_PROFILES[2]["unique_2"]
    warmer = _synthetic(redundancy=2, rows=100, temperature=0.1).pair("first", "second")
    assert warmer.exact_profile is None
