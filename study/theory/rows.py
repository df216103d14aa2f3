"""The rows of a pair as the linear theory reads them: columns, centred and scaled by the training split."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from study.theory.moments import Matrix
from trainables.datasets.base import DataError, Modality, Target
from trainables.datasets.columns import columns_of, mean_over_steps

_COMPONENTS = 384


def feature_rows(modality: Modality, train: NDArray[np.int64]) -> tuple[Matrix, float]:
    """All rows as (N, d) in at most 384 coordinates, centred on the training rows, and the share of variance kept."""
    values = modality.values
    if values.ndim == 3:
        x = mean_over_steps(values, modality.mask)
    else:
        x = values.reshape(len(values), -1).astype(np.float64)
    if not np.isfinite(x).all():
        raise DataError(f"modality {modality.name!r} has values that are not finite; remove or impute them first")
    columns = columns_of(x[train], precision=values.dtype)
    varies = columns.varies
    if not varies.any():
        raise DataError(f"modality {modality.name!r} does not vary on the training rows; drop it")
    x = (x - columns.mean)[:, varies]
    if modality.standardise:
        x /= columns.deviation[varies]
    # a column that hardly varies in training may be anything elsewhere; one such value would decide a squared risk
    return _principal(np.clip(x, x[train].min(axis=0), x[train].max(axis=0)), train)


def target_rows(target: Target, train: NDArray[np.int64], name: str) -> Matrix:
    """All rows as (N, q), centred on the training rows and scaled to total variance 1 there.

    Every column of a real target has the same share of it, as it has in R² and in training.
    """
    if target.kind == "classes":
        y = np.eye(target.n_classes)[target.values]
    else:
        y = np.asarray(target.values, dtype=np.float64).reshape(len(target.values), -1)
    if not np.isfinite(y).all():
        raise DataError(f"the target of {name!r} has values that are not finite; remove those rows")
    if target.kind != "classes":
        columns = columns_of(y[train], precision=target.values.dtype)
        y = np.where(columns.varies, (y - columns.mean) / np.where(columns.varies, columns.deviation, 1.0), 0.0)
    y = y - y[train].mean(axis=0)
    power = float(np.mean(np.sum(y[train] ** 2, axis=1)))
    if power <= 0:
        raise DataError(f"the target of {name!r} does not vary on the training rows; there is nothing to predict")
    return np.asarray(y / np.sqrt(power))


def _principal(x: Matrix, train: NDArray[np.int64]) -> tuple[Matrix, float]:
    fitted = x[train]
    if x.shape[1] <= _COMPONENTS:
        return x, 1.0
    if len(fitted) < x.shape[1]:  # the smaller of the two Gram matrices
        values, vectors = np.linalg.eigh(fitted @ fitted.T)
        values, vectors = values[-_COMPONENTS:], vectors[:, -_COMPONENTS:]
        used = values > 1e-10 * values[-1]
        axes = fitted.T @ (vectors[:, used] / np.sqrt(values[used]))
    else:
        axes = np.linalg.eigh(fitted.T @ fitted)[1][:, -_COMPONENTS:]
    reduced = x @ axes
    return reduced, min(1.0, float(np.sum(reduced[train] ** 2) / np.sum(fitted**2)))
