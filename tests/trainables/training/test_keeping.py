"""What is kept of a training: the last weights, a mean of them, each encoder's best; and when a training stops."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.trainables.training.resuming import reloaded
from tests.trainables.training.test_pack import KINDS, REPLICAS, assert_same, pair, spec, trained
from trainables.datasets.base import PairData
from trainables.datasets.resampling import draw_rows, draw_split, pool_of
from trainables.saving.export import load_encoder, trained_encoders
from trainables.sources import Source
from trainables.spec import PackSpec, ReplicaSpec, ScoreSpec, derive_seed
from trainables.training.pack import Pack

RECIPES: tuple[dict[str, Any], ...] = (
    {"keep": "average", "schedule": "cosine"},
    {"keep": "best", "patience": 2, "schedule": "cosine", "warmup": 1},
    {"keep": "best", "patience": 1, "optimiser": "sgd"},
)


def with_recipe(one: PackSpec, **recipe: Any) -> PackSpec:
    return dataclasses.replace(one, training=dataclasses.replace(one.training, **recipe))


def weights(pack: Pack) -> list[Tensor]:
    """Both encoders' of each replica."""
    return [
        torch.cat([p.detach().flatten() for p in encoder.parameters()])
        for k in range(len(pack.spec.replicas))
        for encoder in pack.encoders(k)
    ]


def by_epoch(one: PackSpec, data: PairData) -> tuple[list[list[Tensor]], Tensor]:
    """Weights after each epoch of the training whose last ones count, and scores of both encoders (epochs, 2, K)."""
    pack = Pack(with_recipe(one, keep="last", patience=None), data)
    seen, scores = [], []
    while not pack.done:
        pack.run(1)
        seen.append(weights(pack))
        scores.append(pack.score()[:2])
    return seen, torch.stack(scores)


def best_by_hand(scores: list[float], patience: int | None) -> tuple[int, int]:
    """The index of the first highest score, and that of the epoch in which the patience is over, of one encoder."""
    best = 0
    for epoch, score in enumerate(scores):
        if score > scores[best]:
            best = epoch
        if patience is not None and epoch - best >= patience:
            return best, epoch
    return best, len(scores) - 1


@pytest.mark.parametrize(("epochs", "averaged"), [(1, 1), (4, 1), (6, 2), (10, 2), (11, 3)])
def test_the_average_is_the_mean_of_the_last_fifth(epochs: int, averaged: int) -> None:
    one = with_recipe(spec(epochs=epochs), keep="average")
    seen, _ = by_epoch(one, pair())
    for kept, *snapshots in zip(weights(trained(one, pair())), *seen[-averaged:], strict=True):
        torch.testing.assert_close(kept, torch.stack(snapshots).mean(0), rtol=1e-5, atol=1e-6)


def test_running_statistics_are_averaged_with_the_weights() -> None:
    kind = "module batch_norm"
    one = with_recipe(spec(kind=kind, epochs=10), keep="average")
    states: list[dict[str, Tensor]] = []
    pack = Pack(with_recipe(one, keep="last"), pair(kind))
    while not pack.done:
        pack.run(1)
        states.append(pack.encoders(1)[0].state_dict())
    kept = trained(one, pair(kind)).encoders(1)[0].state_dict()
    names = [name for name in kept if "running" in name]
    assert names
    for name in names:
        torch.testing.assert_close(kept[name], (states[-2][name] + states[-1][name]) / 2)
    counted = next(name for name in kept if "num_batches" in name)
    assert kept[counted] == states[-1][counted]


@pytest.mark.parametrize(("kind", "patience"), [("mlp", None), ("mlp", 1), ("mlp", 3), ("module batch_norm", 3)])
def test_each_encoder_is_kept_as_it_was_in_its_best_epoch(kind: str, patience: int | None) -> None:
    one = with_recipe(spec(kind=kind, epochs=12, evaluations=12), keep="best", patience=patience)
    seen, scores = by_epoch(one, pair(kind))
    pack = trained(one, pair(kind))
    chosen = set()
    for k, result in enumerate(pack.results()):
        found = [best_by_hand(scores[:, side, k].tolist(), patience) for side in range(2)]
        for side, (best, _) in enumerate(found):
            chosen.add(best)
            torch.testing.assert_close(weights(pack)[2 * k + side], seen[best][2 * k + side], rtol=1e-4, atol=1e-6)
            assert result.scores[side] == pytest.approx(scores[best, side, k].item(), abs=1e-6)
        assert [row[0] for row in result.curve] == list(range(1, max(end for _, end in found) + 2))
    assert len(chosen) > 1  # or nothing was chosen


