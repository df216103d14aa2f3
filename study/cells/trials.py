"""Settings that a study asks for, and trials of them with the replicates that they need and have."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, Protocol

from trainables.functions.spec import Value
from trainables.spec import ReplicateResult

# How strengths reach the encoders: one for both, one for a single encoder (the other is not pulled), or, to confirm
# any of these on fresh seeds or to train the encoders that are kept, one for each.
Arm = Literal["shared", "to_1", "to_2", "confirm", "final"]
PER_ENCODER: tuple[Arm, ...] = ("confirm", "final")
StrengthPair = tuple[float, float]  # strength of encoder 1 and of encoder 2
# Whose score a curve shows: an encoder's, the mean of both, or what a probe reads from both representations together,
# which decides nothing and is none of `SUBJECTS`.
Subject = Literal["encoder_1", "encoder_2", "pair", "joint"]
ONE_SIDED: tuple[Literal["to_1", "to_2"], ...] = ("to_1", "to_2")  # arms that pull one encoder alone
_FEWEST = 3  # strengths that such an arm begins with, where the design has as many
ENCODERS: tuple[Subject, ...] = ("encoder_1", "encoder_2")
SUBJECTS: tuple[Subject, ...] = (*ENCODERS, "pair")
# Whose optimum an arm searches for.
SERVED: Mapping[Arm, Sequence[Subject]] = {"shared": SUBJECTS, "to_1": ENCODERS[:1], "to_2": ENCODERS[1:]}

_SCORE: Mapping[Subject, Callable[[ReplicateResult], float]] = {
    "encoder_1": lambda result: result.scores[0],
    "encoder_2": lambda result: result.scores[1],
    "pair": lambda result: (result.scores[0] + result.scores[1]) / 2,
    "joint": lambda result: math.nan if result.joint is None else (result.joint[0] + result.joint[1]) / 2,
}


def score_of(result: ReplicateResult, subject: Subject) -> float:
    """The subject's score; NaN where the training diverged, or nothing was probed."""
    return _SCORE[subject](result)


@dataclass(frozen=True, kw_only=True)
class Setting:
    """A strength per encoder and values of the nuisance hyperparameters: what one trial stands for."""

    strength_1: float
    strength_2: float
    nuisance: Mapping[str, Value] = field(default_factory=dict)

    @property
    def strengths(self) -> tuple[float, float]:
        """The strength of encoder 1 and that of encoder 2."""
        return self.strength_1, self.strength_2

    @property
    def strength(self) -> float:
        """The strength of a shared or one-sided setting."""
        return max(self.strength_1, self.strength_2)

    def at(self, strength: float, arm: Arm) -> Setting:
        """The same nuisance values at a strength of an arm that searches: for both encoders, or for one."""
        return replace(
            self, strength_1=0.0 if arm == "to_2" else strength, strength_2=0.0 if arm == "to_1" else strength
        )

    def params(self, arm: Arm) -> dict[str, Value]:
        """The parameters of an Optuna trial of this arm; the inverse of `from_params`."""
        if arm in PER_ENCODER:
            return {"strength_1": self.strength_1, "strength_2": self.strength_2, **self.nuisance}
        return {"strength": self.strength, **self.nuisance}

    @classmethod
    def from_params(cls, arm: Arm, params: Mapping[str, Value]) -> Setting:
        """The setting that `params` came from."""
        nuisance = {name: value for name, value in params.items() if not name.startswith("strength")}
        if arm in PER_ENCODER:
            return cls(
                strength_1=float(params["strength_1"]), strength_2=float(params["strength_2"]), nuisance=nuisance
            )
        return cls(strength_1=0.0, strength_2=0.0, nuisance=nuisance).at(float(params["strength"]), arm)


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

    def scores_of(self, subject: Subject) -> dict[int, float | None]:
        """Scores by replicate; None where the training diverged."""
        values = {index: score_of(self.results[index], subject) for index in sorted(self.results)}
        return {index: None if math.isnan(value) else value for index, value in values.items()}

    @property
    def scores(self) -> list[float | None]:
        """Scores that the arm maximises, by replicate: the mean of both encoders, or that of the one that is pulled.

        None where the training diverged.
        """
        return list(self.scores_of(SERVED.get(self.arm, SUBJECTS)[-1]).values())

    @property
    def value(self) -> float:
        """Mean of `scores`; NaN where every training diverged."""
        finite = [score for score in self.scores if score is not None]
        return sum(finite) / len(finite) if finite else math.nan


class Trials(Protocol):
    """Where trials are known from: a ledger, which is written, or a record that is only read."""

    def trials(self, cell: str, arm: Arm) -> tuple[Asked, ...]:
        """Everything asked so far in one arm of a cell, ordered by round and slot."""
        ...


def has_one_score(cell: str, trials: Trials) -> bool:
    """Whether the user's function has one score for the pair, which stands for both encoders."""
    return any(one.one_score for trial in trials.trials(cell, "shared") for one in trial.results.values())


def opening_size(design: Sequence[float]) -> int:
    """The number of strengths above 0 that a one-sided arm begins with: half of the design's."""
    count = sum(strength > 0 for strength in design)
    return max(min(_FEWEST, count), -(-count // 2))
