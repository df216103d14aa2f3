"""From a pair's samples to a table of counts: every modality and the target become a few states."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA

from trainables.datasets.base import TRAIN, Modality, Target

Codes = NDArray[np.int64]


def features(modality: Modality) -> NDArray[np.float64]:
    """One row per sample: (N, d) as it is, (N, T, d) averaged over the real time steps, images flattened.

    Raises:
        ValueError: a value is NaN or infinite.
    """
    values = np.asarray(modality.values, dtype=np.float64)
    if not np.isfinite(values).all():
        raise ValueError(f"modality {modality.name!r} has NaN or infinite values; clean or impute them first")
    if values.ndim == 3 and modality.mask is not None:
        steps = modality.mask[..., None].astype(np.float64)
        return np.asarray((values * steps).sum(axis=1) / np.maximum(steps.sum(axis=1), 1.0))
    return values.reshape(len(values), -1)


class Discretiser:
    """Standardise, project on the first principal components, cluster: all fitted on the training rows.

    One discretiser serves all pairs of a dataset: what it found for a modality is kept, as long as it lives.
    """

    def __init__(self, *, components: int = 5, seed: int = 0) -> None:
        self.components = components
        self.seed = seed
        self._projected: dict[int, tuple[Modality, NDArray[np.float64]]] = {}
        self._codes: dict[tuple[int, int], Codes] = {}

    def codes(self, modality: Modality, split: NDArray[np.int8], *, bins: int) -> Codes:
        """State 0 … bins − 1 of every row, of whatever split.

        Raises:
            ValueError: the modality is constant on the training rows, has NaN, or there are fewer rows than bins.
        """
        key = (id(modality), bins)
        if key not in self._codes:
            if id(modality) not in self._projected:
                # The modality is stored beside its projection: while it is referenced its id is nobody else's.
                self._projected[id(modality)] = (modality, self._project(modality, split))
            points = self._projected[id(modality)][1]
            train = points[split == TRAIN]
            if len(train) < bins:
                raise ValueError(f"{len(train)} training rows for {bins} bins of {modality.name!r}; use fewer bins")
            distinct = min(bins, len(np.unique(train, axis=0)))
            clusters = KMeans(distinct, n_init=2, random_state=self.seed).fit(train)
            self._codes[key] = clusters.predict(points).astype(np.int64)
        return self._codes[key]

    def _project(self, modality: Modality, split: NDArray[np.int8]) -> NDArray[np.float64]:
        points = features(modality)
        train = points[split == TRAIN]
        if len(train) < 2:
            raise ValueError(f"{len(train)} training rows of {modality.name!r}; a profile needs at least 2")
        mean, scale = train.mean(axis=0), train.std(axis=0)
        varying = scale > 1e-12 * (1.0 + np.abs(mean))
        if not varying.any():
            raise ValueError(f"modality {modality.name!r} is constant on the training rows; leave it out of the pairs")
        points = (points - mean)[:, varying]
        if modality.standardise:
            points /= scale[varying]
        size = min(self.components, points.shape[1], len(train) - 1)
        return np.asarray(PCA(size, random_state=self.seed).fit(points[split == TRAIN]).transform(points))


def classes(targets: tuple[Target, Target], split: NDArray[np.int8], *, quantiles: int = 4) -> Codes:
    """Class of every row: the common target's, or the pair (y1, y2) where the modalities have different ones.

    A real target is cut at 0 where its metric is `sign_accuracy`, otherwise at the training rows' quantiles.

    Raises:
        ValueError: fewer than two classes occur, or labels are no classes.
    """
    first = _one_target(targets[0], split, quantiles)
    if targets[0] is not targets[1] and not np.array_equal(targets[0].values, targets[1].values):
        second = _one_target(targets[1], split, quantiles)
        first = first * (int(second.max()) + 1) + second
    found, codes = np.unique(first, return_inverse=True)
    if len(found) < 2:
        raise ValueError("the target has one class only; a profile needs at least two")
    return codes.astype(np.int64)


def _one_target(target: Target, split: NDArray[np.int8], quantiles: int) -> Codes:
    values = np.asarray(target.values)
    if not np.isfinite(values.astype(np.float64)).all():
        raise ValueError("the target has NaN or infinite values; drop these rows")
    if target.kind == "classes":
        if values.ndim != 1 or (values != np.floor(values)).any() or values.min() < 0:
            raise ValueError(f"class labels must be integers from 0, one a row; given {values.dtype} {values.shape}")
        return values.astype(np.int64)
    values = values.reshape(len(values), -1)
    if target.metric == "sign_accuracy":
        return (values[:, 0] > 0).astype(np.int64)
    if values.shape[1] > 1:
        values = PCA(1, random_state=0).fit(values[split == TRAIN]).transform(values)
    edges = np.quantile(values[split == TRAIN, 0], np.arange(1, quantiles) / quantiles)
    return np.searchsorted(np.unique(edges), values[:, 0], side="left").astype(np.int64)
