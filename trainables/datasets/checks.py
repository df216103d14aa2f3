"""What must hold for any dataset before something is trained on it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from trainables.datasets.base import SPLITS, DataError, Modality, MultimodalData, Target
from trainables.datasets.columns import columns_of
from trainables.datasets.table import unknown
from trainables.metrics.scores import SCORES, scores_of

_CHUNK = 1 << 22  # values per step of the scan for NaN: its temporary stays small beside the data


def check(data: MultimodalData) -> MultimodalData:
    """`data` itself.

    Raises:
        DataError: lengths differ, a split is empty, a value is not finite, or a target cannot be learned.
    """
    n = len(data.split)
    if not n or not np.isin(data.split, list(SPLITS.values())).all():
        raise DataError(f"{data.name}: split codes must be 0 (train), 1 (valid) or 2 (test), one a row")
    for name, code in SPLITS.items():
        if not (data.split == code).any():
            raise DataError(f"{data.name}: the {name} split has no rows; each of train, valid and test needs some")
    for modality in data.modalities.values():
        _check_modality(modality, n, data.name)
    for name, target in {id(target): (name, target) for name, target in data.targets.items()}.values():
        _check_target(name, target, data)
    return data


def all_finite(values: NDArray[np.generic], mask: NDArray[np.bool_] | None = None) -> bool:
    """Whether no element is NaN or infinite, of those that `mask` (None: all) says are there.

    It is done in steps, so that nothing of the size of `values` is allocated.
    """
    step = max(1, _CHUNK // max(1, values[:1].size))
    pieces = (slice(start, start + step) for start in range(0, len(values), step))
    finite = (np.isfinite(values[piece] if mask is None else values[piece][mask[piece]]) for piece in pieces)
    return all(bool(piece.all()) for piece in finite)


def _check_modality(modality: Modality, n: int, dataset: str) -> None:
    values, where = modality.values, f"{dataset}: modality {modality.name}"
    if values.ndim not in (2, 3, 4) or 0 in values.shape[1:]:
        raise DataError(f"{where} has shape {values.shape}; allowed are (N, d), (N, T, d) and (N, H, W[, C])")
    if len(values) != n:
        raise DataError(f"{where} has {len(values)} rows and the split {n}; all must have one row a sample")
    if values.dtype not in (np.float32, np.float64):
        raise DataError(f"{where} has values of type {values.dtype}; float32 or float64 is needed")
    mask = modality.mask
    if mask is not None and (mask.dtype != np.bool_ or mask.shape != values.shape[:2] or not mask.any(axis=1).all()):
        raise DataError(f"{where}: its mask must be boolean of shape {values.shape[:2]}, with a real step in each row")
    if not all_finite(values, mask):  # nothing reads what stands in padded steps
        if n_infinite := int(np.isinf(values if mask is None else values[mask]).sum()):
            raise DataError(
                f"{where} has infinite values, or beyond what float32 holds, {n_infinite} of them; no imputation "
                "replaces these: remove their rows, or replace or rescale them"
            )
        raise DataError(
            f"{where} has NaN or infinite values; remove these rows, or impute them where the dataset has that option"
        )


def _check_target(name: str, target: Target, data: MultimodalData) -> None:
    values, where = target.values, f"{data.name}: target of {name}"
    if len(values) != len(data.split):
        raise DataError(f"{where} has {len(values)} rows and the split {len(data.split)}")
    train = values[data.split == SPLITS["train"]]
    if target.kind == "classes":
        if values.ndim != 1 or values.dtype.kind not in "iu":
            raise DataError(f"{where} must be (N,) integers for classes, given {values.dtype} of shape {values.shape}")
        if values.min() < 0 or values.max() >= target.n_classes:
            raise DataError(
                f"{where}: classes run from {values.min()} to {values.max()}, not in 0..{target.n_classes - 1}"
            )
        if len(np.unique(train)) < 2:
            raise DataError(f"{where}: the training split has one class only; at least two are needed")
    elif target.kind == "multi_label":
        if values.ndim != 2 or values.dtype.kind != "f" or not np.isin(values, (0, 1)).all():
            raise DataError(f"{where} must be (N, L) labels, 0.0 or 1.0, given {values.dtype} of shape {values.shape}")
        if (same := np.flatnonzero(np.ptp(train, axis=0) == 0)).size:
            raise DataError(
                f"{where}: label {same[0] + 1} of {values.shape[1]} is {train[0, same[0]]:g} in all rows of the "
                "training split; leave it out, or choose another split"
            )
    else:
        if values.ndim not in (1, 2) or values.dtype.kind != "f" or not all_finite(values):
            raise DataError(f"{where} must be finite real numbers of shape (N,) or (N, m)")
        columns = train.reshape(len(train), -1)
        if not (varies := columns_of(columns).varies).all():
            one = columns[:, np.flatnonzero(~varies)[0]]
            if one.min() < one.max():
                raise DataError(
                    f"{where} runs from {float(one.min())!r} to {float(one.max())!r} over the training split, which is "
                    "no more than its precision tells apart; subtract a constant, or give it in another unit"
                )
            raise DataError(f"{where} is constant over the training split; there is nothing to learn")
    score = SCORES.get(target.metric)
    if score is not None and score.signed and len(np.unique(train > 0, axis=0)) < 2:
        raise DataError(f"{where} is of one sign over the training split, so that its sign cannot be learned; "
                        "choose another split or metric")  # fmt: skip
    if score is None or target.kind not in score.kinds:
        raise DataError(f"{where} is {target.kind}: " + unknown("metric", target.metric, scores_of(target.kind)))
