"""Data on their way to a pack: copied and scaled at once, or left where all processes share them."""

import numpy as np
import pytest
import torch

from trainables.datasets.base import Modality, PairData, Target
from trainables.training import feed as module
from trainables.training.feed import load_feeds, stays_shared

ROWS, STEPS = 40, 6


@pytest.fixture
def pair():
    rng = np.random.default_rng(0)
    mask = np.arange(STEPS) < rng.integers(0, STEPS + 1, size=ROWS)[:, None]
    mask[3] = False  # a sample without a real step
    values = rng.normal(3, 2, size=(ROWS, STEPS, 5)).astype(np.float32)
    values.flags.writeable = False  # as in Ray's object store
    target = Target(values=rng.integers(0, 2, ROWS), kind="classes", n_classes=2)
    return PairData(
        dataset="mine",
        modalities=(
            Modality(name="a", values=values, mask=mask),
            Modality(name="b", values=rng.normal(size=(ROWS, 4)).astype(np.float32), standardise=False),
        ),
        targets=(target, target),
        split=np.repeat(np.int8([0, 1, 2]), [20, 10, 10])[rng.permutation(ROWS)],
    )


def feeds(pair):
    return load_feeds(pair, fit=("train",), evaluate=("valid",), device=torch.device("cpu"))[:2]


@pytest.mark.parametrize("which", [0, 1], ids=["fit", "evaluated"])
@pytest.mark.parametrize("modality", [0, 1])
def test_shared_data_give_the_same_bits_as_a_copy(pair, monkeypatch, which, modality):
    copied = feeds(pair)[which]
    monkeypatch.setattr(module, "LARGE_BYTES", 1)
    shared = feeds(pair)[which]
    index = torch.from_numpy(np.random.default_rng(1).integers(0, copied.rows, size=(3, 7)))
    for expected, actual in (
        (copied.batch(modality, index), shared.batch(modality, index)),
        (copied.samples(modality, index[0], 2), shared.samples(modality, index[0], 2)),
    ):
        assert torch.equal(expected.values, actual.values)
        assert (expected.mask is None and actual.mask is None) or torch.equal(expected.mask, actual.mask)


def test_shared_data_are_neither_copied_nor_changed(pair, monkeypatch):
    monkeypatch.setattr(module, "LARGE_BYTES", 1)
    before = [modality.values.copy() for modality in pair.modalities]
    fit, evaluated = feeds(pair)
    for i, modality in enumerate(pair.modalities):
        for feed in (fit, evaluated):
            feed.batch(i, torch.arange(8).view(2, 4))
            assert np.shares_memory(feed.inputs[i].values.numpy(), modality.values)
        assert np.array_equal(before[i], modality.values)


def test_small_data_and_data_for_a_gpu_are_copied(pair):
    large = Modality(name="a", values=np.broadcast_to(np.float32(1), (2**14, 1024)))
    assert stays_shared(large, 2**14, "cpu")
    assert not stays_shared(large, 2**14, "cuda")
    assert not stays_shared(large, 2**13, "cpu")
    assert not np.shares_memory(feeds(pair)[0].inputs[0].values.numpy(), pair.modalities[0].values)
