"""A pair's data on the device: standardised once, batches as index gathers, orders that follow from seeds alone.

Large data on a CPU stay where they are, in memory that all processes of the machine share, and are standardised batch
by batch, which gives the same numbers: trainings at once need no copy each.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trainables.datasets.base import Modality, PairData, Target
from trainables.datasets.columns import columns_of_pieces, target_unit
from trainables.spec import derive_seed

LARGE_BYTES = 2**26  # of a modality's rows; below it a standardised copy in every process costs less than it saves


class Scaling(NamedTuple):
    """(value - mean) · factor, per feature of the last axis: (features,) each, in the precision of the values."""

    mean: Tensor
    factor: Tensor


def fit_scaling(modality: Modality, rows: NDArray[np.int64]) -> Scaling:
    """Mean and 1 / standard deviation per feature, over the given rows and their real time steps (or pixels).

    A feature that is constant there gets factor 0: there is nothing to learn from it, and elsewhere it could explode.
    """
    n_features = modality.values.shape[-1]
    dtype = torch.float64 if modality.values.dtype == np.float64 else torch.float32
    if not modality.standardise:
        return Scaling(torch.zeros(n_features, dtype=dtype), torch.ones(n_features, dtype=dtype))

    def pieces() -> Iterator[NDArray[Any]]:
        for piece in np.array_split(rows, len(rows) // 1024 + 1):
            values = modality.values[piece]
            yield values.reshape(-1, n_features) if modality.mask is None else values[modality.mask[piece]]

    columns = columns_of_pieces(pieces, features=n_features, precision=modality.values.dtype)
    factor = np.divide(1.0, columns.deviation, out=np.zeros(n_features), where=columns.varies)
    return Scaling(torch.from_numpy(columns.mean).to(dtype), torch.from_numpy(factor).to(dtype))


class Inputs(NamedTuple):
    """Samples of one modality: `values` (…, features) and `mask`, True at real time steps (None: all real)."""

    values: Tensor
    mask: Tensor | None


@dataclass(frozen=True)
class Source:
    """Samples of one modality to draw from: all of them scaled already, or `rows` of raw ones, scaled when drawn.

    Raw ones are scaled in their own precision; what is drawn is float32.
    """

    values: Tensor
    mask: Tensor | None
    raw: tuple[Tensor, Scaling] | None = None  # rows, and how to scale them

    def take(self, index: Tensor) -> Inputs:
        """The samples of `index`, of any shape (…): values (…, features) and mask (…, T).

        Masked steps are 0, and a sample without a real step gets its first as one.
        """
        rows = index if self.raw is None else self.raw[0][index]
        values, mask = _gather(self.values, rows), None if self.mask is None else _gather(self.mask, rows)
        if self.raw is not None:
            scaling = self.raw[1]
            values = values.sub_(scaling.mean).mul_(scaling.factor).float()
            if mask is not None:
                values.masked_fill_(~mask[..., None], 0.0)
                mask[..., 0] |= ~mask.any(-1)  # attention over no step at all is not defined
        return Inputs(values, mask)

    def copies(self, rows: int) -> Source:
        """So many copies of the first sample, without memory of their own."""
        mask = None if self.mask is None else self.mask[:1].expand(rows, -1)
        return Source(self.values[:1].float().expand(rows, *self.values.shape[1:]), mask)


@dataclass(frozen=True)
class Feed:
    """Both modalities and both targets of `rows` samples of a pair, on the device."""

    rows: int
    inputs: tuple[Source, Source]
    targets: tuple[Tensor, Tensor]  # one object where the modalities share it

    def batch(self, modality: int, index: Tensor) -> Inputs:
        """The samples of `index` (K, N), a batch for each replica: values (K, N, …), mask (K, N, T)."""
        return self.inputs[modality].take(index)

    def batch_targets(self, index: Tensor) -> tuple[Tensor, Tensor]:
        """The targets of `index` (K, N): classes (K, N) or values (K, N, m)."""
        first, second = self.targets
        gathered = _gather(first, index)
        return gathered, gathered if first is second else _gather(second, index)

    def samples(self, modality: int, rows: Tensor, n_replicas: int) -> Inputs:
        """The samples of `rows` (K, N), or of (N,) the same for each of K replicas, without a copy of them for each."""
        if rows.ndim == 2:
            return self.batch(modality, rows)
        values, mask = self.inputs[modality].take(rows)
        return Inputs(
            values.expand(n_replicas, *values.shape), None if mask is None else mask.expand(n_replicas, *mask.shape)
        )

    def expanded(self, rows: int) -> Feed:
        """So many copies of the first sample, without memory of their own."""
        first, second = (target[:1].expand(rows, *target.shape[1:]) for target in self.targets)
        inputs_1, inputs_2 = (source.copies(rows) for source in self.inputs)
        return Feed(rows=rows, inputs=(inputs_1, inputs_2), targets=(first, second))


def _gather(values: Tensor, index: Tensor) -> Tensor:
    # index_select copies whole rows: several times faster on a CPU than values[index].
    return values.index_select(0, index.flatten()).view(*index.shape, *values.shape[1:])


def load_feeds(
    data: PairData, *, fit: Sequence[str], evaluate: Sequence[str], device: torch.device
) -> tuple[Feed, Feed, tuple[Scaling, Scaling]]:
    """The rows to train on, the rows to score on, and the scaling of both, which the former determine; one feed where
    they are the same.

    Raises:
        ValueError: there are no such rows.
    """
    fit_rows, evaluate_rows = _rows(data, fit), _rows(data, evaluate)
    first, second = data.modalities
    scalings = fit_scaling(first, fit_rows), fit_scaling(second, fit_rows)

    own = _feed(data, fit_rows, fit_rows, scalings, device)
    same = tuple(fit) == tuple(evaluate)
    return own, own if same else _feed(data, evaluate_rows, fit_rows, scalings, device), scalings


def load_feed(
    data: PairData,
    *,
    splits: Sequence[str],
    fit: Sequence[str],
    scalings: tuple[Scaling, Scaling],
    device: torch.device,
) -> Feed:
    """Rows of other `splits`, scaled as those are that `load_feeds` made of the same `fit`.

    Raises:
        ValueError: there are no such rows.
    """
    return _feed(data, _rows(data, splits), data.rows(*fit), scalings, device)


def _rows(data: PairData, splits: Sequence[str]) -> NDArray[np.int64]:
    rows = data.rows(*splits)
    if len(rows) == 0:
        raise ValueError(f"{data.dataset} has no rows in split {'+'.join(splits)!r}; choose a split that has some")
    return rows


def _feed(
    data: PairData,
    rows: NDArray[np.int64],
    fit_rows: NDArray[np.int64],
    scalings: tuple[Scaling, Scaling],
    device: torch.device,
) -> Feed:
    first, second = (
        _load_source(modality, rows, scaling, device)
        for modality, scaling in zip(data.modalities, scalings, strict=True)
    )
    target_1 = _load_target(data.targets[0], fit_rows, rows, device)
    is_shared = data.targets[0] is data.targets[1]
    target_2 = target_1 if is_shared else _load_target(data.targets[1], fit_rows, rows, device)
    return Feed(rows=len(rows), inputs=(first, second), targets=(target_1, target_2))


def stays_shared(modality: Modality, rows: int, device: str) -> bool:
    """Whether that many rows are read where they are on a kind of device, because a copy of them would be large."""
    return device == "cpu" and rows * modality.values[0].nbytes >= LARGE_BYTES


def _load_source(modality: Modality, rows: NDArray[np.int64], scaling: Scaling, device: torch.device) -> Source:
    with warnings.catch_warnings():  # of read-only arrays, which nothing here writes to
        warnings.simplefilter("ignore", UserWarning)
        values = torch.from_numpy(np.ascontiguousarray(modality.values))
        mask = None if modality.mask is None else torch.from_numpy(modality.mask)
    raw = Source(values, mask, (torch.from_numpy(rows), scaling))
    if stays_shared(modality, len(rows), device.type):
        return raw
    values, mask = raw.take(torch.arange(len(rows)))
    return Source(values.to(device), None if mask is None else mask.to(device))


def _load_target(target: Target, fit_rows: NDArray[np.int64], rows: NDArray[np.int64], device: torch.device) -> Tensor:
    """Classes (rows,), labels (rows, L), or real values (rows, m) in the unit that the rows to train on give them."""
    if target.kind == "classes":
        return torch.from_numpy(target.values[rows]).long().to(device)
    if target.kind == "multi_label":
        return torch.from_numpy(target.values[rows]).float().to(device)
    return torch.from_numpy(target_unit(target, fit_rows).apply(target.values[rows])).float().to(device)


def epoch_order(seeds: Sequence[int], epoch: int, rows: int) -> Tensor:
    """The order (S, rows) in which each seed's replicas visit the rows in an epoch, whatever their strengths."""
    generators = [torch.Generator().manual_seed(derive_seed(seed, "order", epoch)) for seed in seeds]
    return torch.stack([torch.randperm(rows, generator=generator) for generator in generators])
