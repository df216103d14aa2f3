"""The documentation of the study file, made from the docstrings and limits of its schema."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from study.config.study_file import StudyConfig
from trainables.datasets import DATASETS, Option

Schema = Mapping[str, Any]
_NAMED = {"additionalProperties", "patternProperties"}  # of what holds sections by names of their own


def reference() -> str:
    """Markdown: a table of the file's keys, and one for each of its sections."""
    lines = ["# The study file"]
    for title, section in _sections():
        lines += ["", f"## {title}", "", section["description"], ""]
        lines += ["| key | values | default | what it does |", "|---|---|---|---|"]
        required = section.get("required", ())
        for key, schema in section["properties"].items():
            default = "required" if key in required else _default(schema)
            told = " ".join(str(schema.get("description", "")).split()) or _section_told(schema)
            cells = (f"`{key}`", _values(schema), default, told)
            lines.append(_row(cells))
    for name, dataset in DATASETS.items():
        if dataset.options:
            lines += ["", f"## `dataset` with `name: {name}`", "", _sentence(dataset.description), ""]
            lines += ["| key | values | default | what it does |", "|---|---|---|---|"]
            lines += [_row((f"`{key}`", *_option(option))) for key, option in dataset.options.items()]
    return "\n".join(lines)


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _option(option: Option) -> tuple[str, str, str]:
    """Values, default and meaning of a dataset's option."""
    default = option.default
    shown = "–" if default is None else f"`{default if isinstance(default, str) else json.dumps(default)}`"
    return option.allowed, "required" if option.required else shown, _sentence(option.doc)


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."


def _schema() -> Schema:
    return StudyConfig.model_json_schema()


def _sections() -> Iterator[tuple[str, Schema]]:
    """The file and its sections, each titled by the keys that hold one."""
    whole = _schema()
    yield "Top level", whole
    for name, section in whole["$defs"].items():
        holders = [
            f"{'' if owner is whole else 'search.'}{key}" + (".NAME" if _NAMED & schema.keys() else "")
            for owner in (whole, *whole["$defs"].values())
            for key, schema in owner["properties"].items()
            if f"#/$defs/{name}" in json.dumps(schema)
        ]
        yield ", ".join(f"`{holder}`" for holder in holders), section


def _section_told(schema: Schema) -> str:
    return "A section, see below." if "$ref" in schema else ""


def _default(schema: Schema) -> str:
    default = schema.get("default")
    if default is None or isinstance(default, dict):
        return "–"
    return f"`{json.dumps(default)}`" if not isinstance(default, str) else f"`{default}`"


def _values(schema: Schema) -> str:
    """What may be written, in words."""
    if "anyOf" in schema:
        return " or ".join(told for branch in schema["anyOf"] if (told := _values(branch)))
    if "$ref" in schema:
        return "section"
    if "enum" in schema or "const" in schema:
        return ", ".join(f"`{value}`" for value in schema.get("enum", [schema.get("const")]))
    kind = schema.get("type")
    if kind in ("number", "integer"):
        limits = [
            f"{sign} {_number(schema[name])}"
            for name, sign in (("minimum", "≥"), ("exclusiveMinimum", ">"), ("maximum", "≤"), ("exclusiveMaximum", "<"))
            if name in schema
        ]
        return " ".join(["whole number" if kind == "integer" else "number", " and ".join(limits)]).strip()
    if kind == "array":
        items = schema.get("prefixItems")
        return f"list of {len(items)}: {_values(items[0])}" if items else f"list of {_values(schema['items'])}"
    if kind == "object":
        each = schema.get("additionalProperties")
        if each is True:
            return "names and values"
        is_text = isinstance(each, dict) and each.get("type") == "string"
        return f"names, each with {'text' if is_text else 'a section'}"
    return {"string": "text", "boolean": "`true`, `false`", "null": ""}.get(str(kind), "")


def _number(limit: float) -> str:
    return f"{limit:,.0f}" if abs(limit) >= 1000 else f"{limit:g}"
