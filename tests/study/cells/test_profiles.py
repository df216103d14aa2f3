"""The profile command on files of its own: what it prints and writes, and one line for data that carry no profile."""

import json

import numpy as np
import pytest

from study import profile
from study.pid import COMPONENTS

ROWS = 240


def _space(folder, *, arrays=None):
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, size=ROWS)
    values = {
        "left": (y[:, None] + 0.3 * rng.normal(size=(ROWS, 2))).astype(np.float32),
        "right": rng.normal(size=(ROWS, 3)).astype(np.float32),
        "y": y,
    } | (arrays or {})
    np.savez(folder / "data.npz", **values)
    space = folder / "space.yaml"
    space.write_text(
        f"study: mine\ndataset: {{name: arrays, path: {folder / 'data.npz'}, modalities: [left, right], target: y}}\n"
        "pairs: all\npid: {bootstrap: 20}\n"
    )
    return space


def test_prints_intervals_null_marks_and_unit_and_writes_json_and_figures(tmp_path, capsys):
    assert profile.main(["--space", str(_space(tmp_path)), "--out", str(tmp_path / "out")]) == 0
    shown = capsys.readouterr().out
    assert "bits [90 %]" in shown
    assert "\n1 pair in " in shown
    assert "bins" in shown  # the spread over the numbers of bins
    assert "unique to left" in shown
    assert "~ not distinguishable" in shown  # `right` knows nothing
    (stored,) = json.loads((tmp_path / "out/mine/profile.json").read_text()).values()
    assert stored["units"] == "bits"
    assert stored["dominant"] == "unique_1"
    for name in COMPONENTS:
        low, high = stored["interval"][name]
        assert low <= stored[name] <= high
        assert stored["null"][name] >= 0
    assert list((tmp_path / "out/mine/profile").glob("*pid*.svg"))


NAN = np.where(np.arange(ROWS)[:, None] == 3, np.nan, 1.0) * np.arange(ROWS)[:, None]
MOSTLY_VALID = np.where(np.arange(ROWS) < 3, 0, 1 + np.arange(ROWS) % 2)
FEW = np.random.default_rng(1).normal(size=(12, 3))

# What the file holds instead, what is said on the command line, and what the one line must name.
BAD = {
    "NaN features": ({"right": NAN}, [], "NaN"),
    "infinite features": ({"right": np.where(np.isnan(NAN), np.inf, NAN)}, [], "infinite"),
    "words as features": ({"right": np.full((ROWS, 2), "a")}, [], "not numbers"),
    "constant modality": ({"right": np.ones((ROWS, 2))}, [], "constant"),
    "one class only": ({"y": np.zeros(ROWS, dtype=int)}, [], "class"),
    "NaN labels": ({"y": np.full((ROWS, 2), np.nan)}, [], "NaN"),
    "fractions as classes": ({"y": np.linspace(0, 1, ROWS)}, ["dataset.task=classes"], "fractions"),
    "several classes a row": ({"y": 1 - np.eye(3)[np.arange(ROWS) % 3]}, ["dataset.task=classes"], "one label a row"),
    "identifiers as classes": ({"y": np.arange(ROWS)}, [], f"{ROWS} classes"),
    "empty words as classes": ({"y": np.where(np.arange(ROWS) % 3, "cat", "")}, [], "empty"),
    "other number of rows": ({"y": np.arange(ROWS // 2) % 2}, [], "rows"),
    "fewer training rows than bins": (
        {"split": MOSTLY_VALID, "y": np.arange(ROWS) % 2},
        ["pid.estimator=broja", "training.batch_size=3"],
        "3 training rows for 4 bins",
    ),
    "too few rows to halve": (
        {"left": FEW, "right": FEW, "y": np.arange(12) % 2, "split": np.arange(12) // 4},
        ["pid.estimator=batch", "training.batch_size=4"],
        "at least 40",
    ),
    "no such estimator": ({}, ["pid.estimator=brojo"], "broja"),
    "too few resamples": ({}, ["pid.bootstrap=3"], "bootstrap"),
}


@pytest.mark.parametrize("case", BAD)
def test_data_that_carry_no_profile_end_with_exit_code_2_and_one_line(tmp_path, capsys, case):
    arrays, overrides, words = BAD[case]
    given = [text for override in overrides for text in ("--set", override)]
    assert profile.main(["--space", str(_space(tmp_path, arrays=arrays)), "--out", str(tmp_path / "out"), *given]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    (line,) = (line for line in shown.err.strip().splitlines() if not line.startswith("note:"))
    assert words in line
