"""Ridge probes: what a linear model of fixed features tells of a target, in closed form, for K replicas at once.

As scikit-learn's `Ridge` and `RidgeClassifier` on standardised features: features and targets are centred, so that no
price is on the intercept, and a class or label is a column of −1 and 1. The ridge is the one of `RIDGES` whose squared
error in leaving out each row is least, by the closed form (Allen 1974; as scikit-learn's `RidgeCV`). All is float64.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from trainables.metrics.scores import Kind

RIDGES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)  # in shares of the (weighted) number of rows: of a feature's own weight
_SHARPNESS = (1.0, 2.0, 4.0, 8.0, 16.0)  # what ±1 is as a logit, at most
_ROUNDING = 1e-6  # of features that went through a network in float32, in shares of their size: below it they are equal
_PIECE_VALUES = 2**18  # numbers of float64 features that are in memory at once, a few times over


@dataclass(frozen=True, kw_only=True)
class RidgeProbe:
    """A linear model (K, D, m) with its intercept (K, 1, m).

    `ridge` (K, 1) is in shares of the rows. Class scores are multiplied by `sharpness` (K, 1), so that they may be read
    as logits: it is the one of five that leaves the left-out rows the least cross-entropy. It moves no class scored
    highest, and of real targets it is 1. Where each label weighs the rows in its own way, both are (K, L).
    """

    coefficients: Tensor
    intercept: Tensor
    ridge: Tensor
    sharpness: Tensor

    @classmethod
    def fit(
        cls, features: Sequence[Tensor], target: Tensor, *, kind: Kind, n_outputs: int, weights: Tensor | None = None
    ) -> RidgeProbe:
        """The probe of features side by side, (K, N, D₁), (K, N, D₂) …, whose target is classes (N,) or (K, N), or
        labels or real numbers (N, m) or (K, N, m).

        `weights` are what a row counts, by its class (C,), or by whether it is a 0 or a 1 of each label (2, L). A
        replica whose features are not all finite has a probe of NaN.
        """
        n_replicas, n_rows = features[0].shape[:2]
        wanted = _wanted(target, kind, n_outputs).expand(n_replicas, -1, -1)
        counts = _counts(target, kind, weights)
        counts = None if counts is None else counts.expand(n_replicas, -1, -1)
        most = max(1, _PIECE_VALUES // _values(n_rows, _width(features), n_outputs))
        parts = []
        for start in range(0, n_replicas, most):
            piece = slice(start, start + most)
            seen = torch.cat([part[piece] for part in features], 2).double()
            own = None if counts is None else counts[piece]
            parts.append(_fit_by_column(seen, wanted[piece].double(), own, kind))
        coefficients, intercept, ridge, sharpness = (torch.cat(each) for each in zip(*parts, strict=True))
        return cls(coefficients=coefficients, intercept=intercept, ridge=ridge, sharpness=sharpness)

    def outputs(self, features: Sequence[Tensor]) -> Tensor:
        """What it says of features like those of `fit`: class scores, labels' or real numbers, (K, N, m)."""
        said, start = self.intercept, 0
        for part in features:
            own = self.coefficients[:, start : start + part.shape[2]]
            said, start = torch.baddbmm(said, part.double(), own), start + part.shape[2]
        return said


def probe_bytes(n_replicas: int, *, rows: int, width: int, n_outputs: int) -> int:
    """The most bytes that `RidgeProbe.fit` needs beside its features."""
    each = _values(rows, width, n_outputs)
    return 8 * min(n_replicas * each, max(_PIECE_VALUES, each)) * 6  # measured: so many arrays of them


def _values(rows: int, width: int, n_outputs: int) -> int:
    """Numbers in the largest array of one replica: its features, their covariance, or what all ridges say or are."""
    return max(rows, width) * max(width, len(RIDGES) * n_outputs)


def _width(features: Sequence[Tensor]) -> int:
    return sum(part.shape[2] for part in features)


_Parts = tuple[Tensor, Tensor, Tensor, Tensor]


def _wanted(target: Tensor, kind: Kind, n_outputs: int) -> Tensor:
    """The columns (1 or K, N, m) that are regressed on the features."""
    if kind == "real":
        columns = target if target.shape[-1] == n_outputs and target.ndim > 1 else target.unsqueeze(-1)
    else:
        columns = 2.0 * (functional.one_hot(target, n_outputs) if kind == "classes" else target) - 1.0
    return columns if columns.ndim == 3 else columns.unsqueeze(0)