@pytest.mark.parametrize(
    ("kind", "recipe"),
    [*((kind, RECIPES[1]) for kind in KINDS), *((kind, recipe) for kind in ("mlp", "vit") for recipe in RECIPES[::2])],
)
def test_k_replicas_equal_k_solo_runs(kind: str, recipe: dict[str, Any]) -> None:
    data, one = pair(kind), with_recipe(spec(kind=kind, epochs=5, evaluations=5), **recipe)
    together = trained(one, data).results()
    for replica, result in [*zip(REPLICAS, together, strict=True)][2:]:  # they stop at different epochs
        (alone,) = trained(dataclasses.replace(one, replicas=(replica,)), data).results()
        assert_same(result, alone)
        assert [row[0] for row in result.curve] == [row[0] for row in alone.curve]


def test_a_replica_that_stops_leaves_the_pack_and_the_groups_close_up() -> None:
    one = with_recipe(spec(epochs=12), keep="best", patience=1)
    pack, sizes = Pack(one, pair(), together=2), []
    while not pack.done:
        pack.run(1)
        sizes.append([len(pack.state_dict()["optimiser"]["flat"]), pack.epoch])
    *training, (at_the_end, last) = sizes
    assert at_the_end == len(REPLICAS)  # what was kept of all
    assert [size for size, _ in training] == sorted((size for size, _ in training), reverse=True)
    assert 0 < training[-1][0] < len(REPLICAS)
    assert last < 12
    for ours, theirs in zip(pack.results(), trained(one, pair()).results(), strict=True):
        assert_same(ours, theirs)


@pytest.mark.parametrize(
    ("kind", "recipe"), [("mlp", RECIPES[0]), ("mlp", RECIPES[1]), ("module batch_norm", RECIPES[2])]
)
def test_a_restored_pack_goes_on_bit_for_bit_from_any_epoch(tmp_path: Path, kind: str, recipe: dict[str, Any]) -> None:
    data, one = pair(kind), with_recipe(spec(kind=kind, epochs=5, evaluations=5), **recipe)
    whole = trained(one, data)
    pack = Pack(one, data)
    while not pack.done:
        pack.run(1)
        again = reloaded(pack, one, data, tmp_path)
        assert (again.epoch, again.done) == (pack.epoch, pack.done)
        again.run()
        assert again.results() == whole.results()
        assert all(map(torch.equal, weights(again), weights(whole)))


@pytest.mark.parametrize("damage", ["without", "members", "shape", "states"])
def test_a_checkpoint_without_what_was_kept_is_refused(damage: str) -> None:
    from trainables.training.pack import CheckpointError

    one = with_recipe(spec(), keep="best")
    pack = Pack(one, pair())
    pack.run(1)
    state = pack.state_dict()
    if damage == "without":
        del state["kept"]
    elif damage == "members":
        state["members"] = [0, 99]
    elif damage == "shape":
        state["kept"]["flat"] = torch.zeros(2, 2)
    else:
        state["kept"]["states"] = []
    with pytest.raises(CheckpointError, match=r"start .* over"):
        Pack(one, pair()).load_state_dict(state)


@pytest.mark.parametrize("side", [0, 1])
def test_at_strength_zero_each_encoder_is_kept_as_if_alone(side: int) -> None:
    data, other = pair(), pair(seed=9)
    modalities = [m if i == side else n for i, (m, n) in enumerate(zip(data.modalities, other.modalities, strict=True))]
    alone = dataclasses.replace(data, modalities=tuple(modalities))
    one = with_recipe(spec(REPLICAS[0], epochs=15), keep="best", patience=2)
    (with_one,), (with_other,) = (trained(one, each).results() for each in (data, alone))
    assert with_one.losses[side] == with_other.losses[side]
    assert with_one.losses[1 - side] != with_other.losses[1 - side]


