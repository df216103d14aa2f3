"""What a study asks for: settings, and trials with the replicates that they need and have."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from trainables.spec import ReplicateResult

# How strengths reach the encoders: one for both, one for a single encoder (the other is not pulled), or, to confirm
# any of these on fresh seeds or to train the encoders that are kept, one for each.
Arm = Literal["shared", "to_1", "to_2", "confirm", "final"]
PER_ENCODER: tuple[Arm, ...] = ("confirm", "final")
# What each encoder's score counts for whoever is served: encoder 1, encoder 2, the pair as one.
Weights = tuple[float, float]
ENCODER_1, ENCODER_2, PAIR = (1.0, 0.0), (0.0, 1.0), (0.5, 0.5)


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What one trial stands for: a strength per encoder and values of the nuisance hyperparameters."""

    strength_1: float
    strength_2: float
    nuisance: Mapping[str, float] = field(default_factory=dict)

    def params(self, arm: Arm) -> dict[str, float]:
        """The parameters of an Optuna trial of this arm; the inverse of `from_params`."""
        if arm in PER_ENCODER:
            return {"strength_1": self.strength_1, "strength_2": self.strength_2, **self.nuisance}
        return {"strength": self.strength_2 if arm == "to_2" else self.strength_1, **self.nuisance}

    @classmethod
    def from_params(cls, arm: Arm, params: Mapping[str, float]) -> Setting:
        """The setting that `params` came from."""
        nuisance = {name: value for name, value in params.items() if not name.startswith("strength")}
        if arm in PER_ENCODER:
            return cls(strength_1=params["strength_1"], strength_2=params["strength_2"], nuisance=nuisance)
        strength = params["strength"]
        return cls(
            strength_1=0.0 if arm == "to_2" else strength,
            strength_2=0.0 if arm == "to_1" else strength,
            nuisance=nuisance,
        )


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A setting that a round asked for, with the replicates (by index) that it needs and has."""

    arm: Arm
    number: int
    round: int
    slot: int
    setting: Setting
    replicates: tuple[int, ...]
    results: Mapping[int, ReplicateResult] = field(default_factory=dict)

    @property
    def missing(self) -> tuple[int, ...]:
        """Replicates that still have to be trained."""
        return tuple(index for index in self.replicates if index not in self.results)

    def scores_of(self, weights: Weights) -> dict[int, float | None]:
        """Weighted scores by replicate; None where the training diverged."""
        pairs = {index: self.results[index].scores for index in sorted(self.results)}
        values = {index: weights[0] * first + weights[1] * second for index, (first, second) in pairs.items()}
        return {index: None if math.isnan(value) else value for index, value in values.items()}

    @property
    def scores(self) -> list[float | None]:
        """What the arm maximises, by replicate: the mean of both encoders, or that of the one that is pulled.

        None where the training diverged.
        """
        weights = {"to_1": ENCODER_1, "to_2": ENCODER_2}.get(self.arm, PAIR)
        return list(self.scores_of(weights).values())

    @property
    def value(self) -> float:
        """Mean of `scores`; NaN where every training diverged."""
        finite = [score for score in self.scores if score is not None]
        return sum(finite) / len(finite) if finite else math.nan
