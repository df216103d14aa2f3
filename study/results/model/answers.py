"""What a report says of one subject, an encoder or a pair as one: its curve, λ*, the gain and what to do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import ClassVar

from study.results.model.containers import said

SHAPES = ("rising", "falling", "inverted-u", "flat")
STRATEGIES = ("none", "shared", "to_1", "to_2", "per_encoder")

Limits = tuple[float, float]  # [low, high]
Strengths = tuple[float, float]  # λ of encoder 1 and of encoder 2


@dataclass(frozen=True, slots=True, kw_only=True)
class GainResult:
    """A gain over λ = 0 and its evidence."""

    mean: float | None = said(
        "paired difference to λ = 0, in the metric's unit (0.01 is one point of accuracy)", required=True, null=True
    )
    interval: Limits | None = said(required=True, null=True)
    p_value: float | None = said(required=True, null=True)
    seeds: int | None = said(required=True, minimum=0)
    p_adjusted: float | None = said("after Holm over all claims of the study", null=True, absent=True)
    p_needed: float | None = said(
        "uncorrected p-value with which one gain more of this study would be confirmed", above=0, maximum=1
    )
    source: str | None = said(
        "fresh seeds on the test split, the seeds of the search on it, or the search alone",
        choices=("confirm", "split", "search"),
    )
    units: int | None = said(
        "how many rows, groups or blocks of the test split the interval counts the luck of: it is for new ones; "
        "without it the interval is for these rows, and counts the luck of the seeds alone",
        minimum=1,
    )
    unit: str | None = said(
        "what `units` are; blocks of rows are left out in turn, where a score is no mean over rows",
        choices=("rows", "groups", "blocks"),
    )
    units_share: float | None = said("their part of the interval's variance", minimum=0, maximum=1)
    splits: int | None = said("of so many random splits, one a seed: the interval is for new rows", minimum=1)
    looks: int | None = said(
        "how often this gain could be seen, where more seeds were trained after it was: interval and p-value are "
        "corrected for that",
        minimum=2,
    )
    standard_error: float | None = said("of the mean, where there were several looks", minimum=0)
    smallest_gain: float | None = said(
        "smallest gain of interest: one whose interval lies within ± this is too small to matter", above=0
    )

    @property
    def is_too_small(self) -> bool:
        """Whether it is shown to be too small to matter, be it gain or loss; as `study.selection.Gain` has it."""
        smallest, bounds = self.smallest_gain, self.interval
        return smallest is not None and bounds is not None and -smallest <= bounds[0] and bounds[1] <= smallest

    @property
    def is_for_new_rows(self) -> bool:
        """Whether its interval counts the luck of the rows, and so holds for new ones of the same population."""
        return self.units is not None or self.splits is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class ToldGain(GainResult):
    """A gain over λ = 0 and the strength that it was measured at."""

    strength: float | None = said("that it was measured at", minimum=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class CurvePoint:
    """The scores at one strength."""

    strength: float | None = said(required=True, minimum=0)
    mean: float | None = said(required=True, null=True)
    sd: float | None = said(required=True, null=True)
    seeds: int | None = said(required=True, minimum=0)
    diverged: int | None = said(minimum=0)
    scores: tuple[float | None, ...] = said(
        "one a seed, the same seeds at every strength; null is diverged", default=(), null=True
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class PosteriorCurve:
    """The posterior of a curve on a grid of strengths: its mean and the limits of its band."""

    strength: tuple[float | None, ...] = said(default=())
    mean: tuple[float | None, ...] = said(default=())
    low: tuple[float | None, ...] = said(default=())
    high: tuple[float | None, ...] = said(default=())
    scale: float | None = said("of the axis log(1 + strength/scale) on which it is smooth", above=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchedResult:
    """What the search came to, before what was confirmed was set against it."""

    lambda_star: float | None = said(minimum=0)
    highest: float | None = said(
        "where the curve is highest, if λ* is a strength beside it that was confirmed before the search was extended",
        minimum=0,
    )
    shape: str | None = said(choices=SHAPES)
    gain_over_zero: GainResult | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SubjectResult:
    """The answer for one subject; without one, the flag `diverged` stands alone."""

    lambda_star: float | None = said(
        "best strength: an encoder's own, or of a pair that of one λ for both; null where there is no answer",
        required=True,
        null=True,
        minimum=0,
    )
    interval: Limits | None = said("90 %, of the posterior of the optimum; it holds λ*", required=True, null=True)
    lambda_1se: float | None = said("smallest strength within one standard error of the best", null=True)
    expected_regret: float | None = said(
        "what λ* is expected to lose against the unknown best, in the metric's unit", null=True, absent=True
    )
    gain_over_zero: GainResult | None = said("of λ*: 0 by definition where λ* is 0", required=True, null=True)
    gain: ToldGain | None = said(
        "the gain that terminal, page, tables and MLflow tell: that of λ*, or, where λ* is 0, of the strength at which "
        "the searched curve is highest"
    )
    searched: SearchedResult | None = said("what the search alone came to")
    verdict: str | None = said(required=True, null=True, choices=("align", "avoid", "indifferent"))
    shape: str | None = said(null=True, choices=SHAPES)
    shape_p_value: float | None = said("of the test against a flat curve", null=True, absent=True)
    harm_p_value: float | None = said("of the claim that alignment lowers the score")
    drop_p_value: float | None = said("of the claim that the strongest scores below λ*")
    flags: tuple[str, ...] = said(default=())
    curve: tuple[CurvePoint, ...] = said("validation split, ascending strengths", default=())
    posterior: PosteriorCurve | None = None

    @property
    def told_curve(self) -> tuple[CurvePoint, ...]:
        """The curve that the answer is read from."""
        return self.curve

    @property
    def told_posterior(self) -> PosteriorCurve | None:
        """The posterior of `told_curve`."""
        return self.posterior

    @property
    def told_gain(self) -> ToldGain:
        """`gain`, also of a report that has no such field; empty where there is none to tell: at λ = 0 there is nothing
        to gain over λ = 0.
        """
        if self.gain is not None:
            return self.gain
        searched = self.searched or SearchedResult()
        for strength, gain in (
            (self.lambda_star, self.gain_over_zero),
            (searched.lambda_star, searched.gain_over_zero),
        ):
            if strength:
                told = gain or GainResult()
                return ToldGain(
                    **{each.name: getattr(told, each.name) for each in fields(GainResult)}, strength=strength
                )
        return ToldGain()

    @property
    def tried(self) -> list[float]:
        """The strengths that the shared curve was measured at, ascending."""
        return sorted(point.strength for point in self.curve if point.strength is not None)

    @property
    def means(self) -> list[tuple[float, float]]:
        """The mean score at each strength that has one, ascending strengths."""
        return sorted((p.strength, p.mean) for p in self.curve if p.strength is not None and p.mean is not None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Baseline:
    """Scores of the confirming seeds without alignment."""

    mean: float | None = said(required=True, null=True)
    sd: float | None = said(required=True, null=True)
    split: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreResult:
    """One score of an encoder, as it is called: an error is what it is, and not turned."""

    score: str | None = said(required=True)
    better: str | None = said(required=True, choices=("higher", "lower"))
    decides: bool = said("whether λ* is best for this one", required=True, default=False)
    at_zero: float | None = said("mean over the confirming seeds without alignment", required=True, null=True)
    at_star: float | None = said("the same at λ*; null where that is 0", required=True, null=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptEncoder:
    """An encoder that was kept: its file, its registered name, how it was trained and what it scores."""

    file: str | None = said("relative to the report", required=True)
    registered: str | None = said("name in MLflow's registry, alias best", required=True)
    training: str | None = said("hash of what it was trained by", required=True)
    strengths: Strengths | None = said("λ of encoder 1 and of encoder 2", required=True, minimum=0)
    nuisance: Mapping[str, object] = said("hyperparameters searched over", default=dict)
    seed: int | None = said(required=True)
    fit: tuple[str, ...] = said("splits that it was trained on", default=())
    split: str | None = said("that it is scored on", required=True)
    score: float | None = said(required=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnSide:
    """The curve of an encoder that alone is pulled, of which its answer is where the pair is advised so."""

    curve: tuple[CurvePoint, ...] = said("validation split, ascending strengths", required=True, default=())
    posterior: PosteriorCurve | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EncoderResult(SubjectResult):
    """The answer for one encoder of a pair."""

    ALSO_REQUIRED: ClassVar = ("lambda_1se", "shape", "flags", "curve")  # that a pair as one has not in every version

    modality: str | None = said(required=True, first=True)
    kind: str | None = said("of network", first=True)
    arm: str | None = said(
        "whose strengths its answer is about: one for both encoders, as `curve` shows, or its own, as `own_side` "
        "shows, where the pair is advised to align it alone",
        choices=("shared", "to_1", "to_2"),
    )
    own_side: OwnSide | None = None
    baseline: Baseline | None = said("without alignment, of the confirming seeds", null=True)
    tuned: Mapping[str, object] = said(
        "hyperparameters searched over, as the pair is advised to train it with; empty where that was not confirmed",
        default=dict,
        absent=True,
    )
    model: KeptEncoder | None = said("the encoder that was kept", null=True)
    scores: tuple[ScoreResult, ...] = said(
        "every score that fits the target, on the test rows, whichever decides", default=(), absent=True
    )

    @property
    def told_curve(self) -> tuple[CurvePoint, ...]:
        """The curve that the answer is read from: its own side's where the pair is advised so."""
        return self.curve if self.own_side is None else self.own_side.curve

    @property
    def told_posterior(self) -> PosteriorCurve | None:
        """The posterior of `told_curve`."""
        return self.posterior if self.own_side is None else self.own_side.posterior


