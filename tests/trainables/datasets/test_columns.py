"""Columns in whatever unit: what varies, how far, and the unit in which a target is learned."""

import numpy as np
import pytest

from trainables.datasets.base import Target
from trainables.datasets.columns import columns_of, columns_of_pieces, mean_over_steps, target_unit

RNG = np.random.default_rng(0)
X = RNG.normal(size=(500, 3))


@pytest.mark.parametrize("shift", [0.0, 7.0, -1e6])
@pytest.mark.parametrize("scale", [1e-300, 1e-30, 1.0, 1e25, 1e200])
def test_a_column_varies_in_any_unit_and_its_moments_follow_it(scale, shift):
    columns = columns_of((X + shift) * scale)
    assert columns.varies.all()
    np.testing.assert_allclose(columns.mean / scale, X.mean(axis=0) + shift, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(columns.deviation / scale, X.std(axis=0), rtol=1e-9)


@pytest.mark.parametrize("value", [0.0, 0.1, 1e-300, -1e300, 1.7e9])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_constant_does_not_vary_whatever_it_is(value, dtype):
    with np.errstate(over="ignore"):
        constant = np.full((100_000, 1), np.clip(value, np.finfo(dtype).min, np.finfo(dtype).max), dtype=dtype)
    columns = columns_of(constant)
    assert columns.deviation[0] == 0
    assert not columns.varies[0]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("value", [0.1, 123456.7, 1e-20])
def test_neighbouring_numbers_of_a_precision_are_one_number(dtype, value):
    one = np.asarray(value, dtype=dtype)
    both = np.where(np.arange(200)[:, None] % 2, one, np.nextafter(one, dtype(np.inf)))
    assert not columns_of(both).varies[0]
    assert columns_of(both.astype(np.float64), precision=np.float64).varies[0] == (dtype is np.float32)


def test_pieces_count_as_the_whole_and_empty_ones_as_nothing():
    whole = columns_of(X)
    parts = [X[:0], X[:7], X[7:7], X[7:]]
    pieced = columns_of_pieces(lambda: parts, features=3, precision=X.dtype)
    np.testing.assert_allclose(pieced.mean, whole.mean, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(pieced.deviation, whole.deviation, rtol=1e-12)
    nothing = columns_of_pieces(lambda: [X[:0]], features=3, precision=X.dtype)
    assert not nothing.varies.any()


def test_a_constant_sequence_stays_constant_when_it_is_averaged():
    mask = np.arange(9) < RNG.integers(0, 10, size=3000)[:, None]
    values = np.where(mask[..., None], 0.1, 5.0)
    mean = mean_over_steps(values, mask)
    real = mask.any(axis=1)
    assert set(mean[~real, 0]) <= {0.0}
    assert not columns_of(mean[real]).varies.any()
    np.testing.assert_allclose(mean_over_steps(X[:, None, :], None), X)


@pytest.mark.parametrize("masked", [False, True])
def test_an_outlier_in_one_sequence_changes_the_means_of_no_other(masked):
    values = RNG.normal(6, 1, size=(700, 5, 3))
    mask = np.arange(5) < RNG.integers(1, 6, size=700)[:, None] if masked else None
    expected = mean_over_steps(values, mask)
    values[0, 0] = 1e20
    np.testing.assert_allclose(mean_over_steps(values, mask)[1:], expected[1:], rtol=1e-13)


@pytest.mark.parametrize("padding", [1e30, -1e18, 1e-30])
@pytest.mark.parametrize("front", [False, True])
def test_what_stands_in_padded_steps_changes_no_mean(padding, front):
    values = RNG.normal(6, 1, size=(2500, 5, 3))
    mask = np.arange(5) < RNG.integers(1, 6, size=2500)[:, None]
    mask = mask[:, ::-1] if front else mask
    mask[0] = np.arange(5) == 4
    kept = np.where(mask[:, :, None], values, 0.0)
    expected = kept.sum(axis=1) / mask.sum(axis=1)[:, None]
    padded = np.where(mask[:, :, None], values, padding)
    np.testing.assert_allclose(mean_over_steps(padded, mask), expected, rtol=1e-13)
    np.testing.assert_array_equal(mean_over_steps(padded, mask), mean_over_steps(kept, mask))


@pytest.mark.parametrize(("scale", "shift"), [(8e4, 2.5e5), (1e-30, 0), (1e25, 3e25), (1.0, 1.7e9)])
def test_a_target_is_learned_in_the_same_numbers_in_any_unit(scale, shift):
    rows = np.arange(300)
    y = X[:, :2] * [1.0, 50.0]
    here, there = (Target(values=v, kind="real", metric="r2") for v in (y, y * scale + shift))
    units = target_unit(here, rows), target_unit(there, rows)
    own = units[0].apply(here.values)
    np.testing.assert_allclose(own[rows].mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(own[rows].std(axis=0), 1, rtol=1e-12)
    np.testing.assert_allclose(units[1].apply(there.values), own, atol=1e-6)
    np.testing.assert_allclose(units[1].undo(own), there.values, rtol=1e-6)


@pytest.mark.parametrize("scale", [1e-12, 1.0, 3.0, 1e12])
def test_zero_stays_zero_where_the_sign_counts(scale):
    target = Target(values=(X[:, 0] + 1) * scale, kind="real", metric="sign_accuracy")
    unit = target_unit(target, np.arange(300))
    assert unit.centre.tolist() == [0.0]
    np.testing.assert_allclose(np.mean(unit.apply(target.values)[:300] ** 2), 1, rtol=1e-12)


def test_labels_of_minus_one_and_one_are_learned_as_they_are():
    unit = target_unit(Target(values=np.sign(X[:, 0]), kind="real", metric="sign_accuracy"), np.arange(300))
    assert (unit.centre.tolist(), unit.scale.tolist()) == ([0.0], [1.0])
