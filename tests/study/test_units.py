"""What a profile says of a pair does not depend on the unit of anything, and neither does the linear forecast."""

import numpy as np
import pytest

from study.pid import profile_pair
from study.theory import forecast
from trainables.datasets.base import Modality, PairData, Target

N = 300
RNG = np.random.default_rng(0)
Y = RNG.integers(0, 3, N)
A = RNG.normal(size=(N, 6)) + Y[:, None]
V = RNG.normal(size=(N, 5)) + 0.6 * Y[:, None]
SPLIT = np.repeat(np.int8([0, 1, 2]), [180, 45, 75])[RNG.permutation(N)]
UNITS = 10.0 ** np.array([-30, -12, -3, 0, 9, 25])
CLASSES = Target(values=Y, kind="classes", n_classes=3)


def pair(a=A, v=V, target=CLASSES, mask=None):
    modalities = Modality(name="audio", values=a, mask=mask), Modality(name="video", values=v)
    return PairData(dataset="mine", modalities=modalities, targets=(target, target), split=SPLIT)


def components(data, estimator):
    found = profile_pair(data, estimator=estimator, bootstrap=20, seed=1)
    return [found.redundancy, found.unique_1, found.unique_2, found.synergy]


@pytest.mark.parametrize("shift", [0.0, 100.0])
@pytest.mark.parametrize("scale", [1e-30, 1e-12, 1e25, UNITS], ids=["1e-30", "1e-12", "1e25", "mixed"])
def test_a_profile_is_the_same_in_any_unit(scale, shift):
    expected = components(pair(), "broja")
    assert components(pair((A + shift) * scale, V * 1e-12), "broja") == pytest.approx(expected, abs=1e-6)


def test_posteriors_are_the_same_in_any_unit():
    expected = components(pair(), "posterior")
    assert components(pair(A * 1000), "posterior") == pytest.approx(expected, abs=1e-6)


def test_small_units_beside_noise_columns_are_information():
    """One informative column of size 1e-12 beside noise of size 1: it counts as any other."""
    noise = RNG.normal(size=(N, 2))
    large, small = (np.column_stack([Y + 0.01 * A[:, 0], noise]) * [scale, 1, 1] for scale in (1, 1e-12))
    blind = RNG.normal(size=(N, 3))
    expected = components(pair(large, blind), "broja")
    assert expected[1] > 0.5
    assert components(pair(small, blind), "broja") == pytest.approx(expected, abs=1e-6)


def test_a_real_target_is_cut_into_the_same_classes_in_any_unit():
    columns = np.stack([A[:, 0], V[:, 0]], axis=1)
    here = Target(values=columns, kind="real", metric="r2")
    there = Target(values=columns * [8e4, 1e-9] + [2.5e5, 1e-7], kind="real", metric="r2")
    assert components(pair(target=there), "broja") == pytest.approx(components(pair(target=here), "broja"), abs=1e-6)


@pytest.mark.parametrize("scale", [1e-30, 1e-12, 1e25, UNITS], ids=["1e-30", "1e-12", "1e25", "mixed"])
def test_the_forecast_is_the_same_in_any_unit(scale):
    real = Target(values=A[:, 0] + V[:, 0], kind="real", metric="r2")
    same = Target(values=(A[:, 0] + V[:, 0]) * 8e4 + 2.5e5, kind="real", metric="r2")
    expected, found = forecast(pair(target=real), k=2), forecast(pair((A - 3) * scale, V * 1e-12, same), k=2)
    for one, other in zip(expected.encoders, found.encoders, strict=True):
        assert other.risk == pytest.approx(one.risk, abs=1e-6)
        assert other.held_out == pytest.approx(one.held_out, abs=1e-6)
        assert (other.rank, other.best_strength) == (one.rank, pytest.approx(one.best_strength))


def test_a_constant_modality_is_refused_in_any_unit():
    for value in (0.0, 0.1, 1e-30, 1e25):
        with pytest.raises(ValueError, match="audio"):
            components(pair(np.full((N, 2), value)), "broja")
        with pytest.raises(ValueError, match="audio"):
            forecast(pair(np.full((N, 2), value)), k=1)


def test_sequences_of_any_length_hide_no_constant_and_no_small_unit():
    mask = np.arange(7) < RNG.integers(1, 8, size=N)[:, None]
    real = mask[..., None]
    steps = A[:, None, :] + RNG.normal(size=(N, 7, 6))
    expected = components(pair(np.where(real, steps, 0), mask=mask), "broja")
    constant = np.full((N, 7, 1), 0.1)
    small = np.concatenate([np.where(real, steps * UNITS, 9), np.where(real, constant, 9)], axis=2)
    assert components(pair(small, mask=mask), "broja") == pytest.approx(expected, abs=1e-6)