@dataclass(frozen=True, slots=True, kw_only=True)
class Alternative:
    """A strategy that was judged for a pair, and what it would give."""

    strategy: str | None = said(required=True, choices=STRATEGIES)
    strengths: Strengths | None = said("λ of encoder 1 and of encoder 2", required=True, minimum=0)
    gains: tuple[GainResult | None, ...] = said(
        "of encoder 1 and of encoder 2", required=True, default=(), length=2, null=True
    )
    gain_mean: GainResult | None = said("of the mean of both")


@dataclass(frozen=True, slots=True, kw_only=True)
class AdvisedResult:
    """What a pair is advised to do: the decision, the same wherever it is told."""

    strategy: str | None = said(required=True, null=True, choices=STRATEGIES)
    strength: float | None = said(
        "λ to train with: of both encoders, or of the one that is pulled; 0 where the pair is not to be aligned, null "
        "where each encoder has its own or there is no answer",
        required=True,
        null=True,
        minimum=0,
    )
    interval: Limits | None = said("90 %, of that strength", required=True, null=True)
    strengths: Strengths | None = said("λ of encoder 1 and of encoder 2", required=True, null=True, minimum=0)
    gain: GainResult | None = said(
        "of the pair as one by that; null where it is not to be aligned", required=True, null=True
    )
    verdict: str | None = said("on the pair", required=True, null=True, choices=("align", "avoid", "indifferent"))


