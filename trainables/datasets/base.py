"""Paired multimodal data, as every dataset delivers it and every consumer reads it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainables.metrics.scores import SCORES, Kind

TRAIN, VALID, TEST = 0, 1, 2
SPLITS: Mapping[str, int] = {"train": TRAIN, "valid": VALID, "test": TEST}


class DataError(ValueError):
    """The user's data or its options are wrong; the message is one line: given, allowed, what to do."""


@dataclass(frozen=True, kw_only=True)
class Modality:
    """One input of every sample: `values` of shape (N, d), (N, T, d) or (N, H, W[, C]), finite, float32 or float64.

    `mask` (N, T) is True at real time steps (None: all real). Values are raw, in the precision that their unit needs,
    and may be read-only or memory-mapped; whoever trains on them scales them by the training split, in their precision,
    unless `standardise` is False (embeddings). `columns` are the names of the d columns, where a table has some.
    """

    name: str
    values: NDArray[np.float32] | NDArray[np.float64]
    mask: NDArray[np.bool_] | None = None
    standardise: bool = True
    columns: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Target:
    """What an encoder predicts: `values` (N,) int64 classes 0..n_classes-1, (N, L) float32 labels, 0 or 1, of which a
    row may have several, or (N,)/(N, m) real numbers for regression, in the user's unit: what reads them scales them
    (`trainables.datasets.columns.target_unit`).

    `metric` names the score in `trainables.metrics.scores.SCORES` that decides unless a study names another:
    `accuracy` (classes, labels), `sign_accuracy` (real, > 0 against <= 0) or `r2` (real). It says how a real target is
    learned, too.
    """

    values: NDArray[Any]
    kind: Kind
    n_classes: int = 0
    metric: str = "accuracy"

    @property
    def loss(self) -> str:
        """What an encoder minimises for it, a line of `trainables.objectives.tasks.TASK_LOSSES`."""
        if self.kind == "real":
            return "l1" if SCORES[self.metric].signed else "mse"
        return "cross_entropy" if self.kind == "classes" else "binary_cross_entropy"

    @property
    def n_outputs(self) -> int:
        """How many outputs a task head needs: one per class, per label, or per column of a real target."""
        if self.kind == "classes":
            return self.n_classes
        return 1 if self.values.ndim == 1 else int(self.values.shape[1])


@dataclass(frozen=True, kw_only=True)
class PairData:
    """Two modalities of one dataset with a target for each (the same object where they share it)."""

    dataset: str
    modalities: tuple[Modality, Modality]
    targets: tuple[Target, Target]
    split: NDArray[np.int8]
    exact_profile: Mapping[str, float] | None = None  # bits, where the generator's PID is known
    stand_in: bool = False  # generated data in place of a file that is not there
    groups: NDArray[np.int64] | None = None  # of rows that the split keeps together

    @property
    def names(self) -> tuple[str, str]:
        """The modalities' names, in the pair's order."""
        return self.modalities[0].name, self.modalities[1].name

    def rows(self, *splits: str) -> NDArray[np.int64]:
        """Row indices of the named splits, ascending."""
        return np.flatnonzero(np.isin(self.split, [SPLITS[name] for name in splits]))


@dataclass(frozen=True, kw_only=True)
class MultimodalData:
    """A whole dataset: every modality, the targets, and the split (0 train, 1 valid, 2 test).

    `exact_profiles` are known for generated data only, and given for one order of each pair. `notes` are lines on how
    the user's arrays were understood, where they allow another reading. `groups` (N,) are those whose rows the split
    keeps together, numbered, where the user named some. `split_is_given` where the split came with the data: what it
    keeps apart, and has no groups for, is not known here.
    """

    name: str
    modalities: Mapping[str, Modality]
    targets: Mapping[str, Target]  # by modality name; the same object where modalities share it
    split: NDArray[np.int8]
    exact_profiles: Mapping[tuple[str, str], Mapping[str, float]] = field(default_factory=dict)
    stand_in: bool = False
    notes: tuple[str, ...] = ()
    groups: NDArray[np.int64] | None = None
    split_is_given: bool = False

    @property
    def n_bytes(self) -> int:
        """Bytes of all arrays, each counted once however many modalities share it."""
        arrays: list[NDArray[Any]] = [
            self.split,
            *([] if self.groups is None else [self.groups]),
            *(target.values for target in self.targets.values()),
        ]
        for modality in self.modalities.values():
            arrays += [modality.values] if modality.mask is None else [modality.values, modality.mask]
        return sum({id(array): array.nbytes for array in arrays}.values())

    def pair(self, first: str, second: str) -> PairData:
        """The two named modalities, in this order; what is known exactly is turned with them.

        Raises:
            DataError: one does not exist, or both are the same.
        """
        for name in (first, second):
            if name not in self.modalities:
                raise DataError(f"unknown modality {name!r} of {self.name}; it has {', '.join(self.modalities)}")
        if first == second:
            raise DataError(f"a pair needs two different modalities, given {first!r} twice")
        profile = self.exact_profiles.get((first, second))
        if profile is None and (turned := self.exact_profiles.get((second, first))) is not None:
            profile = {**turned, "unique_1": turned["unique_2"], "unique_2": turned["unique_1"]}
        return PairData(
            dataset=self.name,
            modalities=(self.modalities[first], self.modalities[second]),
            targets=(self.targets[first], self.targets[second]),
            split=self.split,
            exact_profile=profile,
            stand_in=self.stand_in,
            groups=self.groups,
        )


Loader = Callable[[Mapping[str, Any]], MultimodalData]
