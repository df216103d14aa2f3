"""The example that comes with the project: it runs, and restores what a killed worker left."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from tests.study.studies import run_space

EXAMPLE = Path(__file__).parents[3] / "search_spaces" / "own_training.py"


@pytest.fixture(scope="module")
def example() -> ModuleType:
    spec = importlib.util.spec_from_file_location("own_training_example", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def trial(folder: Path, *, epochs: int, stop_at: int | None = None) -> Any:
    def report(epoch: int, **_: Any) -> None:
        if epoch == stop_at:
            raise KeyboardInterrupt

    return SimpleNamespace(
        strength=0.5, seed=7, split="valid", options={"epochs": epochs}, hyperparameters={"learning_rate": 3e-3},
        folder=folder, report=report, keep=lambda *_: None,
    )  # fmt: skip


def test_the_example_goes_on_where_it_was_killed_and_comes_to_the_same(example: ModuleType, tmp_path: Path) -> None:
    for name in ("whole", "killed"):
        (tmp_path / name).mkdir()
    whole = example.train(trial(tmp_path / "whole", epochs=3))
    with pytest.raises(KeyboardInterrupt):
        example.train(trial(tmp_path / "killed", epochs=3, stop_at=2))
    assert example.train(trial(tmp_path / "killed", epochs=3)) == whole


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_example_study_runs(tmp_path: Path) -> None:
    folder = run_space(EXAMPLE.with_suffix(".yaml"), "trainer.options.epochs=2", "strength.refine=0", folder=tmp_path)
    assert (folder / "report.html").exists()
