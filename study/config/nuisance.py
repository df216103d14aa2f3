"""Ranges of nuisance hyperparameters, the ones that a search tunes fairly at each strength."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    Field,
    SerializerFunctionWrapHandler,
    WithJsonSchema,
    model_serializer,
    model_validator,
)

from study.config.section import Section
from study.config.values import MOST, Positive, Real
from trainables.functions.spec import Value

OF_PACKS = ("learning_rate", "weight_decay", "temperature")  # that the built-in trainer knows
_NAME = r"^[A-Za-z_][A-Za-z0-9_]{0,63}$"
_MOST_CHOICES = 1000
_LONGEST = 200  # characters of a choice


def _plain(value: object) -> object:
    """A choice as it is, since pydantic would make a number of true."""
    if not isinstance(value, float | int | str):
        raise ValueError("a choice is a number, a text, true or false")
    if isinstance(value, str) and len(value) > _LONGEST:
        raise ValueError(f"a choice has {len(value):,} characters, at most {_LONGEST} are allowed")
    if not isinstance(value, str) and not -MOST <= value <= MOST:
        raise ValueError(f"a choice that is a number lies between -{MOST:,} and {MOST:,}")
    return value


_KINDS = {"anyOf": [{"type": "number", "minimum": -MOST, "maximum": MOST}, {"type": "string"}, {"type": "boolean"}]}
Choice = Annotated[Any, AfterValidator(_plain), WithJsonSchema(_KINDS)]


class NuisanceRange(Section):
    """Range of a nuisance hyperparameter: exactly one of `log`, `linear` and `choices`."""

    log: tuple[Positive, Positive] | None = None
    """Smallest and largest value, even on a logarithmic scale."""
    linear: tuple[Real, Real] | None = None
    """Smallest and largest value, even on a linear scale."""
    choices: Annotated[tuple[Choice, ...], Field(min_length=2, max_length=_MOST_CHOICES)] | None = None
    """Values of one kind, numbers, texts or true and false, the first of which is tried first; with `trainer` alone."""

    @model_validator(mode="after")
    def _one_scale(self) -> NuisanceRange:
        if sum(one is not None for one in (self.log, self.linear, self.choices)) != 1:
            raise ValueError("give exactly one of log: [low, high], linear: [low, high] and choices: [a, b, …]")
        if self.choices is not None:
            kinds = {str if isinstance(value, str) else type(value) is bool for value in self.choices}
            if len(kinds) > 1:
                raise ValueError("choices must all be numbers, all texts, or true and false")
            if len(set(self.choices)) < len(self.choices):
                raise ValueError("choices must differ from each other")
            return self
        low, high = self.bounds
        if not low < high:
            raise ValueError(f"a range must be two rising numbers, given [{low:g}, {high:g}]")
        return self

    @model_serializer(mode="wrap")
    def _without_new_keys(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """The keys that the version before had, and `choices` only where there are any."""
        value: dict[str, Any] = handler(self)
        if self.choices is None:
            del value["choices"]
        return value

    @property
    def bounds(self) -> tuple[float, float]:
        """Smallest and largest value; of choices there are none."""
        bounds = self.log or self.linear
        assert bounds is not None
        return bounds

    @property
    def space(self) -> tuple[float, float] | tuple[Value, ...]:
        """Smallest and largest value, or all choices."""
        return self.choices or self.bounds

    def value(self, fraction: float) -> Value:
        """The value at a fraction in [0, 1] of the range, on its scale; of n choices each has an n-th of it."""
        if self.choices is not None:
            chosen: Value = self.choices[min(int(fraction * len(self.choices)), len(self.choices) - 1)]
            return chosen
        low, high = self.bounds
        if self.log:
            return low * math.exp(math.log(high / low) * fraction)
        return low + (high - low) * fraction

    @property
    def first(self) -> Value:
        """What is tried first where nothing else is said: the middle of the range, the first choice."""
        return self.choices[0] if self.choices is not None else self.value(0.5)


Nuisance = dict[Annotated[str, Field(pattern=_NAME)], NuisanceRange]


def check_of_packs(nuisance: Mapping[str, NuisanceRange]) -> None:
    """Refuse what the built-in trainer cannot search over.

    Raises:
        ValueError: a hyperparameter that it does not have, or a value that one cannot take.
    """
    for key, one in nuisance.items():
        if key not in OF_PACKS:
            known = ", ".join(map(repr, OF_PACKS))
            raise ValueError(
                f"search.nuisance.{key} does not exist, choose from {known}; any other name needs a trainer of your own"
            )
        if one.choices is not None:
            raise ValueError(f"search.nuisance.{key}: choices need a trainer of your own; give log or linear")
        low, _ = one.bounds
        if low < 0 or (low == 0 and key != "weight_decay"):
            least = "0 or more" if key == "weight_decay" else "above 0"
            raise ValueError(f"search.nuisance.{key} begins at {low:g}, but must be {least}")


def check_of_function(nuisance: Mapping[str, NuisanceRange]) -> None:
    """Refuse names by which a trial of Optuna would not find its strength.

    Raises:
        ValueError: a hyperparameter is called so.
    """
    for key in nuisance:
        if key.startswith("strength"):
            raise ValueError(
                f"search.nuisance.{key}: the alignment strength has a section of its own; give another name"
            )
