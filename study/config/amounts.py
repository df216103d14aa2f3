"""How much a study asks for: the keys by which one that has begun, or has ended, can be extended."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from study.config.study_file import StudyConfig

# Each key that may grow, as the study file has it, with the field of `Amounts` that holds it.
GROWING: Mapping[tuple[str, str], str] = {
    ("replicates", "search"): "search",
    ("replicates", "confirm"): "confirm",
    ("strength", "refine"): "refine",
    ("strength", "range"): "range",
    ("strength", "initial"): "initial",
}


@dataclass(frozen=True, kw_only=True)
class Amounts:
    """Seeds of the search and of the confirmation, strengths to add, and the range and first strengths of a study."""

    search: int
    confirm: int
    refine: int
    range: tuple[float, float]
    initial: tuple[float, ...]

    @classmethod
    def of(cls, config: StudyConfig) -> Amounts:
        """What a configuration asks for."""
        strength, replicates = config.strength, config.replicates
        return cls(
            search=replicates.search,
            confirm=replicates.confirm,
            refine=strength.refine,
            range=strength.range,
            initial=strength.design,
        )

    def amended(self, config: StudyConfig) -> StudyConfig:
        """The same configuration with these amounts."""
        strength = {"range": self.range, "initial": self.initial, "refine": self.refine}
        return config.model_copy(
            update={
                "replicates": config.replicates.model_copy(update={"search": self.search, "confirm": self.confirm}),
                "strength": config.strength.model_copy(update=strength),
            }
        )

    def grew(self, key: tuple[str, str], before: Amounts) -> bool:
        """Whether this asks for as much as `before` under a key of `GROWING`, or more, and for all that it asked for.

        A range grows upwards: its lower end is 0 always.
        """
        field = GROWING[key]
        old, new = getattr(before, field), getattr(self, field)
        if field == "initial":
            return {*old} <= {*new}
        return bool(new >= old)

    def to_json(self) -> dict[str, Any]:
        """Plain containers; the inverse of `from_json`."""
        return asdict(self) | {"range": list(self.range), "initial": list(self.initial)}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Amounts:
        """The amounts that `to_json` was called on."""
        low, high = value["range"]
        return cls(
            search=value["search"],
            confirm=value["confirm"],
            refine=value["refine"],
            range=(float(low), float(high)),
            initial=tuple(map(float, value["initial"])),
        )
