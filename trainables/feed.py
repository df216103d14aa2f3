"""A pair's data on the device: standardised once, batches as index gathers, orders that depend on seeds alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trainables.datasets.base import Modality, PairData, Target
from trainables.spec import derive_seed


@dataclass(frozen=True)
class Scaling:
    """value -> (value - mean) * factor, per feature (the last axis)."""

    mean: Tensor
    factor: Tensor

    def __call__(self, values: Tensor) -> Tensor:
        """Scaled values, of the shape of `values` (…, features)."""
        return (values - self.mean) * self.factor


def fit_scaling(modality: Modality, rows: NDArray[np.int64]) -> Scaling:
    """Mean and 1 / standard deviation of the given rows per feature, over samples, real time steps and pixels.

    A feature that is constant there gets factor 0: it carries nothing to fit, and its noise elsewhere would explode.
    """
    values = modality.values
    features = values.shape[-1]
    if not modality.standardise:
        return Scaling(torch.zeros(features), torch.ones(features))
    flat = values[rows].reshape(-1, features)
    if modality.mask is not None:
        flat = flat[modality.mask[rows].reshape(-1)]
    mean = flat.mean(axis=0, dtype=np.float64)
    deviation = flat.std(axis=0, dtype=np.float64)
    constant = deviation <= 1e-6 * np.abs(mean) + 1e-12
    factor = np.where(constant, 0.0, 1.0 / np.where(constant, 1.0, deviation))
    return Scaling(torch.from_numpy(mean).float(), torch.from_numpy(factor).float())


@dataclass(frozen=True)
class Inputs:
    """One modality's samples on the device: `values` (n, …) and `mask` (n, T), True at real time steps."""

    values: Tensor
    mask: Tensor | None

    def __getitem__(self, index: Tensor | slice) -> Inputs:
        return Inputs(self.values[index], None if self.mask is None else self.mask[index])


def load_inputs(modality: Modality, rows: NDArray[np.int64], scaling: Scaling, device: torch.device) -> Inputs:
    """The given rows, scaled; masked time steps are 0, and a sample without any real step gets its first one."""
    values = scaling(torch.from_numpy(np.ascontiguousarray(modality.values[rows], dtype=np.float32)))
    mask = None
    if modality.mask is not None:
        mask = torch.from_numpy(modality.mask[rows])
        values = values.masked_fill(~mask[..., None], 0.0)
        mask[:, 0] |= ~mask.any(1)  # attention over no step at all is undefined
        mask = mask.to(device)
    return Inputs(values.to(device), mask)


def load_targets(target: Target, rows: NDArray[np.int64], device: torch.device) -> Tensor:
    """The rows' targets: classes (n,) int64, or real values (n, m) float32."""
    values = torch.from_numpy(np.ascontiguousarray(target.values[rows]))
    if target.kind == "classes":
        return values.long().to(device)
    return values.float().reshape(len(rows), -1).to(device)


@dataclass(frozen=True)
class Feed:
    """Both modalities and targets of some rows of a pair, on the device."""

    inputs: tuple[Inputs, Inputs]
    targets: tuple[Tensor, Tensor]

    @property
    def rows(self) -> int:
        """Number of samples."""
        return len(self.targets[0])


def load_feeds(data: PairData, fit: Sequence[str], evaluate: str, device: torch.device) -> tuple[Feed, Feed]:
    """The rows to train on and the rows to score on, both scaled by the former."""
    fit_rows, evaluate_rows = data.rows(*fit), data.rows(evaluate)
    for name, rows in (("+".join(fit), fit_rows), (evaluate, evaluate_rows)):
        if len(rows) == 0:
            raise ValueError(f"{data.dataset} has no rows in split {name!r}; choose a split that has some")
    scalings = [fit_scaling(modality, fit_rows) for modality in data.modalities]
    feeds = []
    for rows in (fit_rows, evaluate_rows):
        first, second = (
            load_inputs(m, rows, scaling, device) for m, scaling in zip(data.modalities, scalings, strict=True)
        )
        target_1, target_2 = (load_targets(t, rows, device) for t in data.targets)
        feeds.append(Feed((first, second), (target_1, target_2)))
    return feeds[0], feeds[1]


def epoch_order(seeds: Sequence[int], epoch: int, rows: int) -> Tensor:
    """The order (S, rows) in which each seed visits the rows in an epoch."""
    return torch.stack(
        [
            torch.randperm(rows, generator=torch.Generator().manual_seed(derive_seed(seed, "order", epoch)))
            for seed in seeds
        ]
    )
