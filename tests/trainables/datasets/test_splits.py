"""Splits: exact sizes, classes in proportion, groups whole."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainables.datasets import DataError
from trainables.datasets.splits import block_split, group_split, quantile_classes, stratified_rows, stratified_split


def _sizes(split):
    return np.bincount(split, minlength=3).tolist()


@given(st.integers(20, 3000), st.integers(2, 8), st.integers(0, 10))
def test_sizes_are_those_of_scikit_learn(n, classes, seed):
    from sklearn.model_selection import train_test_split

    labels = np.arange(n) % classes
    rest, test = (len(part) for part in train_test_split(np.arange(-(-n * 3 // 10)), test_size=0.5, random_state=0))
    split = stratified_split(labels, fractions=(0.7, 0.15, 0.15), seed=seed)
    assert _sizes(split) == [n - rest - test, rest, test]


@given(st.lists(st.integers(0, 4), min_size=10, max_size=400), st.integers(0, 5))
def test_rows_are_drawn_in_proportion_to_within_one(labels, seed):
    labels = np.array(labels)
    size = len(labels) // 3
    rows = stratified_rows(labels, size, rng=np.random.default_rng(seed))
    assert len(rows) == len(set(rows)) == size
    assert np.array_equal(rows, np.sort(rows))
    for label in np.unique(labels):
        assert abs((labels[rows] == label).sum() - size * (labels == label).mean()) < 1


def test_seeds_differ_and_repeat():
    labels = np.repeat([0, 1], 50)
    assert np.array_equal(stratified_split(labels, seed=1), stratified_split(labels, seed=1))
    assert not np.array_equal(stratified_split(labels, seed=1), stratified_split(labels, seed=2))


@given(st.lists(st.integers(0, 9), min_size=30, max_size=300), st.integers(0, 5))
def test_groups_never_straddle(groups, seed):
    groups = np.array([*groups, 0, 1, 2])
    split = group_split(np.arange(len(groups)) % 2, groups, seed=seed)
    assert all(len(set(split[groups == group])) == 1 for group in np.unique(groups))
    assert min(_sizes(split)) > 0


def test_many_groups_come_near_the_fractions_and_the_classes():
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(60), rng.integers(5, 40, size=60))
    labels = (rng.random(len(groups)) < (0.2 + 0.6 * (groups % 2))).astype(np.int64)
    split = group_split(labels, groups)
    assert np.array(_sizes(split)) / len(groups) == pytest.approx([0.6, 0.15, 0.25], abs=0.03)
    for code in range(3):
        assert labels[split == code].mean() == pytest.approx(labels.mean(), abs=0.06)


def test_groups_may_be_texts_and_must_be_three():
    groups = np.array(["a", "b", "c"] * 5)
    assert sorted(set(group_split(np.arange(15) % 2, groups))) == [0, 1, 2]
    with pytest.raises(DataError, match="at least 3 groups"):
        group_split(np.arange(4) % 2, np.array(["a", "b", "a", "b"]))


def test_blocks_follow_the_rows_of_each_class():
    labels = np.array([1] * 20 + [5] * 10)
    split = block_split(labels)
    assert split[:20].tolist() == [0] * 12 + [1] * 3 + [2] * 5
    assert np.array_equal(split[20:], np.sort(split[20:]))
    assert _sizes(block_split(labels, fractions=(0.8, 0.2, 0.0))) == [24, 6, 0]


@pytest.mark.parametrize(("n", "classes"), [(10, 3), (100, 4), (7, 7)])
def test_quantile_classes_are_equal_in_size_and_ordered(n, classes):
    score = np.random.default_rng(0).normal(size=n)
    labels = quantile_classes(score, classes)
    assert np.ptp(np.bincount(labels, minlength=classes)) <= 1
    assert np.array_equal(labels[np.argsort(score)], np.sort(labels))
