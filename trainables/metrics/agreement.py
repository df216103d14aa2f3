"""How well numbers are met: errors in the target's unit, and correlations, for K replicas at once and in float64.

Outputs are (K, N, m), targets (N, m) or (K, N, m); of several columns it is the mean over them, (K,).
"""

from __future__ import annotations

import torch
from torch import Tensor

from trainables.metrics.labelled import average_ranks
from trainables.objectives.targets import match_target


def rmse(outputs: Tensor, target: Tensor) -> Tensor:
    """Root of the mean squared error, ≥ 0, in the target's unit."""
    return _errors(outputs, target).square().mean(1).sqrt().mean(1)


def mae(outputs: Tensor, target: Tensor) -> Tensor:
    """Mean absolute error, ≥ 0, in the target's unit."""
    return absolute_errors(outputs, target).mean(1)


def absolute_errors(outputs: Tensor, target: Tensor) -> Tensor:
    """What each row adds to the mean absolute error, (K, N)."""
    return _errors(outputs, target).abs().mean(2)


def pearson(outputs: Tensor, target: Tensor) -> Tensor:
    """Pearson's correlation, range [−1, 1]; 0 where either side is constant: nothing follows from a constant."""
    return _correlation(*both_sides(outputs, target)).mean(1)


def spearman(outputs: Tensor, target: Tensor) -> Tensor:
    """Spearman's correlation: Pearson's of the ranks, equal values sharing the mean of theirs; else as `pearson`."""
    first, second = both_sides(outputs, target)
    return _correlation(average_ranks(first), average_ranks(second)).mean(1)


def concordance(outputs: Tensor, target: Tensor) -> Tensor:
    """Lin's concordance correlation coefficient 2 s_xy / (s_x² + s_y² + (x̄ − ȳ)²), range [−1, 1] (Lin 1989, with 1/n).

    It falls below Pearson's where place or spread differ. Of two constants it is 1 where they are equal, else 0.
    """
    first, second = both_sides(outputs, target)
    shared, own, others = _moments(first, second)
    apart = own + others + (first.mean(1) - second.mean(1)).square()
    return torch.where(apart > 0, 2 * shared / apart.clamp_min(1e-300), 1.0).mean(1)


def _correlation(first: Tensor, second: Tensor) -> Tensor:
    shared, own, others = _moments(first, second)
    known = varies(first) & varies(second)
    return torch.where(known, shared / (own.sqrt() * others.sqrt()).clamp_min(1e-300), 0.0).clamp(-1, 1)


def _moments(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    first, second = first - first.mean(1, keepdim=True), second - second.mean(1, keepdim=True)
    return (first * second).mean(1), first.square().mean(1), second.square().mean(1)


def varies(values: Tensor) -> Tensor:
    """Which columns (K, m) of values (K, N, m) are not constant."""
    return (values != values[:, :1]).any(1)


def both_sides(outputs: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Outputs and targets, (K, N, m) in float64."""
    return outputs.double(), match_target(target, outputs).double().expand(outputs.shape)


def _errors(outputs: Tensor, target: Tensor) -> Tensor:
    first, second = both_sides(outputs, target)
    return first - second
