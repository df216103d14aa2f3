"""A study file whose code lies elsewhere: the same file with other paths for what it names."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from study.config.notation import write_yaml
from study.config.reading import given_keys
from study.config.study_file import StudyConfig
from trainables.code.calls import Call, full_path


def named_code(config: StudyConfig) -> tuple[Call, ...]:
    """The scores and factories of encoders that a configuration names, by their whole paths; each once."""
    scores = config.score.values() if isinstance(config.score, dict) else [config.score]
    encoders = (config.encoder, *config.encoders.values())
    named = (*scores, *(encoder.factory for encoder in encoders))
    calls = (Call.read(name) for name in named if name is not None)
    return tuple(dict.fromkeys(call for call in calls if call is not None))


def moved_file(path: Path, *, overrides: Iterable[str], places: Mapping[Path, str]) -> str:
    """The text of the study file at `path` with its `overrides`, whose code lies at other places.

    Args:
        path: of the study file.
        overrides: as `load_config` has them.
        places: for the whole path of every file or folder of code, where it lies now, from the new study file.

    Raises:
        ConfigError: the file cannot be read.
    """
    value = given_keys(path, overrides=overrides)
    folder = path.parent

    def of_call(text: str) -> str:
        call = Call.read(text)
        return text if call is None else f"{places[call.located(folder).file]}:{call.name}"

    def of_folder(text: str) -> str:
        return places[full_path(text, folder).resolve()]

    _change(value.get("trainer"), "call", of_call)
    _change(value.get("trainer"), "folder", of_folder)
    _change(value, "score", of_call)
    for name in value["score"] if isinstance(value.get("score"), dict) else ():
        _change(value["score"], name, of_call)
    for encoder in (value.get("encoder"), *(value.get("encoders") or {}).values()):
        _change(encoder, "factory", of_call)
    return write_yaml(value)


def _change(section: Any, key: str, change: Callable[[str], str]) -> None:
    """Change the text under a key, where there is one."""
    if isinstance(section, dict) and isinstance(section.get(key), str):
        section[key] = change(section[key])
