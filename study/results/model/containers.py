"""Typed results and plain containers: one reader, one writer, both by the fields and type hints of a dataclass.

Reading is tolerant, since reports of partial studies and of other versions lack fields: what is missing, null, not
finite or of a wrong type becomes the field's default, and what no field is for is passed over. So every field has a
default. Writing adds nothing and rounds nothing: values stand in the order of their fields, and None stands as null
where a field may be null, and is left out where it may not.
"""

from __future__ import annotations

import math
import types
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import MISSING, Field, dataclass, field, fields, is_dataclass
from functools import cache
from typing import Any, NamedTuple, TypeVar, Union, cast, get_args, get_origin, get_type_hints

_KEY = "said"


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What is said of a field beside its type.

    `name` is its key in JSON, where that is no name in Python; `first`: it stands before the fields of the base class;
    `null`: it may be null; `absent`: it is left out where it is None or empty; `rest`: a mapping whose entries stand
    beside the other fields. The rest is for the schema: `required`: every version has it; the bounds are those of the
    value, or of each value that it holds; `keys` are those that a mapping always has, `length` is that of a list.
    """

    description: str = ""
    required: bool = False
    null: bool = False
    name: str | None = None
    first: bool = False
    absent: bool = False
    rest: bool = False
    const: object = None
    choices: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()
    minimum: float | None = None
    above: float | None = None
    maximum: float | None = None
    length: int | None = None
    at_least: int | None = None


def said(description: str = "", *, default: Any = None, **more: Any) -> Any:
    """A field of a result with what is said of it, see `Said`; `default` is a value, or a callable that makes it."""
    metadata = {_KEY: Said(description=description, **more)}
    if callable(default):
        return field(default_factory=default, metadata=metadata)
    return field(default=default, metadata=metadata)


class Entry(NamedTuple):
    """One field of a result as a container has it: `key` in JSON, `name` in Python, its type and what is said of it."""

    key: str
    name: str
    hint: Any
    said: Said
    default: Field[Any]


T = TypeVar("T")
_NOTHING = object()  # what could not be read; None is a value


def from_json(kind: type[T], value: object) -> T:
    """The result of a `kind` that `value` tells, as far as it does; all defaults where it is no mapping."""
    values = cast("Mapping[str, object]", value) if isinstance(value, Mapping) else {}
    told: dict[str, Any] = {}
    known = entries(cast("Any", kind))
    own = {entry.key for entry in known}
    for entry in known:
        if entry.said.rest:
            found = _read(entry.hint, {key: each for key, each in values.items() if key not in own})
        else:
            found = _read(entry.hint, values.get(entry.key, _NOTHING))
        told[entry.name] = _default(entry) if found is _NOTHING else found
    return kind(**told)


def to_json(value: object) -> Any:
    """A result, or anything that holds some, as plain containers, NaN unmet: whoever made it has none."""
    if is_dataclass(value) and not isinstance(value, type):
        return dict(_written(value))
    if isinstance(value, Mapping):
        return {key: to_json(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_json(each) for each in value]
    return value


def number(value: object) -> float | None:
    """`value` as a finite float, or None where it is missing, null, not a number, NaN or infinite."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:  # an integer of more than 308 digits
        return None


@cache
def entries(kind: type) -> tuple[Entry, ...]:
    """The fields of a result in the order in which its container has them."""
    hints = get_type_hints(kind)
    found = []
    for each in fields(cast("Any", kind)):
        told = each.metadata.get(_KEY, Said())
        found.append(Entry(told.name or each.name, each.name, hints[each.name], told, each))
    return tuple(sorted(found, key=lambda entry: not entry.said.first))


def optional(hint: Any) -> Any:
    """The type that a hint `X | None` names beside None, or None where it is another hint."""
    if get_origin(hint) not in (Union, types.UnionType):
        return None
    (inner,) = (each for each in get_args(hint) if each is not type(None))
    return inner


def _default(entry: Entry) -> Any:
    made, value = entry.default.default_factory, entry.default.default
    return made() if made is not MISSING else value


def _written(value: Any) -> Iterator[tuple[str, Any]]:
    for entry in entries(cast("Any", type(value))):
        own = getattr(value, entry.name)
        if entry.said.rest:
            yield from to_json(own).items()
        elif not _is_absent(entry.said, own):
            yield entry.key, to_json(own)


def _is_absent(told: Said, value: object) -> bool:
    return (value is None and (told.absent or not told.null)) or (
        isinstance(value, tuple | Mapping) and not value and told.absent
    )


def _read(hint: Any, value: object) -> Any:
    if (inner := optional(hint)) is not None:
        found = _read(inner, value)
        return None if found is _NOTHING else found
    if is_dataclass(hint):
        return from_json(cast("type", hint), value) if isinstance(value, Mapping) else _NOTHING
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is tuple:
        return _sequence(arguments, value)
    if origin is Mapping:
        if not isinstance(value, Mapping):
            return _NOTHING
        read = {str(key): _read(arguments[1], each) for key, each in value.items()}
        return {key: each for key, each in read.items() if each is not _NOTHING}
    return _scalar(hint, value)


def _sequence(arguments: tuple[Any, ...], value: object) -> Any:
    """A tuple of any length without what cannot be read, or one of the length that its type says."""
    if not isinstance(value, Sequence) or isinstance(value, (str, bytes)):
        return _NOTHING
    if arguments[-1] is Ellipsis:
        read = [_read(arguments[0], each) for each in value]
        return tuple(each for each in read if each is not _NOTHING)
    if len(value) != len(arguments):
        return _NOTHING
    read = [_read(hint, each) for hint, each in zip(arguments, value, strict=True)]
    return _NOTHING if any(each is _NOTHING for each in read) else tuple(read)


def _scalar(hint: Any, value: object) -> Any:
    if hint is object:
        return value
    if hint is float:
        found = number(value)
        return _NOTHING if found is None else found
    if hint is int:
        found = number(value)
        return int(cast("int", value)) if found is not None and found == int(found) else _NOTHING
    return value if isinstance(value, hint) else _NOTHING
