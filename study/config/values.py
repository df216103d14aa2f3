"""Values of a study file that several of its keys share: numbers within limits, and lines of tables."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, GetCoreSchemaHandler, GetJsonSchemaHandler, WithJsonSchema
from pydantic_core import CoreSchema, PydanticCustomError
from pydantic_core.core_schema import no_info_after_validator_function

from study.config.secrets import redacted

# Lines of the tables that `Line` reads which need not be looked up: a new one works without being named here.
USUAL_ENCODERS = ("mlp", "linear", "transformer", "vit", "module")
USUAL_ESTIMATORS = ("posterior", "broja", "batch", "lsmi")
USUAL_OBJECTIVES = ("info_nce", "siglip", "vicreg", "linear_cka", "cosine", "whitened_mse")


def number(value: object) -> object:
    """What may be a number, before pydantic turns it into one.

    Raises:
        ValueError: true, false, or a text.
    """
    if isinstance(value, bool):
        raise ValueError("a number is needed, not true/false")
    if isinstance(value, str):  # YAML 1.2 has `1_000` for a text, of which pydantic would make a number
        raise PydanticCustomError("number", "a number")
    return value


def _unless_off(value: object) -> object:
    """No number where the word says so.

    Raises:
        ValueError: it is another text.
    """
    if isinstance(value, str) and value != "off":
        raise PydanticCustomError("number", "a number, or off")
    return None if value == "off" else value


def objectives() -> Iterable[str]:
    """Names of alignment objectives."""
    from trainables.objectives.alignment import ALIGNMENT_OBJECTIVES

    return ALIGNMENT_OBJECTIVES


def estimators() -> Iterable[str]:
    """Names of estimators of profiles."""
    from study.pid import ESTIMATORS

    return ESTIMATORS


def encoders() -> Iterable[str]:
    """Kinds of encoder."""
    from trainables.networks.encoders import ENCODERS

    return ENCODERS


@dataclass(frozen=True)
class Line:
    """A line of a table, which is imported only for a name that is not a `usual` one: it brings torch with it.

    The schema, and with it the reference of the study file, lists all lines that the table has.
    """

    table: Callable[[], Iterable[str]]
    usual: tuple[str, ...]

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """The text that it annotates, checked."""
        return no_info_after_validator_function(self._check, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """The text that it annotates, one of the table's."""
        return {**handler(schema), "enum": list(self.table())}

    def _check(self, name: str) -> str:
        if name not in self.usual and name not in (known := list(self.table())):
            near = get_close_matches(name, known, n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise ValueError(f"{redacted(name)!r} does not exist, choose one of {', '.join(map(repr, known))}{hint}")
        return name


Sampler = Literal["posterior", "gp", "tpe", "qmc", "grid"]
MOST = 1_000_000  # of any number without a smaller limit of its own; what is larger is a slip of the keyboard
LEAST = 1e-4  # of a GPU or of a core: what Ray counts in
Real = Annotated[float, Field(ge=-MOST, le=MOST, allow_inf_nan=False), BeforeValidator(number)]
NonNegative = Annotated[float, Field(ge=0, le=MOST, allow_inf_nan=False), BeforeValidator(number)]
Positive = Annotated[float, Field(gt=0, le=MOST, allow_inf_nan=False), BeforeValidator(number)]
_OR_OFF = {"anyOf": [{"type": "number", "exclusiveMinimum": 0, "maximum": MOST}, {"const": "off"}, {"type": "null"}]}
PositiveOrOff = Annotated[Positive | None, BeforeValidator(_unless_off), WithJsonSchema(_OR_OFF)]
Count = Annotated[int, Field(ge=1, le=MOST), BeforeValidator(number)]
Flag = Annotated[bool, Field(strict=True)]
Strengths = Annotated[tuple[NonNegative, ...], Field(min_length=1, max_length=1000)]
Few = Annotated[int, Field(ge=1, le=1000), BeforeValidator(number)]