@pytest.mark.parametrize("rows", ["fixed", "resampled"])
def test_test_rows_choose_nothing(rows: Any) -> None:
    """Targets of test rows are turned: the weights that are kept stay, their scores do not."""
    data = pair()
    test = data.rows("test")
    values = data.targets[0].values.copy()
    values[test] = (values[test] + 1) % 3
    target = dataclasses.replace(data.targets[0], values=values)
    turned = dataclasses.replace(data, targets=(target, target))
    one = with_recipe(spec(epochs=8, evaluate="test", rows=rows), keep="best", patience=3)
    pack, other = trained(one, data), trained(one, turned)
    assert all(map(torch.equal, weights(pack), weights(other)))
    assert all(a.losses != b.losses for a, b in zip(pack.results(), other.results(), strict=True))


@pytest.mark.parametrize(("rows", "evaluate"), [("resampled", "valid"), ("resampled", "test"), ("redrawn", "test")])
def test_the_best_epoch_is_chosen_on_validation_rows_of_the_replicates_own(rows: Any, evaluate: Any) -> None:
    """A replicate is the training on data whose split is its draw."""
    data = pair(rows=120)
    unscaled = tuple(dataclasses.replace(m, standardise=False) for m in data.modalities)
    data = dataclasses.replace(data, modalities=unscaled)
    one = with_recipe(spec(epochs=9, rows=rows, evaluate=evaluate), keep="best", patience=3)
    for replica, result in zip(REPLICAS, trained(one, data).results(), strict=True):
        seed = derive_seed(replica.seed, "rows")
        if rows == "redrawn":
            drawn = draw_split(data, seed=seed)
            parts = [drawn.train, drawn.valid, drawn.scored]
            assert len(np.unique(np.concatenate(parts))) == 120
        else:
            drawn, pool = draw_rows(data, seed=seed), pool_of(data)
            parts = [pool[drawn.train], pool[drawn.valid], data.rows("test")]
        order = np.concatenate(parts)
        split = np.repeat([0, 1, 2], [len(part) for part in parts]).astype(np.int8)
        first, second = (dataclasses.replace(m, values=m.values[order]) for m in data.modalities)
        target = dataclasses.replace(data.targets[0], values=data.targets[0].values[order])
        own = dataclasses.replace(data, modalities=(first, second), targets=(target, target), split=split)
        solo = dataclasses.replace(one, replicas=(replica,), rows="fixed")
        (alone,) = trained(solo, own).results()
        assert result.scores == pytest.approx(alone.scores, abs=1e-9)
        assert result.losses == pytest.approx(alone.losses, rel=1e-4)


@pytest.mark.parametrize("recipe", RECIPES, ids=["average", "best", "sgd"])
def test_what_is_served_is_what_was_scored(tmp_path: Path, recipe: dict[str, Any]) -> None:
    data, one = pair(), with_recipe(spec(epochs=9, evaluate="test"), **recipe)
    pack = trained(one, data)
    rows = data.rows("test")
    last = trained(with_recipe(one, keep="last", patience=None), data).results()
    for k, result in enumerate(pack.results()):
        for side, encoder in enumerate(trained_encoders(pack, data, k)):
            encoder.save(tmp_path / "one.pt")
            said = load_encoder(tmp_path / "one.pt").predict(data.modalities[side].values[rows])
            right = said["probabilities"].argmax(1) == data.targets[side].values[rows]
            assert result.scores[side] == pytest.approx(right.mean())
    assert any(a.losses != b.losses for a, b in zip(pack.results(), last, strict=True))


