"""What a pair knows together and across, from planted truths, and as each replica alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn.linear_model import RidgeClassifierCV
from sklearn.metrics import log_loss
from sklearn.preprocessing import StandardScaler

from tests.trainables.training.resuming import check_goes_on
from trainables.datasets.base import Modality, PairData, Target
from trainables.metrics.ridge import RIDGES
from trainables.spec import (
    AlignmentSpec,
    DatasetSpec,
    EncoderSpec,
    PackSpec,
    ReplicaSpec,
    ReplicateResult,
    ScoreSpec,
    TrainingSpec,
)
from trainables.training.pack import Pack

ROWS = 600
_PLACES = np.repeat(np.array([0, 1, 2], np.int8), [300, 100, 200])


def pair(first: NDArray[np.floating], second: NDArray[np.floating], *targets: Target) -> PairData:
    one, two = (targets * 2)[:2]
    return PairData(
        dataset="planted",
        modalities=(
            Modality(name="a", values=first.astype(np.float32)),
            Modality(name="b", values=second.astype(np.float32)),
        ),
        targets=(one, two),
        split=_PLACES,
    )


def classes(values: NDArray[np.bool_] | NDArray[np.int64]) -> Target:
    return Target(values=values.astype(np.int64), kind="classes", n_classes=int(values.max()) + 1)


def spec(
    *, kind: str = "linear", width: int = 8, replicas: int = 2, epochs: int = 6, strength: float = 0.0, **fields
) -> PackSpec:
    encoder = EncoderSpec(kind=kind, width=width)
    training = TrainingSpec(epochs=epochs, batch_size=30, **fields.pop("training", {}))
    return PackSpec(
        dataset=DatasetSpec(name="planted"),
        pair=("a", "b"),
        encoders=(encoder, encoder),
        alignment=AlignmentSpec(),
        training=training,
        replicas=tuple(
            ReplicaSpec(strength_1=strength, strength_2=strength, seed=k, learning_rate=1e-2) for k in range(replicas)
        ),
        **{"evaluate": "test", **fields},
    )


def trained(asked: PackSpec, data: PairData, *, together: int | None = None) -> tuple[ReplicateResult, ...]:
    pack = Pack(asked, data, together=together)
    pack.run()
    return pack.results()


def joint(results: tuple[ReplicateResult, ...]) -> float:
    return float(np.mean([result.joint[0] for result in results if result.joint]))


def scored(results: tuple[ReplicateResult, ...]) -> float:
    return float(np.mean([result.scores for result in results]))


def test_a_synergy_that_adds_up_is_known_together_and_by_neither_alone() -> None:
    rng = np.random.default_rng(0)
    hidden, mask = rng.choice([-1.0, 1.0], size=ROWS), 3 * rng.normal(size=ROWS)
    other = rng.normal(size=(2, ROWS, 3))
    first = np.column_stack([mask, other[0]])
    second = np.column_stack([mask + hidden, other[1]])  # the target is their difference
    results = trained(spec(), pair(first, second, classes(hidden > 0)))
    assert scored(results) < 0.72
    assert joint(results) > 0.97


def test_an_exclusive_or_is_beyond_what_a_linear_probe_can_read() -> None:
    rng = np.random.default_rng(1)
    bits = rng.integers(0, 2, size=(2, ROWS))
    seen = [np.column_stack([2.0 * one - 1, rng.normal(size=(ROWS, 3))]) for one in bits]
    results = trained(spec(), pair(*seen, classes(bits[0] ^ bits[1])))
    assert joint(results) == pytest.approx(0.5, abs=0.1)


def test_what_both_know_alike_they_know_no_better_together() -> None:
    rng = np.random.default_rng(2)
    hidden = rng.integers(0, 2, ROWS)
    shared = (2.0 * hidden - 1) + rng.normal(size=ROWS)
    seen = [np.column_stack([shared, rng.normal(size=(ROWS, 3))]) for _ in range(2)]
    results = trained(spec(), pair(*seen, classes(hidden)))
    assert joint(results) == pytest.approx(scored(results), abs=0.03)
    assert all(result.crossed is None for result in results)  # there is one target


def test_alignment_takes_what_is_only_known_to_one_side() -> None:
    """Each encoder sees eight shared numbers, which say nothing, and one of its own, whose sum is the target. It has
    room for three.
    """
    rng = np.random.default_rng(3)
    own, shared = rng.normal(size=(2, ROWS)), rng.normal(size=(ROWS, 8))
    seen = [np.column_stack([shared, part]) for part in own]
    target = Target(values=own.sum(0), kind="real", metric="r2")
    before, after = (
        joint(trained(spec(width=3, strength=strength, epochs=20), pair(*seen, target))) for strength in (0.0, 10.0)
    )
    assert before > 0.95
    assert after < before - 0.1


def test_crossed_probes_are_of_one_encoder_about_the_target_of_the_other() -> None:
    rng = np.random.default_rng(4)
    mine, yours = rng.integers(0, 2, ROWS), rng.normal(size=ROWS)
    first = np.column_stack([mine + 0.05 * rng.normal(size=ROWS), yours])  # knows both
    second = np.column_stack([yours, rng.normal(size=ROWS)])  # knows its own alone
    targets = classes(mine), Target(values=50 + 7 * yours, kind="real", metric="r2")
    for result in trained(spec(), pair(first, second, *targets)):
        assert result.joint is not None
        assert result.crossed is not None
        assert result.joint[0] == 1.0
        assert result.joint[1] > 0.99
        assert result.crossed[0] > 0.99  # R² of the number, by the encoder of the class
        assert result.crossed[1] == pytest.approx(0.5, abs=0.12)  # accuracy of the class, by that of the number


def test_labels_and_errors_are_scored_by_what_decides_in_the_user_s_unit() -> None:
    rng = np.random.default_rng(5)
    first, second = rng.normal(size=(2, ROWS, 4))
    labels = Target(values=np.column_stack([first[:, 0] > 0, second[:, 0] > 0]).astype(np.float32), kind="multi_label")
    names = ScoreSpec(name="macro_f1"), ScoreSpec(name="macro_f1")
    results = trained(spec(scores=names), pair(first, second, labels))
    assert joint(results) > 0.9 > scored(results)  # either label is known to one of them

    real = Target(values=100 + 20 * (first[:, 0] + second[:, 0]), kind="real", metric="r2")
    names = ScoreSpec(name="rmse"), ScoreSpec(name="rmse")
    results = trained(spec(scores=names), pair(first, second, real))
    assert -1.0 < joint(results) < 0
    assert scored(results) < -15  # what they do not know of each other is 20


def test_it_is_the_ridge_classifier_of_the_features_that_the_encoders_give() -> None:
    rng = np.random.default_rng(6)
    first, second = rng.normal(size=(2, ROWS, 4))
    target = classes((first[:, 0] + second[:, 0] > 0).astype(np.int64) + (first[:, 1] > 1))
    data = pair(first, second, target)
    for name, known in (("accuracy", None), ("log_loss", log_loss)):
        asked = spec(kind="mlp", scores=(ScoreSpec(name=name), ScoreSpec(name=name)))
        pack = Pack(asked, data)
        pack.run()
        for k, result in enumerate(pack.results()):
            features = []
            for encoder, values in zip(pack.encoders(k), (first, second), strict=True):
                with torch.no_grad():
                    features.append(encoder(torch.from_numpy(values.astype(np.float32)))[0].numpy())
            seen, train, test = np.concatenate(features, 1).astype(float), data.rows("train"), data.rows("test")
            scaler = StandardScaler().fit(seen[train])
            x, y = scaler.transform(seen), target.values
            probe = RidgeClassifierCV([len(train) * ridge for ridge in RIDGES]).fit(x[train], y[train])
            assert result.joint is not None
            if known is None:
                assert result.joint[0] == pytest.approx(probe.score(x[test], y[test]), abs=0.011)
            else:
                scores = probe.decision_function(x[test])
                candidates = []
                for sharpness in (1, 2, 4, 8, 16):
                    odds = np.exp(sharpness * scores)
                    candidates.append(-known(y[test], odds / odds.sum(1, keepdims=True)))
                assert result.joint[0] == pytest.approx(max(candidates), abs=0.05)


@pytest.mark.parametrize("rows", ["fixed", "resampled", "redrawn"])
def test_replicas_know_together_what_they_know_alone(rows: str) -> None:
    rng = np.random.default_rng(7)
    first, second = rng.normal(size=(2, ROWS, 4))
    data = pair(first, second, Target(values=first[:, 0] * second[:, 0] + first[:, 1], kind="real", metric="r2"))
    asked = spec(kind="mlp", replicas=4, rows=rows)
    asked = replace(asked, replicas=tuple(replace(one, seed=k // 2) for k, one in enumerate(asked.replicas)))
    results = trained(asked, data)
    assert trained(asked, data) == results
    in_groups = trained(asked, data, together=2)
    for k, result in enumerate(results):
        (alone,) = trained(replace(asked, replicas=asked.replicas[k : k + 1]), data)
        assert result.joint == pytest.approx(alone.joint, abs=1e-4)
        assert result.joint == pytest.approx(in_groups[k].joint, abs=1e-4)
    assert results[0].joint != results[2].joint


def test_a_replica_that_diverged_knows_nothing_and_spares_the_others() -> None:
    rng = np.random.default_rng(8)
    first, second = rng.normal(size=(2, ROWS, 4))
    data = pair(first, second, classes(first[:, 0] > 0))
    asked = spec(kind="mlp")
    lost = replace(asked.replicas[1], learning_rate=1e30)
    sound, diverged = trained(replace(asked, replicas=(asked.replicas[0], lost)), data)
    assert (sound.status, diverged.status) == ("ok", "diverged")
    assert diverged.joint is not None
    assert np.isnan(diverged.joint).all()
    assert sound.joint == pytest.approx(trained(asked, data)[0].joint, abs=1e-6)
    assert np.isnan(ReplicateResult.from_json(diverged.to_json()).joint or ()).all()


def test_the_probe_changes_nothing_and_may_be_left_out(tmp_path: Path) -> None:
    rng = np.random.default_rng(9)
    first, second = rng.normal(size=(2, ROWS, 4))
    data = pair(first, second, classes(first[:, 0] > 0))
    asked = spec(kind="mlp", strength=0.5)
    without = replace(asked, training=replace(asked.training, joint_probe=False))
    assert without.hash == asked.hash
    assert PackSpec.from_json(without.to_json()) == without
    assert "joint_probe" not in asked.to_json()["training"]  # of versions before
    results, plain = trained(asked, data), trained(without, data)
    assert [replace(one, joint=None) for one in results] == list(plain)
    assert "joint" not in plain[0].to_json()
    assert [ReplicateResult.from_json(one.to_json()) for one in results] == list(results)

    pack = Pack(without, data)  # a checkpoint of either goes on as the other
    pack.run(3)
    check_goes_on(pack, asked, data, tmp_path, expected=results)


def test_classes_that_are_rare_count_as_much_where_the_training_lets_them() -> None:
    rng = np.random.default_rng(10)
    hidden = rng.random(ROWS) < 0.1
    first, second = (np.column_stack([hidden + 1.2 * rng.normal(size=ROWS), rng.normal(size=ROWS)]) for _ in range(2))
    names = ScoreSpec(name="balanced_accuracy"), ScoreSpec(name="balanced_accuracy")
    alike, balanced = (
        joint(trained(spec(scores=names, training={"class_weights": weights}), pair(first, second, classes(hidden))))
        for weights in ("none", "balanced")
    )
    assert balanced > alike + 0.05
