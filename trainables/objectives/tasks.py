"""Task losses of one encoder, by name, the replica axis K in front: outputs (K, N, m) in, one loss each, (K,), out."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor
from torch.nn import functional

from trainables.objectives.gradients import differentiate
from trainables.objectives.targets import match_target


def cross_entropy(outputs: Tensor, target: Tensor, weights: Tensor | None = None) -> Tensor:
    """Mean cross-entropy of class logits (K, N, C) and classes (N,) or (K, N), in nats, (K,).

    `weights` (C,) are what a row of each class counts.
    """
    # Class by class in memory: a softmax over few classes then runs along many samples, up to 7 times faster.
    classes = target.expand(outputs.shape[:2])
    losses = functional.cross_entropy(outputs.mT.contiguous(), classes, reduction="none")
    return (losses if weights is None else losses * weights[classes]).mean(1)


def binary_cross_entropy(outputs: Tensor, target: Tensor, weights: Tensor | None = None) -> Tensor:
    """Mean cross-entropy of labels' logits (K, N, L) and labels, 0 or 1, (N, L) or (K, N, L), in nats a label, (K,).

    `weights` (2, L) are what a 0 and a 1 of each label count.
    """
    wanted = match_target(target, outputs).expand(outputs.shape)
    losses = functional.binary_cross_entropy_with_logits(outputs, wanted, reduction="none")
    if weights is not None:
        losses = losses * (weights[0] + wanted * (weights[1] - weights[0]))
    return losses.mean((1, 2))


def l1(outputs: Tensor, target: Tensor, weights: Tensor | None = None) -> Tensor:
    """Mean absolute error of outputs (K, N, m), (K,); target (N, m) or (K, N, m), or without the m where it is 1."""
    del weights  # real numbers have no classes
    return (outputs - match_target(target, outputs)).abs().mean((1, 2))


def mse(outputs: Tensor, target: Tensor, weights: Tensor | None = None) -> Tensor:
    """Mean squared error of outputs (K, N, m), (K,); target as in `l1`."""
    del weights
    return (outputs - match_target(target, outputs)).square().mean((1, 2))


TASK_LOSSES: Mapping[str, Callable[..., Tensor]] = {
    "cross_entropy": cross_entropy, "binary_cross_entropy": binary_cross_entropy, "l1": l1, "mse": mse,
}  # fmt: skip


def balanced_weights(target: Tensor, *, classes: int) -> Tensor:
    """What a row of each of C classes (C,), or a 0 and a 1 of each of L labels (2, L), counts for all to count alike.

    N / (C n_c), whose mean over the rows (N,) or (N, L) is 1 where all classes occur; of one that does not it is 0.
    """
    if target.is_floating_point():
        ones = target.sum(0)
        counts, share = torch.stack([len(target) - ones, ones]), 2
    else:
        counts, share = target.bincount(minlength=classes).float(), classes
    return (len(target) / (share * counts)).nan_to_num(posinf=0.0)


def task_loss_and_gradient(
    name: str, outputs: Tensor, target: Tensor, weights: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """A task loss (K,) and its gradient for the outputs (K, N, m), which is written out for the cross-entropy."""
    if name == "cross_entropy":
        logarithms, classes = outputs.mT.log_softmax(1), target.unsqueeze(1)
        own = logarithms.gather(1, classes)
        gradient = logarithms.exp_().scatter_(1, classes, own.expm1()).div_(outputs.shape[1])
        if weights is not None:
            own, gradient = own * weights[classes], gradient * weights[classes]
        return own.mean((1, 2)).neg_(), gradient.mT
    value, (differentiated,) = differentiate(
        lambda leaf: TASK_LOSSES[name](leaf, target, weights), outputs, asked=(True,)
    )
    assert differentiated is not None
    return value, differentiated
