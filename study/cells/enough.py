"""The rows of a large dataset that are enough for its profiles and forecasts, which hold several copies of them."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from trainables.datasets import MultimodalData
from trainables.datasets.base import SPLITS, Modality
from trainables.spec import derive_seed

MOST_VALUES = 2**27  # of a modality's features: 1 GiB as float64
FEWEST_ROWS = 5_000  # however wide a modality is
FEWEST_OF_A_SPLIT = 100  # that a forecast is fitted to, or checked on, where the split has as many


def enough_rows(data: MultimodalData) -> NDArray[np.int64] | None:
    """The rows (n,), ascending, of all splits alike and by chance, for rows may repeat in a rhythm; None for all.

    Those of any order and any day are the same: they follow from the number of rows and the widest modality, and of a
    split that is so small that chance leaves out almost all of it from that split, of which more are added.
    """
    total, most = len(data.split), max(FEWEST_ROWS, MOST_VALUES // max(map(_width, data.modalities.values())))
    if total <= most:
        return None
    rng = np.random.default_rng(derive_seed(0, "rows of a profile"))
    rows = rng.choice(total, most, replace=False)
    drawn = np.bincount(data.split[rows], minlength=len(SPLITS))
    small = [np.flatnonzero(data.split == part) for part in range(len(SPLITS)) if drawn[part] < FEWEST_OF_A_SPLIT]
    added = [rng.permutation(part)[:FEWEST_OF_A_SPLIT] for part in small]
    return np.unique(np.concatenate([rows, *added]))


def with_enough_rows(data: MultimodalData) -> MultimodalData:
    """The data of those rows alone."""
    rows = enough_rows(data)
    if rows is None:
        return data
    modalities = {
        name: replace(one, values=one.values[rows], mask=None if one.mask is None else one.mask[rows])
        for name, one in data.modalities.items()
    }
    fewer = {id(target): replace(target, values=target.values[rows]) for target in data.targets.values()}
    return replace(
        data,
        modalities=modalities,
        targets={name: fewer[id(target)] for name, target in data.targets.items()},
        split=data.split[rows],
        groups=None if data.groups is None else data.groups[rows],
    )


def _width(modality: Modality) -> int:
    """Features of a row, as `study.pid.discretise.features` has them: masked sequences are averaged over steps."""
    shape = modality.values.shape[1:]
    return shape[-1] if len(shape) == 2 and modality.mask is not None else math.prod(shape)
