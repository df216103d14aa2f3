"""Rows of large data that are enough for profiles and forecasts."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

import study.cells.enough
from study.cells.building import build_cells, data_notes
from study.cells.enough import enough_rows, with_enough_rows
from study.cells.profiles import forecast_cells, profile_cells
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


def test_a_split_that_chance_would_leave_out_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    cells, datasets = build_cells(parse_config(STUDY + "strength: {initial: [0, 1]}\n"))
    ((key, data),) = datasets.items()
    monkeypatch.setattr(study.cells.enough, "MOST_VALUES", 1)  # 5,000 of the rows
    before = enough_rows(data)
    assert before is not None
    assert len(before) == 5000
    split = np.zeros_like(data.split)
    few = np.setdiff1d(np.arange(len(split)), before)[:6]  # which the draw leaves out
    split[few] = [1, 1, 1, 2, 2, 2]
    data = dataclasses.replace(data, split=split)
    rows = enough_rows(data)
    assert rows is not None
    np.testing.assert_array_equal(rows, np.union1d(before, few))
    assert forecast_cells(cells, {key: data}).keys() == {cell.id for cell in cells}
