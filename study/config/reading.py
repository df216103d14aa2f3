"""From the text of a study file to a `StudyConfig`: every mistake is one `ConfigError` line."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from study.config.schema import EncoderSection, NuisanceRange, StudyConfig

StandIn = Literal["full", "small"]
# What a study on a small stand-in has at most, so that it takes minutes: the planted signal is learnt in a few epochs.
_SMALL = {
    ("training", "epochs"): 8,
    ("strength", "refine"): 3,
    ("replicates", "search"): 5,
    ("replicates", "confirm"): 8,
    ("search", "trials_per_strength"): 1,
    ("pid", "bootstrap"): 50,
}


class ConfigError(ValueError):
    """Bad input of the user: one line that says what was given, what is allowed and what to do."""


def to_yaml(config: StudyConfig) -> str:
    """The resolved study file: every key with its value, which `parse_config` reads back to an equal configuration."""
    return yaml.safe_dump(config.to_json(), sort_keys=False, allow_unicode=True)


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """One `key: old -> new` for every leaf in which two configurations (as `identity` gives them) differ."""
    left, right = dict(_leaves(old)), dict(_leaves(new))
    return [
        f"{key}: {left.get(key, '(none)')} -> {right.get(key, '(none)')}"
        for key in sorted({*left, *right})
        if left.get(key) != right.get(key)
    ]


def load_config(path: Path, *, overrides: Iterable[str] = (), stand_in: StandIn | None = None) -> StudyConfig:
    """The study file at `path` with `a.b=value` overrides applied.

    With `stand_in` it is the same study on generated data of its dataset's layout, under a name of its own that says
    so. A small one is short as well: at most 8 epochs, 5 seeds, 3 strengths more than the initial ones, no tuning of
    nuisance hyperparameters.

    Raises:
        ConfigError: the file is missing or no YAML, or a key or value in it is not allowed.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no UTF-8 text"
        raise ConfigError(f"cannot read the study file {path}: {reason}; give the path of a YAML file") from None
    return parse_config(text, source=str(path), overrides=overrides, stand_in=stand_in)


def parse_config(
    text: str,
    *,
    source: str = "the study file",
    overrides: Iterable[str] = (),
    stand_in: StandIn | None = None,
) -> StudyConfig:
    """As `load_config`, from text; `source` names it in messages."""
    value = _parse_yaml(text, source)
    if not isinstance(value, dict):
        raise ConfigError(f"{source} holds {_kind(value)}, not a mapping of keys; it needs at least study and dataset")
    for override in overrides:
        _apply_override(value, override)
    config = _validated(value, source)
    return config if stand_in is None else _on_stand_in(config, stand_in)


def _on_stand_in(config: StudyConfig, size: StandIn) -> StudyConfig:
    value = config.to_json()
    value["dataset"]["stand_in"] = "small" if size == "small" else True
    value["study"] = f"{config.study}-stand-in"
    if size == "small":
        for (section, key), most in _SMALL.items():
            value[section][key] = min(value[section][key], most)
        value["search"]["nuisance"] = {}
    return _validated(value, "--stand-in")


def _validated(value: Mapping[str, Any], source: str) -> StudyConfig:
    try:
        return StudyConfig.model_validate(value)
    except ValidationError as error:
        raise ConfigError(f"{source}: {_describe(error.errors())}") from None


class _UniqueKeyLoader(yaml.SafeLoader):
    """Refuses a key written twice, where plain YAML would silently keep the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if str(key) in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key!r} is given twice", key_node.start_mark
                )
            seen.add(str(key))
        return super().construct_mapping(node, deep=deep)


def _parse_yaml(text: str, source: str) -> Any:
    try:
        return yaml.load(text, Loader=_UniqueKeyLoader)
    except (yaml.YAMLError, RecursionError, ValueError, TypeError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f" at line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        problem = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise ConfigError(f"{source} is not valid YAML{where}: {problem}; correct it there") from None


def _apply_override(value: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    if not equals or not key:
        raise ConfigError(f"--set {override!r} is no assignment; write --set section.key=value")
    *sections, last = key.split(".")
    for section in sections:
        value = value.setdefault(section, {})
        if not isinstance(value, dict):
            raise ConfigError(f"--set {override!r}: {section} is no section; write --set section.key=value")
    value[last] = _parse_yaml(text, f"--set {override!r}")


def _describe(errors: list[ErrorDetails]) -> str:
    """One sentence for the first mistake; a value that fits no branch of a union has an error for each of them."""
    error = errors[0]
    path = _key(error)
    key = ".".join(path) or "the file"
    if error["type"] == "extra_forbidden":
        allowed = _keys_at(path[:-1])
        near = difflib.get_close_matches(path[-1], allowed, n=1)
        hint = f"did you mean {near[0]}?" if near else f"allowed are {', '.join(allowed)}"
        return f"unknown key {key}; {hint}"
    if error["type"] == "missing":
        return f"the key {key} is missing; add it"
    if error["type"] == "value_error":
        return f"{key}: {error['msg'].removeprefix('Value error, ')}"
    branches = [_expectation(branch) for branch in errors if _key(branch)[: len(path)] == path]
    return f"{key} is {_short(error['input'])}, but must be {' or '.join(dict.fromkeys(branches))}"


def _expectation(error: ErrorDetails) -> str:
    if error["type"] == "string_pattern_mismatch":
        return "a name of up to 64 letters, digits, dots, dashes and underscores that starts with a letter or digit"
    if error["type"] in {"model_type", "dict_type", "model_attributes_type"}:
        return "a section of key: value lines"
    if error["type"] == "too_short":
        return "a list that is not empty"
    message = error["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
    return message[0].lower() + message[1:]


def _key(error: ErrorDetails) -> list[str]:
    return [str(part) for part in error["loc"] if not _is_branch(part) and part != "[key]"]


def _is_branch(part: int | str) -> bool:
    """Whether a part of a pydantic location names a branch of a union rather than a key of the file."""
    return isinstance(part, str) and (
        part.startswith(("literal[", "constrained-", "function-", "tuple[")) or part in {"float", "int"}
    )


def _keys_at(path: list[str]) -> list[str]:
    model: Any = StudyConfig
    for part in path:
        fields = getattr(model, "model_fields", {})
        if part in fields:
            model = fields[part].annotation
        else:  # a name that the user chose: the section lies below it
            model = EncoderSection if path[0] == "encoders" else NuisanceRange
    return sorted(getattr(model, "model_fields", {}))


def _kind(value: object) -> str:
    return "nothing" if value is None else f"a {type(value).__name__}"


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "…"


def _leaves(value: object, prefix: str = "") -> Iterable[tuple[str, object]]:
    if isinstance(value, Mapping) and value:
        for key, item in value.items():
            yield from _leaves(item, f"{prefix}.{key}" if prefix else str(key))
    else:
        yield prefix, value
