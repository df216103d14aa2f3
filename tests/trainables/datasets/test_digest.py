"""Digests of data: equal for equal data, different for any other, cheap for large ones."""

from dataclasses import replace

import numpy as np
import pytest

from trainables.datasets import Modality, MultimodalData, Target
from trainables.datasets import digest as module
from trainables.datasets.digest import changed, digest

N = 60


def made(*, dtype=np.float64, **changes):
    rng = np.random.default_rng(0)
    mask = np.arange(4) < 1 + np.arange(N)[:, None] % 4
    shared = Target(values=rng.normal(size=N), kind="real", metric="r2")
    parts = {
        "name": "mine",
        "modalities": {
            "a": Modality(name="a", values=rng.normal(size=(N, 4, 2)).astype(dtype), mask=mask),
            "b": Modality(name="b", values=rng.normal(size=(N, 3)).astype(dtype)),
        },
        "targets": {"a": shared, "b": shared},
        "split": (np.arange(N) % 3).astype(np.int8),
        "groups": np.arange(N) // 3,
    }
    return MultimodalData(**(parts | changes))


def differing(one, other):
    assert set(one) == set(other)
    return set(changed(one, other))


def touched(array):
    copy = array.copy()
    copy.reshape(-1)[-1] += 1
    return copy


def with_values(values):
    data = made()
    return {"modalities": {**data.modalities, "b": replace(data.modalities["b"], values=values)}}


def test_the_same_data_have_the_same_digest_however_they_lie_in_memory():
    data = made()
    once = digest(data, generated=False)
    assert set(once) == {
        *("split", "groups", "modality a", "mask of a", "real steps of a", "target of a", "modality b", "target of b"),
    }
    turned = np.asfortranarray(data.modalities["b"].values)
    assert digest(made(**with_values(turned)), generated=False) == once


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        (lambda d: with_values(touched(d.modalities["b"].values)), {"modality b"}),
        (lambda d: with_values(d.modalities["b"].values * 2), {"modality b"}),
        (lambda d: with_values(d.modalities["b"].values.astype(np.float32)), {"modality b"}),
        (lambda d: with_values(d.modalities["b"].values[:, ::-1]), {"modality b"}),
        (lambda d: with_values(d.modalities["b"].values.reshape(N, 1, 3)), {"modality b"}),
        (lambda d: with_values(np.nextafter(d.modalities["b"].values, 9)), {"modality b"}),
        (lambda d: {"split": np.roll(d.split, 1)}, {"split"}),
        (lambda d: {"groups": np.roll(d.groups, 1)}, {"groups"}),
        (
            lambda d: {"targets": {**d.targets, "b": replace(d.targets["b"], values=touched(d.targets["b"].values))}},
            {"target of b"},
        ),
        (
            lambda d: {"modalities": {**d.modalities, "a": replace(d.modalities["a"], mask=np.ones((N, 4), bool))}},
            {"mask of a"},
        ),
    ],
)
def test_any_change_shows_where_it_is(changes, parts):
    assert differing(digest(made(), generated=False), digest(made(**changes(made())), generated=False)) == parts


def test_what_stands_in_padded_steps_does_not_count():
    data = made()
    a = data.modalities["a"]
    for filling in (np.nan, 9.0):
        values = np.where(a.mask[:, :, None], a.values, filling)
        other = digest(made(modalities={**data.modalities, "a": replace(a, values=values)}), generated=False)
        once = digest(data, generated=False)
        assert once["modality a"] != other["modality a"]
        assert changed(once, other) == []
        values[0, 0, 0] += 1  # a real step
        other = digest(made(modalities={**data.modalities, "a": replace(a, values=values)}), generated=False)
        assert changed(once, other) == ["modality a"]


def test_a_record_that_knows_whole_modalities_alone_is_compared_by_them():
    """As the version before noted them."""
    data = made()
    a = data.modalities["a"]
    known = {part: text for part, text in digest(data, generated=False).items() if not part.startswith("real steps")}
    assert changed(known, digest(data, generated=False)) == []
    padded = made(modalities={**data.modalities, "a": replace(a, values=np.where(a.mask[:, :, None], a.values, 9.0))})
    assert changed(known, digest(padded, generated=False)) == ["modality a"]


def test_generated_numbers_may_differ_in_their_last_bits_and_in_nothing_else():
    data = made()
    values = data.modalities["b"].values
    once = digest(data, generated=True)
    assert not differing(once, digest(made(**with_values(values * (1 + 1e-9))), generated=True))
    assert differing(once, digest(made(**with_values(values + 0.05)), generated=True)) == {"modality b"}
    noise = np.random.default_rng(1).normal(size=values.shape)
    assert differing(once, digest(made(**with_values(noise)), generated=True)) == {"modality b"}
    assert differing(once, digest(made(**with_values(values[:, :2])), generated=True)) == {"modality b"}


def test_large_memory_maps_are_sampled_and_say_so(tmp_path, monkeypatch):
    np.save(tmp_path / "b.npy", np.random.default_rng(0).normal(size=(N, 3)))
    mapped = np.asarray(np.load(tmp_path / "b.npy", mmap_mode="r"))
    whole = digest(made(**with_values(mapped)), generated=False)["modality b"]
    assert not whole.startswith("sampled")
    monkeypatch.setattr(module, "WHOLE_BYTES", 100)
    monkeypatch.setattr(module, "BLOCKS", 4)
    monkeypatch.setattr(module, "BLOCK_BYTES", 16)
    parts = digest(made(**with_values(mapped)), generated=False)
    assert parts["modality b"].startswith("sampled ")
    assert not parts["modality a"].startswith("sampled")  # in memory: whole
    other = np.load(tmp_path / "b.npy")
    for place in (0, -1):  # the first and the last value are always seen
        moved = other.copy()
        moved.reshape(-1)[place] += 1
        np.save(tmp_path / "c.npy", moved)
        again = np.load(tmp_path / "c.npy", mmap_mode="r")
        assert digest(made(**with_values(again)), generated=False)["modality b"] != parts["modality b"]
