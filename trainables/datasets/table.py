"""What a line of `DATASETS` says about a dataset, and how the options of a study file are checked against it."""

from __future__ import annotations

import difflib
import itertools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from math import isfinite
from typing import Any

from trainables.datasets.base import DataError, Loader
from trainables.spec import EncoderSpec

_WORDS = {bool: "true or false", int: "an integer", float: "a number", str: "a text"}
_MOST_NAMES = 60  # that a line lists
_LONGEST = 100  # characters of a wrong value that an error shows


@dataclass(frozen=True, kw_only=True)
class Option:
    """One key that a study file may give below `dataset:`.

    A value passes if its type is one of `types` (an int passes for float) and, where given, it is one of `choices` or
    lies in `bounds` (inclusive). Where the choices are lines of a table, they are a function that reads it. `None`
    passes where it is the default: the key was not given. Where `cells` is set, a list of values is allowed as well,
    and each makes a cell of its own. No text is blank.
    A list holds texts, none of them twice. Keys of
    a mapping are texts; its values are of the types `of`, and a list among them is such a list and not empty.
    """

    doc: str
    types: tuple[type, ...]
    of: tuple[type, ...] = (str,)
    default: Any = None
    choices: tuple[Any, ...] | Callable[[], tuple[Any, ...]] = ()
    bounds: tuple[float, float] | None = None
    cells: bool = False
    required: bool = False

    @property
    def allowed(self) -> str:
        """What may be given, in words."""
        if choices := self._choices:
            words = "one of " + ", ".join(str(choice).lower() for choice in choices)
        else:
            words = " or ".join(self._word(kind) for kind in self.types)
            if self.bounds is not None:
                low, high = self.bounds
                words += f" from {low} to {high}"
        return words + (", or a list of such" if self.cells else "")

    def accepts(self, value: Any) -> bool:
        """Whether one value (not a list of cells) may be given."""
        if value is None:
            return self.default is None and not self.required
        if choices := self._choices:
            return any(type(value) is type(choice) and value == choice for choice in choices)
        kinds = (*self.types, int) if float in self.types else self.types
        if type(value) not in kinds:
            return False
        if isinstance(value, float) and not isfinite(value):
            return False
        if isinstance(value, str) and not value.strip() and not self.required:  # of those the reader says more
            return False
        if isinstance(value, list):
            return all(type(one) is str and one.strip() for one in value) and len(set(value)) == len(value)
        if isinstance(value, dict):
            return all(type(key) is str and key.strip() and self._is_element(one) for key, one in value.items())
        return self.bounds is None or not isinstance(value, int | float) or self.bounds[0] <= value <= self.bounds[1]

    @property
    def _choices(self) -> tuple[Any, ...]:
        return self.choices() if callable(self.choices) else self.choices

    def _is_element(self, value: Any) -> bool:
        """Whether a mapping may hold `value`."""
        if type(value) not in self.of:
            return False
        if isinstance(value, str):
            return bool(value.strip())
        return not isinstance(value, list) or (bool(value) and Option(doc="", types=(list,)).accepts(value))

    def _word(self, kind: type) -> str:
        if kind is list:
            return "a list of different texts"
        if kind is dict:
            return f"a mapping of texts to {' or lists of '.join('texts' for _ in self.of)}"
        return _WORDS[kind]


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """One line of `DATASETS`.

    `shapes` gives one sample's shape of each modality (empty where the user's file decides), `encoders` the encoders
    that its paper used. A set that is read from a file has the option `path`, whose default says where the file goes,
    `origin` says where it can be had, and the option `stand_in` generates data of the same layout instead.
    """

    load: Loader
    description: str
    licence: str
    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    encoders: Mapping[str, EncoderSpec] = field(default_factory=dict)
    options: Mapping[str, Option] = field(default_factory=dict)
    origin: str | None = None

    def resolve(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """All options: those given, checked, and the defaults of the others.

        Raises:
            DataError: a key is unknown or missing, or a value is not allowed.
        """
        for key, value in options.items():
            option = self.options.get(key)
            if option is None:
                raise DataError(unknown("dataset option", key, self.options))
            values = value if option.cells and isinstance(value, list) and value else [value]
            for one in values:
                if not option.accepts(one):
                    raise DataError(f"dataset option {key}: {_short(one)} is not allowed; give {option.allowed}")
                if values.count(one) > 1:
                    raise DataError(f"dataset option {key}: {_short(one)} is given twice; each value makes one cell")
        for key, option in self.options.items():
            if option.required and key not in options:
                raise DataError(f"dataset option {key} is missing; give {option.allowed}: {option.doc}")
        return {key: _plain(options.get(key, option.default), option) for key, option in self.options.items()}

    def cells(self, options: Mapping[str, Any]) -> tuple[dict[str, Any], ...]:
        """The resolved options of each cell: one for every combination of the options given as lists of cells."""
        resolved = self.resolve(options)
        axes = [
            value if self.options[key].cells and isinstance(value, list) else [value] for key, value in resolved.items()
        ]
        return tuple(dict(zip(resolved, values, strict=True)) for values in itertools.product(*axes))


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def _plain(value: Any, option: Option) -> Any:
    """Equal options as equal JSON: 1 and 1.0 are the same temperature."""
    if option.cells and isinstance(value, list):
        return [_plain(one, option) for one in value]
    return float(value) if float in option.types and type(value) is int and int not in option.types else value


def unknown(what: str, given: str, known: Iterable[str]) -> str:
    """The one line for a name that does not exist: what was given, the nearest known one, and all that are known."""
    names = list(known)
    near = difflib.get_close_matches(str(given), names, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    more = f", … and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    return f"unknown {what} {given!r}{hint} (known: {', '.join(names[:_MOST_NAMES]) or 'none'}{more})"


def profile(redundancy: float, unique_1: float, unique_2: float, synergy: float) -> dict[str, float]:
    """A PID in bits, under the names that everything reads."""
    return {"redundancy": redundancy, "unique_1": unique_1, "unique_2": unique_2, "synergy": synergy}


SEED = Option(doc="of the drawn rows and their split", types=(int,), default=0, bounds=(0, 2**32 - 1))