@pytest.mark.parametrize("keep", ["average", "best"])
def test_a_diverged_replica_is_marked_and_touches_no_other(keep: Any) -> None:
    wild = ReplicaSpec(strength_1=1.0, strength_2=1.0, seed=7, learning_rate=1e30)
    patience = 2 if keep == "best" else None
    one = with_recipe(spec(*REPLICAS, wild, epochs=6), keep=keep, patience=patience)
    *others, diverged = trained(one, pair()).results()
    assert diverged.status == "diverged"
    assert all(np.isnan([*diverged.scores, *diverged.losses, *diverged.alignment.values()]))
    sound = dataclasses.replace(one, replicas=REPLICAS)
    for result, expected in zip(others, trained(sound, pair()).results(), strict=True):
        assert_same(result, expected)
        assert np.isfinite([*result.scores, *result.losses]).all()


def test_a_pack_of_nothing_but_diverged_replicas_ends() -> None:
    wild = ReplicaSpec(strength_1=1.0, strength_2=1.0, seed=7, learning_rate=1e30)
    pack = trained(with_recipe(spec(wild, epochs=50), keep="best", patience=3), pair())
    assert pack.epoch < 10
    assert pack.results()[0].status == "diverged"


def test_where_no_score_is_a_number_the_last_weights_are_kept(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text("def no_number(targets, outputs):\n    return float('nan')\n")
    source = Source.of_file(f"{file}:no_number")
    score = ScoreSpec(name=source.name, code=source.text)
    one = dataclasses.replace(with_recipe(spec(epochs=4), keep="best"), scores=(score, score))
    last = with_recipe(one, keep="last")
    assert all(map(torch.equal, weights(trained(one, pair())), weights(trained(last, pair()))))


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        ({"patience": 3}, "patience waits for a better epoch, and keep is last"),
        ({"patience": 3, "keep": "average"}, "keep is average; give keep: best"),
        ({"patience": 0, "keep": "best"}, "patience is 0 epochs"),
        ({"warmup": 3.0}, "warmup is 3 epochs of 3"),
        ({"warmup": -1.0}, "warmup is -1 epochs"),
        ({"warmup": math.nan}, "warmup is nan epochs"),
        ({"keep": "first"}, "unknown keep 'first'; known are last, best, average"),
        ({"schedule": "linear"}, "unknown schedule 'linear'"),
        ({"optimiser": "adam"}, "unknown optimiser 'adam'; known are adamw, sgd"),
    ],
)
def test_a_recipe_that_cannot_be_is_refused(recipe: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Pack(with_recipe(spec(), **recipe), pair())


def test_validation_rows_that_choose_are_not_trained_on() -> None:
    one = with_recipe(spec(fit=("train", "valid"), evaluate="test"), keep="best")
    with pytest.raises(ValueError, match="fit train alone"):
        Pack(one, pair())


def test_choosing_needs_validation_rows() -> None:
    data = pair()
    data = dataclasses.replace(data, split=np.where(data.split == 1, 0, data.split))
    with pytest.raises(ValueError, match="no rows in split 'valid'"):
        Pack(with_recipe(spec(evaluate="test"), keep="best"), data)


def test_hashes_know_the_recipe_and_old_ones_stay() -> None:
    plain = spec()
    text = json.dumps(plain.to_json())
    assert not any(f'"{key}"' in text for key in ("keep", "patience", "schedule", "warmup", "optimiser"))
    others = [
        with_recipe(plain, keep="average"),
        with_recipe(plain, keep="best"),
        with_recipe(plain, keep="best", patience=3),
        with_recipe(plain, schedule="cosine"),
        with_recipe(plain, warmup=1.0),
        with_recipe(plain, optimiser="sgd"),
        dataclasses.replace(plain, replicas=tuple(dataclasses.replace(r, clip_norm=None) for r in plain.replicas)),
    ]
    assert len({plain.hash, *(one.hash for one in others)}) == 8
    assert [PackSpec.from_json(json.loads(json.dumps(one.to_json()))) for one in others] == others


def test_without_clipping_gradients_of_any_norm_count() -> None:
    free = dataclasses.replace(REPLICAS[2], clip_norm=None)
    huge = dataclasses.replace(REPLICAS[2], clip_norm=1e9)
    pack = trained(spec(free, huge, REPLICAS[2]), pair())
    assert torch.equal(weights(pack)[0], weights(pack)[2])
    assert not torch.allclose(weights(pack)[0], weights(pack)[4], atol=1e-3)
