"""The states of a pair's samples, to be counted: every modality and the target become a few of them."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA

from trainables.datasets.base import TRAIN, Modality, Target
from trainables.datasets.columns import columns_of, mean_over_steps, target_unit
from trainables.metrics.scores import SCORES

Array = NDArray[np.float64]
Codes = NDArray[np.int64]
T = TypeVar("T", bound=np.generic)

CLUSTER_COMPONENTS = 5  # of the clusters of Liang et al. 2023
_MOST_COMBINATIONS = 8  # of labels, which are a class each
_ROUNDING = 1e-6  # of the largest value: k-means does not tell rows apart that are much closer
_PIECE = 1024  # rows of sequences that are in memory as float64 at once


def features(modality: Modality) -> NDArray[np.float64]:
    """One row per sample: (N, d) as it is, (N, T, d) averaged over the real time steps, images flattened.

    Raises:
        ValueError: a value is NaN or infinite, padded steps aside.
    """
    pieces = np.array_split(np.arange(len(modality.values)), len(modality.values) // _PIECE + 1)
    return np.concatenate([_features(modality, slice(rows[0], rows[-1] + 1)) for rows in pieces if len(rows)])


def _features(modality: Modality, rows: slice) -> NDArray[np.float64]:
    values = np.asarray(modality.values[rows], dtype=np.float64)
    mask = None if modality.mask is None else modality.mask[rows]
    if not np.isfinite(values if mask is None else values[mask]).all():
        raise ValueError(f"modality {modality.name!r} has NaN or infinite values; clean or impute them first")
    if values.ndim == 3 and mask is not None:
        return mean_over_steps(values, mask)
    return values.reshape(len(values), -1)


class Discretiser:
    """What a pair's profile needs of each modality, computed once and kept as long as the discretiser lives.

    Points are standardised (unless the modality says otherwise) and projected on the first principal components; both
    are fitted on the training rows, and so are the k-means clusters of `codes`. Share one discretiser among all pairs
    of a dataset. Answers depend on `seed` and the data, not on who asked first.
    """

    def __init__(self, *, seed: int = 0) -> None:
        self.seed = seed
        self._kept: dict[tuple[object, ...], tuple[Sequence[Modality], NDArray[Any]]] = {}

    def points(self, modality: Modality, split: NDArray[np.int8], *, components: int) -> Array:
        """Principal components of every row, (N, at most `components`).

        Raises:
            ValueError: the modality is constant on the training rows, has NaN, or fewer than two training rows.
        """
        return self.keep((modality,), ("points", components), lambda: _project(modality, split, components))

    def codes(self, modality: Modality, split: NDArray[np.int8], *, bins: int) -> Codes:
        """Cluster 0 … bins - 1 of every row, of whatever split.

        Raises:
            ValueError: as `points`, or there are fewer training rows than bins.
        """

        def clusters() -> Codes:
            points = self.points(modality, split, components=CLUSTER_COMPONENTS)
            train = points[split == TRAIN]
            if len(train) < bins:
                raise ValueError(f"{len(train)} training rows for {bins} bins of {modality.name!r}; use fewer bins")
            return np.asarray(cluster(train, bins=bins, seed=self.seed).predict(points), dtype=np.int64)

        return self.keep((modality,), ("codes", bins), clusters)

    def keep(self, modalities: Sequence[Modality], key: Hashable, compute: Callable[[], NDArray[T]]) -> NDArray[T]:
        """What `compute` returned when it was first asked for these modalities and this key."""
        return self.keep_all([modalities], key, lambda _: [compute()])[0]

    def keep_all(
        self,
        groups: Sequence[Sequence[Modality]],
        key: Hashable,
        compute: Callable[[Sequence[Sequence[Modality]]], Sequence[NDArray[T]]],
    ) -> list[NDArray[T]]:
        """The same for several groups of modalities, those that are missing in one call."""
        names = [(*map(id, group), key) for group in groups]
        missing = {name: group for name, group in zip(names, groups, strict=True) if name not in self._kept}
        if missing:
            for (name, group), value in zip(missing.items(), compute(list(missing.values())), strict=True):
                # The modalities are kept as well: as long as they are referenced, their ids are nobody else's.
                self._kept[name] = (group, value)
        return [self._kept[name][1] for name in names]


def cluster(points: Array, *, bins: int, seed: int) -> KMeans:
    """K-means fitted on the rows of `points`, with at most as many clusters as there are distinct rows."""
    distinct = distinct_rows(points[: 50 * bins])
    if distinct < bins:
        distinct = distinct_rows(points)
    return KMeans(min(bins, distinct), n_init=2, random_state=seed % 2**32).fit(points)


def distinct_rows(points: Array) -> int:
    """How many rows differ by more than rounding: a network's answers to equal rows need not be equal to the last bit.

    Rounding parts equal rows that lie at the edge of its grid, so that two grids are tried.
    """
    size = float(np.abs(points).max(initial=0.0))
    if size == 0:
        return min(1, len(points))
    steps = points / (size * _ROUNDING)
    return min(len(np.unique(np.floor(steps + shift), axis=0)) for shift in (0.0, 0.5))


def _project(modality: Modality, split: NDArray[np.int8], components: int) -> Array:
    points = features(modality)
    train = points[split == TRAIN]
    if len(train) < 2:
        raise ValueError(f"{len(train)} training rows of {modality.name!r}; a profile needs at least 2")
    columns = columns_of(train, precision=modality.values.dtype)
    if not columns.varies.any():
        raise ValueError(f"modality {modality.name!r} is constant on the training rows; leave it out of the pairs")
    points = (points - columns.mean)[:, columns.varies]
    if modality.standardise:
        points /= columns.deviation[columns.varies]
    size = min(components, points.shape[1], len(train) - 1)
    return np.asarray(PCA(size, random_state=0).fit(points[split == TRAIN]).transform(points))


def classes(targets: tuple[Target, Target], split: NDArray[np.int8], *, quantiles: int = 4) -> Codes:
    """Class of every row: the common target's, or the pair (y1, y2) where the modalities have different ones.

    A real target is cut at 0 where its score is `signed`, otherwise at the training rows' quantiles. Labels of which a
    row may have several are classes by their combinations, where these are few; otherwise they are cut as a real target
    of several columns, along the direction in which it varies most.

    Raises:
        ValueError: fewer than two classes occur, or labels are no classes.
    """
    first = _one_target(targets[0], split, quantiles)
    if targets[0] is not targets[1] and not np.array_equal(targets[0].values, targets[1].values):
        second = _one_target(targets[1], split, quantiles)
        first = first * (int(second.max()) + 1) + second
    values, codes = np.unique(first, return_inverse=True)
    if len(values) < 2:
        raise ValueError("the target has one class only; a profile needs at least two")
    return codes.astype(np.int64)


def _one_target(target: Target, split: NDArray[np.int8], quantiles: int) -> Codes:
    values = np.asarray(target.values)
    if values.dtype.kind not in "biuf":
        raise ValueError(f"the target has {values.dtype} values; labels must be integers from 0, real targets numbers")
    if not np.isfinite(values.astype(np.float64)).all():
        raise ValueError("the target has NaN or infinite values; drop these rows")
    if target.kind == "classes":
        if values.ndim != 1 or (values != np.floor(values)).any() or values.min() < 0:
            raise ValueError(f"class labels must be integers from 0, one a row; given {values.dtype} {values.shape}")
        return values.astype(np.int64)
    values = values.reshape(len(values), -1)
    if target.kind == "multi_label":
        combinations, codes = np.unique(values, axis=0, return_inverse=True)
        if len(combinations) <= _MOST_COMBINATIONS:
            return codes.reshape(-1).astype(np.int64)
    if target.kind == "real" and SCORES[target.metric].signed:
        return (values[:, 0] > 0).astype(np.int64)
    if values.shape[1] > 1:
        values = target_unit(target, np.flatnonzero(split == TRAIN)).apply(values)
        values = PCA(1, random_state=0).fit(values[split == TRAIN]).transform(values)
    edges = np.quantile(values[split == TRAIN, 0], np.arange(1, quantiles) / quantiles)
    return np.searchsorted(np.unique(edges), values[:, 0], side="left").astype(np.int64)
