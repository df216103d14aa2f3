"""A study file's keys as arguments of Python, for a function that is given as an object."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypedDict, cast

from study.config.errors import ConfigError

OPTIONS = ("options", "maximise", "score")  # keys of the section `trainer` that stand beside the others
MapOf = Mapping[str, Any]


class StudyKeys(TypedDict, total=False):
    """Keys of a study file, as `python -m study.config` documents them; a section is a mapping.

    `options`, `maximise` and `score` are keys of its section `trainer`.
    """

    study: str
    pairs: Sequence[tuple[str, str]]
    options: MapOf
    maximise: bool
    score: str
    strength: MapOf
    search: MapOf
    replicates: MapOf
    resources: MapOf
    budget: MapOf
    alignment: MapOf
    models: bool
    seed: int
    storage: str
    dataset: MapOf
    pid: MapOf


def of_function(function: Callable[..., object], keys: StudyKeys) -> str:
    """The text of the study file that says the same of a function.

    Raises:
        ConfigError: a key is none of a study file's, or holds what no study file can.
    """
    given = cast("MapOf", keys)
    if unknown := [key for key in given if key not in StudyKeys.__annotations__]:
        raise ConfigError(f"run(): there is no key {unknown[0]}; allowed are {', '.join(StudyKeys.__annotations__)}")
    name = getattr(function, "__qualname__", type(function).__qualname__)
    trainer = {"call": name, **{key: given[key] for key in OPTIONS if key in given}}
    content = {**{key: value for key, value in given.items() if key not in OPTIONS}, "trainer": trainer}
    try:
        return json.dumps(content)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"run(): {error}; keys hold texts, numbers, lists and mappings alone") from None
