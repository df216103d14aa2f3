"""Profiles that are computed beside the training: noted once, read back, and dropped when nobody waits for them."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import CancelledError, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
import pytest

from study.cells.building import build_cells
from study.config import ConfigError, parse_config
from study.search import Ledger, open_storage
from study.session.background import Profiling, recorded

CELLS, DATASETS = build_cells(
    parse_config(
        "{study: beside, dataset: {name: digits}, pairs: [[left, right], [left, fourier]], "
        "pid: {estimator: broja, bootstrap: 20}}"
    )
)


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(open_storage(folder=tmp_path), name="beside", space={"strength": (0, 4)})


@pytest.fixture
def background() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as executor:
        yield executor


def test_the_record_has_what_was_found_and_nothing_is_computed_again(
    ledger: Ledger, background: ThreadPoolExecutor
) -> None:
    with Profiling(CELLS, DATASETS, ledger, background=background) as profiling:
        assert recorded(CELLS, ledger) == ({}, {})
        found = profiling.result()
    assert found[0].keys() == found[1].keys() == {cell.id for cell in CELLS}
    assert recorded(CELLS, ledger) == found

    again = Profiling(CELLS, {}, ledger, background=background)  # without data there is nothing to compute from
    assert again.ready
    assert again.result() == found


def test_nothing_is_noted_before_all_is_there(ledger: Ledger, background: ThreadPoolExecutor) -> None:
    busy = Event()
    background.submit(busy.wait)
    with Profiling(CELLS, DATASETS, ledger, background=background) as profiling:
        profiling.keep()
        assert not profiling.ready
        assert recorded(CELLS, ledger) == ({}, {})
        busy.set()
        profiling.result()


def test_what_has_not_begun_is_dropped_with_the_study(ledger: Ledger, background: ThreadPoolExecutor) -> None:
    busy = Event()
    background.submit(busy.wait)
    with Profiling(CELLS, DATASETS, ledger, background=background) as profiling:
        pass
    busy.set()
    with pytest.raises(CancelledError):
        profiling.result()


def test_data_that_carry_no_profile_are_said_as_soon_as_it_is_known(
    ledger: Ledger, background: ThreadPoolExecutor
) -> None:
    ((key, digits),) = DATASETS.items()
    left = digits.modalities["left"]
    constant: Any = {**digits.modalities, "left": replace(left, values=np.ones_like(left.values))}
    profiling = Profiling(CELLS, {key: replace(digits, modalities=constant)}, ledger, background=background)
    for ask in (profiling.result, profiling.keep):
        with pytest.raises(ConfigError, match="constant"):
            ask()
