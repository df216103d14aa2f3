"""The section of a study file that names the user's own way of training, and which other keys it rules out."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import Field, field_validator

from study.config.section import Section
from study.config.values import Flag
from trainables.code.calls import Call, full_path

_OBJECT = re.compile(r"[^\W\d][\w.<>]*")  # the name of what was given from Python
_MOST_OPTIONS = 2**16  # characters of JSON
_SCORE = r"^[^\s|][^|\n]{0,39}$"


class TrainerSection(Section):
    """Your own way of training: one function that trains both encoders once and returns their scores.

    With it the keys of the built-in training (`encoder`, `encoders`, `training`, the objective under `alignment` …) are
    refused: they would change nothing. `dataset` may be left out; if it is given, it says what the pair knows about the
    target, and the function reads its own data all the same.
    """

    call: str
    """`FILE.py:NAME`, the function and its file, from the folder of the study file."""
    options: dict[str, Any] = Field(default_factory=dict)
    """Whatever the function should know, as `trial.options`."""
    folder: str | None = None
    """A folder that goes to every node with the file, whose modules can be imported, from the folder of the study file;
    without one the file goes alone."""
    maximise: Flag = True
    """Whether higher scores are better; `false` for losses."""
    score: str = Field(default="score", pattern=_SCORE)
    """What the scores are, for the report: `accuracy` and `r2` are told in their own units."""

    @field_validator("call")
    @classmethod
    def _known_call(cls, call: str) -> str:
        if Call.read(call) is None and (call.endswith(".py") or not _OBJECT.fullmatch(call)):
            raise ValueError(f"{call[:80]!r} names no function; give FILE.py:NAME, as own_training.py:train")
        return call

    @field_validator("options")
    @classmethod
    def _plain_options(cls, options: dict[str, Any]) -> dict[str, Any]:
        try:
            text = json.dumps(options, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise ValueError(f"they must be plain values, as JSON has them ({error})") from None
        if len(text) > _MOST_OPTIONS:
            raise ValueError(f"they have {len(text):,} characters, at most {_MOST_OPTIONS:,} are allowed; name a file")
        return options

    @property
    def file(self) -> Path | None:
        """The function's file; None where it was given from Python."""
        call = Call.read(self.call)
        return call.file if call else None

    @property
    def name(self) -> str:
        """The function's name."""
        call = Call.read(self.call)
        return call.name if call else self.call

    @property
    def identity(self) -> dict[str, Any]:
        """What of it decides results: which function by the file's own name, so that a project may be moved."""
        call = f"{self.file.name}:{self.name}" if self.file else self.call
        return {"call": call, "options": self.options, "maximise": self.maximise}

    @property
    def metric(self) -> str:
        """What the report calls the scores, of which higher is better: losses are turned."""
        return self.score if self.maximise else f"negative {self.score}"

    def located(self, folder: Path) -> TrainerSection:
        """The section with its paths in full; `folder` is that of the study file."""
        call = Call.read(self.call)
        return self.model_copy(
            update={
                "call": self.call if call is None else str(call.located(folder)),
                "folder": None if self.folder is None else str(full_path(self.folder, folder).resolve()),
            }
        )


# Keys of the built-in training, by their section; of a section that means nothing as a whole no key.
_RULED_OUT: Mapping[str, tuple[str, ...]] = {
    "encoder": (),
    "encoders": (),
    "training": (),
    "score": (),
    "alignment": ("objective", "direction", "projector", "projector_width"),
    "replicates": ("splits", "confirm_on"),
    "resources": ("pack",),
}


def ruled_out(given: Mapping[str, Any]) -> str | None:
    """What is wrong with a study file that names a trainer of the user's, by what it gives; None for nothing."""
    for section, keys in _RULED_OUT.items():
        if section not in given:
            continue
        content = given[section]
        named = [key for key in keys if isinstance(content, Mapping) and key in content]
        if section == "score":
            return (
                "score is of the built-in training; what trainer.call returns decides: say what it is as trainer.score"
            )
        if not keys or named:
            key = f"{section}.{named[0]}" if named else section
            return (
                f"{key} belongs to the built-in training and means nothing for trainer.call; take it out, and give the "
                "function what it needs as trainer.options"
            )
    if "pid" in given and "dataset" not in given:
        return "pid needs data to decompose, and there is no dataset; take it out, or name the dataset"
    if not isinstance(given.get("pairs", "all"), list | tuple):
        return "pairs must name the encoders whose scores trainer.call returns, as pairs: [[image, text]]"
    return None


def own_keys(value: Mapping[str, Any]) -> dict[str, Any]:
    """The keys of a whole study file that mean something where it names a trainer of the user's."""
    kept: dict[str, Any] = {}
    for section, content in value.items():
        keys = _RULED_OUT.get(section)
        if keys is None:
            kept[section] = content
        elif keys:
            kept[section] = {key: one for key, one in content.items() if key not in keys}
    if kept.get("dataset") is None:
        kept.pop("dataset", None)
        kept.pop("pid", None)
    return kept
