"""Scores of labelled columns: each class against all others, or each label of several that a row may have.

Everything is computed for K replicas at once, in float64. A column that has both kinds of rows is *two-sided*; where
none is, a ranking has nothing to order and scores what chance scores.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from trainables.objectives.targets import match_target


class Columns(NamedTuple):
    """What outputs say of C columns, (K, N, C) each: `order`, higher is more likely; `said` and `wanted`, true where
    the column is predicted and where it is right.
    """

    order: Tensor
    said: Tensor
    wanted: Tensor


def columns(outputs: Tensor, target: Tensor) -> Columns:
    """Columns of class logits (K, N, C) and classes (N,) or (K, N); or of L labels' logits (K, N, L) and 0s and 1s.

    Classes are ordered by their log odds against all others, which tie where the logits do, and are not cut off at 1 as
    probabilities are.
    """
    outputs = outputs.double()
    if target.is_floating_point():
        return Columns(outputs, outputs > 0, (match_target(target, outputs) > 0.5).expand(outputs.shape))
    numbers = torch.arange(outputs.shape[-1], device=outputs.device)
    wanted = (target.unsqueeze(-1) == numbers).expand(outputs.shape)
    said = outputs.argmax(-1, keepdim=True) == numbers
    return Columns(_log_odds(outputs), said, wanted)


def _log_odds(outputs: Tensor) -> Tensor:
    """Each logit less the logarithm of the sum of all others' exponentials, (K, N, C)."""
    if outputs.shape[-1] == 2:
        return outputs - outputs.flip(-1)
    top, first = outputs.max(-1, keepdim=True)
    shares = (outputs - top).exp()
    others = (shares.sum(-1, keepdim=True) - shares).clamp_min(1e-300).log() + top
    of_top = outputs.scatter(-1, first, -torch.inf).logsumexp(-1, keepdim=True)  # where the difference would cancel
    return (outputs - others.scatter(-1, first, of_top)).float()  # in whose precision equal rows are equal again


def label_accuracy(outputs: Tensor, target: Tensor) -> Tensor:
    """Share of all labels (K, N, L) that are right, a label being predicted where its logit is above 0; (K,)."""
    return label_hits(outputs, target).mean(1)


def label_hits(outputs: Tensor, target: Tensor) -> Tensor:
    """Share of the labels that are right of each row, (K, N)."""
    one = columns(outputs, target)
    return (one.said == one.wanted).double().mean(2)


def balanced_accuracy(outputs: Tensor, target: Tensor) -> Tensor:
    """Mean over the classes that occur of the share of their rows that is right, (K,), range [0, 1].

    Of labels the mean over labels of that of their 1s and their 0s; of what does not occur there is no share.
    """
    one = columns(outputs, target)
    hits = one.said & one.wanted
    recall = _mean_known(hits.sum(1), one.wanted.sum(1))
    if not target.is_floating_point():
        return _mean_over(*recall)
    other = _mean_known((~one.said & ~one.wanted).sum(1), (~one.wanted).sum(1))
    both = torch.stack([recall[0], other[0]]), torch.stack([recall[1], other[1]])
    known = both[1].any(0)
    return _mean_over((both[0] * both[1]).sum(0) / both[1].sum(0).clamp_min(1), known)


def macro_f1(outputs: Tensor, target: Tensor) -> Tensor:
    """Mean F1 over the classes or labels that occur or are predicted, (K,), range [0, 1]; of no such label 0."""
    one = columns(outputs, target)
    hits = (one.said & one.wanted).sum(1).double()
    either = one.said.sum(1) + one.wanted.sum(1)
    if target.is_floating_point():  # every label counts, as every one is asked for
        return (2 * hits / either.clamp_min(1)).mean(1)
    return _mean_over(2 * hits / either.clamp_min(1), either > 0)


def auroc(outputs: Tensor, target: Tensor) -> Tensor:
    """Area under the ROC curve, (K,), range [0, 1]: the chance that a row of a column stands above one that is not,
    ties by half (Hanley & McNeil 1982); the mean over classes, each against all others, or over labels.

    Of two classes it is the one of the second. Classes that do not occur are left out; where none is left it is 0.5.
    """
    one = ranked(outputs, target)
    positive = one.wanted.sum(1).double()
    negative = one.wanted.shape[1] - positive
    above = (average_ranks(one.order) * one.wanted).sum(1) - positive * (positive + 1) / 2
    known = (positive > 0) & (negative > 0)
    return _mean_over(above / (positive * negative).clamp_min(1), known, none=0.5)


def average_precision(outputs: Tensor, target: Tensor) -> Tensor:
    """Mean over a column's rows of the share of such rows among all that stand at least as high, (K,), range [0, 1].

    Σ (R_n − R_{n−1}) P_n over distinct thresholds, as scikit-learn has it; over classes and labels as `auroc`. Columns
    without a row are left out; where none is left it is 0.
    """
    one = ranked(outputs, target)
    order, first, _ = _places(one.order)
    wanted = one.wanted.mT.gather(-1, order)
    hits = wanted.flip(-1).cumsum(-1).flip(-1).double()  # from each place upwards
    precision = hits.gather(-1, first) / (order.shape[-1] - first)
    positive = wanted.sum(-1)
    return _mean_over((precision * wanted).sum(-1) / positive.clamp_min(1), positive > 0, none=0.0)


def average_ranks(values: Tensor) -> Tensor:
    """Ranks (K, N, C) of values along N, from 1; equal ones share the mean of their places."""
    order, first, last = _places(values)
    ranks = (first + last + 2).double() / 2
    return torch.empty_like(ranks).scatter_(-1, order, ranks).mT


def _places(values: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The order of values (K, N, C) along N, and the first and last place of all equal ones, (K, C, N) each."""
    along = values.mT.contiguous()
    # NumPy's sorting is vectorised: a third of the time.
    order = torch.from_numpy(np.argsort(along.numpy(), axis=-1)) if along.is_cpu else along.argsort(dim=-1)
    ordered = along.gather(-1, order)
    place = torch.arange(along.shape[-1], device=along.device)
    rises = ordered[..., 1:] != ordered[..., :-1]
    edge = torch.ones_like(ordered[..., :1], dtype=torch.bool)
    first = torch.where(torch.cat([edge, rises], -1), place, 0).cummax(-1).values
    last = torch.where(torch.cat([rises, edge], -1), place, len(place)).flip(-1).cummin(-1).values.flip(-1)
    return order, first, last


def ranked(outputs: Tensor, target: Tensor) -> Columns:
    """Columns to be ranked: of two classes the second alone, since the first is its mirror image."""
    one = columns(outputs, target)
    if target.is_floating_point() or outputs.shape[-1] != 2:
        return one
    return Columns(*(part[..., 1:] for part in one))


def _mean_known(part: Tensor, whole: Tensor) -> tuple[Tensor, Tensor]:
    return part.double() / whole.clamp_min(1), whole > 0


def _mean_over(values: Tensor, known: Tensor, *, none: float = 0.0) -> Tensor:
    """Mean (K,) of the known ones of values (K, C)."""
    count = known.sum(-1)
    mean = (values * known).sum(-1) / count.clamp_min(1)
    return mean.masked_fill(count == 0, none)
