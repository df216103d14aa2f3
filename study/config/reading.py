"""From the text of a study file to a `StudyConfig`: every mistake is one `ConfigError` line."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from study.config.errors import ConfigError, NotationError
from study.config.files import read_regular
from study.config.notation import MOST_CHARACTERS, read_yaml, write_yaml
from study.config.nuisance import NuisanceRange
from study.config.schema import EncoderSection
from study.config.scores import located
from study.config.secrets import redacted
from study.config.study_file import StudyConfig, in_full
from trainables.code.calls import Call

StandIn = Literal["full", "small"]
# What a study on a small stand-in has at most, so that it takes minutes: the planted signal is learnt in a few epochs.
_SMALL = {
    ("training", "epochs"): 8,
    ("training", "warmup"): 1.0,
    ("strength", "refine"): 3,
    ("replicates", "search"): 5,
    ("replicates", "confirm"): 8,
    ("search", "trials_per_strength"): 1,
    ("pid", "bootstrap"): 50,
}

_DEEPEST = 8  # keys of an override
_CUT_ADDRESS = re.compile(r"^[^#\n\"']*\bpostgresql://[^\s@]{0,200}[ \t]+#[^\n]*@", re.MULTILINE)  # as YAML cuts it


def to_yaml(config: StudyConfig) -> str:
    """The resolved study file: every key with its value, which `parse_config` reads back to an equal configuration."""
    return write_yaml(config.to_json())


def load_config(path: Path, *, overrides: Iterable[str] = (), stand_in: StandIn | None = None) -> StudyConfig:
    """The study file at `path` with `a.b=value` overrides applied.

    With `stand_in` it is the same study on generated data of its dataset's layout, under a name of its own that says
    so. A small one is short as well: at most 8 epochs, 5 seeds, 3 strengths more than the initial ones, no tuning of
    nuisance hyperparameters.

    Raises:
        ConfigError: the file is missing, no regular file or no YAML, or a key or value in it is not allowed.
    """
    return parse_config(_read(path), source=str(path), overrides=overrides, stand_in=stand_in, folder=path.parent)


def parse_config(
    text: str,
    *,
    source: str = "the study file",
    overrides: Iterable[str] = (),
    stand_in: StandIn | None = None,
    folder: Path = Path(),
) -> StudyConfig:
    """As `load_config`, from text; `source` names it in messages, and files of code are sought from `folder`."""
    value = _overridden(text, source, overrides)
    config = _with_paths(_validated(value, source), folder)
    return config if stand_in is None else _on_stand_in(config, stand_in)


def given_keys(path: Path, *, overrides: Iterable[str] = ()) -> dict[str, Any]:
    """The keys that the study file at `path` gives, with overrides applied; their values are not looked at.

    Raises:
        ConfigError: the file is missing, no regular file or no YAML, or an override is none.
    """
    return _overridden(_read(path), str(path), overrides)


def load_resolved(path: Path) -> StudyConfig:
    """As `parse_resolved`, from a file."""
    return parse_resolved(_read(path), source=str(path))


def parse_resolved(text: str, *, source: str) -> StudyConfig:
    """The configuration that `to_yaml` wrote, in this version or one before; `source` names it in messages.

    Raises:
        ConfigError: it was not, or holds what this version does not have.
    """
    return _validated(in_full(_mapping(text, source)), source)


def _mapping(text: str, source: str) -> dict[str, Any]:
    value = _parse_yaml(text, source)
    if not isinstance(value, dict):
        raise ConfigError(f"{source} holds {_kind(value)}, not a mapping of keys; it needs at least study and dataset")
    return value


def _overridden(text: str, source: str, overrides: Iterable[str]) -> dict[str, Any]:
    value = _mapping(text, source)
    for override in overrides:
        _apply_override(value, override)
    return value


def _read(path: Path) -> str:
    try:
        return read_regular(path, most=4 * MOST_CHARACTERS).decode("utf-8")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or (
            "it is no UTF-8 text" if isinstance(error, UnicodeDecodeError) else str(error)
        )
        raise ConfigError(f"cannot read the study file {path}: {reason}; give the path of a YAML file") from None


def _with_paths(config: StudyConfig, folder: Path) -> StudyConfig:
    """The configuration with files of code by their whole paths, so that it means the same from any folder."""

    def whole(section: EncoderSection) -> EncoderSection:
        call = None if section.factory is None else Call.read(section.factory)
        return section if call is None else section.model_copy(update={"factory": str(call.located(folder))})

    if config.trainer is not None:
        return config.model_copy(update={"trainer": config.trainer.located(folder)})
    score = config.score
    if isinstance(score, str):
        score = located(score, folder)
    elif score is not None:
        score = {name: located(one, folder) for name, one in score.items()}
    return config.model_copy(
        update={
            "score": score,
            "encoder": whole(config.encoder),
            "encoders": {name: whole(section) for name, section in config.encoders.items()},
        }
    )


def _on_stand_in(config: StudyConfig, size: StandIn) -> StudyConfig:
    if config.trainer is not None:
        raise ConfigError("--stand-in is for the built-in training: trainer.call reads data of its own; leave it out")
    value = config.to_json()
    for section, key in config.left_out:
        del value[section][key]
    value["dataset"]["stand_in"] = "small" if size == "small" else True
    value["study"] = f"{config.study}-stand-in"
    if size == "small":
        for (section, key), most in _SMALL.items():
            if key in value[section]:
                value[section][key] = min(value[section][key], most)
        value["search"]["nuisance"] = {}
    return _validated(value, "--stand-in")


def _validated(value: Mapping[str, Any], source: str) -> StudyConfig:
    try:
        return StudyConfig.model_validate(value)
    except ValidationError as error:
        raise ConfigError(f"{source}: {_describe(error.errors())}") from None


def _parse_yaml(text: str, source: str) -> Any:
    if match := _CUT_ADDRESS.search(text):
        raise ConfigError(
            f"{source}: line {text.count(chr(10), 0, match.start()) + 1} has an address (as of storage) with ' #' "
            "before its @, where a comment of YAML begins; a password does not belong there, write ${VARIABLE} or "
            "${file:PATH}"
        )
    try:
        return read_yaml(text)
    except NotationError as error:
        where = f" at line {error.place[0]}, column {error.place[1]}" if error.place else ""
        raise ConfigError(f"{source} is not valid YAML{where}: {_cut(str(error))}; correct it there") from None


def _apply_override(value: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    told = f"--set {_short(override)}"
    if not equals or not key:
        raise ConfigError(f"{told} is no assignment; write --set section.key=value")
    *sections, last = key.split(".")
    if len(sections) >= _DEEPEST:
        raise ConfigError(f"{told} has {len(sections) + 1} keys, one in another; write --set section.key=value")
    for section in sections:
        value = value.setdefault(section, {})
        if not isinstance(value, dict):
            raise ConfigError(
                f"{told}: {_cut(section.partition('://')[0])} is no section; write --set section.key=value"
            )
    value[last] = _parse_yaml(text, told)


def _describe(errors: list[ErrorDetails]) -> str:
    """One sentence for the first mistake; a value that fits no branch of a union has an error for each of them."""
    error = errors[0]
    path = _key(error)
    key = _cut(re.sub(r"://.*", "://…", ".".join(path), flags=re.DOTALL)) or "the file"
    if error["type"] == "extra_forbidden":
        allowed = _keys_at(path[:-1])
        if place := _misplaced(path):
            return f"unknown key {key}; write {place} in its place"
        near = difflib.get_close_matches(path[-1], allowed, n=1)
        hint = f"did you mean {near[0]}?" if near else f"allowed are {', '.join(allowed)}"
        return f"unknown key {key}; {hint}"
    if error["type"] == "invalid_key" or (error["type"] == "string_type" and error["loc"][-1:] == ("[key]",)):
        return f"{key}: the key {_short(error['input'])} is no text; write a name in quotes"
    if error["type"] == "missing" and path and path[-1].isdecimal():  # of a list of a certain length
        length = len(error["input"]) + sum(one["type"] == "missing" for one in errors)
        return f"{key.rpartition('.')[0]} is {_short(error['input'])}, but must be a list of {length}"
    if error["type"] == "missing":
        return f"the key {error.get('ctx', {}).get('key', key)} is missing; add it"
    if error["type"] == "value_error":
        told = error["msg"].removeprefix("Value error, ")
        return f"{key}: {told}" if path else told
    if path[:1] == ["pairs"]:
        given = _short(error["input"])
        return f"pairs is {given}, but must be all or a list of pairs, not empty: [[left, right], [left, top]]"
    branches = [_expectation(branch) for branch in errors if _key(branch)[: len(path)] == path]
    return f"{key} is {_short(error['input'])}, but must be {' or '.join(dict.fromkeys(branches))}"


def _expectation(error: ErrorDetails) -> str:
    if error["type"] == "string_pattern_mismatch":
        return "a name of up to 64 letters, digits, dots, dashes and underscores that starts with a letter or digit"
    if error["type"] in {"model_type", "dict_type", "model_attributes_type"}:
        return "a section of key: value lines"
    if error["type"] == "bool_type":
        return "true or false"
    if error["type"] == "string_type":
        return "text"
    if error["type"] == "too_short":
        what = "section" if error["ctx"]["field_type"] == "Dictionary" else "list"
        return f"a {what} that is not empty"
    if error["type"] == "too_long":
        return f"a list of at most {error['ctx']['max_length']:,}"
    if error["type"] == "tuple_type":
        return "a list"
    if error["type"] == "int_parsing_size":
        return "a whole number of fewer digits"
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
            model = _section(fields[part].annotation)
        else:  # a name that the user chose: the section lies below it
            model = EncoderSection if path[0] == "encoders" else NuisanceRange
    return sorted(getattr(model, "model_fields", {}))


def _misplaced(path: list[str]) -> str | None:
    """Where the key stands that was given elsewhere; None where it is no such key, or one of several."""
    if len(path) > 1 and path[-1] in StudyConfig.model_fields:
        return path[-1]
    sections = [section for section in StudyConfig.model_fields if path[-1] in _keys_at([section])]
    return f"{sections[0]}.{path[-1]}" if len(sections) == 1 and len(path) < 3 else None


def _section(annotation: Any) -> Any:
    """The section that a key holds, be it one that may be left out."""
    return next((one for one in get_args(annotation) if hasattr(one, "model_fields")), annotation)


def _kind(value: object) -> str:
    return "nothing" if value is None else f"a {type(value).__name__}"


def _short(value: object) -> str:
    return _cut(repr(value), 60)


def _cut(text: str, longest: int = 200) -> str:
    """The start of what was given, without passwords: they go before it is cut."""
    text = redacted(text)
    return text if len(text) <= longest else f"{text[: longest - 3]}…"
