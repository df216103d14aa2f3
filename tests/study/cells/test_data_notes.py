"""What a study says of the user's data: once, on standard error, by every command that reads them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from study import profile
from study.run import main as run

NOTE = "note: d: target y has the whole numbers 0, 1, 2: taken as 3 classes; set task: real if it is a number"


@pytest.fixture
def space(tmp_path: Path) -> Path:
    """A study on arrays whose target is 0., 1., 2."""
    rng = np.random.default_rng(0)
    y = np.arange(90.0) % 3
    audio, video = (rng.normal(size=(90, width)) + y[:, None] for width in (3, 2))
    np.savez(tmp_path / "d.npz", audio=audio, video=video, y=y)
    path = tmp_path / "study.json"
    study = {
        "study": "own",
        "dataset": {"name": "arrays", "path": str(tmp_path / "d.npz")},
        "training": {"batch_size": 8},
        "pid": {"estimator": "broja", "bootstrap": 20},
    }
    path.write_text(json.dumps(study), encoding="utf-8")
    return path


def test_profile_says_how_data_were_understood(space: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert profile.main(["--space", str(space), "--out", str(space.parent / "out"), "--json"]) == 0

    said = capsys.readouterr()
    assert said.err.splitlines() == [NOTE]
    json.loads(said.out)


def test_run_says_it_before_anything_else(space: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (space.parent / "file").touch()

    assert run(["--space", str(space), "--out", str(space.parent / "file")]) == 2  # no folder: nothing is trained
    lines = capsys.readouterr().err.splitlines()
    assert lines[:2] == ["reading data …", NOTE]
    assert sum(line == NOTE for line in lines) == 1


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("dataset.modalities={audio: audio, video: }", "is not allowed"),
        ("dataset.target={audio: y, video: [y]}", "is not allowed"),
        ("dataset.modalities=[audio, y]", "modality y is y, which is the target"),
        ("dataset.group=who", "unknown array 'who'"),
        ("dataset.path=/dev/null/d.npz", "cannot be read"),
    ],
)
def test_a_mistake_in_the_options_is_one_line(
    space: Path, override: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert profile.main(["--space", str(space), "--out", str(space.parent), "--set", override]) == 2

    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert said in line
