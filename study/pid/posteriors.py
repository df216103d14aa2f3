"""Out-of-sample posteriors p(y | x) of every row, by networks that never saw it: the folds train in lockstep.

A modality enters redundancy and unique information only through its posterior. States of x1 with equal p(y | x1) can be
merged without changing them: from any q(t, x2, y) with t the merged state, q(t, x2, y) p(x1 | t) has the pair marginals
of p, and by construction no more information; merging a q(x1, x2, y) adds none either. So the posterior of any
modality, however many features it has, is all that an exact solver needs.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from study.pid.networks import WEIGHT_DECAY, Race, SmallNetwork

Array = NDArray[np.float64]

FOLDS, INITS = 4, 2  # networks of a fold differ in their initial weights and batches; their answers are averaged
PART_FOLDS = 2  # enough for the learning curve, at half the cost
_HIDDEN = 32
_STEPS, _BATCH, _CHECK = 1500, 64, 20
_DECAY_ROWS = 1200  # that a network learns from; with more of them the decay gives way, as a prior does


def cross_fitted(
    sources: Sequence[Array], y: NDArray[np.int64], n_classes: int, *, seed: int, share: float = 1.0
) -> list[Array]:
    """p(y | x) of shape (N, n_classes) for each source's rows (N, d), by networks of a fold that left the row out.

    With a `share` below 1 the networks of the first `PART_FOLDS` folds learn as if only that share of the rows were
    there; they answer for the same rows as otherwise, and all other rows are NaN.

    All networks (two hidden layers, `INITS` per fold and source) train in lockstep, with the same folds and batches; a
    source's answer does not depend on the others. Each network keeps its best state by the loss on a seventh of its
    own rows; one that never beats the class frequencies answers with these.
    """
    rng = np.random.default_rng(seed)
    fold = _folds(y, rng)
    folds = range(FOLDS if share == 1 else PART_FOLDS)
    kept = [rng.permutation(np.flatnonzero(fold != k)) for k in folds for _ in range(INITS)]
    if share < 1:
        read = part_of(y, share, seed=seed)
        kept = [rows[read[rows]] for rows in kept]
    size = max(1, min(map(len, kept)) // 7)
    check, fit = np.stack([rows[:size] for rows in kept]), [rows[size:] for rows in kept]
    seeds = [int(rng.integers(2**31)) for _ in kept]
    width = max(points.shape[1] for points in sources)
    # The rows of all sources, one source after the other.
    x = torch.from_numpy(np.concatenate([_widened(points, width) for points in sources]))
    labels = torch.from_numpy(y)
    frequency = np.maximum(np.bincount(y, minlength=n_classes), 0.5) / len(y)
    chance = torch.from_numpy(np.log(frequency)).float()
    race = Race(
        torch.stack([_drawn(p.shape[1], width, n_classes, seed) for p in sources for seed in seeds]),
        layout=SmallNetwork(width, _HIDDEN, n_classes).layout,
        team=len(kept),
        to_beat=-chance[labels[torch.from_numpy(check)]].mean(dim=1).repeat(len(sources)),
        weight_decay=WEIGHT_DECAY * min(1.0, _DECAY_ROWS / len(kept[0])),
    )

    def taken(rows: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        """Values and classes of the rows (folds · INITS, B) of every source that still trains."""
        chosen, source = torch.from_numpy(rows), race.teams
        values = x.index_select(0, (source[:, None, None] * len(y) + chosen).flatten())
        return values.view(len(source) * len(rows), -1, width), labels[chosen].repeat(len(source), 1)

    for step in range(1, _STEPS + 1):
        race.step(*taken(np.stack([own[rng.integers(len(own), size=_BATCH)] for own in fit])))
        if step % _CHECK == 0:
            race.check(*taken(check))
            if not len(race.teams):
                break
    posterior = np.full((len(sources), len(y), n_classes), np.nan)
    for source, k in product(range(len(sources)), folds):
        of_fold = slice(source * len(kept) + k * INITS, source * len(kept) + (k + 1) * INITS)
        left_out = torch.from_numpy(np.flatnonzero(fold == k))
        logits = race.logits(of_fold, x[source * len(y) + left_out])
        logits = torch.where(race.learned[of_fold, None, None], logits, chance)
        posterior[source, fold == k] = torch.softmax(logits.double(), dim=-1).mean(dim=0).numpy()
    return list(posterior)


def part_of(y: NDArray[np.int64], share: float, *, seed: int) -> NDArray[np.bool_]:
    """Which rows belong to a random part of them, (N,), each class in about its share."""
    order = np.lexsort((np.random.default_rng([seed, 1]).random(len(y)), y))
    chosen = np.empty(len(y), dtype=bool)
    chosen[order] = np.diff(np.floor(np.arange(len(y) + 1) * share)) > 0
    return chosen


def _widened(points: Array, width: int) -> NDArray[np.float32]:
    """Rows (N, d) with zeros up to `width`."""
    return np.pad(points, ((0, 0), (0, width - points.shape[1]))).astype(np.float32)


def _drawn(n_in: int, width: int, n_classes: int, seed: int) -> Tensor:
    """Initial parameters of a network of `n_in` inputs, with zero weights for those up to `width`."""
    own = SmallNetwork(n_in, _HIDDEN, n_classes).layout.draw(seed)
    first = n_in * _HIDDEN  # the weights of the inputs come first
    return torch.cat([own[:first], torch.zeros((width - n_in) * _HIDDEN), own[first:]])


def _folds(y: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
    """Fold of every row, each class spread evenly over the folds."""
    fold = np.empty(len(y), dtype=np.int64)
    fold[np.lexsort((rng.random(len(y)), y))] = np.arange(len(y)) % FOLDS
    return fold
