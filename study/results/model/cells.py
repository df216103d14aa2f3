"""What a report says of one cell: its profile, its answers, and what they are read against."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from study.pid import COMPONENTS
from study.results.model.answers import (
    AdvisedResult,
    CurvePoint,
    EncoderResult,
    JointResult,
    Limits,
    PairResult,
)
from study.results.model.budget import CutResult
from study.results.model.containers import said
from study.results.model.pictures import PicturesResult
from study.results.names import one_line

SIMILARITIES = ("cka", "svcca", "mutual_knn")  # of representations, that every version has


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfileResult:
    """The PID profile of a pair, as `study.pid.PIDProfile` has it, and the `exact` one where it is known."""

    redundancy: float | None = said(required=True, null=True)
    unique_1: float | None = said(required=True, null=True)
    unique_2: float | None = said(required=True, null=True)
    synergy: float | None = said(required=True, null=True)
    units: str | None = said(required=True, const="bits")
    estimator: str | None = said(required=True)
    interval: Mapping[str, Limits] = said("of each component", required=True, default=dict, keys=COMPONENTS)
    dominant: str | None = said(required=True, choices=(*COMPONENTS, "mixed", "none"))
    gap: float | None = said("certificate of the exact solver, bits", null=True)
    null: Mapping[str, float | None] | None = said(
        "of each component, what chance may explain", null=True, keys=COMPONENTS
    )
    significant: Mapping[str, bool] | None = said("whether a component is more than that", null=True)
    spread: Mapping[str, Mapping[str, float]] = said("the components at every discretisation tried", default=dict)
    settings: Mapping[str, object] = said("how the profile was made", default=dict)
    exact: Mapping[str, float | None] | None = said("of generated data", null=True, keys=COMPONENTS)

    @property
    def components(self) -> dict[str, float | None]:
        """Redundancy, both unique parts and synergy by name, bits."""
        return {name: getattr(self, name) for name in COMPONENTS}


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredCrossing:
    """The strength at which a trained encoder has lost half of `lost`, which is in units of its score."""

    strength: float | None = None
    interval: Limits | None = None
    lost: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EncoderTogether:
    """One encoder where the theory describes what is trained: its scores, and where half of its loss is expected."""

    modality: str | None = None
    scores: tuple[float | None, ...] = said("expected at each strength", default=())
    crossing: float | None = said("null: it loses nothing", null=True)
    measured: MeasuredCrossing | None = said("null: no loss was measured", null=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class TogetherResult:
    """What the linear theory expects the study itself to measure, at the study's own strengths."""

    objective: str | None = None
    strengths: tuple[float | None, ...] = said(default=())
    encoders: tuple[EncoderTogether, ...] = said(default=())


@dataclass(frozen=True, slots=True, kw_only=True)
class EncoderForecastResult:
    """The linear forecast of one encoder; `risk` and `held_out` are shares of the target's variance."""

    modality: str | None = None
    strengths: tuple[float | None, ...] = said("in units of the theory", default=())
    risk: tuple[float | None, ...] = said(default=())
    held_out: tuple[float | None, ...] = said(default=())
    best_strength: float | None = None
    critical_strengths: tuple[float, ...] = said(default=())


