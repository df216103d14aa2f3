"""Task losses of one encoder, by name, the replica axis K in front: outputs (K, N, m) in, one loss each, (K,), out."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from torch import Tensor
from torch.nn import functional

from trainables.objectives.gradients import differentiate
from trainables.objectives.targets import match_target


def cross_entropy(outputs: Tensor, target: Tensor) -> Tensor:
    """Mean cross-entropy of class logits (K, N, C) and classes (N,) or (K, N), in nats, (K,)."""
    # Class by class in memory: a softmax over few classes then runs along many samples, up to 7 times faster.
    losses = functional.cross_entropy(outputs.mT.contiguous(), target.expand(outputs.shape[:2]), reduction="none")
    return losses.mean(1)


def l1(outputs: Tensor, target: Tensor) -> Tensor:
    """Mean absolute error of outputs (K, N, m), (K,); target (N, m) or (K, N, m), or without the m where it is 1."""
    return (outputs - match_target(target, outputs)).abs().mean((1, 2))


def mse(outputs: Tensor, target: Tensor) -> Tensor:
    """Mean squared error of outputs (K, N, m), (K,); target as in `l1`."""
    return (outputs - match_target(target, outputs)).square().mean((1, 2))


def binary_cross_entropy(outputs: Tensor, target: Tensor) -> Tensor:
    """Mean cross-entropy of labels' logits (K, N, L) and labels, 0 or 1, (N, L) or (K, N, L), in nats a label, (K,)."""
    wanted = match_target(target, outputs).expand(outputs.shape)
    return functional.binary_cross_entropy_with_logits(outputs, wanted, reduction="none").mean((1, 2))


TASK_LOSSES: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = {
    "cross_entropy": cross_entropy, "binary_cross_entropy": binary_cross_entropy, "l1": l1, "mse": mse,
}  # fmt: skip


def task_loss_and_gradient(name: str, outputs: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """A task loss (K,) and its gradient for the outputs (K, N, m), which is written out for the cross-entropy."""
    if name == "cross_entropy":
        logarithms, classes = outputs.mT.log_softmax(1), target.unsqueeze(1)
        own = logarithms.gather(1, classes)
        gradient = logarithms.exp_().scatter_(1, classes, own.expm1()).div_(outputs.shape[1])
        return own.mean((1, 2)).neg_(), gradient.mT
    value, (differentiated,) = differentiate(lambda leaf: TASK_LOSSES[name](leaf, target), outputs, asked=(True,))
    assert differentiated is not None
    return value, differentiated
