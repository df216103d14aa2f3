"""Studies with a user's own modules as encoders: a recurrent one, a CNN with BatchNorm, one on a frozen backbone."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from study.api import read_study
from study.cells.building import build_cells, encoder_notes
from study.config import ConfigError, load_config
from tests.study import studies
from trainables.saving.export import load_encoder

CODE = '''
from pathlib import Path

import torch
from torch import nn
from layers import block


class Recurrent(nn.Module):
    def __init__(self, n_in, width, hidden):
        super().__init__()
        self.gru, self.out = nn.GRU(n_in, hidden, batch_first=True), nn.Linear(hidden, width)

    def forward(self, x):
        return self.out(self.gru(x)[1][-1])


class Residual(nn.Module):
    """As torchvision writes it: (N, C, H, W), BatchNorm, an addition in place."""

    def __init__(self, channels):
        super().__init__()
        self.first, self.second = block(channels), block(channels)

    def forward(self, x):
        out = self.second(self.first(x).relu_())
        out += x
        return out.relu_()


class Convolutional(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.stem = nn.Conv2d(1, 4, 3, padding=1, bias=False)
        self.body = nn.Sequential(nn.BatchNorm2d(4), nn.ReLU(inplace=True), Residual(4), nn.AdaptiveAvgPool2d(2))
        self.fc = nn.Linear(16, width)

    def forward(self, x):
        return self.fc(torch.flatten(self.body(self.stem(x[:, None])), 1))


def recurrent(shape, width, hidden=5):
    return Recurrent(shape[1], width, hidden)


def convolutional(shape, width):
    return Convolutional(width)


def pretrained(shape, width):
    backbone = nn.Linear(shape[0], 9)
    backbone.load_state_dict(torch.load(Path(__file__).with_name("backbone.pt"), weights_only=True))
    return nn.Sequential(backbone.requires_grad_(False), nn.Tanh(), nn.Linear(9, width))
'''
LAYERS = """
from torch import nn


def block(channels):
    return nn.Sequential(nn.Conv2d(channels, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels))
"""
STUDY = {
    "study": "own",
    "pairs": [["image", "sequence"], ["image", "vector"]],
    "pid": {"estimator": "broja", "bootstrap": 20},
    "encoder": {"kind": "module", "width": 4},
    "encoders": {
        "image": {"factory": "mine.py:convolutional"},
        "sequence": {"factory": "mine.py:recurrent", "options": {"hidden": 7}},
        "vector": {"factory": "mine.py:pretrained"},
    },
    "training": {"epochs": 2, "batch_size": 32},
    "alignment": {"one_sided": "never"},
    "strength": {"initial": [0, 1], "refine": 0},
    "replicates": {"search": 2, "confirm": 2},
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A study file, the user's code and weights, and the data, in a folder that is not the one of the command."""
    folder = tmp_path / "user"
    folder.mkdir()
    rng, y = np.random.default_rng(0), np.arange(240) % 3
    np.savez(
        folder / "d.npz", y=y,
        image=rng.normal(size=(240, 6, 6)) + y[:, None, None],
        sequence=rng.normal(size=(240, 5, 3)) - y[:, None, None],
        vector=rng.normal(size=(240, 4)) + y[:, None],
    )  # fmt: skip
    (folder / "mine.py").write_text(CODE)
    (folder / "layers.py").write_text(LAYERS)
    torch.save(nn.Linear(4, 9).state_dict(), folder / "backbone.pt")
    write(folder)
    return folder


def write(folder: Path, **changes: Any) -> Path:
    path = folder / "own.yaml"
    data = {"name": "arrays", "path": str(folder / "d.npz"), "target": "y"}
    path.write_text(json.dumps({**STUDY, "dataset": data, **changes}))
    return path


