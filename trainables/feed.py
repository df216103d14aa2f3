"""A pair's data on the device: standardised once, batches as index gathers, orders that follow from seeds alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trainables.datasets.base import Modality, PairData, Target
from trainables.spec import derive_seed


class Scaling(NamedTuple):
    """(value - mean) · factor, per feature of the last axis: (features,) each."""

    mean: Tensor
    factor: Tensor


def fit_scaling(modality: Modality, rows: NDArray[np.int64]) -> Scaling:
    """Mean and 1 / standard deviation per feature, over the given rows and their real time steps (or pixels).

    A feature that is constant there gets factor 0: there is nothing to learn from it, and elsewhere it could explode.
    """
    n_features = modality.values.shape[-1]
    if not modality.standardise:
        return Scaling(torch.zeros(n_features), torch.ones(n_features))
    mean = _mean_per_feature(modality, rows, np.zeros(n_features), power=1)
    deviation = np.sqrt(_mean_per_feature(modality, rows, mean, power=2))
    constant = deviation <= 1e-6 * np.abs(mean)
    factor = np.where(constant, 0.0, 1.0 / np.where(constant, 1.0, deviation))
    return Scaling(torch.from_numpy(mean).float(), torch.from_numpy(factor).float())


def _mean_per_feature(
    modality: Modality, rows: NDArray[np.int64], centre: NDArray[np.float64], *, power: int
) -> NDArray[np.float64]:
    """Mean of (value - centre)^power over real steps; by pieces, so that float64 costs no memory of the data's size."""
    total, count = np.zeros_like(centre), 0
    for piece in np.array_split(rows, len(rows) // 1024 + 1):
        values = modality.values[piece]
        real = values.reshape(-1, len(centre)) if modality.mask is None else values[modality.mask[piece]]
        total += ((real - centre) ** power).sum(axis=0)
        count += len(real)
    return total / max(count, 1)


class Inputs(NamedTuple):
    """Samples of one modality: `values` (…, features) and `mask`, True at real time steps (None: all real)."""

    values: Tensor
    mask: Tensor | None


@dataclass(frozen=True)
class Feed:
    """Both modalities and both targets of `rows` samples of a pair, on the device."""

    rows: int
    inputs: tuple[Inputs, Inputs]
    targets: tuple[Tensor, Tensor]  # one object where the modalities share it

    def batch(self, modality: int, index: Tensor) -> Inputs:
        """The samples of `index` (K, N), a batch for each replica: values (K, N, …), mask (K, N, T)."""
        values, mask = self.inputs[modality]
        return Inputs(_gather(values, index), None if mask is None else _gather(mask, index))

    def batch_targets(self, index: Tensor) -> tuple[Tensor, Tensor]:
        """The targets of `index` (K, N): classes (K, N) or values (K, N, m)."""
        first, second = self.targets
        gathered = _gather(first, index)
        return gathered, gathered if first is second else _gather(second, index)

    def chunk(self, modality: int, rows: Tensor, n_replicas: int) -> Inputs:
        """The samples of `rows` (N,), the same for each of K replicas, without a copy of them for each."""
        values, mask = self.inputs[modality]
        values, mask = values[rows], None if mask is None else mask[rows]
        return Inputs(
            values.expand(n_replicas, *values.shape), None if mask is None else mask.expand(n_replicas, *mask.shape)
        )

    def expanded(self, rows: int) -> Feed:
        """So many copies of the first sample, without memory of their own."""

        def copies(values: Tensor) -> Tensor:
            return values[:1].expand(rows, *values.shape[1:])

        inputs_1, inputs_2 = (Inputs(copies(i.values), None if i.mask is None else copies(i.mask)) for i in self.inputs)
        return Feed(rows=rows, inputs=(inputs_1, inputs_2), targets=(copies(self.targets[0]), copies(self.targets[1])))


def _gather(values: Tensor, index: Tensor) -> Tensor:
    # index_select copies whole rows: several times faster on a CPU than values[index].
    return values.index_select(0, index.flatten()).view(*index.shape, *values.shape[1:])


def load_feeds(
    data: PairData, *, fit: Sequence[str], evaluate: str, device: torch.device
) -> tuple[Feed, Feed, tuple[Scaling, Scaling]]:
    """The rows to train on, the rows to score on, and the scaling of both, which the former determine.

    Raises:
        ValueError: there are no such rows.
    """
    fit_rows, evaluate_rows = data.rows(*fit), data.rows(evaluate)
    for splits, rows in (("+".join(fit), fit_rows), (evaluate, evaluate_rows)):
        if len(rows) == 0:
            raise ValueError(f"{data.dataset} has no rows in split {splits!r}; choose a split that has some")
    first, second = data.modalities
    scalings = fit_scaling(first, fit_rows), fit_scaling(second, fit_rows)

    def feed(rows: NDArray[np.int64]) -> Feed:
        target = _load_target(data.targets[0], rows, device)
        return Feed(
            rows=len(rows),
            inputs=(_load_inputs(first, rows, scalings[0], device), _load_inputs(second, rows, scalings[1], device)),
            targets=(
                target,
                target if data.targets[0] is data.targets[1] else _load_target(data.targets[1], rows, device),
            ),
        )

    return feed(fit_rows), feed(evaluate_rows), scalings


def _load_inputs(modality: Modality, rows: NDArray[np.int64], scaling: Scaling, device: torch.device) -> Inputs:
    """The rows, scaled; masked steps are 0, and a sample without a real step gets its first as one."""
    values = torch.from_numpy(modality.values[rows].astype(np.float32, copy=False))
    values.sub_(scaling.mean).mul_(scaling.factor)  # in place: of large data there should be one copy
    if modality.mask is None:
        return Inputs(values.to(device), None)
    mask = torch.from_numpy(modality.mask[rows])
    values.masked_fill_(~mask[..., None], 0.0)
    mask[:, 0] |= ~mask.any(1)  # attention over no step at all is not defined
    return Inputs(values.to(device), mask.to(device))


def _load_target(target: Target, rows: NDArray[np.int64], device: torch.device) -> Tensor:
    values = torch.from_numpy(target.values[rows])
    if target.kind == "classes":
        return values.long().to(device)
    return values.float().reshape(len(rows), -1).to(device)


def epoch_order(seeds: Sequence[int], epoch: int, rows: int) -> Tensor:
    """The order (S, rows) in which each seed's replicas visit the rows in an epoch, whatever their strengths."""
    generators = [torch.Generator().manual_seed(derive_seed(seed, "order", epoch)) for seed in seeds]
    return torch.stack([torch.randperm(rows, generator=generator) for generator in generators])
