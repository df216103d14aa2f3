"""The profile command on files of its own: what it prints and writes, and one line for data that carry no profile."""

import json

import numpy as np
import pytest

from study import profile
from study.pid import COMPONENTS

ROWS = 240


def _space(folder, *, arrays=None, extra=""):
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
        f"pairs: all\npid: {{bootstrap: 20}}\n{extra}"
    )
    return space


def test_prints_intervals_null_marks_and_unit_and_writes_json_and_figures(tmp_path, capsys):
    assert profile.main(["--space", str(_space(tmp_path)), "--out", str(tmp_path / "out")]) == 0
    shown = capsys.readouterr().out
    assert "bits [90 %]" in shown
    assert "bins" in shown  # the spread over the numbers of bins
    assert "unique_1" in shown
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


@pytest.mark.parametrize(
    ("arrays", "extra", "words"),
    [
        ({"right": NAN}, "", "NaN"),
        ({"right": np.ones((ROWS, 2))}, "", "constant"),
        ({"y": np.zeros(ROWS, dtype=int)}, "", "class"),
        ({"y": np.linspace(0, 1, ROWS).reshape(-1, 1) * np.ones(2) + np.nan}, "", "NaN"),
        ({}, "  # no such estimator\n", None),
    ],
)
def test_data_that_carry_no_profile_end_with_exit_code_2_and_one_line(tmp_path, capsys, arrays, extra, words):
    space = _space(tmp_path, arrays=arrays, extra=extra)
    overrides = ["--set", "pid.estimator=brojo"] if words is None else []
    assert profile.main(["--space", str(space), "--out", str(tmp_path / "out"), *overrides]) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    assert (words or "broja") in lines[0]
