"""A pair's information profile: four non-negative parts of I(X1, X2; Y) in bits, with what is known of their error."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

COMPONENTS = ("redundancy", "unique_1", "unique_2", "synergy")

Dominant = Literal["redundancy", "unique_1", "unique_2", "synergy", "mixed", "none"]
Interval = tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class PIDProfile:
    """Redundancy, unique information of modality 1 and of modality 2, and synergy, in bits.

    `interval` is the estimator's interval per component (`settings["level"]`): it holds the sampling of rows and, where
    networks learn, what they have left to learn. For an exact table it is what the certificate leaves open. `null` is
    the value per component below which it cannot be told from a target that carries no information (a unique part: nor
    from modalities of which this one tells nothing of its own), and `significant`
    says which components lie above it and, by the sampling of rows, above 0; one of these may still turn out to be
    another's, and `interval` then reaches down to 0. `gap` is the duality gap of the solver: the true optimum is within
    `gap` bits (None: the estimator has no certificate). `spread` holds the four components at every discretisation
    that was tried. `settings` says how the profile was made.
    """

    redundancy: float
    unique_1: float
    unique_2: float
    synergy: float
    estimator: str
    gap: float | None
    interval: Mapping[str, Interval]
    null: Mapping[str, float]
    significant: Mapping[str, bool]
    spread: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def dominant(self) -> Dominant:
        """The significant component whose interval lies above all the others'; `mixed` where they overlap."""
        significant = [name for name in COMPONENTS if self.significant[name]]
        if not significant:
            return "none"
        largest = max(significant, key=lambda name: self.interval[name][0])
        others = (self.interval[name][1] for name in COMPONENTS if name != largest)
        return largest if self.interval[largest][0] > max(others) else "mixed"  # type: ignore[return-value]

    @property
    def total(self) -> float:
        """I(X1, X2; Y) in bits: the sum of the four."""
        return self.redundancy + self.unique_1 + self.unique_2 + self.synergy

    def __getitem__(self, component: str) -> float:
        """The value of one of `COMPONENTS`."""
        if component not in COMPONENTS:
            raise KeyError(component)
        value: float = getattr(self, component)
        return value

    def to_json(self) -> dict[str, Any]:
        """The `pid` entry of a report's cell."""
        return {
            **{name: self[name] for name in COMPONENTS},
            "units": "bits",
            "estimator": self.estimator,
            "interval": {name: list(self.interval[name]) for name in COMPONENTS},
            "dominant": self.dominant,
            "gap": self.gap,
            "null": dict(self.null),
            "significant": dict(self.significant),
            "spread": {bins: dict(values) for bins, values in self.spread.items()},
            "settings": dict(self.settings),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> PIDProfile:
        """The profile that `to_json` was called on."""
        return cls(
            **{name: value[name] for name in COMPONENTS},
            estimator=value["estimator"],
            gap=value["gap"],
            interval={name: (low, high) for name, (low, high) in value["interval"].items()},
            null=dict(value["null"]),
            significant=dict(value["significant"]),
            spread=dict(value["spread"]),
            settings=dict(value["settings"]),
        )
