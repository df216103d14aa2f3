"""What each row adds to a score that is no mean over rows: θ and the row's influence on it, whose mean is the score.

The influence is the derivative of the score for the row's weight (the infinitesimal jackknife, Jaeckel 1972; Efron
1982, ch. 6): the spread of these values over rows is the variance that the score owes to them, to first order in 1/N.
For the AUROC it is that of DeLong, DeLong & Clarke-Pearson 1988. All is (K, N), for K replicas, in float64.
"""

from __future__ import annotations

import torch
from torch import Tensor

from trainables.metrics.agreement import both_sides, varies
from trainables.metrics.labelled import average_ranks, columns, ranked


def balanced_accuracy(outputs: Tensor, target: Tensor) -> Tensor:
    """Of each row its hit against its class's share of hits, by how rare the class is."""
    one = columns(outputs, target)
    if target.is_floating_point():  # a label has two classes, its 1s and its 0s
        member, hit = torch.stack([one.wanted, ~one.wanted], -1), (one.said == one.wanted).unsqueeze(-1)
    else:
        member, hit = one.wanted.unsqueeze(2), one.said.unsqueeze(2)
    count = member.sum(1)  # (K, labels, classes of one)
    share = (member & hit).sum(1).double() / count.clamp_min(1)
    known = (count > 0).double()
    weight = known / known.sum(-1, keepdim=True) / count.shape[1]
    influence = member * (hit.double() - share.unsqueeze(1)) * (weight / count.clamp_min(1)).unsqueeze(1)
    return (weight * share).sum((1, 2))[:, None] + outputs.shape[1] * influence.sum((2, 3))


def macro_f1(outputs: Tensor, target: Tensor) -> Tensor:
    """Of each row 2 hits − F1 (said + wanted), in shares of a class's said + wanted."""
    one = columns(outputs, target)
    hits, either = (one.said & one.wanted).double(), one.said.double() + one.wanted.double()
    total = either.sum(1, keepdim=True)
    f1 = 2 * hits.sum(1, keepdim=True) / total.clamp_min(1)
    known = torch.ones_like(total) if target.is_floating_point() else (total > 0).double()
    weight = known / known.sum(-1, keepdim=True).clamp_min(1)
    influence = weight * (2 * hits - f1 * either) / total.clamp_min(1)
    return (weight * f1).sum((1, 2))[:, None] + outputs.shape[1] * influence.sum(2)


def auroc(outputs: Tensor, target: Tensor) -> Tensor:
    """Of each row the share of the other kind that stands on its right side, by how rare its own kind is."""
    one = ranked(outputs, target)
    n, positive = outputs.shape[1], one.wanted.sum(1, keepdim=True).double()
    negative = n - positive
    ranks = average_ranks(one.order)
    below = ranks - _ranks_among(one.order, one.wanted), ranks - _ranks_among(one.order, ~one.wanted)
    right = torch.where(one.wanted, below[0] / negative.clamp_min(1), 1 - below[1] / positive.clamp_min(1))
    area = (right * one.wanted).sum(1, keepdim=True) / positive.clamp_min(1)
    influence = (right - area) * n / torch.where(one.wanted, positive, negative)
    known = ((positive > 0) & (negative > 0)).double()
    weight = known / known.sum(-1, keepdim=True).clamp_min(1)
    none = 0.5 * (1 - known.amax(-1))
    return (weight * (area + influence)).sum(2) + none


def rmse(outputs: Tensor, target: Tensor) -> Tensor:
    """Of each row RMSE/2 + e²/(2 RMSE)."""
    first, second = both_sides(outputs, target)
    squares = (first - second).square()
    root = squares.mean(1, keepdim=True).sqrt()
    return ((root + squares / root.clamp_min(1e-300)) / 2).mean(2)


def pearson(outputs: Tensor, target: Tensor) -> Tensor:
    """Of each row r + z_x z_y − r (z_x² + z_y²)/2."""
    first, second = both_sides(outputs, target)
    known = varies(first) & varies(second)
    z_1, z_2 = (_standardised(side) for side in (first, second))
    r = (z_1 * z_2).mean(1, keepdim=True)
    values = r + z_1 * z_2 - r * (z_1.square() + z_2.square()) / 2
    return (values * known.unsqueeze(1)).mean(2)


def concordance(outputs: Tensor, target: Tensor) -> Tensor:
    """Of each row what it adds to numerator and denominator of Lin's coefficient, by the rule for quotients."""
    first, second = both_sides(outputs, target)
    apart = (first - second).mean(1, keepdim=True)
    first, second = first - first.mean(1, keepdim=True), second - second.mean(1, keepdim=True)
    shared = 2 * first * second
    spread = first.square() + second.square() + apart.square() + 2 * apart * (first - second)
    whole = spread.mean(1, keepdim=True)
    coefficient = shared.mean(1, keepdim=True) / whole.clamp_min(1e-300)
    values = coefficient + (shared - coefficient * spread) / whole.clamp_min(1e-300)
    return torch.where(whole > 0, values, 1.0).mean(2)


def _ranks_among(values: Tensor, chosen: Tensor) -> Tensor:
    """Ranks (K, N, C) of the chosen values among themselves; of others nothing is meant."""
    return average_ranks(values.masked_fill(~chosen, torch.inf))


def _standardised(values: Tensor) -> Tensor:
    values = values - values.mean(1, keepdim=True)
    return values / values.square().mean(1, keepdim=True).sqrt().clamp_min(1e-300)
