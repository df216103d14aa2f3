"""The target among the features under another name: it is said, and nothing else is."""

import numpy as np
import pytest

from trainables.datasets import load
from trainables.spec import DatasetSpec

N = 300
RNG = np.random.default_rng(0)
Y = RNG.integers(0, 3, N)
VIDEO = RNG.normal(size=(N, 3))
AUDIO = RNG.normal(size=(N, 4))


def _notes(tmp_path, audio, y=Y, **options):
    np.savez(tmp_path / "d.npz", audio=audio, video=VIDEO, y=y)
    return load(DatasetSpec(name="arrays", options={"path": str(tmp_path / "d.npz"), **options})).notes


@pytest.mark.parametrize(
    ("added", "columns"),
    [
        (Y[:, None], "5"),
        (10.0 * Y[:, None] - 7, "5"),
        (np.eye(3)[Y], "5, 6, 7"),
        (np.c_[AUDIO[:, 0], Y == 2], "6"),
        (np.tile(Y[:, None], 9), "5, 6, 7, 8, …"),
    ],
)
@pytest.mark.parametrize("y", [Y, np.array(["a", "b", "c"])[Y], 5 * Y])
def test_copies_and_codes_of_the_target_are_named(tmp_path, added, columns, y):
    (note,) = _notes(tmp_path, np.c_[AUDIO, added], y)
    assert note.startswith(f"d: of audio, column {columns} follows from the target y in every row")


def test_a_copy_of_a_real_target_is_named(tmp_path):
    score = RNG.normal(size=N)
    (note,) = _notes(tmp_path, np.c_[score, AUDIO], score)
    assert "column 1 follows" in note


@pytest.mark.parametrize(
    "audio",
    [
        AUDIO,
        AUDIO + 9 * Y[:, None],  # tells the class, but is measured
        np.c_[AUDIO, np.zeros(N)],  # constant
        np.c_[AUDIO, np.where(np.arange(N) == 17, 0, Y + 1)],  # but for one row
        AUDIO[:, None] * np.ones((N, 5, 1)),
        (AUDIO > 0).astype(int),
    ],
)
def test_nothing_is_said_of_features(tmp_path, audio):
    assert _notes(tmp_path, audio) == ()
