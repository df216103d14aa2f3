"""Which rows each replicate trains on and is scored on: those of the splits, or a draw of its seed's own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from trainables.datasets.base import PairData
from trainables.datasets.resampling import draw_rows
from trainables.spec import PackSpec, derive_seed


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
        if spec.rows == "fixed":
            return cls(spec.fit, (spec.evaluate,))
        drawn = [draw_rows(data, seed=derive_seed(seed, "rows")) for seed in seeds]
        pool = ("train", "valid")
        trained = torch.stack([torch.from_numpy(rows.train) for rows in drawn]).to(device)
        if spec.evaluate == "test":
            return cls(pool, ("test",), trained)
        return cls(pool, pool, trained, torch.stack([torch.from_numpy(rows.valid) for rows in drawn]).to(device))
