"""What each part of the rows adds to a score that is no mean over rows: pseudo-values of the grouped jackknife.

Rows are dealt to blocks, each block is left out in turn, and a block's pseudo-value is h θ − (h − 1) θ₋ with h all rows
over its own (Tukey 1958; for blocks that differ in size Busing, Meijer & van der Leeden 1999). Their spread estimates
the variance that the score owes to the rows, consistently for smooth functions of means and of ranks, and on average
rather too large than too small (Efron & Stein 1981). For what jumps, as a median does, it is not valid.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

MOST_BLOCKS = 60  # of which the variance is known to within a fifth; each costs a computation of the score


def deal(rows: int, groups: NDArray[np.int64] | None) -> NDArray[np.int64]:
    """The block (N,) of each row: at most `MOST_BLOCKS`, as equal as can be; rows of one group (N,) are never parted.

    It is the same for all trainings, and random: neighbours in a file are often alike.
    """
    rng = np.random.default_rng(rows)
    if groups is None:
        return rng.permutation(rows) % min(rows, MOST_BLOCKS)
    _, code, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    if len(sizes) <= MOST_BLOCKS:
        return code.astype(np.int64)
    block, filled = np.empty(len(sizes), np.int64), np.zeros(MOST_BLOCKS, np.int64)
    order = rng.permutation(len(sizes))
    for group in order[np.argsort(-sizes[order], kind="stable")]:  # the largest first, each to the smallest block
        block[group] = filled.argmin()
        filled[block[group]] += sizes[group]
    return block[code]


def pseudo_values(
    measure: Callable[[Tensor, Tensor], Tensor], outputs: Tensor, target: Tensor, blocks: NDArray[np.int64]
) -> Tensor:
    """Pseudo-values (K, B) of a score of outputs (K, N, m) and targets that all replicas share, (N,) or (N, m).

    They are shifted so that their mean, weighted by the blocks' rows, is the score and not its estimate without bias.
    """
    whole = measure(outputs, target).double()
    count = np.bincount(blocks)
    without = []
    for block in range(len(count)):
        kept = torch.from_numpy(np.flatnonzero(blocks != block)).to(outputs.device)
        without.append(measure(outputs.index_select(1, kept), target.index_select(0, kept)).double())
    share = torch.from_numpy(len(blocks) / count).to(outputs.device)
    values = share * whole[:, None] - (share - 1) * torch.stack(without, 1)
    return values + (whole - (values / share).sum(1))[:, None]
