"""A pack of K replicas is K solo trainings, and a solo training is that of plain torch modules."""

import dataclasses
import itertools
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

from tests.trainables.training.resuming import reloaded
from trainables.datasets.base import Modality, PairData, Target
from trainables.networks.encoders import ENCODERS
from trainables.objectives.alignment import ALIGNMENT_OBJECTIVES
from trainables.sources import Source
from trainables.spec import AlignmentSpec, DatasetSpec, EncoderSpec, PackSpec, ReplicaSpec, TrainingSpec
from trainables.training.feed import epoch_order, fit_scaling
from trainables.training.pack import CheckpointError, Pack

SHAPES = {"linear": (5,), "mlp": (5,), "transformer": (4, 3), "vit": (8, 8)}
OWN = {  # factories of `own_encoders.py` that together have what modules of a user's have
    "mlp": (5,), "batch_norm": (8, 8), "group_norm": (8, 8), "gru": (4, 3), "transformer": (4, 3), "frozen": (5,),
    "noisy": (5,), "branching": (5,),
}  # fmt: skip
BUILT_IN = [kind for kind in ENCODERS if kind != "module"]
KINDS = BUILT_IN + [f"module {factory}" for factory in OWN]
SHAPES |= {f"module {factory}": shape for factory, shape in OWN.items()}
MASKED = ("transformer", "module transformer", "module gru")


def encoder_of(kind, **options):
    """The encoder of a line of `KINDS`."""
    kind, _, factory = kind.partition(" ")
    if not factory:
        return EncoderSpec(kind=kind, **{"layers": 2, "width": 6, "heads": 2, **options})
    source = Source.of_file(f"{Path(__file__).parents[1] / 'own_encoders.py'}:{factory}")
    return EncoderSpec(kind=kind, width=6, factory=source.name, code=source.text)


def pair(kind="mlp", *, rows=96, real=False, seed=0, names=("a", "b")):
    """Two noisy views of three classes (or of one real number), a third of the rows in each split."""
    rng = np.random.default_rng(seed)
    classes = rng.integers(0, 3, rows)
    shape = SHAPES[kind]
    mask = None
    if kind in MASKED:
        mask = np.arange(shape[0]) < rng.integers(1, shape[0] + 1, rows)[:, None]
    modalities = tuple(
        Modality(
            name=name,
            values=(rng.normal(size=(3, *shape))[classes] + rng.normal(size=(rows, *shape))).astype(np.float32),
            mask=mask,
        )
        for name in names
    )
    if real:
        target = Target(values=(classes - 1.0).astype(np.float32), kind="real", metric="sign_accuracy")
    else:
        target = Target(values=classes, kind="classes", n_classes=3)
    return PairData(
        dataset="toy", modalities=modalities, targets=(target, target), split=(np.arange(rows) % 3).astype(np.int8)
    )


REPLICAS = (
    ReplicaSpec(strength_1=0.0, strength_2=0.0, seed=1),
    ReplicaSpec(strength_1=1.0, strength_2=1.0, seed=1, learning_rate=3e-3, temperature=0.5),
    ReplicaSpec(strength_1=0.5, strength_2=0.0, seed=2, weight_decay=0.3, clip_norm=0.05),
    ReplicaSpec(strength_1=0.2, strength_2=2.0, seed=3, learning_rate=1e-2, weight_decay=0.0, temperature=0.05),
)


def spec(*replicas, kind="mlp", objective="info_nce", epochs=3, batch_size=8, encoders=None, **fields):
    encoder = encoder_of(kind)
    alignment = {name: fields.pop(name) for name in ("direction", "projector") if name in fields}
    training = {name: fields.pop(name) for name in ("precision", "evaluations") if name in fields}
    return PackSpec(
        dataset=DatasetSpec(name="toy"),
        pair=("a", "b"),
        encoders=encoders or (encoder, encoder),
        alignment=AlignmentSpec(objective=objective, **alignment),
        training=TrainingSpec(epochs=epochs, batch_size=batch_size, **training),
        replicas=replicas or REPLICAS,
        **fields,
    )


