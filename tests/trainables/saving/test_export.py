"""Encoders written to files and read back: they say what the pack that trained them says."""

from __future__ import annotations

from dataclasses import asdict, replace
from datetime import date
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch

from trainables.datasets.base import Modality, PairData, Target
from trainables.metrics.scores import SCORES
from trainables.saving.checkpoint import CheckpointError, read_checkpoint, write_checkpoint
from trainables.saving.export import load_encoder, trained_encoders, training_hash
from trainables.saving.padding import Padding, find_padding
from trainables.spec import AlignmentSpec, DatasetSpec, EncoderSpec, PackSpec, ReplicaSpec, TrainingSpec
from trainables.training.pack import Pack

N = 60
FILL = {
    "zero": 0.0, "minus one": -1.0, "garbage": None, "a step of its own": (3.0, 4.0, 5.0, 6.0), "data, too": 0.0,
    "missing": np.nan,
}  # fmt: skip
SPECS = {
    "linear": (EncoderSpec(kind="linear", width=6), (5,)),
    "mlp": (EncoderSpec(kind="mlp", width=6), (5,)),
    "transformer": (EncoderSpec(kind="transformer", width=6, heads=2, layers=1), (4, 3)),
    "vit": (EncoderSpec(kind="vit", width=6, heads=2, layers=1, patch=2), (4, 4)),
}


def trained(kind: str, *, projector: str = "none") -> tuple[Pack, PairData]:
    """A pack of two replicas whose first modality has an encoder of this kind, the second classes for a target."""
    rng = np.random.default_rng(0)
    spec, shape = SPECS[kind]
    mask = np.arange(shape[0])[None, :] < rng.integers(1, shape[0] + 1, size=N)[:, None]
    first = Modality(
        name="first",
        values=rng.normal(size=(N, *shape)).astype(np.float32),
        mask=mask if kind == "transformer" else None,
    )
    second = Modality(name="second", values=rng.normal(size=(N, 7)).astype(np.float32))
    classes = Target(values=rng.integers(0, 3, N), kind="classes", n_classes=3)
    real = Target(values=rng.normal(size=N).astype(np.float32), kind="real", metric="r2")
    split = np.repeat([0, 1, 2], N // 3).astype(np.int8)
    data = PairData(dataset="made", modalities=(first, second), targets=(classes, real), split=split)
    pack = Pack(
        PackSpec(
            dataset=DatasetSpec(name="made"),
            pair=data.names,
            encoders=(spec, EncoderSpec(width=6)),
            alignment=AlignmentSpec(projector=projector),  # type: ignore[arg-type]
            training=TrainingSpec(epochs=3, batch_size=20),
            replicas=tuple(ReplicaSpec(strength_1=0.5, strength_2=0.5, seed=seed) for seed in (1, 2)),
            fit=("train", "valid"),
            evaluate="test",
        ),
        data,
    )
    pack.run()
    return pack, data


def padded(kind: str, fill: str, *, projector: str = "none") -> tuple[Pack, PairData]:
    """A pack on masked sequences (4, 4); what stands in padded steps is `fill`, and "data, too" has it in real ones."""
    rng = np.random.default_rng(1)
    lengths = rng.integers(1, 5, size=N)
    mask = np.arange(4)[None, :] < lengths[:, None]
    values = rng.normal(3, 2, size=(N, 4, 4)).astype(np.float32)
    if FILL[fill] is not None:
        values[~mask] = FILL[fill]
    if fill == "data, too":
        values[lengths > 2, 0] = 0.0
    first = Modality(name="first", values=values, mask=mask)
    second = Modality(name="second", values=rng.normal(size=(N, 7)).astype(np.float32))
    target = Target(values=rng.integers(0, 3, N), kind="classes", n_classes=3)
    split = np.repeat([0, 1, 2], N // 3).astype(np.int8)
    data = PairData(dataset="made", modalities=(first, second), targets=(target, target), split=split)
    spec = EncoderSpec(kind=kind, width=6, heads=2, layers=2, patch=2)
    pack = Pack(
        PackSpec(
            dataset=DatasetSpec(name="made"), pair=data.names, encoders=(spec, EncoderSpec(width=6)),
            alignment=AlignmentSpec(projector=projector),  # type: ignore[arg-type]
            training=TrainingSpec(epochs=3, batch_size=20),
            replicas=(ReplicaSpec(strength_1=0.5, strength_2=0.5, seed=1),),
        ),
        data,
    )  # fmt: skip
    pack.run()
    return pack, data


def said_by_the_pack(pack: Pack) -> np.ndarray:
    """The first encoder's outputs for the rows that the pack evaluates on."""
    return pack.predictions()[0][0].numpy()


@pytest.mark.parametrize("fill", FILL)
@pytest.mark.parametrize("kind", SPECS)
def test_padded_rows_are_served_as_they_were_trained(kind: str, fill: str, tmp_path: Path) -> None:
    pack, data = padded(kind, fill)
    trained_encoders(pack, data, 0)[0].save(tmp_path / "encoder.pt")
    encoder, modality, rows = load_encoder(tmp_path / "encoder.pt"), data.modalities[0], data.rows("valid")
    raw, mask = modality.values[rows], modality.mask[rows]  # type: ignore[index]
    expected = said_by_the_pack(pack)
    missing = np.where(mask[:, :, None], raw, np.nan)
    np.testing.assert_allclose(encoder.predict(raw, mask=mask)["logits"], expected, atol=1e-5)
    np.testing.assert_allclose(encoder.predict(raw, mask=mask.sum(1))["logits"], expected, atol=1e-5)
    np.testing.assert_allclose(encoder.predict(missing)["logits"], expected, atol=1e-5)
    np.testing.assert_allclose(encoder.predict(missing.reshape(len(rows), -1))["logits"], expected, atol=1e-5)
    assert encoder.padding is not None
    assert encoder.padding.needs_mask == (fill == "garbage")
    if fill == "garbage":
        with pytest.raises(ValueError, match=r"first needs to know what is padding\..*give a mask"):
            encoder.predict(raw)
        assert "give a mask" in encoder.reads
    else:
        np.testing.assert_allclose(encoder.predict(raw.astype(np.float64))["logits"], expected, atol=1e-5)
        assert "of nothing but" in encoder.reads
        assert encoder.padding.trailing == (fill == "data, too")


def test_sequences_without_a_mask_have_no_padding() -> None:
    values = np.random.default_rng(0).normal(size=(N, 4, 3)).astype(np.float32)
    assert find_padding(values, np.ones((N, 4), dtype=bool)).value != (0.0,)
    pack, data = trained("mlp")
    with pytest.raises(ValueError, match="trained without a mask"):
        trained_encoders(pack, data, 0)[0].predict(inputs(data, 0), mask=np.ones((20, 5)))


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (np.ones((20, 3)), r"must be \(20, 4\)"),
        (np.full((20, 4), 2), "true and false"),
        (np.full(20, 5), "lengths up to 4"),
        (np.full(20, -1), "lengths up to 4"),
        (np.full(20, 0), "row 0 is padding alone"),
        (np.full(20, 1.5), "whole lengths"),
        (np.full((20, 4), "x"), "true and false"),
        ([[True], [True, False]], "."),
    ],
)
def test_a_mask_of_another_kind_is_refused(mask: object, message: str) -> None:
    pack, data = padded("mlp", "zero")
    with pytest.raises(ValueError, match=message):
        trained_encoders(pack, data, 0)[0].predict(data.modalities[0].values[:20], mask=mask)  # type: ignore[arg-type]


