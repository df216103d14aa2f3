"""The unit of a modality or a target is nobody's concern: training and what is served are the same in any of them."""

import numpy as np
import pytest
import torch

from trainables.datasets import load
from trainables.saving.export import load_encoder, trained_encoders
from trainables.spec import AlignmentSpec, DatasetSpec, EncoderSpec, PackSpec, ReplicaSpec, TrainingSpec
from trainables.training import feed
from trainables.training.pack import Pack

N = 240
RNG = np.random.default_rng(0)
A, V = RNG.normal(size=(N, 6)), RNG.normal(size=(N, 4, 3))
Y = A[:, 0] + V[:, 0, 0] + 0.3 * RNG.normal(size=N)
STEPS = 1 + np.arange(N) % 4
UNITS = 10.0 ** np.array([-30, -12, -3, 0, 9, 25])  # of the columns of A
ENCODERS = {
    "linear": EncoderSpec(kind="linear", width=4),
    "mlp": EncoderSpec(kind="mlp", width=4),
    "transformer": EncoderSpec(kind="transformer", width=4, heads=2, layers=1),
}


@pytest.fixture
def train(tmp_path):
    """Trains a pack on arrays as a user saves them; its data as well."""

    def run(a=A, v=V, y=Y, *, kind="mlp", **options):
        np.savez(tmp_path / "mine.npz", a=a, v=v, y=y, steps=STEPS)
        chosen = {"path": str(tmp_path / "mine.npz"), "mask": {"v": "steps"}, "modalities": ["a", "v"], **options}
        data = load(DatasetSpec(name="arrays", options=chosen)).pair("a", "v")
        pack = Pack(
            PackSpec(
                dataset=DatasetSpec(name="mine"),
                pair=data.names,
                encoders=(ENCODERS["mlp"], ENCODERS[kind]),
                alignment=AlignmentSpec(),
                training=TrainingSpec(epochs=4, batch_size=24),
                replicas=tuple(ReplicaSpec(strength_1=s, strength_2=s, seed=1) for s in (0.0, 1.0)),
                fit=("train", "valid"),
                evaluate="test",
            ),
            data,
        )
        pack.run()
        return pack, data

    return run


def numbers(pack):
    return np.array([[*result.scores, *result.losses] for result in pack.results()])


@pytest.mark.parametrize("metric", ["r2", "sign_accuracy"])
@pytest.mark.parametrize(("scale", "shift"), [(8e4, 2.5e5), (1e-12, 0), (1e-30, 0), (1e25, -3e25), (1.0, 1.7e9)])
def test_scores_and_losses_are_the_same_in_any_unit_of_the_target(train, scale, shift, metric):
    shift = shift if metric == "r2" else 0  # a sign has a zero of its own
    expected = numbers(train(metric=metric)[0])
    np.testing.assert_allclose(numbers(train(y=Y * scale + shift, metric=metric)[0]), expected, atol=1e-6)


def test_each_column_of_a_target_has_its_own_unit(train):
    both = np.stack([Y, A[:, 1]], axis=1)
    expected = numbers(train(y=both)[0])
    np.testing.assert_allclose(numbers(train(y=both * [1e-9, 1e6] + [0, 1e7])[0]), expected, atol=1e-6)


def test_whole_numbers_and_times_are_targets_like_any_other(train):
    seconds = np.round(Y * 1e5).astype(np.int64)
    expected = numbers(train(y=seconds.astype(float))[0])
    got = numbers(train(y=1_700_000_000 + seconds, task="real")[0])
    np.testing.assert_allclose(got, expected, atol=1e-6)


@pytest.mark.parametrize("shift", [0.0, 3.0, 1e4])
@pytest.mark.parametrize("scale", [1e-12, 1e-30, 1e25, UNITS], ids=["1e-12", "1e-30", "1e25", "mixed"])
def test_scores_are_the_same_in_any_unit_of_a_modality(train, scale, shift):
    expected = numbers(train()[0])
    np.testing.assert_allclose(numbers(train(a=(A + shift) * scale)[0]), expected, atol=1e-5)


