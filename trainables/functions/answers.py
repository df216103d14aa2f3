"""What a function returns or reports as scores of both encoders, checked: each fault in one line that says the fix."""

from __future__ import annotations

import difflib
import math
import numbers
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from trainables.functions.errors import FunctionError
from trainables.metrics.scores import own_number

SHARED = "score"  # the name of one that stands for both


@dataclass(frozen=True, kw_only=True)
class Answer:
    """Scores of both encoders, as the function has them and turned so that higher is better; `extras` are other finite
    numbers, as they are. With `one_score` both scores are the one that stands for the pair.
    """

    scores: tuple[float, float]
    extras: Mapping[str, float] = field(default_factory=dict)
    one_score: bool = False


def read_answer(returned: object, *, pair: tuple[str, str], maximise: bool, call: str) -> Answer:
    """What a function has returned.

    Raises:
        FunctionError: it is no mapping from names to numbers, or a score is missing.
    """
    example = f'{{"{pair[0]}": 0.9, "{pair[1]}": 0.8}}, or {{"{SHARED}": 0.9}} for both'
    if not isinstance(returned, Mapping):
        raise FunctionError(f"{call} returned {_shown(returned)}; return scores by name, such as {example}")
    names = _names(returned, call=f"{call} returned")
    one_score = SHARED in names and not set(pair) & set(names)
    wanted = (SHARED, SHARED) if one_score else pair
    missing = [name for name in pair if name not in names]
    if missing and not one_score:
        others = [name for name in names if name not in pair]
        near = {name: difflib.get_close_matches(name, others, n=1) for name in missing}
        meant = "".join(f"is {other[0]} that of {name}? " for name, other in near.items() if other)
        raise FunctionError(
            f"{call} returned {', '.join(names) or 'nothing'}, without a score of {' and of '.join(missing)}; "
            f"{meant}return {example}"
        )
    values = [_number(returned[name], f"{call} returned", name) for name in wanted]
    extras = {
        name: number
        for name in names
        if name not in wanted and returned[name] is not None
        and math.isfinite(number := _number(returned[name], f"{call} returned", name))
    }  # fmt: skip
    return Answer(scores=_turned(values, maximise=maximise), extras=extras, one_score=one_score)


def read_report(scores: object, *, pair: tuple[str, str], maximise: bool) -> tuple[float, float]:
    """Scores that a function reports while it trains; NaN for an encoder whose score it does not tell.

    Raises:
        FunctionError: it is no mapping from names to numbers, or names neither encoder.
    """
    if not isinstance(scores, Mapping):
        raise FunctionError(f"trial.report was given scores={_shown(scores)}; give scores by name")
    names = _names(scores, call="trial.report was given scores")
    one_score = SHARED in names and not set(pair) & set(names)
    if names and not one_score and not set(pair) & set(names):
        raise FunctionError(
            f"trial.report was given scores of {', '.join(names)}; the encoders are {' and '.join(pair)}, and {SHARED} "
            "stands for both"
        )
    values = [
        _number(scores[name], "trial.report was given", name) if name in scores else math.nan
        for name in ((SHARED, SHARED) if one_score else pair)
    ]
    return _turned(values, maximise=maximise)


def _names(given: Mapping[Any, Any], *, call: str) -> list[str]:
    if odd := [name for name in given if not isinstance(name, str)]:
        raise FunctionError(f"{call} a name that is {_shown(odd[0])}; names are text")
    return list(given)


def _number(value: Any, what: str, name: str) -> float:
    """A real number, alone in an array or tensor of any library; NaN and infinity are such, too."""
    shape = getattr(value, "shape", None)
    if shape is not None and hasattr(value, "item"):  # of NumPy, torch, JAX …
        if math.prod(shape) != 1:
            raise FunctionError(f"{what} {name} of shape {tuple(shape)}; it must be one number: take its mean")
        value = value.item()
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise FunctionError(f"{what} {name} as {_shown(value)}; it must be a number")
    return own_number(value)


def _turned(values: list[float], *, maximise: bool) -> tuple[float, float]:
    first, second = values if maximise else [-value for value in values]
    return first, second


def _shown(value: object) -> str:
    if value is None or isinstance(value, bool):
        return str(value)
    text = repr(value)
    return f"{text if len(text) <= 60 else text[:59] + '…'} ({type(value).__name__})".replace("\n", " ")
