"""Rows drawn anew for each replicate: never test rows, always as many, groups whole, alike for one seed."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from trainables.datasets.base import DataError, Modality, PairData, Target
from trainables.datasets.resampling import draw_rows, draw_split, pool_of
from trainables.datasets.splits import group_split, stratified_split


def data(labels: NDArray[np.int64], groups: NDArray[np.int64] | None = None, *, real: bool = False) -> PairData:
    values = np.zeros((len(labels), 2), np.float32)
    target = Target(values=labels.astype(float), kind="real", metric="r2") if real else Target(
        values=labels, kind="classes", n_classes=int(labels.max()) + 1
    )  # fmt: skip
    split = stratified_split(labels) if groups is None else group_split(labels, groups)
    return PairData(
        dataset="d",
        modalities=(Modality(name="a", values=values), Modality(name="b", values=values)),
        targets=(target, target),
        split=split,
        groups=groups,
    )


@pytest.mark.parametrize("real", [False, True])
def test_a_draw_has_the_numbers_of_the_split_and_no_test_row(real: bool) -> None:
    rng = np.random.default_rng(0)
    pair = data(rng.integers(0, 4, 203), real=real)
    pool = pool_of(pair)
    assert not np.isin(pool, pair.rows("test")).any()
    for seed in range(20):
        train, valid, _ = draw_rows(pair, seed=seed)
        assert (len(train), len(valid)) == (len(pair.rows("train")), len(pair.rows("valid")))
        assert np.array_equal(np.sort(np.concatenate([train, valid])), np.arange(len(pool)))


def test_classes_stay_in_proportion() -> None:
    pair = data(np.repeat([0, 1, 2], [300, 90, 10]))
    labels = pair.targets[0].values[pool_of(pair)]
    counts = {tuple(np.bincount(labels[draw_rows(pair, seed=seed).scored], minlength=3)) for seed in range(20)}
    for count in counts:
        assert np.abs(np.array(count) - np.bincount(labels) * sum(count) / len(labels)).max() < 1


def test_seeds_draw_apart_and_one_seed_alike() -> None:
    pair = data(np.random.default_rng(1).integers(0, 3, 120))
    draws = [draw_rows(pair, seed=seed) for seed in range(30)]
    assert len({tuple(draw.scored) for draw in draws}) == 30
    assert all(np.array_equal(draw_rows(pair, seed=7)[part], draws[7][part]) for part in (0, 1))


def test_groups_stay_whole_and_numbers_equal() -> None:
    rng = np.random.default_rng(2)
    groups = np.repeat(np.arange(9), rng.integers(5, 60, 9))
    pair = data(rng.integers(0, 3, len(groups)), groups)
    of = groups[pool_of(pair)]
    seen = set()
    for seed in range(30):
        train, valid, _ = draw_rows(pair, seed=seed)
        assert (len(train), len(valid)) == (len(pair.rows("train")), len(pair.rows("valid")))
        assert not set(of[train]) & set(of[valid])
        seen |= set(of[valid])
    assert seen == set(of)


def test_one_group_cannot_be_drawn_anew() -> None:
    pair = data(np.arange(40) % 2, np.repeat([0, 1, 2], [20, 10, 10]))
    pair = PairData(**{**vars(pair), "split": np.repeat([0, 1, 2], [20, 0, 20]).astype(np.int8)})
    with pytest.raises(DataError, match=r"one group.*splits: fixed"):
        draw_rows(pair, seed=0)


@pytest.mark.parametrize("grouped", [False, True])
def test_a_new_split_has_test_rows_of_its_own_that_it_does_not_train_on(grouped: bool) -> None:
    rng = np.random.default_rng(3)
    groups = np.repeat(np.arange(20), 10) if grouped else None
    pair = data(rng.integers(0, 4, 200), groups)
    tested = set()
    for seed in range(40):
        train, test, valid = draw_split(pair, seed=seed)
        assert (len(train), len(test)) == (len(pair.rows("train")), len(pair.rows("test")))
        assert len(valid) == len(pair.rows("valid"))
        assert not set(train) & set(test)
        assert not set(valid) & {*train, *test}
        if groups is not None:
            assert not set(groups[train]) & set(groups[test])
        tested |= set(test)
    assert tested == set(range(200))
    assert all(np.array_equal(draw_split(pair, seed=5)[part], draw_split(pair, seed=5)[part]) for part in (0, 1))
