"""Packs by whichever score decides: as each replica alone, on record with all others and with what rows add to it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.metrics import f1_score

from tests.trainables.training.resuming import reloaded
from trainables.datasets.base import Modality, PairData, Target
from trainables.metrics.outcomes import ByUnit
from trainables.metrics.scores import SCORES, Kind, scores_of
from trainables.saving.export import load_encoder, trained_encoders
from trainables.sources import Source
from trainables.spec import (
    AlignmentSpec,
    DatasetSpec,
    EncoderSpec,
    PackSpec,
    ReplicaSpec,
    ScoreSpec,
    TrainingSpec,
)
from trainables.training.pack import Pack

N = 240
OWN = "def within(targets, outputs):\n    return float((abs(targets - outputs) < 8).mean())\n"


def data(kind: Kind, *, groups: bool = False, shift: float = 1.0) -> PairData:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(N, 6)).astype(np.float32)
    latent = x[:, :3] + 0.3 * rng.normal(size=(N, 3))
    target = {
        "classes": Target(values=latent.argmax(1), kind="classes", n_classes=3),
        "multi_label": Target(values=(latent > 0.3).astype(np.float32), kind="multi_label"),
        "real": Target(values=latent[:, 0] * 12 + shift, kind="real", metric="r2"),
    }[kind]
    return PairData(
        dataset="mine",
        modalities=(Modality(name="a", values=x), Modality(name="b", values=x[:, ::-1].copy())),
        targets=(target, target),
        split=np.repeat(np.array([0, 1, 2], np.int8), [120, 40, 80]),
        groups=np.arange(N) // 2 if groups else None,
    )


def spec(*names: str, code: str = "", replicas: int = 3, rows: str = "resampled") -> PackSpec:
    first, second = (names * 2)[:2]
    return PackSpec(
        dataset=DatasetSpec(name="mine"),
        pair=("a", "b"),
        encoders=(EncoderSpec(width=4), EncoderSpec(width=4)),
        alignment=AlignmentSpec(),
        training=TrainingSpec(epochs=2, batch_size=30),
        replicas=tuple(ReplicaSpec(strength_1=k % 2, strength_2=k % 2, seed=k // 2) for k in range(replicas)),
        evaluate="test",
        rows=rows,  # type: ignore[arg-type]
        scores=(ScoreSpec(name=first, code=code), ScoreSpec(name=second, code=code)),
    )


def trained(asked: PackSpec, pair: PairData) -> Pack:
    pack = Pack(asked, pair)
    pack.run()
    return pack


@pytest.mark.parametrize(
    ("kind", "name"), [(kind, name) for kind in ("classes", "multi_label", "real") for name in scores_of(kind)]  # type: ignore[arg-type]
)  # fmt: skip
def test_the_score_on_record_is_that_of_the_predictions_and_of_what_units_add(kind: Kind, name: str) -> None:
    pair = data(kind)
    pack = trained(spec(name), pair)
    outputs, target = pack.predictions()[0], torch.from_numpy(pair.targets[0].values[pair.rows("test")])
    if kind == "real":
        train = pair.targets[0].values[pair.rows("train", "valid")]
        outputs, target = outputs.double() * train.std() + train.mean(), target[:, None]
    measured = SCORES[name].measure(outputs, target)
    for result, expected in zip(pack.results(), measured.tolist(), strict=True):
        assert result.others is not None
        assert result.others[0][name] == pytest.approx(expected, rel=1e-5, abs=1e-6)
        assert result.scores[0] == pytest.approx(-expected if SCORES[name].lower else expected, rel=1e-5, abs=1e-6)
        assert set(result.others[0]) == set(scores_of(kind))
        assert result.by_unit is not None
        units = ByUnit.from_json(result.by_unit)
        assert units.blocks == (name in ("average_precision", "spearman"))
        assert units.values[0] @ units.weights == pytest.approx(result.scores[0], rel=1e-5, abs=1e-6)


@pytest.mark.parametrize("name", ["macro_f1", "auroc"])
def test_replicas_score_as_alone(name: str) -> None:
    pair, asked = data("classes"), spec(name)
    together = trained(asked, pair).results()
    for k, result in enumerate(together):
        (alone,) = trained(replace(asked, replicas=asked.replicas[k : k + 1]), pair).results()
        assert result.scores == pytest.approx(alone.scores, abs=1e-6)
        assert result.others[1] == pytest.approx(alone.others[1], abs=1e-4)  # type: ignore[index]


def test_a_score_changes_no_training_and_decides_alone() -> None:
    pair = data("classes")
    by_f1, by_loss = (trained(spec(name), pair) for name in ("macro_f1", "log_loss"))
    for one, other in zip(by_f1.predictions(), by_loss.predictions(), strict=True):
        assert torch.equal(one, other)
    said = by_f1.predictions()[0].argmax(-1).numpy()
    known = [f1_score(pair.targets[0].values[pair.rows("test")], one, average="macro") for one in said]
    assert [result.scores[0] for result in by_f1.results()] == pytest.approx(known)


def test_encoders_of_a_pair_may_have_scores_of_two_kinds_on_the_same_units() -> None:
    (result,) = trained(spec("accuracy", "average_precision", replicas=1), data("classes")).results()
    units = ByUnit.from_json(result.by_unit)  # type: ignore[arg-type]
    assert [values @ units.weights for values in units.values] == pytest.approx(result.scores, abs=1e-6)
    assert len(units.values[0]) == 60
    (result,) = trained(spec("average_precision", replicas=1), data("classes", groups=True)).results()
    units = ByUnit.from_json(result.by_unit)  # type: ignore[arg-type]
    assert (len(units.values[0]), units.blocks) == (40, False)  # each of the groups, of two rows


def test_a_score_of_the_user_s_decides_and_goes_on_from_a_checkpoint(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(OWN)
    source, pair = Source.of_file(f"{tmp_path / 'mine.py'}:within"), data("real")
    asked = spec(source.name, code=source.text)
    pack = Pack(PackSpec.from_json(asked.to_json()), pair)
    pack.run(1)
    again = reloaded(pack, asked, pair, tmp_path)
    for one in (pack, again):
        one.run()
    for first, second in zip(pack.results(), again.results(), strict=True):
        assert first == second
        assert first.scores[0] == first.others[0]["mine.py:within"]  # type: ignore[index]
        assert type(first).from_json(first.to_json()) == first
    share = (pack.predictions()[0][0, :, 0] * 12).std()  # it is in the user's unit: not all are within 8 of it
    assert share > 0
    assert 0.2 < pack.results()[0].scores[0] < 1


def test_the_sign_of_a_target_that_has_one_is_not_asked_for() -> None:
    (result,) = trained(spec("mae", replicas=1), data("real", shift=140)).results()
    assert set(result.others[0]) == set(scores_of("real")) - {"sign_accuracy"}  # type: ignore[index]


def test_hashes_know_the_score_and_not_its_code_and_old_ones_stay() -> None:
    asked = spec("macro_f1")
    plain = replace(asked, scores=None)
    assert "scores" not in plain.to_json()
    assert "class_weights" not in plain.to_json()["training"]
    assert len({asked.hash, plain.hash, spec("auroc").hash}) == 3
    assert spec("m.py:f", code="1").hash == spec("m.py:f", code="2").hash
    assert PackSpec.from_json(asked.to_json()) == asked


def test_balanced_classes_count_alike() -> None:
    """Nearly all rows are of one class, which alone is predicted unless rare ones count more."""
    pair = data("classes")
    x = pair.modalities[0].values
    rare = Target(values=(x[:, 0] + x[:, 5] > 1.8).astype(np.int64), kind="classes", n_classes=2)
    pair = replace(pair, targets=(rare, rare))
    asked = spec("balanced_accuracy", rows="fixed")
    asked = replace(asked, training=replace(asked.training, epochs=30))
    balanced = replace(asked, training=replace(asked.training, class_weights="balanced"))
    one, other = (trained(each, pair).results() for each in (asked, balanced))
    assert np.mean([result.scores for result in other]) > np.mean([result.scores for result in one]) + 0.05
    assert PackSpec.from_json(balanced.to_json()) == balanced


def test_labels_are_served_with_a_probability_each(tmp_path: Path) -> None:
    pair = data("multi_label")
    pack = trained(spec("auroc", replicas=1, rows="fixed"), pair)
    encoder, _ = trained_encoders(pack, pair, 0)
    encoder.save(tmp_path / "a.pt")
    said = load_encoder(tmp_path / "a.pt").predict(pair.modalities[0].values[pair.rows("test")])
    expected = pack.predictions()[0][0].sigmoid().numpy()
    np.testing.assert_allclose(said["probabilities"], expected, atol=1e-5)
