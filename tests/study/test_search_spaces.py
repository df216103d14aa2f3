"""Every file of `search_spaces/` as a study from end to end: on real data where they are, else on its published layout.

The settings are shortened to what still goes through every part; what the answers are is not looked at.
"""

from __future__ import annotations

import itertools
import json
import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mlflow import MlflowClient

from study.config import load_config
from study.results.figures.drawing import figures
from study.results.model import Report
from study.run import main
from trainables.datasets import DATASETS
from trainables.datasets.published.affect import stand_in_corpus
from trainables.datasets.published.corpora import MOSEI_PLAN

ROOT = Path(__file__).resolve().parents[2]
SPACES = {path.stem: path for path in sorted((ROOT / "search_spaces").glob("*.yaml"))}
PUBLISHED = [name for name in SPACES if name in DATASETS and "stand_in" in DATASETS[name].options]
REAL = {
    "mosi": "mosi752/mosi752_multibench.pkl",
    "mfeat": "mfeat/mfeat.npz",
    "houston": "houston2013/houston2013.npz",
}
SHORT = {
    "training.epochs": "2",
    "alignment.one_sided": "never",
    "strength.initial": "[0, 1]",
    "strength.refine": "0",
    "replicates": "{search: 2, confirm: 2}",
    "search": "{nuisance: {}, trials_per_strength: 1}",
    "pid": "{estimator: broja, bootstrap: 20}",
    "resources": "{pack: 16, workers: 1}",
}
PAIRS = {  # one for each file whose set has several
    "mosei": "[[vision, text]]", "mosi": "[[audio, text]]", "mustard": "[[vision, audio]]",
    "ur_funny": "[[audio, text]]", "mfeat": "[[fac, pix]]", "digits": "[[left, right]]",
}  # fmt: skip


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, Any]]:
    """Runs the command for a file of `search_spaces/`, in a folder of its own, and returns the report."""
    monkeypatch.chdir(tmp_path)

    def run(name: str, *options: str, **overrides: str) -> dict[str, Any]:
        given = {**SHORT, **({"pairs": PAIRS[name]} if name in PAIRS else {}), **overrides}
        sets = itertools.chain.from_iterable(("--set", f"{key}={value}") for key, value in given.items())
        assert main(["--space", str(SPACES[name]), *options, *sets]) == 0
        (report,) = (json.loads(path.read_text()) for path in tmp_path.glob("studies/*/report.json"))
        assert report["status"] == "complete"
        for cell in report["cells"]:
            assert all(np.isfinite(cell["pid"][key]) for key in ("redundancy", "unique_1", "unique_2", "synergy"))
            assert [encoder["modality"] for encoder in cell["encoders"]] == cell["pair"]
            assert all(encoder["curve"][0]["seeds"] == 2 for encoder in cell["encoders"])
        return dict(report)

    return run


@pytest.mark.slow
@pytest.mark.parametrize("name", REAL)
def test_on_the_real_file(name: str, run: Callable[..., dict[str, Any]], shared_data: Path) -> None:
    report = run(name, **{"dataset.path": str(shared_data / REAL[name])})
    assert not report["stand_in"]


@pytest.mark.slow
def test_mosei_from_a_file_of_its_layout(run: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    path = tmp_path / "mosei_senti_data.pkl"
    path.write_bytes(pickle.dumps(stand_in_corpus(MOSEI_PLAN.sized("small"), binary=False)))
    assert not run("mosei", **{"dataset.path": str(path)})["stand_in"]


@pytest.mark.slow
def test_avmnist_from_a_folder_of_its_layout(run: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for part, n in (("train", 180), ("test", 60)):
        for modality, shape in (("image", (784,)), ("audio", (20, 36))):
            (tmp_path / modality).mkdir(exist_ok=True)
            np.save(tmp_path / modality / f"{part}_data.npy", rng.integers(0, 256, size=(n, *shape), dtype=np.uint8))
        np.save(tmp_path / f"{part}_labels.npy", np.arange(n) % 10)
    run("avmnist", **{"dataset.path": str(tmp_path)})


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "overrides"),
    [
        ("digits", {}),
        ("synthetic", {"dataset.redundancy": "[8]"}),
        ("linear", {"dataset.redundancy": "[0.2]"}),
        ("linear_mlp", {"dataset.redundancy": "[0.2]"}),
    ],
)
def test_on_generated_or_shipped_data(name: str, overrides: dict[str, str], run: Callable[..., dict[str, Any]]) -> None:
    run(name, **overrides)


@pytest.mark.slow
def test_the_guide_of_the_readme_takes_a_user_from_arrays_to_an_answer(run: Callable[..., dict[str, Any]]) -> None:
    guide = (ROOT / "README.md").read_text().split("## Your own data", 1)[1]
    (python, *_), (command, *_) = (re.findall(rf"```{kind}\n(.*?)```", guide, re.S) for kind in ("python", "bash"))
    assert len(python.strip().splitlines()) + len(command.strip().splitlines()) <= 10
    assert command == "python -m study.run --space search_spaces/arrays.yaml\n"
    exec(compile(python, "README.md", "exec"), {})
    (cell,) = run("arrays")["cells"]
    assert cell["pair"] == ["audio", "video"]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mustard", "ur_funny"])
def test_a_stand_in_is_marked_wherever_it_shows(
    name: str, run: Callable[..., dict[str, Any]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = run(name, "--stand-in", "small")
    study = tmp_path / "studies" / f"{name}-stand-in"

    assert report["stand_in"]
    assert "(stand-in data)" in capsys.readouterr().out
    assert all("(stand-in)" in cell["label"] for cell in report["cells"])
    assert "stand-in" in re.sub(r"<svg.*?</svg>", "", (study / "report.html").read_text(), flags=re.S)
    files = list((study / "figures").glob("*"))
    assert files
    assert all("stand-in" in path.name for path in files if not path.name.startswith("00"))  # those of all pairs
    for figure in figures(Report.from_json(report).cells).values():
        assert "stand-in data" in [text.get_text() for text in figure.texts]
    for table in study.glob("tables/*.csv"):
        assert all("stand-in" in line for line in table.read_text().splitlines()[1:])
    assert all("stand-in" in path.name for path in study.glob("models/*"))
    client = MlflowClient(f"sqlite:///{tmp_path / 'mlflow.db'}")
    (experiment,) = [e for e in client.search_experiments() if e.name == f"{name}-stand-in"]
    assert all(run.data.tags["stand_in"] == "yes" for run in client.search_runs([experiment.experiment_id]))


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_small_stand_in_is_a_short_study_with_the_same_strengths(name: str) -> None:
    config = load_config(SPACES[name])
    small, full = (load_config(SPACES[name], stand_in=size) for size in ("small", "full"))
    assert small.study == f"{name}-stand-in"
    assert small.strength.initial == config.strength.initial
    assert small.encoders == config.encoders
    assert small.encoder == config.encoder
    assert small.training.epochs <= 8
    assert small.replicates.search * len(small.strength.initial) <= 45
    assert full.training == config.training
