"""The answer from trainings that are done already: λ*, how sure it is, what is luck, and what would tell more.

Everything comes from one posterior of the curve (`study.selection`). Without a split to confirm on, the gain is that of
the posterior at its own highest point, so that its p-value is held to the test against a flat curve: of many strengths
one always looks best.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from study.outside.axis import Axis, axis_of, merge, options
from study.outside.tables import EncoderTable, Scores
from study.outside.trials import Columns
from study.results.finite import finite, finite_mean, finite_sd
from study.results.model import (
    Baseline,
    BestTrial,
    CurvePoint,
    GainResult,
    NextTraining,
    OutsideResult,
    PosteriorCurve,
)
from study.results.selected import curve_point, subject_result, told_fields
from study.selection import (
    SIZE,
    Gain,
    Posterior,
    Selection,
    conclude,
    has_curve,
    holm,
    next_units,
    rounded,
    sample_posterior,
    seeds_to_show,
    select,
)

LEVEL = 0.9
NEXT = 5


@dataclass(frozen=True, kw_only=True, eq=False)
class _Estimate:
    """What the trainings say before encoders are set against each other; `merged` groups, None where none were."""

    table: EncoderTable
    scores: Scores
    axis: Axis
    selection: Selection
    posterior: Posterior
    gain: Gain
    source: str
    merged: int | None


def answers(
    tables: Sequence[EncoderTable], columns: Columns, *, source: str, scale: float | None = None
) -> tuple[OutsideResult, ...]:
    """The answer of every encoder, p-values corrected over all of them (Holm); `scale` of the axis if it is known.

    Raises:
        ValueError: a table has no curve: fewer than two strengths with a score that counts.
    """
    estimates = [_estimate(table, log=columns.log, scale=scale) for table in tables]
    adjusted = holm([one.gain.p_value for one in estimates])
    needed = SIZE / max(1, sum(p_value > SIZE for p_value in adjusted))
    told = [
        _result(one, columns, source=source, adjusted=p_value, needed=needed)
        for one, p_value in zip(estimates, adjusted, strict=True)
    ]
    return tuple(_as_given(one) for one in told) if columns.minimise else tuple(told)


def _estimate(table: EncoderTable, *, log: bool, scale: float | None) -> _Estimate:
    searched = table.searched
    axis = axis_of(searched.strengths, log=log, scale=scale)
    scores, merged = merge(searched, axis)
    selection = select(scores.strengths, scores.scores, **options(scores, axis))
    posterior = sample_posterior(scores.strengths, scores.scores, **options(scores, axis))
    gain, source = _gain(posterior, selection), "search"
    if table.confirmed is not None and (seen := _confirmed_gain(table.confirmed, axis, selection.lambda_star)):
        gain, source = seen, "confirm" if table.is_fresh else "split"
    return _Estimate(
        table=table, scores=scores, axis=axis, selection=selection, posterior=posterior, gain=gain, source=source,
        merged=merged,
    )  # fmt: skip


def _gain(posterior: Posterior, selection: Selection) -> Gain:
    """The gain of λ* over the smallest strength by the posterior."""
    star = int(np.abs(posterior.strengths - selection.lambda_star).argmin())
    gain = _posterior_gain(posterior, star)
    return replace(gain, p_value=max(gain.p_value, selection.shape_p_value))


def _posterior_gain(posterior: Posterior, place: int) -> Gain:
    if place == 0:
        return Gain(mean=0.0, interval=(0.0, 0.0), p_value=1.0, seeds=0, standard_error=0.0, level=LEVEL)
    change = posterior.draws[:, place] - posterior.draws[:, 0]
    tail = (1 - LEVEL) / 2
    low, high = np.quantile(change, [tail, 1 - tail])
    beyond = min(int((change <= 0).sum()), int((change >= 0).sum()))
    return Gain(
        mean=float(posterior.mean[place] - posterior.mean[0]),
        interval=(float(low), float(high)),
        p_value=min(1.0, 2 * (1 + beyond) / (1 + len(change))),
        seeds=0,
        standard_error=float(change.std()),
        level=LEVEL,
    )


def _confirmed_gain(confirmed: Scores, axis: Axis, star: float) -> Gain | None:
    """The gain of λ* by the scores on the other split; None where these have no curve over the strengths."""
    scores, _ = merge(confirmed, axis)
    paired = scores.seeds is not None
    if not has_curve(scores.scores, diverged=scores.diverged, paired=paired):
        return None
    low, high = axis.range
    if scores.strengths[0] > low or not low <= star <= high:
        return None
    posterior = sample_posterior(scores.strengths, scores.scores, **options(scores, axis))
    return _posterior_gain(posterior, int(np.abs(posterior.strengths - star).argmin()))


def _result(one: _Estimate, columns: Columns, *, source: str, adjusted: float, needed: float) -> OutsideResult:
    selection, table = one.selection, one.table
    concluded = conclude(selection, one.gain, adjusted_p=adjusted)
    tried = _told_gain(one, one.gain, adjusted, needed)
    claimed = tried if concluded.gain is one.gain else _told_gain(one, concluded.gain, 1.0, needed)
    subject = subject_result(
        selection, concluded, star=rounded(selection.lambda_star), tried=tried, claimed=claimed,
        curve=_points(table.searched),
    )  # fmt: skip
    expected, limits = _expected(one, concluded.lambda_star)
    return OutsideResult(
        **told_fields(subject),
        modality=table.encoder,
        baseline=_baseline(table.confirmed),
        source=source,
        name=columns.name,
        score=columns.score,
        minimise=columns.minimise,
        relative_to=float(table.searched.strengths[0]),
        paired=table.searched.seeds is not None,
        strengths_merged=one.merged,
        expected_score=expected,
        expected_interval=limits,
        best_trial=_best_trial(one),
        next=_next(one),
        seeds_needed=_seeds_needed(one, needed),
        others=table.others,
        counts=table.counts,
        took=columns.took,
        remarks=(*columns.remarks, *table.remarks),
    )


def _told_gain(one: _Estimate, gain: Gain, adjusted: float, needed: float) -> GainResult:
    seeds = one.table.searched.seeds if one.source == "search" else (one.table.confirmed or one.table.searched).seeds
    return GainResult(
        mean=finite(gain.mean),
        interval=(float(gain.interval[0]), float(gain.interval[1])),
        p_value=gain.p_value,
        seeds=len(seeds or ()),
        p_adjusted=adjusted,
        p_needed=needed,
        source=one.source,
    )


def _points(scores: Scores) -> tuple[CurvePoint, ...]:
    if scores.seeds is not None:
        return tuple(map(curve_point, scores.strengths, scores.scores, scores.diverged))
    counts = np.isfinite(scores.scores) | scores.diverged  # columns mean nothing, and rows are filled up
    return tuple(
        curve_point(strength, row[known], diverged[known])
        for strength, row, diverged, known in zip(scores.strengths, scores.scores, scores.diverged, counts, strict=True)
    )


def _baseline(confirmed: Scores | None) -> Baseline | None:
    if confirmed is None or confirmed.strengths[0] != 0:
        return None
    return Baseline(mean=finite_mean(confirmed.scores[0]), sd=finite_sd(confirmed.scores[0]), split="test")


def _expected(one: _Estimate, strength: float) -> tuple[float | None, tuple[float, float] | None]:
    """The mean score of trainings at a strength, with its interval: the curve's, and that of the level it stands on."""
    posterior = one.posterior
    place = int(np.abs(posterior.strengths - strength).argmin())
    error, degrees = _level_error(one)
    if math.isnan(error):
        return finite(float(posterior.mean[place])), None
    draws = posterior.draws[:, place] + error * np.random.default_rng(0).standard_t(degrees, len(posterior.draws))
    low, high = np.quantile(draws, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(posterior.mean[place]), (float(low), float(high))


def _level_error(one: _Estimate) -> tuple[float, int]:
    """Standard error of the level of the curve and its degrees of freedom; NaN where there is one seed, of which the
    level is that seed's.
    """
    scores = one.scores.scores
    counts = np.isfinite(scores).sum(axis=1)
    counts = counts[counts > 0]
    if one.scores.seeds is None:
        error = float(np.median(one.posterior.noise_sd) * np.sqrt(np.sum(1 / counts)) / len(counts))
        return error, max(int(counts.sum()) - 1, 1)
    centred = scores - np.array([finite_mean(row) or 0.0 for row in scores])[:, None]
    offsets = np.array([finite_mean(column) for column in centred.T if np.isfinite(column).sum() > 1], float)
    known = len(offsets)
    return (float(offsets.std(ddof=1) / math.sqrt(known)), known - 1) if known > 1 else (math.nan, 1)


def _best_trial(one: _Estimate) -> BestTrial:
    scores = one.table.searched
    row, column = np.unravel_index(int(np.nanargmax(scores.scores)), scores.scores.shape)
    strength, score = float(scores.strengths[row]), float(scores.scores[row, column])
    expected, interval = _expected(one, strength)
    return BestTrial(
        strength=strength,
        seed=None if scores.seeds is None else scores.seeds[column],
        score=score,
        expected=expected,
        interval=interval,
        luck=None if expected is None else score - expected,
    )


def _next(one: _Estimate) -> tuple[NextTraining, ...]:
    scores = one.scores
    units = next_units(scores.strengths, scores.scores, count=NEXT, **options(scores, one.axis))
    known, asked, told = scores.seeds or (), dict[float, int](), []
    for unit in units:
        asked[unit.strength] = asked.get(unit.strength, 0) + 1
        place = unit.columns[0] if unit.columns else len(known) + asked[unit.strength] - 1
        seed = known[place] if place < len(known) else f"new {place - len(known) + 1}"
        told.append(NextTraining(strength=rounded(unit.strength), seed=seed))
    return tuple(told)


def _seeds_needed(one: _Estimate, needed: float) -> int | None:
    """Fresh seeds that would show the gain, if it is as large as the curve says: two trainings differ by √2 noise."""
    gain = _gain(one.posterior, one.selection)
    return seeds_to_show(gain.mean, sd=math.sqrt(2) * one.selection.noise_sd, level=needed)


def _as_given(told: OutsideResult) -> OutsideResult:
    """An answer with its scores in the direction in which they were given, where lower is better."""
    drawn, best = told.posterior or PosteriorCurve(), told.best_trial or BestTrial()
    return replace(
        told,
        curve=tuple(
            replace(point, mean=_negative(point.mean), scores=tuple(map(_negative, point.scores)))
            for point in told.curve
        ),
        posterior=replace(
            drawn,
            mean=tuple(map(_negative, drawn.mean)),
            low=tuple(map(_negative, drawn.high)),
            high=tuple(map(_negative, drawn.low)),
        ),
        baseline=told.baseline and replace(told.baseline, mean=_negative(told.baseline.mean)),
        expected_score=_negative(told.expected_score),
        expected_interval=_mirrored(told.expected_interval),
        best_trial=replace(
            best, score=_negative(best.score), expected=_negative(best.expected), interval=_mirrored(best.interval)
        ),
    )


def _negative(value: float | None) -> float | None:
    return None if value is None else -value


def _mirrored(limits: tuple[float, float] | None) -> tuple[float, float] | None:
    return None if limits is None else (-limits[1], -limits[0])