@pytest.mark.parametrize("fill", FILL)
def test_a_missing_step_that_the_mask_calls_real_is_refused(fill: str) -> None:
    pack, data = padded("mlp", fill)
    encoder, raw = trained_encoders(pack, data, 0)[0], np.nan_to_num(data.modalities[0].values[:20])
    mask = np.ones((20, 4), dtype=bool)
    raw[3, 2] = np.nan
    for given in (mask, mask.sum(1)):
        with pytest.raises(ValueError, match=r"^row 3 has a value that is not finite; impute it as in training$"):
            encoder.predict(raw, mask=given)
    mask[3, 2] = False
    assert np.isfinite(encoder.predict(raw, mask=mask)["logits"]).all()


@pytest.mark.parametrize("trained", [np.float32, np.float64])
@pytest.mark.parametrize("given", [np.float32, np.float64])
def test_padding_is_known_in_whatever_precision_it_comes(trained: type, given: type) -> None:
    """-99.9 is another number in float32 than in float64."""
    rng = np.random.default_rng(1)
    mask = np.arange(4) < rng.integers(1, 5, size=N)[:, None]
    values = np.where(mask[..., None], rng.normal(size=(N, 4, 4)), -99.9)
    padding = find_padding(values.astype(trained), mask)
    pack, data = padded("mlp", "zero")
    encoder = trained_encoders(pack, data, 0)[0]
    encoder.module.mean, encoder.module.factor = (
        part.to(torch.from_numpy(np.empty(0, trained)).dtype) for part in (encoder.module.mean, encoder.module.factor)
    )
    encoder = replace(encoder, padding=padding)
    expected = encoder.predict(values.astype(trained), mask=mask)["logits"]
    np.testing.assert_allclose(encoder.predict(values.astype(given))["logits"], expected, atol=1e-5)


