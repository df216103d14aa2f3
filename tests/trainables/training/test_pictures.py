"""What a report draws of single trainings."""

from __future__ import annotations

import base64
import dataclasses

import numpy as np
import pytest
import torch

from trainables import datasets
from trainables.datasets.base import PairData
from trainables.spec import (
    AlignmentSpec,
    DatasetSpec,
    EncoderSpec,
    PackSpec,
    ReplicaSpec,
    ReplicateResult,
    TrainingSpec,
)
from trainables.training.pack import Pack
from trainables.training.pictures import ROWS, project, with_pictures


@pytest.fixture(scope="module")
def digits() -> PairData:
    return datasets.load(DatasetSpec(name="digits")).pair("left", "right")


@pytest.fixture(scope="module", params=["valid", "test"])
def pack(request: pytest.FixtureRequest, digits: PairData) -> Pack:
    spec = PackSpec(
        dataset=DatasetSpec(name="digits"),
        pair=("left", "right"),
        encoders=(EncoderSpec(width=8),) * 2,
        alignment=AlignmentSpec(),
        training=TrainingSpec(epochs=6, batch_size=64),
        replicas=tuple(
            ReplicaSpec(strength_1=s, strength_2=s, seed=seed, learning_rate=1e-2)
            for s in (0.0, 4.0)
            for seed in (1, 2)
        ),
        evaluate=request.param,
    )
    trained = Pack(spec, digits)
    trained.run()
    return trained


def test_a_plane_that_rows_lie_in_is_found_with_its_shares() -> None:
    """Both modalities on a circle of a plane in eight dimensions: nothing of their places is lost."""
    drawn = np.random.default_rng(0)
    plane, _ = np.linalg.qr(drawn.normal(size=(8, 2)))
    angles = drawn.uniform(0, 2 * np.pi, (2, 50))
    first, second = (np.stack([2 * np.cos(a), np.sin(a)], 1) @ plane.T for a in angles)
    points, shares = project(torch.from_numpy(first), torch.from_numpy(second))
    assert sum(shares) == pytest.approx(1, abs=1e-4)
    assert shares[0] > shares[1]
    rows = np.concatenate([first, second])
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    there = points.reshape(-1, 2).astype(float)
    apart = np.linalg.norm(rows[:, None] - rows[None], axis=-1)
    assert np.linalg.norm(there[:, None] - there[None], axis=-1) == pytest.approx(apart, abs=4e-3)  # float16


def test_the_picture_neither_depends_on_the_order_of_rows_nor_on_their_lengths() -> None:
    drawn = torch.Generator().manual_seed(0)
    first, second = torch.randn(2, 40, 6, generator=drawn)
    order = torch.randperm(40, generator=drawn)
    points, _ = project(first, second)
    turned, _ = project(first[order] * torch.arange(1, 41)[:, None], second[order])
    assert turned.astype(float) == pytest.approx(points[:, order.numpy()].astype(float), abs=2e-3)


def test_rows_of_one_number_and_rows_that_are_all_alike_lie_on_a_line_and_in_a_point() -> None:
    points, shares = project(torch.tensor([[1.0], [-2.0]]), torch.tensor([[3.0], [-1.0]]))
    assert shares == (1, 0)
    assert points[..., 0].tolist() == [[1, -1], [1, -1]]
    assert not points[..., 1].any()
    alike, shares = project(torch.zeros(3, 4), torch.zeros(3, 4))
    assert not alike.any()
    assert shares == (0, 0)


def test_nothing_but_the_picture_is_added_and_of_those_asked_for_alone(pack: Pack, digits: PairData) -> None:
    plain = pack.results()
    told = with_pictures(plain, pack, digits, drawn=(0, 2))
    assert [result.picture is not None for result in told] == [True, False, True, False]
    assert [dataclasses.replace(result, picture=None) for result in told] == list(plain)
    assert with_pictures(plain, pack, digits, drawn=()) == plain
    for result in told:
        assert ReplicateResult.from_json(result.to_json()) == result
        assert len(str(result.to_json().get("picture", ""))) < 4096


@pytest.mark.parametrize("pack", ["test"], indirect=True)
def test_accuracies_by_class_are_parts_of_the_accuracy(pack: Pack, digits: PairData) -> None:
    values = digits.targets[0].values[digits.rows("test")]
    share = np.bincount(values) / len(values)
    for result in with_pictures(pack.results(), pack, digits, drawn=range(4)):
        assert result.picture is not None
        for recalls, score in zip(result.picture["recalls"], result.scores, strict=True):
            assert np.dot(recalls, share) == pytest.approx(score, abs=1e-4)


@pytest.mark.parametrize("pack", ["valid"], indirect=True)
def test_aligned_rows_lie_nearer_to_each_other_and_labels_are_those_of_the_rows(pack: Pack, digits: PairData) -> None:
    apart: dict[float, list[float]] = {}
    for result, replica in zip(
        with_pictures(pack.results(), pack, digits, drawn=range(4)), pack.spec.replicas, strict=True
    ):
        assert result.picture is not None
        points = np.frombuffer(base64.b64decode(result.picture["points"]), "<f2").reshape(2, ROWS, 2).astype(float)
        apart.setdefault(replica.strength_1, []).append(np.linalg.norm(points[0] - points[1], axis=1).mean())
        rows = digits.rows("valid")
        places = np.linspace(0, len(rows) - 1, ROWS).round().astype(int)
        labels = np.frombuffer(base64.b64decode(result.picture["labels"]), np.uint8)
        assert (labels == digits.targets[0].values[rows[places]]).all()
    assert np.mean(apart[4.0]) < 0.8 * np.mean(apart[0.0])


def test_a_training_that_diverged_has_no_picture(pack: Pack, digits: PairData) -> None:
    lost = [dataclasses.replace(result, status="diverged") for result in pack.results()]
    assert with_pictures(lost, pack, digits, drawn=range(4)) == tuple(lost)
