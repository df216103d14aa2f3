"""What stands in padded steps is read by nobody: neither profile, forecast nor training depend on it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from study.cells.building import build_cells
from study.cells.profiles import forecast_cells, profile_cells
from study.cells.trials import Setting
from study.config import parse_config
from trainables.training.pack import Pack

ROWS = 120
RNG = np.random.default_rng(0)
MASK = np.arange(4) < RNG.integers(1, 5, ROWS)[:, None]
TEXT, VISION = RNG.normal(size=(ROWS, 4, 3)), RNG.normal(size=(ROWS, 4))
LABELS = TEXT[:, 0, 0] + VISION[:, 0] > 0


def answers(folder: Path, filling: float) -> tuple[Any, ...]:
    path = folder / "d.npz"  # of one name, which is in the answers' seeds
    np.savez(path, text=np.where(MASK[:, :, None], TEXT, filling), vision=VISION, y=LABELS, mask=MASK)
    space = {
        "study": "padding",
        "dataset": {
            "name": "arrays", "path": str(path), "modalities": {"text": "text", "vision": "vision"},
            "mask": {"text": "mask"},
        },
        "pid": {"bootstrap": 20, "estimator": "broja"},
        "encoders": {"text": {"kind": "transformer", "layers": 1, "width": 6}, "vision": {"width": 6}},
        "training": {"epochs": 2, "batch_size": 16},
    }  # fmt: skip
    cells, data = build_cells(parse_config(json.dumps(space), source="the test"))
    (pack,) = [
        Pack(cell.pack("shared", [(Setting(strength_1=1.0, strength_2=1.0), 0)]), data[cell.data_key].pair(*cell.pair))
        for cell in cells
    ]
    pack.run()
    notes = [one.notes for one in data.values()]
    return notes, profile_cells(cells, data), forecast_cells(cells, data), pack.results()


def test_no_answer_depends_on_what_stands_in_padded_steps(tmp_path: Path) -> None:
    zeros = answers(tmp_path, 0.0)
    assert all(answers(tmp_path, filling) == zeros for filling in (np.nan, np.inf, 1e30))
