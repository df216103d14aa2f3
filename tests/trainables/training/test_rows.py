"""Replicates with rows of their own: each is the training on its own draw, and says how it did on every test row."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch.utils._python_dispatch import TorchDispatchMode

from tests.trainables.training.resuming import check_goes_on
from trainables.datasets.base import Modality, PairData, Target
from trainables.datasets.resampling import draw_rows, draw_split, pool_of
from trainables.metrics.outcomes import ByUnit
from trainables.spec import (
    AlignmentSpec,
    DatasetSpec,
    EncoderSpec,
    PackSpec,
    ReplicaSpec,
    ReplicateResult,
    TrainingSpec,
    derive_seed,
)
from trainables.training.pack import Pack

REPLICAS = tuple(ReplicaSpec(strength_1=s, strength_2=s, seed=seed) for s in (0.0, 1.0) for seed in (1, 2, 3))


def data(*, metric: str = "accuracy", groups: NDArray[np.int64] | None = None, rows: int = 120) -> PairData:
    """Two views that are fed as they are, so that a training on part of the rows has no scaling of its own."""
    rng = np.random.default_rng(0)
    classes = rng.integers(0, 3, rows)
    views = [rng.normal(size=(3, 5))[classes] + rng.normal(size=(rows, 5)) for _ in range(2)]
    target = Target(values=classes, kind="classes", n_classes=3)
    if metric != "accuracy":
        target = Target(values=classes - 1.0 + 0.1 * rng.normal(size=rows), kind="real", metric=metric)
    first, second = (
        Modality(name=name, values=view.astype(np.float32), standardise=False)
        for name, view in zip("ab", views, strict=True)
    )
    split = (np.arange(rows) % 3).astype(np.int8) if groups is None else (groups % 3).astype(np.int8)
    return PairData(dataset="toy", modalities=(first, second), targets=(target, target), split=split, groups=groups)


def spec(*replicas: ReplicaSpec, evaluate: str = "valid", rows: str = "resampled") -> PackSpec:
    encoder = EncoderSpec(layers=2, width=6)
    return PackSpec(
        dataset=DatasetSpec(name="toy"),
        pair=("a", "b"),
        encoders=(encoder, encoder),
        alignment=AlignmentSpec(),
        training=TrainingSpec(epochs=3, batch_size=8),
        replicas=replicas or REPLICAS,
        evaluate=evaluate,  # type: ignore[arg-type]
        rows=rows,  # type: ignore[arg-type]
    )


def results(asked: PackSpec, pair: PairData) -> tuple[ReplicateResult, ...]:
    pack = Pack(asked, pair)
    pack.run()
    return pack.results()


@pytest.mark.parametrize("evaluate", ["valid", "test"])
@pytest.mark.parametrize("grouped", [False, True])
def test_a_replicate_is_the_training_on_its_own_draw(evaluate: str, grouped: bool) -> None:
    pair = data(groups=np.arange(120) // 10 if grouped else None)
    together = results(spec(evaluate=evaluate), pair)
    pool = pool_of(pair)
    for replica, one in zip(REPLICAS, together, strict=True):
        rows = draw_rows(pair, seed=derive_seed(replica.seed, "rows"))
        # Rows in the order of the draw, so that an epoch's order means the same ones.
        order = np.concatenate([pool[rows.train], pool[rows.scored], pair.rows("test")])
        split = np.repeat([0, 1, 2], [len(rows.train), len(rows.scored), len(pair.rows("test"))]).astype(np.int8)
        first, second = (replace(m, values=m.values[order]) for m in pair.modalities)
        target = replace(pair.targets[0], values=pair.targets[0].values[order])
        drawn = replace(pair, modalities=(first, second), targets=(target, target), split=split, groups=None)
        (alone,) = results(spec(replica, evaluate=evaluate, rows="fixed"), drawn)
        assert one.scores == pytest.approx(alone.scores, abs=1e-9)
        assert one.losses == pytest.approx(alone.losses, rel=1e-4)
        assert one.alignment == pytest.approx(alone.alignment, abs=1e-4)


@pytest.mark.parametrize("grouped", [False, True])
def test_a_replicate_of_new_splits_is_the_training_on_its_own_split(grouped: bool) -> None:
    pair = data(groups=np.arange(120) // 5 if grouped else None)
    for replica, one in zip(REPLICAS, results(spec(evaluate="test", rows="redrawn"), pair), strict=True):
        rows = draw_split(pair, seed=derive_seed(replica.seed, "rows"))
        order = np.concatenate([rows.train, rows.scored])
        split = np.repeat([0, 2], [len(rows.train), len(rows.scored)]).astype(np.int8)
        first, second = (replace(m, values=m.values[order]) for m in pair.modalities)
        target = replace(pair.targets[0], values=pair.targets[0].values[order])
        drawn = replace(pair, modalities=(first, second), targets=(target, target), split=split, groups=None)
        (alone,) = results(spec(replica, evaluate="test", rows="fixed"), drawn)
        assert one.scores == pytest.approx(alone.scores, abs=1e-9)
        assert one.losses == pytest.approx(alone.losses, rel=1e-4)
        assert one.by_unit is None


def test_strengths_share_the_rows_of_a_seed_and_what_is_trained_beside_it_does_not_matter() -> None:
    pair = data()
    whole = results(spec(), pair)
    for replica, one in zip(REPLICAS, whole, strict=True):
        (alone,) = results(spec(replica), pair)
        assert alone.scores == one.scores


@pytest.mark.parametrize("metric", ["accuracy", "sign_accuracy", "r2"])
@pytest.mark.parametrize("grouped", [False, True])
def test_what_is_kept_of_each_test_row_adds_up_to_the_score(metric: str, grouped: bool) -> None:
    pair = data(metric=metric, groups=np.arange(120) // 7 if grouped else None)
    for one in results(spec(evaluate="test"), pair):
        kept = ByUnit.from_json(json.loads(json.dumps(one.by_unit)))
        assert len(kept.values[0]) == (len(np.unique(pair.groups[pair.rows("test")])) if grouped else 40)
        for values, score in zip(kept.values, one.scores, strict=True):
            assert values @ kept.weights == pytest.approx(score, abs=1e-6)
        assert ReplicateResult.from_json(one.to_json()) == one


def test_rows_are_kept_of_no_other_split() -> None:
    assert all(one.by_unit is None for one in results(spec(), data()))
    assert all(one.by_unit is None for one in results(spec(evaluate="test", rows="fixed"), data()))


def test_a_pack_goes_on_from_its_checkpoint_bit_for_bit(tmp_path: Path) -> None:
    pair, asked = data(), spec(evaluate="test")
    whole = results(asked, pair)
    first = Pack(asked, pair)
    first.run(1)
    check_goes_on(first, asked, pair, tmp_path, expected=whole)


def test_the_spec_of_fixed_rows_keeps_the_hash_that_it_had() -> None:
    assert "rows" not in spec(rows="fixed").to_json()
    assert spec().hash != spec(rows="fixed").hash
    for asked in (spec(), spec(rows="fixed")):
        assert PackSpec.from_json(json.loads(json.dumps(asked.to_json()))) == asked


def test_a_batch_that_exceeds_the_rows_of_a_draw_is_refused() -> None:
    asked = spec()
    asked = replace(asked, training=replace(asked.training, batch_size=41))
    with pytest.raises(ValueError, match="exceeds the 40 training rows"):
        Pack(asked, data())


@pytest.mark.parametrize(
    "text", ["bits:3:!!", "bits:x:AA==", "float32:2:AAAAAA==", "else:1:AA==", "bits:1", "float32:1:AAA="]
)
def test_damaged_outcomes_are_a_value_error(text: str) -> None:
    with pytest.raises(ValueError, match="damaged outcomes"):
        ByUnit.from_json({"values": [text, text], "rows": None})


def test_frozen_replicas_keep_nothing() -> None:
    asked = spec(replace(REPLICAS[0], learning_rate=1e30), REPLICAS[1], evaluate="test")
    blown, sound = results(asked, data())
    assert (blown.status, blown.by_unit) == ("diverged", None)
    assert sound.by_unit is not None
    assert torch.tensor(sound.scores).isfinite().all()


class Operators(TorchDispatchMode):
    """Counts the operators that compute something."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        self.count += not func.is_view
        return func(*args, **(kwargs or {}))


def test_rows_of_their_own_cost_an_epoch_one_look_up() -> None:
    counts = []
    for rows in ("fixed", "resampled"):
        pack = Pack(spec(rows=rows), data(rows=600))
        with Operators() as operators:
            pack.train_epoch()
        counts.append(operators.count)
    fixed, own = counts
    assert fixed > 1000
    assert own <= fixed + 1
