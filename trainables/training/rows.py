"""Which rows each replicate trains on and is scored on: those of the splits, or a draw of its seed's own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from trainables.datasets.base import PairData
from trainables.datasets.resampling import draw_rows, draw_split
from trainables.spec import PackSpec, Split, derive_seed

_POOL: tuple[Split, ...] = ("train", "valid")
_ALL: tuple[Split, ...] = (*_POOL, "test")


def splits_in_memory(spec: PackSpec) -> tuple[tuple[Split, ...], tuple[Split, ...]]:
    """The splits whose rows a pack trains on, and those whose rows it is scored on."""
    if spec.rows == "fixed":
        return spec.fit, (spec.evaluate,)
    if spec.rows == "redrawn":
        return _ALL, _ALL
    return _POOL, ("test",) if spec.evaluate == "test" else _POOL


@dataclass(frozen=True)
class ReplicateRows:
    """`fit` and `evaluate` are the splits to have in memory; `trained` (S, n) and `scored` (S, m) the positions among
    them that belong to each seed, None where every seed has all of them.

    Whatever is scaled is scaled by all rows in `fit`: with rows of their own, replicates share what they are scaled by.
    """

    fit: tuple[str, ...]
    evaluate: tuple[str, ...]
    trained: Tensor | None = None
    scored: Tensor | None = None

    @classmethod
    def of(cls, spec: PackSpec, data: PairData, seeds: Sequence[int], device: torch.device) -> ReplicateRows:
        """The rows of a pack's seeds.

        Raises:
            DataError: there are none to draw.
        """
        splits = splits_in_memory(spec)
        if spec.rows == "fixed":
            return cls(*splits)
        draw = draw_split if spec.rows == "redrawn" else draw_rows
        drawn = [draw(data, seed=derive_seed(seed, "rows")) for seed in seeds]
        trained = torch.stack([torch.from_numpy(rows.train) for rows in drawn]).to(device)
        if splits[0] != splits[1]:  # the rows of the test split, which all share
            return cls(*splits, trained)
        return cls(*splits, trained, torch.stack([torch.from_numpy(rows.scored) for rows in drawn]).to(device))
