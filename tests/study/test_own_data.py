"""Whole studies on arrays as people have them: odd names, few different rows, a rare class."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from study import profile
from tests.study import studies

NAMES = ("links/ä:ö", "视频 (rechts)", "ÿ")


def _arrays(case: str) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    y = (np.arange(600) % 100 == 7).astype(int) if case == "a class of 1 %" else np.arange(240) % 3
    first, second = (rng.normal(size=(len(y), width)) + y[:, None] for width in (4, 3))
    arrays = {"first": first, "second": second, "y": y}
    if case == "12 rows, 20 times":
        arrays = {name: array[np.tile(np.arange(12), 20)] for name, array in arrays.items()}
    if case == "odd names":
        arrays = dict(zip(NAMES, arrays.values(), strict=True))
    return arrays


def _space(folder: Path, case: str) -> Path:
    np.savez(folder / "d.npz", **_arrays(case))
    path = folder / "own.yaml"
    study = {
        "study": "own",
        "dataset": {
            "name": "arrays",
            "path": str(folder / "d.npz"),
            "target": NAMES[2] if case == "odd names" else "y",
        },
        "pid": {"bootstrap": 20},
        "encoder": {"width": 4},
        "training": {"epochs": 2, "batch_size": 32},
        "alignment": {"one_sided": "never"},
        "strength": {"initial": [0, 2], "refine": 0},
        "replicates": {"search": 2, "confirm": 2},
    }
    path.write_text(json.dumps(study), encoding="utf-8")
    return path


CASES = ("odd names", "12 rows, 20 times", "a class of 1 %")


@pytest.mark.parametrize("case", CASES)
def test_are_profiled(tmp_path: Path, case: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert profile.main(["--space", str(_space(tmp_path, case)), "--out", str(tmp_path), "--json"]) == 0

    said = capsys.readouterr()
    (found,) = json.loads(said.out).values()
    assert all(np.isfinite(found[name]) for name in ("redundancy", "unique_1", "unique_2", "synergy"))
    assert said.err == ""


@pytest.mark.slow  # three studies, each with Ray, its models and MLflow
@pytest.mark.parametrize("case", CASES)
def test_are_studied_to_the_end(tmp_path: Path, case: str) -> None:
    folder: Path = studies.run_space(_space(tmp_path, case), folder=tmp_path)

    (cell,) = json.loads((folder / "report.json").read_text(encoding="utf-8"))["cells"]
    assert cell["error"] is None
    assert cell["pair"] == list(NAMES[:2] if case == "odd names" else ("first", "second"))