@pytest.mark.parametrize("scale", [1e-30, 1e-12, 1e25])
def test_float32_files_are_read_in_any_unit_too(train, scale):
    expected = numbers(train(a=A.astype(np.float32))[0])
    got = numbers(train(a=(A * scale).astype(np.float32))[0])
    np.testing.assert_allclose(got, expected, atol=1e-3)  # the files themselves differ in their last bits


def test_padding_does_not_count_for_the_unit(train):
    real = (np.arange(4) < STEPS[:, None])[..., None]
    expected = numbers(train(v=np.where(real, V, 0), kind="transformer")[0])
    got = numbers(train(v=np.where(real, V * 1e-12 + 5e-9, 1e6), kind="transformer")[0])
    np.testing.assert_allclose(got, expected, atol=1e-5)


def test_a_column_that_is_constant_in_training_adds_nothing_wherever_it_goes_later(train):
    data = train()[1]
    expected = numbers(train(a=np.column_stack([A, np.zeros(N)]))[0])
    for value in (0.1, 1e-20, 1.7e9):
        odd = np.full(N, value)
        odd[data.split == 2] = 1e30
        np.testing.assert_allclose(numbers(train(a=np.column_stack([A, odd]))[0]), expected, atol=1e-6)


def test_large_float64_data_that_stay_shared_give_the_same_bits(train, monkeypatch):
    expected = numbers(train(a=(A + 3) * UNITS)[0])
    monkeypatch.setattr(feed, "LARGE_BYTES", 1)
    np.testing.assert_array_equal(numbers(train(a=(A + 3) * UNITS)[0]), expected)


@pytest.mark.parametrize("kind", ENCODERS)
@pytest.mark.parametrize(("scale", "shift"), [(1.0, 0.0), (8e4, 2.5e5), (1e-12, 0.0), (1.0, 1.7e9)])
def test_a_served_encoder_reads_and_predicts_in_the_users_units(train, tmp_path, kind, scale, shift):
    own = np.where((np.arange(4) < STEPS[:, None])[..., None], V, np.nan if kind == "transformer" else 0)
    given = {"mask": {"v": "steps"}} if kind == "transformer" else {"mask": None}
    inputs = (A + 2) * UNITS, own * 1e-12 + (1e-9 if kind == "transformer" else 0)
    pack, data = train(inputs[0], np.nan_to_num(inputs[1]), Y * scale + shift, kind=kind, **given)
    rows = data.rows("test")
    truth = (Y * scale + shift)[rows]
    for replica, result in enumerate(pack.results()):
        for modality, encoder in enumerate(trained_encoders(pack, data, replica)):
            encoder.save(tmp_path / "encoder.pt")
            said = load_encoder(tmp_path / "encoder.pt").predict(inputs[modality][rows])["predictions"][:, 0]
            assert said.dtype == np.float64
            r2 = 1 - np.sum((said - truth) ** 2) / np.sum((truth - truth.mean()) ** 2)
            assert r2 == pytest.approx(result.scores[modality], abs=1e-5)


def test_an_encoder_of_the_version_before_predicts_as_it_was_trained(train, tmp_path):
    pack, data = train()
    encoder = trained_encoders(pack, data, 0)[0]
    encoder.save(tmp_path / "encoder.pt")
    state = torch.load(tmp_path / "encoder.pt", weights_only=True)
    assert state["format"] == 2
    del state["unit"]
    torch.save({**state, "format": 1}, tmp_path / "old.pt")
    old = load_encoder(tmp_path / "old.pt").predict(A)["predictions"]
    (centre,), (scale,) = encoder.unit
    np.testing.assert_allclose(old * scale + centre, encoder.predict(A)["predictions"], rtol=1e-12)
