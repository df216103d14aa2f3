"""Rows for one replicate: what it trains on and what it is validated on, drawn anew from all that may be trained on."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from trainables.datasets.base import DataError, PairData
from trainables.datasets.splits import strata, stratified_rows

_QUANTILES = 10  # of a real target, within which rows are drawn in proportion


class DrawnRows(NamedTuple):
    """Positions in the rows that were drawn from, ascending: as many to train on, to be scored on, and to be validated
    on, as the data's own splits have. The last two are the same where a replicate is scored on its validation rows.
    """

    train: NDArray[np.int64]
    scored: NDArray[np.int64]
    valid: NDArray[np.int64]


def pool_of(data: PairData) -> NDArray[np.int64]:
    """The rows of the data that may be trained or validated on, ascending; test rows are never among them."""
    return data.rows("train", "valid")


def draw_rows(data: PairData, *, seed: int) -> DrawnRows:
    """The rows of one replicate in `pool_of(data)`, the same for one seed whatever else it is trained with: to train
    on, and to be validated on.

    Without groups, classes (tenths of a real target, of encoder 1's) are in proportion. With groups none has rows on
    both sides: they are validated on in random order until the rows of the split's own validation are reached as nearly
    as can be. Numbers of rows are always those of the split, so that replicates train in lockstep: of too many rows
    some are left out, of too few some come twice.

    Raises:
        DataError: all rows are of one group.
    """
    rng = np.random.default_rng(seed)
    pool = pool_of(data)
    train, valid = _apart(data, pool, len(data.rows("valid")), rng, "training and validation")
    fit = _exactly(train, len(data.rows("train")), rng)
    scored = _exactly(valid, len(data.rows("valid")), rng)
    return DrawnRows(fit, scored, scored)


def draw_split(data: PairData, *, seed: int) -> DrawnRows:
    """A whole new split for one replicate, drawn as by `draw_rows` from all rows: to train on, and to be tested on.

    First the test rows are set aside, then as many to validate on as the data's split has, by which a training may
    choose its best epoch: what is trained on is as much as in the search.

    Raises:
        DataError: all rows, or all but the test rows, are of one group.
    """
    rng = np.random.default_rng(seed)
    everything = np.arange(len(data.split), dtype=np.int64)
    rest, test = _apart(data, everything, len(data.rows("test")), rng, "a new split")
    train, valid = _apart(data, rest, len(data.rows("valid")), rng, "training and validation")
    fit = _exactly(rest[train], len(data.rows("train")), rng)
    scored = _exactly(test, len(data.rows("test")), rng)
    return DrawnRows(fit, scored, _exactly(rest[valid], len(data.rows("valid")), rng))


def _apart(
    data: PairData, pool: NDArray[np.int64], size: int, rng: np.random.Generator, what: str
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Positions in these rows, those that stay and those that are set aside, which are about `size`."""
    if data.groups is None:
        chosen = np.zeros(len(pool), bool)
        target = replace(data.targets[0], values=data.targets[0].values[pool])
        labels = strata(target, quantiles=min(_QUANTILES, max(1, len(pool) // 2)))
        chosen[stratified_rows(labels, size, rng=rng)] = True
    else:
        chosen = _whole_groups(data.groups[pool], size, rng, f"{data.dataset}: the rows for {what}")
    return np.flatnonzero(~chosen), np.flatnonzero(chosen)


def _whole_groups(groups: NDArray[np.int64], size: int, rng: np.random.Generator, where: str) -> NDArray[np.bool_]:
    """Which rows (N,) are of the groups that are set aside."""
    _, code, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    if len(sizes) < 2:
        raise DataError(f"{where} are all of one group, so that none can be drawn anew; set replicates.splits: fixed")
    order = rng.permutation(len(sizes))
    filled = np.cumsum(sizes[order])[:-1]  # after so many groups; one at least is left to train on
    count = 1 + int(np.abs(filled - size).argmin())
    return np.asarray(np.isin(code, order[:count]))


def _exactly(rows: NDArray[np.int64], size: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """So many of the rows, ascending: a random part of them, or all of them and some again."""
    repeats, rest = divmod(size, len(rows))
    return np.sort(np.concatenate([*[rows] * repeats, rng.permutation(rows)[:rest]]))