def trained(the_spec, data):
    pack = Pack(the_spec, data)
    pack.run()
    return pack


def weights(pack):
    return pack.state_dict()["optimiser"]["flat"]


def assert_same(ours, theirs, *, rtol=1e-4):
    """Two results agree to float tolerance (scores are counts of decisions, one of which may tip)."""
    assert ours.status == theirs.status
    np.testing.assert_allclose(ours.losses, theirs.losses, rtol=rtol, atol=1e-6)
    np.testing.assert_allclose(ours.scores, theirs.scores, atol=1 / 32 + 1e-9)
    np.testing.assert_allclose([r[3:] for r in ours.curve], [r[3:] for r in theirs.curve], rtol=rtol, atol=1e-6)
    assert ours.alignment["cka"] == pytest.approx(theirs.alignment["cka"], abs=1e-3)


@pytest.mark.parametrize("direction", ["both", "to_1", "to_2"])
@pytest.mark.parametrize(
    ("kind", "objective"),
    [*itertools.product(BUILT_IN, ALIGNMENT_OBJECTIVES), *((f"module {one}", "info_nce") for one in OWN)],
)
def test_k_replicas_equal_k_solo_runs(kind, objective, direction):
    data, options = pair(kind), {"kind": kind, "objective": objective, "direction": direction, "epochs": 2}
    together = trained(spec(**options), data).results()
    for replica, result in [*zip(REPLICAS, together, strict=True)][1:]:  # of strength 0, 1; a strength per encoder
        (alone,) = trained(spec(replica, **options), data).results()
        assert_same(result, alone)


@pytest.mark.parametrize("direction", ["both", "to_1", "to_2"])
@pytest.mark.parametrize("projector", ["none", "linear", "mlp"])
def test_k_replicas_equal_k_solo_runs_for_projectors_directions_and_dropout(direction, projector):
    encoders = EncoderSpec(width=6, dropout=0.2), EncoderSpec(width=6 if projector == "none" else 4, activation="tanh")
    options = {"encoders": encoders, "direction": direction, "projector": projector}
    data = pair(real=True)
    together = trained(spec(**options), data).results()
    for replica, result in zip(REPLICAS, together, strict=True):
        assert_same(result, trained(spec(replica, **options), data).results()[0])


class Plain(nn.Module):
    """The encoder as anyone would write it, started from a solo encoder's parameters."""

    def __init__(self, solo):
        super().__init__()
        values = solo.state_dict()
        self.layers = nn.ModuleList()
        for name in ("layer0", "layer1", "head"):
            weight = values[f"{name}_weight"].T
            layer = nn.Linear(weight.shape[1], weight.shape[0])
            layer.load_state_dict({"weight": weight, "bias": values[f"{name}_bias"]})
            self.layers.append(layer)

    def forward(self, x):
        features = self.layers[1](self.layers[0](x).relu())
        return features, self.layers[2](features.relu())


def plain_info_nce(z_1, z_2, temperature):
    similarities = functional.normalize(z_1, dim=-1) @ functional.normalize(z_2, dim=-1).T / temperature
    target = torch.arange(len(z_1))
    return (functional.cross_entropy(similarities, target) + functional.cross_entropy(similarities.T, target)) / 2


