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


def evenly_spaced(count: int, most: int, *, device: torch.device) -> Tensor:
    """Positions among so many rows, ascending: all of them, or `most` from the first to the last."""
    return torch.linspace(0, count - 1, min(count, most), dtype=torch.float64, device=device).round().long()


@dataclass(frozen=True)
class ReplicateRows:
    """`fit` and `evaluate` are the splits to have in memory; `trained` (S, n) and `scored` (S, m) the positions among
    them that belong to each seed, None where every seed has all of them. `validated` (S, v) are positions among `fit`
    by which each seed's best epoch is chosen, None where every seed has the validation split for that.

    Whatever is scaled is scaled by all rows in `fit`: with rows of their own, replicates share what they are scaled by.
    """

    fit: tuple[str, ...]
    evaluate: tuple[str, ...]
    trained: Tensor | None = None
    scored: Tensor | None = None
    validated: Tensor | None = None

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
        trained, scored, validated = (
            torch.stack([torch.from_numpy(rows) for rows in each]).to(device) for each in zip(*drawn, strict=True)
        )
        shared = splits[0] != splits[1]  # the rows of the test split
        return cls(*splits, trained, None if shared else scored, validated)