@dataclass(frozen=True, slots=True, kw_only=True)
class PairResult(SubjectResult):
    """The answer for a pair as one under one λ for both encoders, and the strategy recommended for it; none where there
    is no answer.
    """

    strategy: str | None = said(null=True, choices=STRATEGIES, absent=True)
    strengths: Strengths | None = said("λ of encoder 1 and of encoder 2", minimum=0)
    reason: str | None = None
    alternatives: tuple[Alternative, ...] = said(default=(), absent=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class CrossedPoint:
    """What each representation alone tells of the other encoder's target at one strength: means over the replicates."""

    strength: float | None = said(required=True, null=True, minimum=0)
    encoder_1: float | None = said("of target 2, in its score", required=True, null=True)
    encoder_2: float | None = said("of target 1, in its score", required=True, null=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class JointChange:
    """How what both tell together differs between λ = 0 and the strengths that are advised."""

    strengths: Strengths | None = said("λ of encoder 1 and of encoder 2", required=True, minimum=0)
    at_zero: float | None = said("mean score without alignment", required=True, null=True)
    at_advised: float | None = said("mean score there", required=True, null=True)
    gain: GainResult | None = said("the paired difference, of the seeds' luck alone", required=True, null=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class JointResult(SubjectResult):
    """What a ridge probe of both representations together tells: a third curve, which decides nothing. Its p-values are
    held to what one claim more of the study would need. Of two targets it is the mean of both scores.
    """

    change: JointChange | None = said("absent where the pair is not to be aligned, or nothing was measured there")
    crossed: tuple[CrossedPoint, ...] = said("where the encoders have targets of their own", default=(), absent=True)