@dataclass(frozen=True, slots=True, kw_only=True)
class ForecastResult:
    """The linear forecast of a pair, see `study.theory.forecast`."""

    k: int | None = said("width of the narrower encoder")
    correlations: tuple[float, ...] = said("canonical", default=())
    shrinkage: tuple[float, ...] = said("of each modality's covariance", default=())
    together: TogetherResult | None = said("null where the study minimises something else", null=True)
    encoders: tuple[EncoderForecastResult, ...] = said("in the pair's order", default=())


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """How much was trained for a cell; strengths and replicates of its search."""

    trainings: int | None = said(minimum=0)
    diverged: int | None = said(minimum=0)
    strengths: int | None = said(minimum=0)
    replicates: int | None = said(minimum=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExtensionResult:
    """What a pair was asked for before its study was extended, and whether its confirmation could be seen by then."""

    search: int | None = said("seeds of the search", minimum=0)
    confirm: int | None = said("confirming seeds", minimum=0)
    refine: int | None = said("strengths that the sampler could add", minimum=0)
    range: Limits | None = said("of strengths")
    looked: str | None = said("at its confirmation", choices=("not", "partly", "whole"))


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftBehind:
    """A confirmation that does not count any more, as an extended search came to other strengths."""

    strengths: tuple[float, ...] = said("λ of encoder 1 and of encoder 2", default=(), length=2, minimum=0)
    seeds: int | None = said(minimum=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class EarlierCell:
    """A cell of an earlier study that a search learnt from, and how far its profile is, bits."""

    study: str | None = None
    label: str | None = said(null=True)
    estimator: str | None = said(null=True)
    profile: tuple[float, ...] = said("redundancy, unique 1, unique 2, synergy", default=())
    lambda_star: float | None = said(minimum=0)
    interval: Limits | None = said(null=True)
    distance: float | None = said(minimum=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfer:
    """What a search started from, and the trainings of its design that it could spare."""

    learnt_from: tuple[EarlierCell, ...] = said(name="from", default=())
    first: tuple[float, ...] = said("strengths of the first round", default=(), minimum=0)
    spared: int | None = said(minimum=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class AlignmentPoint:
    """The similarities of both encoders' representations at one strength, by name."""

    strength: float | None = said(required=True, null=True)
    similarities: Mapping[str, float | None] = said(default=dict, rest=True, null=True, keys=SIMILARITIES)


@dataclass(frozen=True, slots=True, kw_only=True)
class OtherNumbers:
    """Other numbers than scores that the user's function returned at one strength: means over the replicates."""

    strength: float | None = said(required=True, null=True)
    numbers: Mapping[str, float | None] = said("by name", default=dict, null=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnTraining:
    """The user's own function, which trained a pair."""

    call: str | None = said("file and name", required=True)
    code: Mapping[str, int] = said("how many trainings each hash of its code has made", default=dict, minimum=0)
    options: Mapping[str, object] = said("that every training was given", default=dict)
    maximise: bool = said("whether higher is better of what it returns; if not, scores here are turned", default=True)
    one_score: bool = said("it has one score for the pair, which stands for both encoders", default=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class LearningCurve:
    """The mean over the replicates of one strength, at every epoch that was measured."""

    strength: float | None = None
    epoch: tuple[float | None, ...] = said(default=())
    score_1: tuple[float | None, ...] = said(default=(), absent=True)
    score_2: tuple[float | None, ...] = said(default=(), absent=True)
    loss_1: tuple[float | None, ...] = said(default=(), absent=True)
    loss_2: tuple[float | None, ...] = said(default=(), absent=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class AtStrength:
    """What a cell's trainings come to at one strength: each encoder's point of its curve, and all similarities.

    A point of an encoder that has none there says nothing.
    """

    strength: float
    points: tuple[CurvePoint, ...]
    similarities: Mapping[str, float | None]


class ToldEncoder(NamedTuple):
    """An encoder by its place in the pair, 0 or 1, and the name by which it is told of, with its answer."""

    place: int
    name: str
    answer: EncoderResult


@dataclass(frozen=True, slots=True, kw_only=True)
class CellResult:
    """All that a report says of one pair of modalities."""

    id: str | None = None
    label: str | None = None
    dataset: str | None = said("null where only the user's function knows its data", required=True, null=True)
    variant: Mapping[str, object] = said("what is special about its data", default=dict)
    stand_in: bool = said("generated data in place of the real ones", default=False)
    pair: tuple[str, ...] = said(required=True, default=(), length=2)
    direction: str | None = said(
        "the encoder that its one strength pulls, where the study file says so; both else", choices=("to_1", "to_2")
    )
    metrics: tuple[str, ...] = said("of each encoder", default=())
    rows: Mapping[str, int] = said("of each split", default=dict, minimum=0)
    error: str | None = said("why it has no answer", null=True)
    counts: Counts = said(default=Counts)
    extensions: tuple[ExtensionResult, ...] = said("how the study was extended, oldest first", default=(), absent=True)
    left_behind: tuple[LeftBehind, ...] = said("confirmations that do not count any more", default=(), absent=True)
    cut: CutResult | None = said("absent where no budget ended its search")
    transfer: Transfer = said(default=Transfer)
    stopping_spared: int | None = said(
        "trainings that a met target of search.stop_* spared; absent where there is none, or the search goes on or was "
        "extended",
        minimum=0,
    )
    pid: ProfileResult | None = said(required=True, null=True)
    encoders: tuple[EncoderResult, ...] = said("in the pair's order", required=True, default=(), length=2)
    pair_choice: PairResult = said(required=True, default=PairResult)
    joint: JointResult | None = said(
        "what both representations tell together, by a ridge probe; absent where nothing was probed"
    )
    advised: AdvisedResult | None = said("the decision for the pair")
    alignment: tuple[AlignmentPoint, ...] = said(required=True, default=())
    learning_curves: tuple[LearningCurve, ...] = said(default=())
    forecast: ForecastResult | None = said(null=True)
    own_training: OwnTraining | None = said("absent where the encoders are the built-in ones")
    other_numbers: tuple[OtherNumbers, ...] = said("of the user's function", default=(), absent=True)
    pictures: PicturesResult | None = said("absent where the record holds none")

    @property
    def has_one_score(self) -> bool:
        """Whether both encoders have the one score of the pair: then there is one answer to tell."""
        return self.own_training is not None and self.own_training.one_score

    @property
    def names(self) -> tuple[str, str]:
        """The two modalities' names on one line each."""
        names = [one_line(name) for name in self.pair][:2]
        first, second = (*names, *("encoder 1", "encoder 2")[len(names) :])
        return first, second

    @property
    def told_encoders(self) -> tuple[ToldEncoder, ...]:
        """The encoders that have an answer of their own to be told; one, as the pair, where it has one score."""
        names = ("the pair",) if self.has_one_score else self.names
        told = zip(names, self.encoders, strict=False)
        return tuple(ToldEncoder(index, name, answer) for index, (name, answer) in enumerate(told))

    @property
    def title(self) -> str:
        """What the cell is called: its label, or dataset and pair where it has none."""
        return one_line(self.label) if self.label else f"{one_line(self.dataset or 'data')}, {' + '.join(self.names)}"

    @property
    def identity(self) -> str:
        """The unique id, or what the cell is called where it has none."""
        return self.id or self.title

    @property
    def answered(self) -> bool:
        """Whether both encoders have a λ*, and nothing has failed on the way to it or to its confirmation."""
        return (
            self.error is None
            and bool(self.encoders)
            and all(encoder.lambda_star is not None for encoder in self.encoders)
        )

    @property
    def advice(self) -> AdvisedResult:
        """`advised`, also of a report that has no such field: λ, gain and verdict of the strategy that is chosen, and
        not of one λ for both.
        """
        if self.advised is not None:
            return self.advised
        choice = self.pair_choice
        chosen = next((one for one in choice.alternatives if one.strategy == choice.strategy), None)
        if choice.strategy is None:
            return AdvisedResult()
        if choice.strategy == "shared":
            strength = choice.strengths[0] if choice.strengths else choice.lambda_star
            gain = (chosen.gain_mean if chosen else None) or choice.gain_over_zero
            interval, verdict = choice.interval, choice.verdict
        elif choice.strategy == "none" or chosen is None:
            strength, gain = 0.0, None
            interval = None if choice.interval is None else (0.0, choice.interval[1])
            verdict = choice.verdict if choice.verdict == "avoid" else "indifferent"
        else:
            strength = max(choice.strengths) if choice.strategy != "per_encoder" and choice.strengths else None
            pulled = [encoder for encoder in self.encoders[:2] if encoder.arm == choice.strategy]
            interval, verdict = pulled[0].interval if pulled else None, "align"
            gain = chosen.gain_mean
        return AdvisedResult(
            strategy=choice.strategy, strength=strength, interval=interval, strengths=choice.strengths, gain=gain,
            verdict=verdict,
        )  # fmt: skip

    @property
    def by_strength(self) -> tuple[AtStrength, ...]:
        """Curves and similarities beside each other, ascending strengths; those at which an encoder was scored."""
        known = {point.strength: point.similarities for point in self.alignment}
        curves = [{point.strength: point for point in reversed(encoder.curve)} for encoder in self.encoders[:2]]
        return tuple(
            AtStrength(
                strength=strength,
                points=tuple(curve.get(strength, CurvePoint()) for curve in curves),
                similarities=known.get(strength, {}),
            )
            for strength in sorted({strength for encoder in self.encoders[:2] for strength in encoder.tried})
        )

    def similarity(self, name: str) -> list[tuple[float, float]]:
        """One similarity of both encoders' representations at each strength that has it, ascending strengths."""
        known = ((point.strength, point.similarities.get(name)) for point in self.alignment)
        return sorted((strength, value) for strength, value in known if strength is not None and value is not None)

    def metric(self, encoder: int) -> str:
        """The score of encoder 0 or 1: `accuracy` unless the report says otherwise."""
        return self.metrics[encoder] if encoder < len(self.metrics) else "accuracy"

    def file_stem(self, position: int) -> str:
        """A unique file name for the cell's figures: its 1-based place in the report and the safe part of its id."""
        safe = re.sub(r"[^a-z0-9]+", "-", self.identity.lower()).strip("-")
        return f"{position:02d}-{safe[:60].strip('-') or 'cell'}"
