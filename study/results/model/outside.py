"""What is said of trainings that somebody else has run: an encoder's answer, and what else such a table tells."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from study.results.model.answers import EncoderResult, Limits
from study.results.model.containers import said


@dataclass(frozen=True, slots=True, kw_only=True)
class BestTrial:
    """The training of the best score, and what its setting is to be expected to score: the rest is luck."""

    strength: float | None = said(required=True)
    seed: str | None = said(null=True)
    score: float | None = said("as it was measured", required=True)
    expected: float | None = said("mean score of trainings at its strength", required=True, null=True)
    interval: Limits | None = said("90 %, of that mean", null=True)
    luck: float | None = said("by how much its score is better than that; negative for worse", null=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class NextTraining:
    """A training that would tell most about λ*."""

    strength: float | None = said(required=True, minimum=0)
    seed: str | None = said("one of the table, or `new 1`, `new 2`, …: the same new seed where the number is the same")


@dataclass(frozen=True, slots=True, kw_only=True)
class OtherHyperparameter:
    """Another hyperparameter of the trainings, and how the answer stands to it."""

    name: str | None = said(required=True)
    role: str | None = said(
        "fixed: of one value; nuisance: at its best at each strength; varies: the answer is about its values as they "
        "were drawn, and depends on them",
        required=True,
        choices=("fixed", "nuisance", "varies"),
    )
    values: str | None = said("its values, or the smallest and the largest")
    correlation: float | None = said("rank correlation with the score where it varies", null=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingCounts:
    """What became of the trainings of a table; those that are neither used nor diverged are left out."""

    trainings: int | None = said(required=True, minimum=0)
    used: int | None = said(required=True, minimum=0)
    diverged: int | None = said("their score is NaN or infinite", minimum=0)
    duplicates: int | None = said("rows that stand twice", minimum=0)
    averaged: int | None = said("of the same strength, seed and setting as another, with another score", minimum=0)
    set_aside: int | None = said("of settings that were not the best at their strength", minimum=0)
    missing: int | None = said("without a score or a strength", minimum=0)
    failed: int | None = said(minimum=0)
    pruned: int | None = said("stopped early", minimum=0)
    running: int | None = said("not ended", minimum=0)
    other_split: int | None = said("scores on a split that is neither searched nor confirmed on", minimum=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class OutsideResult(EncoderResult):
    """The answer from trainings that are done already, for one encoder or hyperparameter.

    The fields are those of an encoder in report.json; scores are in the table's own unit and direction, gains are
    positive where the score gets better. `gain_over_zero` is over the smallest strength, `relative_to`.
    """

    source: str | None = said("where the trainings were read", first=True)
    name: str | None = said("what λ is called here")
    score: str | None = said("what is scored")
    minimise: bool = said("a lower score is better", default=False)
    relative_to: float | None = said("the strength that gains are over: the smallest one", minimum=0)
    paired: bool = said("the same seeds stand at several strengths, and are compared with themselves", default=False)
    strengths_merged: int | None = said("groups that neighbouring strengths were taken together to", null=True)
    expected_score: float | None = said("mean score of trainings at λ*", null=True)
    expected_interval: Limits | None = said("90 %, of that mean", null=True)
    best_trial: BestTrial | None = None
    next: tuple[NextTraining, ...] = said("the trainings that would tell most, the first one most", default=())
    seeds_needed: int | None = said(
        "fresh seeds, at λ* and at `relative_to`, that would show a gain of this size with a probability of 80 %",
        null=True,
    )
    others: tuple[OtherHyperparameter, ...] = said(default=())
    counts: TrainingCounts = said(default=TrainingCounts)
    took: Mapping[str, str] = said("which column was taken for what", default=dict)
    remarks: tuple[str, ...] = said("what these trainings cannot tell, and what was assumed", default=())
