"""Whether a study's data are those that it began with: digests on record, compared whenever they are at hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from study.cells.cell import Cell
from study.config import ConfigError
from trainables import datasets
from trainables.datasets import DATASETS, DataError, MultimodalData
from trainables.datasets.columns import target_unit
from trainables.datasets.digest import changed, digest

Digests = Mapping[str, Mapping[str, str]]


def digests(cells: Sequence[Cell], loaded: Mapping[str, MultimodalData]) -> dict[str, dict[str, str]]:
    """Digests of all that the cells read, by `Cell.data_key` and part (`modality audio`, `target of audio`, `split`).

    Modalities that no pair names do not count: they may change.
    """
    by_data: dict[str, dict[str, str]] = {}
    for key, data in loaded.items():
        own = [cell for cell in cells if cell.data_key == key]
        if own:
            generated = data.stand_in or "path" not in DATASETS[own[0].config.data.name].options
            used = {name for cell in own for name in cell.pair}
            read = replace(data, modalities={name: one for name, one in data.modalities.items() if name in used})
            by_data[key] = digest(read, generated=generated)
    return by_data


def check_same(known: Digests, current: Digests, cells: Sequence[Cell], *, study: str, remedy: str) -> None:
    """Compare what both have digests of.

    Raises:
        ConfigError: data differ; the line names the study and what differs, and ends with the `remedy`.
    """
    differing = [
        f"{_label(cells, key)}: {', '.join(parts)}"
        for key in current
        if (parts := changed(known.get(key, {}), current[key]))
    ]
    lost = [
        f"{_label(cells, key)}: {', '.join(parts)} no longer there"
        for key in current
        if (parts := [part for part in known.get(key, {}) if part not in current[key]])
    ]
    if differing or lost:
        told = "; ".join(dict.fromkeys(differing + lost))  # cells of one file may know it by several keys
        raise ConfigError(f"the data of the study {study} changed after it began ({told}); {remedy}")


def merged(known: Digests, current: Digests) -> dict[str, dict[str, str]]:
    """Digests of both: those known already, and those that are new in an extended study."""
    return {key: {**current.get(key, {}), **known.get(key, {})} for key in (*known, *current)}


def data_at_hand(cells: Sequence[Cell]) -> dict[str, MultimodalData]:
    """The data of recorded cells that can be loaded here, by `Cell.data_key`; generated ones in a file's place not."""
    at_hand: dict[str, MultimodalData] = {}
    for key, cell in {cell.data_key: cell for cell in cells}.items():
        if cell.dataset is None:
            continue
        try:
            data = datasets.load(cell.dataset)
        except (DataError, OSError):
            continue
        if data.stand_in == cell.stand_in:
            at_hand[key] = data
    return at_hand


def has_rescaled_targets(cells: Sequence[Cell], loaded: Mapping[str, MultimodalData]) -> bool:
    """Whether a cell has a real target that is not learned in the unit in which the data have it."""
    pairs = (loaded[cell.data_key].pair(*cell.pair) for cell in cells)
    units = (target_unit(t, pair.rows("train")) for pair in pairs for t in pair.targets if t.kind == "real")
    return any(not (np.allclose(unit.centre, 0, atol=1e-6) and np.allclose(unit.scale, 1)) for unit in units)


def _label(cells: Sequence[Cell], key: str) -> str:
    return next(cell.label for cell in cells if cell.data_key == key).rpartition(": ")[0]
