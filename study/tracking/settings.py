"""The study file as parameters of runs, by which studies and strengths are compared in MLflow."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

from study.config.errors import NotationError
from study.config.notation import read_yaml
from study.tracking.naming import key

# What a later run of the same study cannot change, as parameters of MLflow cannot.
_OF_A_CELL = ("dataset", "encoder", "encoders", "alignment", "training")
_OF_A_TRAINING = ("alignment", "training")


class Settings:
    """The resolved study file `text` as parameters: `training.epochs`, `alignment.direction`; of none, nothing."""

    def __init__(self, text: str) -> None:
        try:
            read = read_yaml(text) if text else {}
        except NotationError:
            read = {}
        self._content: Mapping[str, object] = read if isinstance(read, Mapping) else {}

    @property
    def of_a_cell(self) -> dict[str, str]:
        """What the trainings of a cell were made with: data, encoders, alignment, training."""
        return self._flat(_OF_A_CELL)

    @property
    def of_a_training(self) -> dict[str, str]:
        """What all trainings of one strength have in common: those hyperparameters that were not searched over."""
        search = self._content.get("search")
        tuned = search.get("nuisance") if isinstance(search, Mapping) else None
        searched = {f"training.{name}" for name in tuned} if isinstance(tuned, Mapping) else set()
        return {name: value for name, value in self._flat(_OF_A_TRAINING).items() if name not in searched}

    def _flat(self, sections: tuple[str, ...]) -> dict[str, str]:
        return {name: value for section in sections for name, value in _leaves(section, self._content.get(section))}


def _leaves(name: str, value: object) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for inner, each in value.items():
            yield from _leaves(f"{name}.{key(inner)}", each)
    elif isinstance(value, (list, tuple)):
        yield name, json.dumps(value, ensure_ascii=False, default=str)
    elif value is not None:
        yield name, str(value)