def _counts(target: Tensor, kind: Kind, weights: Tensor | None) -> Tensor | None:
    """What each row counts for all columns, (1 or K, N, 1), or for each label, (1 or K, N, L); None: all alike."""
    if weights is None or kind == "real":
        return None
    counts = weights[target].unsqueeze(-1) if kind == "classes" else torch.where(target > 0.5, weights[1], weights[0])
    return counts.double() if counts.ndim == 3 else counts.double().unsqueeze(0)


def _fit_by_column(features: Tensor, wanted: Tensor, counts: Tensor | None, kind: Kind) -> _Parts:
    """One model of all columns; where each label weighs the rows in its own way, one of each."""
    finite = features.isfinite().all(2).all(1)
    features = features.nan_to_num(0.0, 0.0, 0.0)
    if counts is None or counts.shape[2] == 1:
        parts = _fit(features, wanted, counts, kind)
    else:
        each = [_fit(features, wanted[..., i : i + 1], counts[..., i : i + 1], kind) for i in range(counts.shape[2])]
        coefficients, intercept, ridge, sharpness = (torch.cat(columns, -1) for columns in zip(*each, strict=True))
        parts = coefficients, intercept, ridge, sharpness
    nan = features.new_tensor(float("nan"))
    coefficients, intercept, ridge, sharpness = (
        torch.where(finite.view(-1, *[1] * (part.ndim - 1)), part, nan) for part in parts
    )
    return coefficients, intercept, ridge, sharpness


def _fit(features: Tensor, wanted: Tensor, counts: Tensor | None, kind: Kind) -> _Parts:
    n_rows, n_columns = wanted.shape[1:]
    if counts is None:
        counts = features.new_ones(1, n_rows, 1)
    total = counts.sum(1, keepdim=True)
    centre, level = ((counts * part).sum(1, keepdim=True) / total for part in (features, wanted))
    size = features.abs().amax(1, keepdim=True)
    x = features - centre
    spread = ((counts * x.square()).sum(1, keepdim=True) / total).sqrt()
    factor = torch.where(spread > _ROUNDING * size, 1 / spread.clamp_min(1e-300), 0.0)
    root = counts.sqrt()
    x, y = x * (factor * root), (wanted - level) * root

    values, vectors = torch.linalg.eigh(x.mT @ x)
    rotated, told = x @ vectors, vectors.mT @ (x.mT @ y)
    penalties = total * features.new_tensor(RIDGES)  # (K, 1, ridges)
    inverse = 1 / (values.clamp_min(0.0).unsqueeze(-1) + penalties)  # (K, D, ridges)
    leverage = rotated.square() @ inverse + counts / total
    solutions = told.unsqueeze(2) * inverse.unsqueeze(-1)  # (K, D, ridges, m)
    said = (rotated @ solutions.flatten(2)).unflatten(2, (len(RIDGES), n_columns))
    left_out = (y.unsqueeze(2) - said) / (1 - leverage).clamp_min(1e-10).unsqueeze(-1)  # (K, N, ridges, m)

    best = left_out.square().sum((1, 3)).argmin(1)
    replicas = torch.arange(len(features), device=features.device)
    coefficients = factor.mT * (vectors @ solutions[replicas, :, best])
    intercept = level - centre @ coefficients
    sharpness = features.new_ones(len(features), 1)
    if kind != "real":
        sharpness = _sharpness(wanted - left_out[replicas, :, best] / root.clamp_min(1e-150), wanted, counts, kind)
    sharper = sharpness.unsqueeze(2)
    return coefficients * sharper, intercept * sharper, features.new_tensor(RIDGES)[best].unsqueeze(1), sharpness


def _sharpness(said: Tensor, wanted: Tensor, counts: Tensor, kind: Kind) -> Tensor:
    """What multiplies class scores (K, N, m) of rows that were left out, by the least cross-entropy, (K, 1)."""
    losses = []
    for sharpness in _SHARPNESS:
        logits = sharpness * said
        if kind == "classes":
            surprise = logits.logsumexp(2, keepdim=True) - ((wanted > 0) * logits).sum(2, keepdim=True)
        else:
            surprise = functional.softplus(-wanted * logits).mean(2, keepdim=True)
        losses.append((counts * surprise).sum((1, 2)))
    return said.new_tensor(_SHARPNESS)[torch.stack(losses).argmin(0)].unsqueeze(1)
