"""Extensions of a study as the record holds them: what it asked for before, and how far each cell was by then."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

from study.cells.stages import Looked, Stage
from study.cells.trials import Arm, Trials
from study.config.amounts import Amounts
from study.search.record.forms import Form

EXTENSION_FORM: Form = {
    "amounts": {"search": int, "confirm": int, "refine": int, "range": [float, float], "initial": [float, ...]},
    "config_hash": str,
    "rounds": {str: {str: int}},
    "looked": {str: str},
}


@dataclass(frozen=True, kw_only=True)
class Extension:
    """One extension of a study: what it asked for before, under which hash, and how far each cell was, by its id."""

    amounts: Amounts
    config_hash: str
    rounds: Mapping[str, Mapping[Arm, int]]
    looked: Mapping[str, Looked]

    def is_of_the_same_state(self, other: Extension) -> bool:
        """Whether both found a study in one state, in which nothing had been asked for in between."""
        return (self.amounts, self.config_hash, self.rounds) == (other.amounts, other.config_hash, other.rounds)

    def to_json(self) -> dict[str, Any]:
        """Plain containers; the inverse of `from_json`."""
        return {
            "amounts": self.amounts.to_json(),
            "config_hash": self.config_hash,
            "rounds": {cell: dict(rounds) for cell, rounds in self.rounds.items()},
            "looked": dict(self.looked),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Extension:
        """The extension that `to_json` was called on."""
        return cls(
            amounts=Amounts.from_json(value["amounts"]),
            config_hash=value["config_hash"],
            rounds=value["rounds"],
            looked=value["looked"],
        )


def past_of(cell: str, extensions: Sequence[Extension] | None) -> tuple[Stage, ...]:
    """The past stages of the cell of this id: those of the extensions that found it on record."""
    return tuple(
        Stage(amounts=one.amounts, rounds=one.rounds[cell], looked=one.looked.get(cell, "not"))
        for one in extensions or ()
        if cell in one.rounds
    )


def rounds_on_record(cell: str, trials: Trials) -> dict[Arm, int]:
    """How many rounds of each arm of a cell, by its id, have been asked for."""
    counts: dict[Arm, int] = {}
    for arm in get_args(Arm):
        if asked := trials.trials(cell, arm):
            counts[arm] = 1 + max(trial.round for trial in asked)
    return counts