def test_a_study_file_names_them_from_its_own_folder(folder: Path) -> None:
    cells, loaded = build_cells(load_config(folder / "own.yaml"))
    assert [encoder.factory for encoder in cells[0].encoders] == ["mine.py:convolutional", "mine.py:recurrent"]
    (note,) = encoder_notes(cells, loaded)
    assert note.startswith("note: mine.py:recurrent of sequence: replicas take turns in their pack: torch's vmap")
    moved = folder.with_name("moved")
    shutil.copytree(folder, moved)
    config = load_config(write(moved))
    again, _ = build_cells(config)
    assert [e.identity for cell in again for e in cell.encoders] == [e.identity for c in cells for e in c.encoders]
    assert config.identity["encoders"] == load_config(folder / "own.yaml").identity["encoders"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"factory": "other.py:make"}, r"encoder of image: there is no file .*other.py; give its path"),
        ({"factory": "mine.py:make"}, "mine.py has no make; it has .*recurrent, convolutional, pretrained"),
        ({"factory": "mine.py:Recurrent"}, r"the factory raised TypeError: .*missing 1 required positional argument"),
        ({"factory": "mine.py:recurrent", "options": {"depth": 3}}, "the factory raised TypeError: .*'depth'"),
        ({"factory": "mine.py:pretrained"}, r"the factory raised RuntimeError: Error\(s\) in loading state_dict"),
        ({"factory": "mine.py:block"}, r"the factory raised TypeError: block\(\) takes 1 positional argument"),
        (
            {"kind": "mlp", "factory": "mine.py:make"},
            "factory is of kind module, and the kind is mlp; add kind: module",
        ),
        ({}, "kind module needs the function that makes it; add factory: FILE.py:name"),
    ],
)
def test_mistakes_are_one_line_before_anything_starts(folder: Path, changes: dict[str, Any], message: str) -> None:
    path = write(folder, encoders={**STUDY["encoders"], "image": changes})  # type: ignore[dict-item]
    with pytest.raises(ConfigError, match=message) as refused:
        build_cells(load_config(path))
    assert "\n" not in str(refused.value)


def test_a_mistake_ends_the_command_with_exit_code_2_and_a_line(folder: Path) -> None:
    write(folder, encoders={**STUDY["encoders"], "image": {"factory": "mine.py:nothing"}})  # type: ignore[dict-item]
    command = [sys.executable, "-m", "study.run", "--space", str(folder / "own.yaml"), "--out", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    error = done.stderr.removeprefix("reading data …\n")
    assert error.startswith("error: encoders of image and sequence: mine.py has no nothing")
    assert error.count("\n") == 1


def test_from_python_a_factory_is_the_function_itself(folder: Path) -> None:
    width_of_hidden = 11

    def make(shape: tuple[int, ...], width: int) -> nn.Module:
        size = int(np.prod(shape))
        return nn.Sequential(
            nn.Flatten(), nn.Linear(size, width_of_hidden), nn.ReLU(), nn.Linear(width_of_hidden, width)
        )

    space = json.loads(write(folder).read_text()) | {"encoder": {"kind": "module", "width": 4, "factory": make}}
    config = read_study({**space, "encoders": {}})
    cells, _ = build_cells(config)
    assert {encoder.factory for cell in cells for encoder in cell.encoders} == {"python:make"}


def test_studies_without_one_keep_their_identity() -> None:
    config = read_study({"study": "s", "dataset": {"name": "digits"}, "encoder": {"kind": "mlp"}})
    assert not {"factory", "options"} & set(config.identity["encoder"])


@pytest.mark.slow  # a study with Ray, its models and MLflow, and again
def test_are_studied_to_the_end_resumed_and_served(folder: Path, tmp_path: Path) -> None:
    study = studies.run_space(folder / "own.yaml", folder=tmp_path)
    report = json.loads((study / "report.json").read_text(encoding="utf-8"))
    assert [cell["error"] for cell in report["cells"]] == [None, None]
    files = sorted((study / "models").glob("*.pt"))
    assert files
    for file in files:
        encoder = load_encoder(file, run_code=True)
        said = encoder.predict(np.zeros((3, *encoder.shape), np.float32))
        assert said["features"].shape == (3, 4)

    (folder / "mine.py").write_text(CODE.replace("nn.Tanh()", "nn.ReLU()"))
    command = [sys.executable, "-m", "study.run", "--space", str(folder / "own.yaml")]
    command += ["--out", str(study.parent), "--set", "replicates.confirm=2"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode in (0, 1), done.stderr
    assert "the code of mine.py:pretrained is not what own began with" in " ".join(done.stderr.split())
