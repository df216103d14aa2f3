"""What a selection says of a subject, as results: of a study's own trainings, and of those of somebody else."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from study.results.finite import finite, finite_mean, finite_sd
from study.results.model import CurvePoint, GainResult, PosteriorCurve, SearchedResult, SubjectResult
from study.selection import SAME_STRENGTH, Conclusion, Selection, rounded


def subject_result(
    selection: Selection,
    concluded: Conclusion,
    *,
    star: float,
    tried: GainResult,
    claimed: GainResult,
    curve: tuple[CurvePoint, ...],
) -> SubjectResult:
    """What a selection says of a subject, as it is concluded: `star` is its searched λ*, and `tried` the gain there."""
    reported = star if concluded.lambda_star else 0.0
    highest = rounded(selection.lambda_star)
    is_beside = abs(highest - star) > SAME_STRENGTH * highest
    result = SubjectResult(
        lambda_star=reported,
        interval=interval_around(reported, concluded.interval),
        lambda_1se=min(rounded(concluded.lambda_1se), reported),
        expected_regret=selection.expected_regret,
        gain_over_zero=claimed,
        searched=SearchedResult(
            lambda_star=star, highest=highest if is_beside else None, shape=selection.shape, gain_over_zero=tried
        ),
        verdict=concluded.verdict,
        shape=concluded.shape,
        shape_p_value=selection.shape_p_value,
        harm_p_value=selection.harm_p_value,
        drop_p_value=selection.drop_p_value,
        flags=selection.flags,
        curve=curve,
        posterior=posterior_curve(selection),
    )
    told = result.told_gain
    return replace(result, gain=told if told.mean is not None else None)


def interval_around(star: float, interval: tuple[float, float]) -> tuple[float, float]:
    """The interval of λ* as it is told, rounded: it holds λ*, which is rounded too, and may be that of the strength
    that was confirmed, a third digit away from the searched one.
    """
    low, high = map(rounded, interval)
    return min(low, star), max(high, star)


def curve_point(strength: float, scores: NDArray[np.float64], diverged: NDArray[np.bool_]) -> CurvePoint:
    """The trainings (R,) at a strength: their scores, NaN where there is none, and which of them diverged."""
    return CurvePoint(
        strength=float(strength),
        mean=finite_mean(scores),
        sd=finite_sd(scores),
        seeds=int(np.isfinite(scores).sum()),
        diverged=int(diverged.sum()),
        scores=tuple(map(finite, scores)),
    )


def posterior_curve(selection: Selection) -> PosteriorCurve:
    """The curve of a selection with its band, to be drawn."""
    drawn = selection.posterior
    return PosteriorCurve(
        strength=tuple(drawn.strengths.tolist()),
        mean=tuple(drawn.mean.tolist()),
        low=tuple(drawn.low.tolist()),
        high=tuple(drawn.high.tolist()),
        scale=drawn.scale,
    )


def told_fields(result: SubjectResult) -> dict[str, Any]:
    """The fields of a result, for one that says more of the same subject."""
    return {each.name: getattr(result, each.name) for each in fields(SubjectResult)}
