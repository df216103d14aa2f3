"""A user's own score: a function of (targets, outputs) that gives one number, of which higher is better."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from numbers import Real
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trainables.code.calls import SourceError
from trainables.metrics.scores import Kind, own_number
from trainables.sources import Source
from trainables.spec import LARGEST_SCORE

_MOST_ROWS = 2048  # of a trial


@dataclass(frozen=True, kw_only=True)
class OwnScore:
    """A function of the user's for one kind of target, which it is given once for each replica, as NumPy arrays.

    Classes are (N,), numbered from 0 in the order of their labels, with probabilities (N, C); labels (N, L) are 0 and
    1, with probabilities (N, L); real targets are (N,), or (N, m) of several columns, with predictions alike, both in
    the user's unit.
    """

    source: Source
    kind: Kind

    def measure(self, outputs: Tensor, target: Tensor) -> Tensor:
        """Its numbers (K,) for outputs (K, N, m), NaN for a replica whose outputs are not all finite.

        Raises:
            SourceError: it raises, or what it returns is no number; one line says so.
        """
        scores = []
        for k, own in enumerate(outputs.detach().double().cpu()):
            wanted = target[k] if target.ndim > 1 and target.ndim == outputs.ndim - (self.kind == "classes") else target
            is_finite = bool(own.isfinite().all())
            scores.append(self._call(wanted.cpu(), own) if is_finite else math.nan)
        return torch.tensor(scores, dtype=torch.float64, device=outputs.device)

    def _call(self, target: Tensor, outputs: Tensor) -> float:
        wanted, said = _as_arrays(self.kind, target, outputs)
        try:
            value: Any = function_of(self.source)(wanted, said)
        except (Exception, SystemExit) as error:  # noqa: BLE001  a user's function may raise anything
            raise SourceError(f"score {self.source.name} raised {self.source.told(error)}") from None
        return self._number(value)

    def _number(self, value: Any) -> float:
        if isinstance(value, np.ndarray | np.generic | Tensor) and value.ndim == 0:
            value = value.item()
        if type(value) is not bool and isinstance(value, Real):
            return own_number(value)
        if isinstance(value, str):
            what = f"the text {value[:40]!r}"
        elif isinstance(value, np.ndarray | Tensor):
            what = f"an array of shape {tuple(value.shape)}"
        else:
            what = "nothing" if value is None else f"a {type(value).__name__}"
        raise SourceError(f"score {self.source.name} returned {what}; return one number, of which higher is better")


@lru_cache(maxsize=16)
def function_of(source: Source) -> Callable[..., Any]:
    """The function behind a source, run once in a process.

    Raises:
        SourceError: as `Source.load`.
    """
    return source.load()


def try_out(score: OwnScore, values: NDArray[Any], *, n_outputs: int) -> None:
    """Call a score on targets (N,) or (N, m) that it is to be used on, with random outputs.

    Raises:
        SourceError: it does not take (targets, outputs), raises, returns no number or one that is not finite, or
            another one the second time.
    """
    name = score.source.name
    function = function_of(score.source)
    if not _takes_two(function):
        raise SourceError(f"score {name} cannot be called with (targets, outputs); give it these two arguments")
    rows = np.unique(np.linspace(0, len(values) - 1, _MOST_ROWS).round().astype(np.int64))
    target = torch.from_numpy(np.ascontiguousarray(values[rows]))
    target = target.long() if score.kind == "classes" else target.double().reshape(len(rows), -1)
    outputs = torch.randn(1, len(rows), n_outputs, generator=torch.Generator().manual_seed(0))
    first, second = (float(score.measure(outputs, target)) for _ in range(2))
    if not math.isfinite(first):
        raise SourceError(
            f"score {name} returned {first:g} for random outputs; return a finite number, up to {LARGEST_SCORE:g}, for "
            "any, say 0 where it is not defined"
        )
    if first != second:
        raise SourceError(
            f"score {name} returned {first:g} and then {second:g} for the same outputs; it may not draw random numbers"
        )


def _as_arrays(kind: Kind, target: Tensor, outputs: Tensor) -> tuple[NDArray[Any], NDArray[Any]]:
    """Arrays of the function's own, which it may write to."""
    if kind == "classes":
        return target.numpy().copy(), outputs.softmax(-1).numpy()
    if kind == "multi_label":
        return target.numpy().astype(np.int64), outputs.sigmoid().numpy()
    wanted, said = target.double().numpy().reshape(outputs.shape).copy(), outputs.numpy().copy()
    return (wanted[:, 0], said[:, 0]) if outputs.shape[1] == 1 else (wanted, said)


def _takes_two(function: Callable[..., Any]) -> bool:
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # of some built-in ones nobody knows
        return True
    try:
        signature.bind(None, None)
    except TypeError:
        return False
    return True