def plain_training(replica, data, *, epochs, batch_size):
    """Both encoders after training by torch.nn and torch.optim alone, and their losses on the valid split."""
    start = Pack(spec(replica, epochs=epochs, batch_size=batch_size), data)
    encoders = [Plain(solo) for solo in start.encoders(0)]
    rows, valid = data.rows("train"), data.rows("valid")
    x = []
    for modality in data.modalities:
        scaled = (modality.values - modality.values[rows].mean(0)) / modality.values[rows].std(0)
        x.append(torch.from_numpy(scaled.astype(np.float32)))
    y = torch.from_numpy(data.targets[0].values)
    optimisers = [
        torch.optim.AdamW(e.parameters(), lr=replica.learning_rate, weight_decay=replica.weight_decay) for e in encoders
    ]
    for epoch in range(epochs):
        (order,) = epoch_order([replica.seed], epoch, len(rows))
        for index in order[: len(rows) // batch_size * batch_size].split(batch_size):
            batch = torch.from_numpy(rows)[index]
            (z_1, out_1), (z_2, out_2) = (e(values[batch]) for e, values in zip(encoders, x, strict=True))
            loss = functional.cross_entropy(out_1, y[batch]) + functional.cross_entropy(out_2, y[batch])
            loss = loss + replica.strength_1 * plain_info_nce(z_1, z_2.detach(), replica.temperature)
            loss = loss + replica.strength_2 * plain_info_nce(z_1.detach(), z_2, replica.temperature)
            for optimiser in optimisers:
                optimiser.zero_grad()
            loss.backward()
            for encoder in encoders:
                nn.utils.clip_grad_norm_(encoder.parameters(), replica.clip_norm)
            for optimiser in optimisers:
                optimiser.step()
    with torch.no_grad():
        losses = [functional.cross_entropy(e(v[valid])[1], y[valid]).item() for e, v in zip(encoders, x, strict=True)]
    return encoders, losses


@pytest.mark.parametrize("replica", REPLICAS, ids=["zero", "equal", "to one", "unequal"])
def test_training_equals_plain_torch_modules_and_optimisers(replica):
    data = pair(rows=120)
    encoders, losses = plain_training(replica, data, epochs=5, batch_size=16)
    pack = trained(spec(replica, epochs=5, batch_size=16), data)
    assert pack.results()[0].losses == pytest.approx(losses, rel=1e-4)
    for solo, plain in zip(pack.encoders(0), encoders, strict=True):
        ours = torch.cat([p.flatten() for p in Plain(solo).parameters()])
        torch.testing.assert_close(
            ours, torch.cat([p.detach().flatten() for p in plain.parameters()]), rtol=1e-3, atol=1e-5
        )


def test_the_clip_norm_of_the_comparison_bites():
    """Or the comparison above would not notice a missing clip."""
    clipped, free = (dataclasses.replace(REPLICAS[2], clip_norm=c, weight_decay=0.0) for c in (0.05, 1e9))
    assert not torch.allclose(*weights(trained(spec(clipped, free), pair())), atol=1e-3)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("side", [0, 1])
def test_at_strength_zero_each_encoder_trains_as_if_alone(kind, side):
    data, other = pair(kind), pair(kind, seed=9)
    alone = dataclasses.replace(
        data,
        modalities=tuple(
            m if i == side else n for i, (m, n) in enumerate(zip(data.modalities, other.modalities, strict=True))
        ),
    )
    aligned = dataclasses.replace(REPLICAS[1], seed=8)  # another replica's alignment must not leak either
    with_one, with_other = (trained(spec(REPLICAS[0], aligned, kind=kind), d).results()[0] for d in (data, alone))
    assert with_one.losses[side] == with_other.losses[side]
    assert with_one.losses[1 - side] != with_other.losses[1 - side]


@pytest.mark.parametrize("objective", ALIGNMENT_OBJECTIVES)
def test_strength_zero_equals_training_without_the_term(objective):
    """A pack whose strengths are all zero leaves the term out; one replica at a strength brings it in for all."""
    without = trained(spec(REPLICAS[0]), pair()).results()[0]
    beside = trained(spec(REPLICAS[0], REPLICAS[1], objective=objective), pair()).results()[0]
    assert_same(beside, without)


@pytest.mark.parametrize("objective", ALIGNMENT_OBJECTIVES)
def test_each_objective_is_lower_where_it_was_minimised(objective):
    data = pair()
    replicas = [dataclasses.replace(REPLICAS[1], strength_1=s, strength_2=s) for s in (0.0, 1.0)]
    pack = trained(spec(*replicas, objective=objective, epochs=20), data)
    rows, values = data.rows("train"), []
    for k in range(2):
        features = [
            encoder(torch.from_numpy(modality.values[rows]))[0].detach()[None]
            for encoder, modality in zip(pack.encoders(k), data.modalities, strict=True)
        ]
        values.append(ALIGNMENT_OBJECTIVES[objective](*features, 0.5).item())
    apart, pulled = values
    assert pulled < 0.9 * apart


def test_a_one_sided_term_leaves_the_other_encoder_alone():
    replicas = [ReplicaSpec(strength_1=s, strength_2=s, seed=1) for s in (0.0, 2.0)]
    apart, pulled = trained(spec(*replicas, direction="to_1"), pair()).results()
    assert pulled.losses[0] != apart.losses[0]
    assert pulled.losses[1] == pytest.approx(apart.losses[1], rel=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_swapping_the_modalities_swaps_the_results(kind):
    data = pair(kind)
    swapped = dataclasses.replace(data, modalities=data.modalities[::-1], targets=data.targets[::-1])
    mirrored = [dataclasses.replace(r, strength_1=r.strength_2, strength_2=r.strength_1) for r in REPLICAS]
    ours = trained(spec(kind=kind), data).results()
    theirs = trained(spec(*mirrored, kind=kind), swapped).results()
    for one, other in zip(ours, theirs, strict=True):
        assert_same(
            one,
            dataclasses.replace(
                other,
                losses=other.losses[::-1],
                scores=other.scores[::-1],
                curve=tuple((epoch, s_2, s_1, l_2, l_1) for epoch, s_1, s_2, l_1, l_2 in other.curve),
            ),
        )


@settings(max_examples=10)
@given(st.permutations(range(len(REPLICAS))))
def test_permuting_the_replicas_permutes_the_results(order):
    data = pair()
    straight = trained(spec(epochs=2), data).results()
    permuted = trained(spec(*[REPLICAS[i] for i in order], epochs=2), data).results()
    for position, i in enumerate(order):
        assert_same(permuted[position], straight[i])


def test_a_seed_starts_alike_and_sees_one_order_at_every_strength():
    replicas = [ReplicaSpec(strength_1=s, strength_2=s, seed=seed) for s in (0.0, 1.0) for seed in (4, 5)]
    start = weights(Pack(spec(*replicas), pair()))
    assert torch.equal(start[0], start[2])
    assert not torch.equal(start[0], start[1])
    solo = weights(Pack(spec(replicas[3]), pair()))
    assert torch.equal(start[3], solo[0])


def test_orders_are_permutations_that_depend_on_seed_and_epoch_alone():
    orders = epoch_order([4, 5], 7, 50)
    assert torch.equal(orders.sort(1).values, torch.arange(50).expand(2, 50))
    assert torch.equal(orders[1], epoch_order([5], 7, 50)[0])
    assert not torch.equal(orders[0], orders[1])
    assert not torch.equal(orders[0], epoch_order([4], 8, 50)[0])


@pytest.mark.parametrize("together", [1, 2, 3])
def test_how_many_train_in_lockstep_changes_nothing(together, tmp_path):
    data, one = pair(), spec(evaluations=3)
    whole, parted = trained(one, data), Pack(one, data, together=together)
    parted.run(1)
    again = reloaded(parted, one, data, tmp_path, together=together)
    for pack in (parted, again):
        pack.run()
    assert torch.equal(weights(parted), weights(again))
    for ours, theirs in zip(parted.results(), whole.results(), strict=True):
        assert_same(ours, theirs)
    for k in range(len(REPLICAS)):
        for ours, theirs in zip(parted.encoders(k), whole.encoders(k), strict=True):
            torch.testing.assert_close(ours.head_weight, theirs.head_weight, rtol=1e-3, atol=1e-5)


def test_equal_replicas_come_to_equal_results():
    results = trained(spec(REPLICAS[1], REPLICAS[0], REPLICAS[1]), pair()).results()
    assert results[0] == results[2]


@pytest.mark.parametrize("dropout", [0.0, 0.3])
@pytest.mark.parametrize("kind", KINDS)
def test_a_restored_pack_goes_on_bit_for_bit(tmp_path, kind, dropout):
    data = pair(kind)
    encoder = encoder_of(kind)
    encoders = dataclasses.replace(encoder, dropout=dropout), encoder
    the_spec = spec(encoders=encoders, epochs=6, evaluations=6)
    whole = trained(the_spec, data)
    first = Pack(the_spec, data)
    first.run(2)
    first.save(tmp_path / "pack.pt")
    first.run(1)  # what happens after the checkpoint must not matter
    second = Pack(the_spec, data)
    second.load(tmp_path / "pack.pt")
    assert second.epoch == 2
    second.run()
    assert torch.equal(weights(second), weights(whole))
    assert second.results() == whole.results()


def test_a_finished_pack_restores_its_results(tmp_path):
    pack = trained(spec(), pair())
    again = reloaded(pack, spec(), pair(), tmp_path)
    assert again.done
    assert again.results() == pack.results()


def test_saving_replaces_the_file_and_leaves_no_other(tmp_path):
    pack = Pack(spec(), pair())
    pack.save(tmp_path / "pack.pt")
    pack.run(1)
    pack.save(tmp_path / "pack.pt")
    assert [path.name for path in tmp_path.iterdir()] == ["pack.pt"]
    again = Pack(spec(), pair())
    again.load(tmp_path / "pack.pt")
    assert again.epoch == 1


@pytest.mark.parametrize("damage", ["torn", "empty", "foreign", "of another spec", "incomplete", "misshapen"])
def test_a_checkpoint_that_is_not_this_packs_is_refused(tmp_path, damage):
    path, pack = tmp_path / "pack.pt", Pack(spec(), pair())
    state = pack.state_dict()
    if damage == "of another spec":
        Pack(spec(epochs=4), pair()).save(path)
    elif damage == "incomplete":
        torch.save({"spec": state["spec"]}, path)
    elif damage == "misshapen":
        state["optimiser"]["moment_1"] = torch.zeros(2, 3)
        torch.save(state, path)
    else:
        pack.save(path)
        whole = path.read_bytes()
        path.write_bytes({"torn": whole[: len(whole) // 2], "empty": b"", "foreign": b"not a checkpoint"}[damage])
    with pytest.raises(CheckpointError, match=r"start .* over"):
        pack.load(path)


def test_a_checkpoint_can_not_run_code(tmp_path):
    class Malicious:
        def __reduce__(self):
            return (pytest.fail, ("the checkpoint ran code",))

    torch.save({"spec": spec().hash, "payload": Malicious()}, tmp_path / "pack.pt")
    with pytest.raises(CheckpointError):
        Pack(spec(), pair()).load(tmp_path / "pack.pt")


def test_a_missing_checkpoint_is_a_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError):
        Pack(spec(), pair()).load(tmp_path / "pack.pt")


@pytest.mark.parametrize("kind", KINDS)
def test_a_diverged_replica_is_marked_and_touches_no_other(kind):
    data = pair(kind)
    wild = ReplicaSpec(strength_1=1.0, strength_2=1.0, seed=7, learning_rate=1e30)
    *others, diverged = trained(spec(*REPLICAS, wild, kind=kind, epochs=4), data).results()
    assert diverged.status == "diverged"
    assert all(np.isnan([*diverged.scores, *diverged.losses, *diverged.alignment.values()]))
    for result, expected in zip(others, trained(spec(kind=kind, epochs=4), data).results(), strict=True):
        assert_same(result, expected)
        assert np.isfinite([*result.scores, *result.losses, *result.alignment.values()]).all()


def test_a_diverged_replica_is_frozen_at_once():
    wild = ReplicaSpec(strength_1=0.0, strength_2=0.0, seed=7, learning_rate=1e30)
    pack = Pack(spec(wild, REPLICAS[0], epochs=9), pair())
    pack.run(3)
    before = weights(pack)
    pack.run()
    assert torch.equal(weights(pack)[0], before[0])
    assert not torch.equal(weights(pack)[1], before[1])


def test_a_diverged_result_survives_json():
    wild = ReplicaSpec(strength_1=0.0, strength_2=0.0, seed=7, learning_rate=1e30)
    (result,) = trained(spec(wild), pair()).results()
    again = type(result).from_json(result.to_json())
    assert (again.status, len(again.curve)) == ("diverged", 3)


@pytest.mark.parametrize(
    ("epochs", "evaluations", "points"), [(10, 10, 10), (10, 3, 3), (3, 10, 3), (7, 1, 1), (5, 0, 1)]
)
def test_the_curve_has_evenly_spaced_points_and_ends_at_the_last_epoch(epochs, evaluations, points):
    (result,) = trained(spec(REPLICAS[0], epochs=epochs, evaluations=evaluations), pair()).results()
    at = [row[0] for row in result.curve]
    assert (len(at), at[-1]) == (points, epochs)
    assert max(np.diff([0, *at])) - min(np.diff([0, *at])) <= 1
    assert (result.scores, result.losses) == (result.curve[-1][1:3], result.curve[-1][3:])


def test_a_long_split_is_scored_whole_at_the_end_and_in_part_on_the_way(monkeypatch):
    data, one = pair(), spec(REPLICAS[0], epochs=6, evaluations=3)
    (whole,) = trained(one, data).results()
    monkeypatch.setattr("trainables.training.pack.CURVE_ROWS", 5)
    pack = trained(one, data)
    (part,) = pack.results()
    assert (part.scores, part.losses) == (whole.scores, whole.losses)
    rows = torch.linspace(0, pack.evaluated.rows - 1, 5).round().long()
    assert part.curve[-1][1:] == pytest.approx(pack.score(rows)[:, 0].tolist())
    assert part.curve[-1][1:] != whole.curve[-1][1:]


def test_running_in_pieces_is_running_at_once():
    pieces = Pack(spec(epochs=5), pair())
    while not pieces.done:
        pieces.run(2)
    assert pieces.epoch == 5
    assert pieces.results() == trained(spec(epochs=5), pair()).results()


def test_results_before_the_end_are_refused():
    pack = Pack(spec(), pair())
    pack.run(1)
    with pytest.raises(RuntimeError, match="epoch 1 of 3"):
        pack.results()


def test_scores_and_losses_are_those_of_the_exported_encoders():
    data = pair()
    pack = trained(spec(), data)
    rows = data.rows("valid")
    for k, result in enumerate(pack.results()):
        for side, encoder in enumerate(pack.encoders(k)):
            _, out = encoder(torch.from_numpy(data.modalities[side].values[rows]))
            y = torch.from_numpy(data.targets[side].values[rows])
            assert result.losses[side] == pytest.approx(functional.cross_entropy(out, y).item(), rel=1e-5)
            assert result.scores[side] == pytest.approx((out.argmax(1) == y).float().mean().item())


def test_fit_and_evaluate_choose_the_splits():
    data = pair()
    pack = trained(spec(REPLICAS[0], fit=("train", "valid"), evaluate="test"), data)
    encoder, _ = pack.encoders(0)
    rows = data.rows("test")
    _, out = encoder(torch.from_numpy(data.modalities[0].values[rows]))
    loss = functional.cross_entropy(out, torch.from_numpy(data.targets[0].values[rows])).item()
    assert pack.results()[0].losses[0] == pytest.approx(loss, rel=1e-5)
    mean = data.modalities[0].values[data.rows("train", "valid")].mean(0)
    np.testing.assert_allclose(encoder.mean, mean, rtol=1e-5, atol=1e-6)


def test_test_rows_do_not_influence_training():
    data = pair()
    test = data.rows("test")
    values = data.modalities[0].values.copy()
    values[test] = 1e6
    changed = dataclasses.replace(
        data, modalities=(dataclasses.replace(data.modalities[0], values=values), data.modalities[1])
    )
    assert trained(spec(), changed).results() == trained(spec(), data).results()


def test_scaling_uses_real_steps_of_the_given_rows_and_silences_constant_features():
    values = np.zeros((3, 2, 2), np.float32)
    values[..., 0] = [[1, 3], [5, 99], [-99, -99]]
    values[..., 1] = 7
    mask = np.array([[True, True], [True, False], [True, True]])
    scaling = fit_scaling(Modality(name="m", values=values, mask=mask), np.array([0, 1]))
    assert scaling.mean.tolist() == [3, 7]
    assert scaling.factor.tolist() == pytest.approx([1 / np.sqrt(8 / 3), 0])


def test_modalities_that_are_normalised_already_are_left_as_they_are():
    scaling = fit_scaling(Modality(name="m", values=np.full((3, 2), 5, np.float32), standardise=False), np.arange(3))
    assert (scaling.mean.tolist(), scaling.factor.tolist()) == ([0, 0], [1, 1])


def test_masked_steps_do_not_matter_and_a_sample_without_any_step_is_survived():
    data = pair("transformer")
    garbled = []
    for modality in data.modalities:
        mask = modality.mask.copy()
        mask[5] = False
        values = modality.values.copy()
        values[~mask] = 1e20
        garbled.append(dataclasses.replace(modality, mask=mask, values=values))
    clean = [
        dataclasses.replace(m, values=np.where(m.mask[..., None], m.values, 0).astype(np.float32)) for m in garbled
    ]
    results = [
        trained(spec(kind="transformer"), dataclasses.replace(data, modalities=tuple(m))).results()
        for m in (garbled, clean)
    ]
    assert results[0] == results[1]
    assert all(result.status == "ok" for result in results[0])


def test_a_pack_learns_what_can_be_learnt():
    result = trained(spec(REPLICAS[1], epochs=60), pair(rows=300)).results()[0]
    assert min(result.scores) > 0.7


def test_bf16_trains_to_about_the_same():
    exact, rounded = (trained(spec(REPLICAS[1], precision=p), pair()).results()[0] for p in ("float32", "bf16"))
    assert rounded.losses == pytest.approx(exact.losses, rel=0.05)
    assert rounded.losses != exact.losses


def test_training_leaves_the_global_generator_alone():
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    trained(spec(encoders=(EncoderSpec(width=6, dropout=0.1),) * 2), pair())
    assert torch.equal(torch.rand(1), expected)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 33}, "batch size 33 exceeds the 32 training rows"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"epochs": 0}, "epochs is 0"),
        ({"precision": "tf32"}, "tf32 exists on CUDA GPUs only"),
        ({"kind": "convolution"}, "unknown encoder kind 'convolution'"),
        ({"objective": "triplet"}, "unknown alignment objective 'triplet'"),
        ({"direction": "to_3"}, "unknown direction 'to_3'"),
        ({"precision": "float16"}, "unknown precision 'float16'"),
        ({"encoders": (EncoderSpec(width=6), EncoderSpec(width=7))}, "widths 6 and 7"),
    ],
)
def test_what_cannot_be_trained_is_refused_before_training(options, message):
    with pytest.raises(ValueError, match=message):
        Pack(spec(**options), pair())


def test_a_pack_of_nothing_is_refused():
    with pytest.raises(ValueError, match="at least one replica"):
        Pack(dataclasses.replace(spec(), replicas=()), pair())


def test_a_split_without_rows_is_refused():
    data = pair()
    with pytest.raises(ValueError, match="no rows in split 'valid'"):
        Pack(spec(), dataclasses.replace(data, split=np.where(data.split == 1, 0, data.split)))


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_a_gpu_that_is_not_there_is_refused():
    with pytest.raises(ValueError, match="no CUDA GPU"):
        Pack(spec(), pair(), device="cuda")
