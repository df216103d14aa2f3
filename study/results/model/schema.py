"""The JSON Schema of report.json, made from the dataclasses of a report."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import is_dataclass
from typing import Any, cast, get_args, get_origin

from study.results.model.containers import Said, entries, optional
from study.results.model.report import Report

_SCALARS = {float: "number", int: "integer", str: "string", bool: "boolean"}


def report_schema() -> dict[str, Any]:
    """The schema of a report, Draft 2020-12, every other result under `$defs` by the name of its class."""
    shared: dict[str, Any] = {}
    whole = _object(Report, shared)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "report.json of Align Study",
        **whole,
        "$defs": dict(sorted(shared.items())),
    }


def _object(kind: type, shared: dict[str, Any]) -> dict[str, Any]:
    told: dict[str, Any] = {"description": " ".join((inspect.getdoc(kind) or "").split()), "type": "object"}
    also = getattr(kind, "ALSO_REQUIRED", ())
    required = [e.key for e in entries(kind) if not e.said.rest and (e.said.required or e.key in also)]
    properties: dict[str, Any] = {}
    for entry in entries(kind):
        schema = _value(entry.hint, entry.said, shared)
        if entry.said.rest:
            required += entry.said.keys
            told["additionalProperties"] = schema["additionalProperties"]
        else:
            properties[entry.key] = (
                {"description": entry.said.description, **schema} if entry.said.description else schema
            )
    return {**told, "required": required, "properties": properties}


def _value(hint: Any, told: Said, shared: dict[str, Any]) -> dict[str, Any]:
    """The schema of a value."""
    if (inner := optional(hint)) is not None:
        return _or_null(_value(inner, told, shared), null=told.null)
    if is_dataclass(hint):
        return _reference(cast("type", hint), shared)
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is tuple:
        return _list(arguments, told, shared)
    if origin is Mapping:
        schema: dict[str, Any] = {"type": "object"}
        if told.keys and not told.rest:
            schema["required"] = list(told.keys)
        return {**schema, "additionalProperties": _value(arguments[1], told, shared)}
    if hint is object:
        return {}
    return _bounded(_SCALARS[hint], told)


def _list(arguments: tuple[Any, ...], told: Said, shared: dict[str, Any]) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "array", "items": _value(arguments[0], told, shared)}
    fixed = told.length if arguments[-1] is Ellipsis else len(arguments)
    if fixed is not None:
        schema |= {"minItems": fixed, "maxItems": fixed}
    if told.at_least is not None:
        schema["minItems"] = told.at_least
    return schema


def _reference(kind: type, shared: dict[str, Any]) -> dict[str, Any]:
    if kind.__name__ not in shared:
        shared[kind.__name__] = {}  # named before it is made, for a result that holds its own kind
        shared[kind.__name__] = _object(kind, shared)
    return {"$ref": f"#/$defs/{kind.__name__}"}


def _bounded(name: str, told: Said) -> dict[str, Any]:
    if told.const is not None:
        return {"const": told.const}
    if told.choices:
        return {"enum": list(told.choices)}
    bounds = {"minimum": told.minimum, "exclusiveMinimum": told.above, "maximum": told.maximum}
    return {"type": name, **{key: bound for key, bound in bounds.items() if bound is not None}}


def _or_null(schema: dict[str, Any], *, null: bool) -> dict[str, Any]:
    if not null:
        return schema
    if "enum" in schema:
        return {**schema, "enum": [*schema["enum"], None]}
    if isinstance(schema.get("type"), str) and schema["type"] in _SCALARS.values():
        return {**schema, "type": [schema["type"], "null"]}
    return {"anyOf": [schema, {"type": "null"}]}
