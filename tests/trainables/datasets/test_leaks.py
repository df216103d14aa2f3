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


@pytest.mark.parametrize("steps", [slice(None), slice(2, 3)])
def test_the_target_at_a_step_of_a_sequence_is_named(tmp_path, steps):
    sequence = RNG.normal(size=(N, 4, 3))
    assert _notes(tmp_path, sequence) == ()
    sequence[:, steps, 1] = Y[:, None]
    (note,) = _notes(tmp_path, sequence)
    assert note.startswith("d: of audio, column 2 follows from the target y in every row")


SCORE = RNG.normal(size=N)


@pytest.mark.parametrize(
    "leak",
    [
        SCORE,
        2 * SCORE + 1,
        -SCORE,
        1e30 * SCORE - 1e29,
        1e-30 * SCORE,
        1e300 * SCORE,
        32 + 1.8 * SCORE.astype(np.float32),
        SCORE.round(6),
    ],
)
@pytest.mark.parametrize("options", [{}, {"metric": "sign_accuracy"}])
def test_a_real_target_in_any_unit_is_named(tmp_path, leak, options):
    (note,) = _notes(tmp_path, np.c_[leak, AUDIO, leak], SCORE, **options)
    assert note.startswith("d: of audio, column 1, 6 follows from the target y in every row")


@pytest.mark.parametrize("options", [{}, {"metric": "r2"}])
def test_each_column_of_a_target_of_several_numbers_is_looked_for(tmp_path, options):
    scores = np.c_[SCORE, RNG.normal(size=(N, 2))]
    (note,) = _notes(tmp_path, np.c_[AUDIO, 3 - 2 * scores[:, 2], AUDIO[:, 0], SCORE], scores, **options)
    assert note.startswith("d: of audio, column 5, 7 follows from the target y in every row")
    assert _notes(tmp_path, np.c_[AUDIO, scores.sum(axis=1)], scores, **options) == ()


def test_a_target_that_mostly_is_one_number(tmp_path):
    sampled = np.linspace(0, N - 1, 256).astype(int)
    late = np.where(np.isin(np.arange(N), sampled), 0.25, SCORE)
    (note,) = _notes(tmp_path, np.c_[AUDIO, 3 * late, np.zeros(N)], late)
    assert "column 5 follows" in note


@pytest.mark.parametrize(
    "audio",
    [
        AUDIO,
        np.c_[AUDIO, SCORE + 1e-3 * AUDIO[:, 0]],  # measured
        np.c_[AUDIO, np.where(np.arange(N) == 299, 9, SCORE)],  # but for one row
        np.c_[AUDIO, SCORE**3],
        np.c_[AUDIO, 1e20 + 0 * SCORE],
        np.c_[AUDIO, np.where(np.arange(N) % 50 == 7, np.nan, AUDIO[:, 0])],
    ],
)
def test_nothing_is_said_beside_a_real_target(tmp_path, audio):
    assert _notes(tmp_path, audio, SCORE, imputation="mean") == ()


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


@pytest.mark.parametrize("number", [np.arange(N), 7 - 3 * np.arange(N), 1e-3 * np.arange(N)])
def test_columns_that_count_the_rows_are_said(tmp_path, number):
    (note,) = _notes(tmp_path, np.c_[AUDIO, number])
    assert note.startswith("d: of audio, column 5 counts the rows")
    for measured in (number[RNG.permutation(N)], np.where(np.arange(N) == 9, 0, number), number**2, np.ones(N)):
        assert _notes(tmp_path, np.c_[AUDIO, measured]) == ()


@pytest.mark.parametrize("kind", [np.float64, np.float32])
def test_columns_that_two_modalities_share_are_said(tmp_path, kind):
    rows = np.random.default_rng(1).normal(size=(300, 6)).astype(kind)
    y = np.arange(300) % 3
    for other, count in ((rows[:, 2:], "2 columns"), (rows[:, [5, 3]], "1 column"), (rows[:, 4:], "")):
        np.savez(tmp_path / "d.npz", audio=rows[:, :4], video=np.c_[other, np.zeros(300, kind)].astype(float), y=y)
        data = load(DatasetSpec(name="arrays", options={"path": str(tmp_path / "d.npz")}))
        told = (f"d: audio and video share {count}, which makes them redundant by construction; leave what is shared "
                "out of one of them",)  # fmt: skip
        assert data.notes == (told if count else ())
