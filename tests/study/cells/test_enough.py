"""Rows of large data that are enough for profiles and forecasts."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

import study.cells.enough
from study.cells.building import build_cells, data_notes
from study.cells.enough import enough_rows, with_enough_rows
from study.cells.profiles import profile_cells
from study.config import parse_config
from trainables.datasets import load
from trainables.spec import DatasetSpec

STUDY = """
study: large
dataset: {name: synthetic, redundancy: 6}
pid: {estimator: broja, bootstrap: 20}
"""


def test_small_data_stay_as_they_are() -> None:
    data = load(DatasetSpec(name="digits"))
    assert enough_rows(data) is None
    assert with_enough_rows(data) is data
    assert data_notes({"digits": data}) == ()


def test_large_data_give_rows_of_every_split_and_a_profile_like_that_of_all(monkeypatch: pytest.MonkeyPatch) -> None:
    cells, datasets = build_cells(parse_config(STUDY))
    (whole,) = profile_cells(cells, datasets).values()
    (data,) = datasets.values()
    monkeypatch.setattr(study.cells.enough, "FEWEST_ROWS", 100)
    widest = max(one.values.shape[1] for one in data.modalities.values())
    monkeypatch.setattr(study.cells.enough, "MOST_VALUES", 8000 * widest)

    fewer = with_enough_rows(data)
    assert len(fewer.split) == 8000
    shares = [[np.mean(split == part) for part in range(3)] for split in (data.split, fewer.split)]
    assert shares[1] == pytest.approx(shares[0], abs=0.03)
    rows = enough_rows(data)
    for name, modality in fewer.modalities.items():
        np.testing.assert_array_equal(modality.values, data.modalities[name].values[rows])
        np.testing.assert_array_equal(fewer.targets[name].values, data.targets[name].values[rows])
    assert len({id(target) for target in fewer.targets.values()}) == len({id(t) for t in data.targets.values()})
    (line,) = data_notes(datasets)
    assert f"profiles and forecasts are those of 8,000 of its {len(data.split):,} rows" in line

    (part,) = profile_cells(cells, datasets).values()
    assert dataclasses.astuple(part) != dataclasses.astuple(whole)
    for component in ("redundancy", "unique_1", "unique_2", "synergy"):
        assert getattr(part, component) == pytest.approx(getattr(whole, component), abs=0.1)
