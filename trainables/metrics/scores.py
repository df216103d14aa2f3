"""Scores of outputs against their targets, by name; nothing here has a gradient.

The options of a dataset are checked against this table before torch is there: it is imported where a score is computed.
`SCORES` is the whole list: a new score is one function and one line there.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from numbers import Real
from typing import TYPE_CHECKING, Literal

from trainables.objectives.targets import match_target
from trainables.spec import LARGEST_SCORE

if TYPE_CHECKING:
    from torch import Tensor

Kind = Literal["classes", "multi_label", "real"]
Measure = Callable[["Tensor", "Tensor"], "Tensor"]
_PIECE_VALUES = 2**21  # of outputs that are in memory as several copies at once
LOWER = "negative "  # before the name of a score of which less is better, and which is turned


@dataclass(frozen=True, kw_only=True)
class Score:
    """A score: `compute` takes outputs (K, N, m) and their targets, and gives one number for each replica, (K,).

    `kinds` are those of the targets it is for: classes (N,) or (K, N) against logits; labels, 0 or 1, (N, L) or
    (K, N, L), against logits; or real numbers (N, m) or (K, N, m). `lower`: less is better. `by_row` gives (K, N) of
    which the score is the mean, so that the luck of the rows can be told from their spread: what a row adds, or
    (`trainables.metrics.influence`) the score and the row's influence on it.
    `in_unit`: it is about the target in the user's unit, in which it is computed; so are those of a user's own.
    `compares`: of rows whose targets are all equal it says nothing. `bounded`: at most 1, in whatever unit the target
    is. Where `signed`, the target's zero means something: scaling leaves it where it is.
    """

    compute: Measure
    kinds: tuple[Kind, ...]
    by_row: Measure | None = None
    lower: bool = False
    in_unit: bool = False
    compares: bool = False
    bounded: bool = True
    signed: bool = False

    def measure(self, outputs: Tensor, target: Tensor) -> Tensor:
        """The score (K,), NaN for a replica whose outputs are not all finite."""
        return only_finite(outputs, self.compute(outputs, target))


def only_finite(outputs: Tensor, scores: Tensor) -> Tensor:
    """Scores (K,), or NaN for a replica whose outputs are not all finite."""
    finite = outputs.amax((1, 2)).isfinite() & outputs.amin((1, 2)).isfinite()
    return scores.masked_fill(~finite, float("nan"))


def own_number(value: Real) -> float:
    """A number that a user's function returned, infinite where it is beyond `LARGEST_SCORE`."""
    try:
        number = float(value)
    except OverflowError:  # a fraction or whole number of any size
        number = -math.inf if str(value).startswith("-") else math.inf
    return math.copysign(math.inf, number) if abs(number) > LARGEST_SCORE else number


def turned(name: str) -> str:
    """What a score is called where higher is better: `rmse` becomes `negative rmse`, as its values are turned."""
    return LOWER + name if name in SCORES and SCORES[name].lower else name


def scores_of(kind: Kind) -> tuple[str, ...]:
    """The names of all scores of a kind of target."""
    return tuple(name for name, score in SCORES.items() if kind in score.kinds)


def _later(module: str, name: str) -> Measure:
    """A function of a module of this room, which brings torch and is imported when it is first called.

    It computes with float64 copies of all outputs, so that replicas come to it in pieces that bound the memory. What is
    not finite is 0 to it: `only_finite` has the last word.
    """

    def measure(outputs: Tensor, target: Tensor) -> Tensor:
        import torch

        function: Measure = getattr(import_module(f"{__package__}.{module}"), name)
        outputs = outputs.nan_to_num(0.0, 0.0, 0.0)
        most = max(1, _PIECE_VALUES // outputs[0].numel())
        if len(outputs) <= most:
            return function(outputs, target)
        own = target.ndim == (3 if target.is_floating_point() else 2)
        targets = torch.split(target, most) if own else [target] * -(-len(outputs) // most)
        return torch.cat([function(*piece) for piece in zip(torch.split(outputs, most), targets, strict=True)])

    return measure


def accuracy(outputs: Tensor, target: Tensor) -> Tensor:
    """Share of samples whose largest output (K, N, C) is at their class (N,) or (K, N); (K,), range [0, 1].

    Of labels (N, L) the share of all that are right, a label being predicted where its output is above 0.
    """
    if target.is_floating_point():
        return _later("labelled", "label_accuracy")(outputs, target)
    return _hits(outputs, target).mean(1)


def _hits(outputs: Tensor, target: Tensor) -> Tensor:
    import torch

    if target.is_floating_point():
        return _later("labelled", "label_hits")(outputs, target)
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
    return _agreements(outputs, target).mean(1)


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
    return explained.mean(1)


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


def log_loss(outputs: Tensor, target: Tensor) -> Tensor:
    """Mean cross-entropy of the classes, or mean over labels of theirs, in nats, (K,), ≥ 0."""
    return _surprise(outputs, target).mean(1)


def _surprise(outputs: Tensor, target: Tensor) -> Tensor:
    from torch.nn import functional

    outputs = outputs.double()
    if target.is_floating_point():
        wanted = match_target(target, outputs).double().expand(outputs.shape)
        return functional.binary_cross_entropy_with_logits(outputs, wanted, reduction="none").mean(2)
    return functional.cross_entropy(outputs.mT.contiguous(), target.expand(outputs.shape[:2]), reduction="none")


_LABELLED: tuple[Kind, ...] = ("classes", "multi_label")
_REAL: tuple[Kind, ...] = ("real",)

SCORES: dict[str, Score] = {
    "accuracy": Score(compute=accuracy, by_row=_hits, kinds=_LABELLED),
    "balanced_accuracy": Score(
        compute=_later("labelled", "balanced_accuracy"), by_row=_later("influence", "balanced_accuracy"),
        kinds=_LABELLED,
    ),
    "macro_f1": Score(
        compute=_later("labelled", "macro_f1"), by_row=_later("influence", "macro_f1"), kinds=_LABELLED,
    ),
    "auroc": Score(
        compute=_later("labelled", "auroc"), by_row=_later("influence", "auroc"), kinds=_LABELLED, compares=True,
    ),
    "average_precision": Score(compute=_later("labelled", "average_precision"), kinds=_LABELLED, compares=True),
    "log_loss": Score(compute=log_loss, by_row=_surprise, kinds=_LABELLED, lower=True, bounded=False),
    "r2": Score(compute=r2, by_row=_explained, kinds=_REAL),
    "rmse": Score(
        compute=_later("agreement", "rmse"), by_row=_later("influence", "rmse"), kinds=_REAL, lower=True, in_unit=True,
        bounded=False,
    ),
    "mae": Score(
        compute=_later("agreement", "mae"), by_row=_later("agreement", "absolute_errors"), kinds=_REAL, lower=True,
        in_unit=True, bounded=False,
    ),
    "pearson": Score(
        compute=_later("agreement", "pearson"), by_row=_later("influence", "pearson"), kinds=_REAL, compares=True,
    ),
    "spearman": Score(compute=_later("agreement", "spearman"), kinds=_REAL, compares=True),
    "concordance": Score(
        compute=_later("agreement", "concordance"), by_row=_later("influence", "concordance"), kinds=_REAL,
        compares=True,
    ),
    "sign_accuracy": Score(compute=sign_accuracy, by_row=_agreements, kinds=_REAL, in_unit=True, signed=True),
}  # fmt: skip