def test_a_sequence_of_an_older_file_needs_its_mask(tmp_path: Path) -> None:
    pack, data = padded("mlp", "zero")
    path = tmp_path / "encoder.pt"
    trained_encoders(pack, data, 0)[0].save(path)
    state = read_checkpoint(path, device=torch.device("cpu"))
    write_checkpoint({**{key: value for key, value in state.items() if key != "padding"}, "format": 1}, path)
    encoder, rows = load_encoder(path), data.rows("valid")
    raw, mask = data.modalities[0].values[rows], data.modalities[0].mask[rows]  # type: ignore[index]
    with pytest.raises(ValueError, match="give a mask"):
        encoder.predict(raw)
    np.testing.assert_allclose(encoder.predict(raw, mask=mask)["logits"], said_by_the_pack(pack), atol=1e-5)


@pytest.mark.parametrize("shape", [(3, 7), (500, 3, 2), (2049, 5, 3)])
def test_the_padding_found_gives_back_the_mask(shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(len(shape))
    n, steps, features = (*shape, 2)[:3]
    for value in (0.0, -1.0, 1e20, np.arange(features, dtype=np.float32)):
        for mask in (rng.random((n, steps)) < 0.5, np.arange(steps) < rng.integers(1, steps + 1, n)[:, None]):
            values = rng.normal(size=(n, steps, features)).astype(np.float32)
            values[~mask] = value
            padding = find_padding(values, mask)
            assert not padding.needs_mask
            np.testing.assert_array_equal(padding.real(values), mask)
            assert Padding(**asdict(padding)) == padding
            values[~mask] = rng.normal(size=(int((~mask).sum()), features))
            assert find_padding(values, mask).needs_mask


def inputs(data: PairData, modality: int) -> np.ndarray:
    """The raw test rows as whoever uses an encoder has them: padding is NaN."""
    rows, given = data.rows("test"), data.modalities[modality]
    values = given.values[rows].copy()
    if given.mask is not None:
        values[~given.mask[rows]] = np.nan
    return values


@pytest.mark.parametrize("projector", ["none", "linear", "mlp"])
@pytest.mark.parametrize("kind", SPECS)
def test_a_file_scores_what_the_pack_scored(kind: str, projector: str, tmp_path: Path) -> None:
    pack, data = trained(kind, projector=projector)
    for replica, result in enumerate(pack.results()):
        for modality, encoder in enumerate(trained_encoders(pack, data, replica)):
            encoder.save(tmp_path / "encoder.pt")
            said = load_encoder(tmp_path / "encoder.pt").predict(inputs(data, modality))
            outputs = torch.from_numpy(said["logits" if modality == 0 else "predictions"])[None]
            target = data.targets[modality]
            truth = torch.from_numpy(target.values[data.rows("test")])[None]
            assert float(SCORES[target.metric].measure(outputs, truth)[0]) == pytest.approx(
                result.scores[modality], abs=1e-6
            )
            assert said["features"].shape == (N // 3, 6)


def test_probabilities_are_those_of_the_logits() -> None:
    pack, data = trained("mlp")
    said = trained_encoders(pack, data, 0)[0].predict(inputs(data, 0))
    np.testing.assert_allclose(said["probabilities"].sum(axis=1), 1, rtol=1e-6)
    assert (said["probabilities"].argmax(axis=1) == said["logits"].argmax(axis=1)).all()


def test_rows_are_independent_of_one_another() -> None:
    pack, data = trained("transformer")
    encoder, x = trained_encoders(pack, data, 0)[0], inputs(data, 0)
    alone = np.concatenate(
        [encoder.predict(row[None], mask=[len(row) - np.isnan(row[:, 0]).sum()])["features"] for row in x]
    )
    np.testing.assert_allclose(encoder.predict(x)["features"], alone, atol=1e-6)


def test_flat_rows_are_folded_into_the_shape_of_a_sample() -> None:
    pack, data = trained("vit")
    encoder, x = trained_encoders(pack, data, 0)[0], inputs(data, 0)
    np.testing.assert_array_equal(encoder.predict(x.reshape(len(x), -1))["features"], encoder.predict(x)["features"])


def test_columns_of_a_data_frame_are_found_by_name(tmp_path: Path) -> None:
    import pandas as pd

    pack, data = trained("mlp")
    names = tuple("abcde")
    first, other = data.modalities
    data = replace(data, modalities=(replace(first, columns=names), other))
    trained_encoders(pack, data, 0)[0].save(tmp_path / "first.pt")
    encoder = load_encoder(tmp_path / "first.pt")
    assert "the columns a, b, c, d, e in this order" in encoder.reads
    rows = np.random.default_rng(1).normal(size=(7, 5))
    known = encoder.predict(rows)["logits"]
    frame = pd.DataFrame(rows, columns=names)
    for given in (frame, frame[list("ecabd")], pd.DataFrame(rows)):
        assert np.array_equal(encoder.predict(given)["logits"], known)
    for wrong, said in (
        (
            frame.rename(columns={"c": "x"}),
            "reads the columns a, b, c, d, e: 'c' is not among those given, a, b, x, d, e",
        ),
        (frame.add_prefix("new "), "'a' is not among those given"),
        (frame.assign(f=0.0), "given 'f', too; leave it out"),
        (frame.drop(columns="e"), "'e' is not among"),
    ):
        with pytest.raises(ValueError, match=said):
            encoder.predict(wrong)
    by_place = replace(encoder, columns=())
    assert np.array_equal(by_place.predict(frame.add_prefix("new "))["logits"], known)


def test_no_rows_are_no_rows() -> None:
    pack, data = trained("mlp")
    assert trained_encoders(pack, data, 0)[0].predict(np.empty((0, 5)))["logits"].shape == (0, 3)


@pytest.mark.parametrize(
    ("kind", "values", "message"),
    [
        ("mlp", np.zeros((2, 4)), r"reads inputs of shape .*given \(2, 4\)"),
        ("mlp", np.float64(3), r"reads inputs of shape \(N, 5\), given \(\)"),
        ("transformer", np.zeros((2, 4)), r"reads inputs of shape \(N, 4, 3\) or \(N, 12\), given \(2, 4\)"),
        ("mlp", np.full((2, 5), 1 + 2j), "the encoder of first reads numbers: given complex128"),
        ("mlp", np.full((2, 5), "2020-01-01", "M8[D]"), r"reads numbers: given datetime64\[D\]"),
        ("mlp", np.full((2, 5), 3, "m8[s]"), r"reads numbers: given timedelta64\[s\]"),
        ("mlp", np.full((2, 5), "1"), "reads numbers: given <U1"),
        ("mlp", np.full((2, 5), b"1"), r"reads numbers: given \|S1"),
        ("mlp", np.full((2, 5), "1_0", object), "reads numbers: given str"),
        ("mlp", np.full((2, 5), 1j, object), "reads numbers: given complex"),
        ("mlp", np.full((2, 5), date(2020, 1, 1), object), "reads numbers: given date"),
        ("mlp", np.zeros((2, 5), [("a", float)]), "reads numbers: given"),
        ("mlp", [[1.0] * 5, [1.0] * 4], "reads numbers"),
        ("mlp", np.array([[0.0] * 5, [np.nan] * 5]), "row 1 has a value that is not finite"),
        ("transformer", np.full((1, 4, 3), np.nan), "row 0 is padding alone"),
        ("mlp", np.ma.masked_equal(np.eye(5), 1), "row 0 has a value that is not finite"),
        ("mlp", np.ma.masked_equal(np.eye(5, dtype=int), 1), "row 0 has a value that is not finite"),
        (
            "mlp",
            np.array([[0.0] * 5, [1e300] * 5]),
            "row 1 (is too large for the encoder|has a value that is not finite)",
        ),
        ("mlp", np.array([[0.0] * 5, [3e38] * 5]), "row 1 is too large for the encoder, whose outputs are not finite"),
    ],
)
def test_inputs_that_make_no_sense_are_refused(kind: str, values: np.ndarray, message: str) -> None:
    pack, data = trained(kind)
    with pytest.raises(ValueError, match=message):
        trained_encoders(pack, data, 0)[0].predict(values)


def test_numbers_of_every_kind_are_read() -> None:
    encoder = trained_encoders(*trained("mlp"), 0)[0]
    wanted = encoder.predict(np.ones((2, 5)))["features"]
    for kind in (bool, np.uint8, np.int64, np.float16, object):
        assert np.array_equal(encoder.predict(np.ones((2, 5), kind))["features"], wanted)
    for one in (Decimal(1), Fraction(1), np.float32(1), np.bool_(True)):
        assert np.array_equal(encoder.predict(np.full((2, 5), one, object))["features"], wanted)
    assert np.array_equal(encoder.predict(torch.ones(2, 5))["features"], wanted)


def test_a_torn_or_foreign_file_is_refused(tmp_path: Path) -> None:
    pack, data = trained("mlp")
    whole, torn, foreign = (tmp_path / f"{name}.pt" for name in ("whole", "torn", "foreign"))
    trained_encoders(pack, data, 0)[0].save(whole)
    torn.write_bytes(whole.read_bytes()[:-200])
    torch.save({"epoch": 3}, foreign)
    for path in (torn, foreign):
        with pytest.raises(CheckpointError):
            load_encoder(path)


def test_the_identity_of_a_training_does_not_depend_on_its_pack() -> None:
    pack, _ = trained("mlp")
    alone = {**pack.spec.to_json(), "replicas": [pack.spec.to_json()["replicas"][1]]}
    assert training_hash(pack.spec, 1) == PackSpec.from_json(alone).hash
    assert training_hash(pack.spec, 0) != training_hash(pack.spec, 1)
