"""The digits that ship with scikit-learn."""

import numpy as np
import pytest

from trainables.datasets import DATASETS, load
from trainables.spec import DatasetSpec


@pytest.fixture(scope="module")
def digits():
    return load(DatasetSpec(name="digits"))


def test_three_modalities_of_1797_rows(digits):
    assert {name: modality.values.shape for name, modality in digits.modalities.items()} == {
        name: (1797, *shape) for name, shape in DATASETS["digits"].shapes.items()
    }


def test_split_is_60_15_25_and_stratified(digits):
    sizes = [int((digits.split == code).sum()) for code in range(3)]
    assert np.array(sizes) / 1797 == pytest.approx([0.6, 0.15, 0.25], abs=1e-3)
    labels = digits.targets["left"].values
    for code in range(3):
        assert np.ptp(np.bincount(labels[digits.split == code], minlength=10) / sizes[code]) < 0.02


def test_halves_hold_the_image_and_fourier_its_magnitudes(digits):
    halves = [digits.modalities[name].values.reshape(-1, 8, 4) for name in ("left", "right")]
    image = np.concatenate(halves, axis=2)
    assert image.min() == 0
    assert image.max() == 1
    full = np.abs(np.fft.fft2(image))
    assert digits.modalities["fourier"].values.reshape(-1, 8, 5) == pytest.approx(full[:, :, :5], abs=1e-4)
    assert full[:, 1:, 5:] == pytest.approx(full[:, 1:, 1:4][:, ::-1, ::-1], abs=1e-4)  # what was left out is the same


def test_all_modalities_share_one_target(digits):
    assert len({id(target) for target in digits.targets.values()}) == 1
