"""Scores of outputs against their targets, by name: higher is better, and nothing here has a gradient.

The options of a dataset are checked against this table before torch is there: it is imported where a score is computed.
`SCORES` is the whole list: a new score is one function and one line there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from trainables.objectives.targets import match_target

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Score:
    """A score: `measure` takes outputs (K, N, m) and their targets, and gives one number for each replica, (K,).

    `kind` is that of the targets it is for: classes (N,) or (K, N) against logits, or real numbers (N, m) or (K, N, m).
    What an encoder minimises for it is `loss`, a line of `trainables.objectives.tasks.TASK_LOSSES`. Where `signed`, the
    target's zero means something: scaling leaves it where it is. `by_row` gives (K, N) of which the score is the mean,
    so that the luck of the rows can be told from their spread; without it only that of the trainings can.
    """

    measure: Callable[[Tensor, Tensor], Tensor]
    kind: Literal["classes", "real"]
    loss: str
    signed: bool = False
    by_row: Callable[[Tensor, Tensor], Tensor] | None = None


def accuracy(outputs: Tensor, target: Tensor) -> Tensor:
    """Share of samples whose largest output (K, N, C) is at their class (N,) or (K, N); (K,), range [0, 1]."""
    return _scored(outputs, _hits(outputs, target).mean(1))


def _hits(outputs: Tensor, target: Tensor) -> Tensor:
    import torch

    by_class, classes = outputs.mT, target.unsqueeze(-2)
    own = by_class.gather(1, classes.expand(len(outputs), 1, -1))
    # As argmax, the first of equal outputs counts as the largest; argmax itself is many times slower on a CPU.
    numbers = torch.arange(outputs.shape[-1], device=outputs.device).unsqueeze(-1)
    others = torch.where(numbers < classes, 0.0, -torch.inf)
    right = (by_class.amax(1, keepdim=True) == own) & ((by_class + others).amax(1, keepdim=True) < own)
    return right.double().squeeze(1)


def sign_accuracy(outputs: Tensor, target: Tensor) -> Tensor:
    """Share of outputs (K, N, m) on their target's side of zero, > 0 against <= 0; (K,), range [0, 1].

    The score of the sentiment sets, neutral samples included. Target (N, m) or (K, N, m), or without the m where it
    is 1.
    """
    return _scored(outputs, _agreements(outputs, target).mean(1))


def _agreements(outputs: Tensor, target: Tensor) -> Tensor:
    return ((outputs > 0) == (match_target(target, outputs) > 0)).double().mean(2)


def r2(outputs: Tensor, target: Tensor) -> Tensor:
    """Share of the target's variance that outputs (K, N, m) explain, mean over the m; (K,), range (−∞, 1].

    A constant target scores 1 where it is hit exactly, else 0. Target as in `sign_accuracy`.
    """
    import torch

    squares, total, varies = _squares(outputs, target)
    residual = squares.sum(1)
    explained = torch.where(varies, 1 - residual / total, (residual == 0).double())
    return _scored(outputs, explained.mean(1))


def _explained(outputs: Tensor, target: Tensor) -> Tensor:
    import torch

    squares, total, varies = _squares(outputs, target)
    share = 1 - outputs.shape[1] * squares / total.unsqueeze(-2)
    return torch.where(varies.unsqueeze(-2), share, (squares == 0).double()).mean(2)


def _squares(outputs: Tensor, target: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Squared errors (K, N, m), the target's own sum of squares, and whether it varies, (m,) or (K, m)."""
    target = match_target(target, outputs).double()
    total = (target - target.mean(-2, keepdim=True)).square().sum(-2)
    return (outputs.double() - target).square(), total, (target != target[..., :1, :]).any(-2)


SCORES: dict[str, Score] = {
    "accuracy": Score(measure=accuracy, kind="classes", loss="cross_entropy", by_row=_hits),
    "r2": Score(measure=r2, kind="real", loss="mse", by_row=_explained),
    "sign_accuracy": Score(measure=sign_accuracy, kind="real", loss="l1", signed=True, by_row=_agreements),
}


def _scored(outputs: Tensor, score: Tensor) -> Tensor:
    """The score, or NaN for a replica whose outputs are not all finite."""
    finite = outputs.amax((1, 2)).isfinite() & outputs.amin((1, 2)).isfinite()
    return score.masked_fill(~finite, float("nan"))
