"""Strengths, scores, gains, costs and durations as the report, the MLflow note and the terminal write them."""

from __future__ import annotations

import math
from typing import NamedTuple

from study.results.model import GainResult, SubjectResult
from study.results.names import one_line
from trainables.metrics.scores import LOWER


class _Unit(NamedTuple):
    name: str  # of a difference
    scale: float
    decimals: int
    score: str = ""  # what the score itself is called, where that is not its name without underscores
    lower: bool = False  # whether less of it is better: scores and their differences are told as they are, not turned


_SMALLEST_WHOLE, _LARGEST_WHOLE = 1e-7, 1e9  # strengths that are told without an exponent
_SIZE = 0.05  # of a test; as `study.selection` has it, which would bring SciPy along
_NEAR = 2.0  # times more or less than that: what other seeds, or another make of CPU, may turn over
TOO_SMALL = "too small to matter"

# How a difference of each score is said; a score that is not listed is said as it is, under its own name.
_UNITS = {
    "accuracy": _Unit("points", 100, 1),
    "balanced_accuracy": _Unit("points", 100, 1),
    "sign_accuracy": _Unit("points", 100, 1),
    "macro_f1": _Unit("of macro F1", 1, 3, score="macro F1"),
    "auroc": _Unit("of AUROC", 1, 3, score="AUROC"),
    "average_precision": _Unit("of average precision", 1, 3),
    "r2": _Unit("of R²", 1, 3, score="R²"),
    "pearson": _Unit("of Pearson's r", 1, 3, score="Pearson's r"),
    "spearman": _Unit("of Spearman's ρ", 1, 3, score="Spearman's ρ"),
    "concordance": _Unit("of concordance", 1, 3, score="concordance (Lin's)"),
    "negative rmse": _Unit("of RMSE (lower is better)", 1, 3, score="RMSE", lower=True),
    "negative mae": _Unit("of MAE (lower is better)", 1, 3, score="MAE", lower=True),
    "negative log_loss": _Unit("nats of log loss (lower is better)", 1, 3, score="log loss", lower=True),
}

# Curves of errors as they are told; one that is flat is so either way.
_SHAPES_OF_ERRORS = {
    "rising": "error falls",
    "falling": "error rises",
    "ends lower": "error ends higher",
    "inverted-u": "error falls, then rises",
}


def strength_text(strength: float | None) -> str:
    """A strength to two significant digits: 0.6, 1.1, 0.025, 12; `?` where it is not known.

    Only where nobody would count the zeros it has an exponent, as λ of a report and a study file may have: 1e-08.
    """
    if strength is None:
        return "?"
    if strength == 0:
        return "0"
    if not _SMALLEST_WHOLE <= abs(strength) < _LARGEST_WHOLE:
        return f"{strength:.2g}".replace("e-", "e−")
    decimals = max(0, 1 - math.floor(math.log10(abs(strength))))
    text = f"{strength:.{decimals}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def strength_with_interval(answer: SubjectResult) -> str:
    """λ* with its interval, `0.6 [0.3, 1.1]`; `–` where there is no answer."""
    if answer.lambda_star is None:
        return "–"
    text, bounds = strength_text(answer.lambda_star), answer.interval
    return text if bounds is None else f"{text} [{strength_text(bounds[0])}, {strength_text(bounds[1])}]"


def gain_with_interval(gain: GainResult, metric: str) -> str:
    """A gain in the score's own unit with its interval and sign, `+1.4 [+0.6, +2.2]`; `–` where there is none."""
    if gain.mean is None:
        return "–"
    text, bounds = change_text(gain.mean, metric), gain.interval
    if bounds is None:
        return text
    ends = bounds[::-1] if _unit(metric).lower else bounds
    return f"{text} [{', '.join(_bound_text(bound, metric) for bound in ends)}]"


def told_gain(answer: SubjectResult) -> tuple[GainResult, float]:
    """The gain that is told of an answer, and the strength it belongs to, see `SubjectResult.told_gain`."""
    gain = answer.told_gain
    return gain, gain.strength or 0.0


def gain_text(answer: SubjectResult, metric: str) -> str:
    """An encoder's gain in its score's unit, with the strength where it is not λ*: `−0.4 [−0.9, +0.1] points at 0.15`.

    Marked where it comes from the seeds of the search, which are scored on the validation split, and where it is too
    small to matter.
    """
    gain, strength = told_gain(answer)
    told = gain_with_interval(gain, metric)
    if told == "–":
        return told
    if gain.is_too_small and not _shows(gain, metric):
        told = f"less than {size_text(_finest(metric), metric)}"
    place = "" if answer.lambda_star else f" at {strength_text(strength)}"
    small = f", {TOO_SMALL}" if gain.is_too_small else ""
    return f"{told} {gain_unit(metric)}{place}{' (validation)' if gain.source == 'search' else ''}{small}"


def shape_text(answer: SubjectResult) -> str:
    """The form of an answer's curve in a word that holds beside its λ*: a curve that is `falling` by its tests may be
    highest a little above 0, and then it `ends lower` than it begins. "" without one.
    """
    if answer.shape == "falling" and answer.lambda_star:
        return "ends lower"
    return answer.shape or ""


def curve_text(answer: SubjectResult, metric: str) -> str:
    """The form of an answer's curve as tables have it: of an error, which is kept turned, as it is told, `error rises`
    where its score falls. "" without one.
    """
    shape = shape_text(answer)
    return _SHAPES_OF_ERRORS.get(shape, shape) if is_lower_better(metric) else shape


def p_text(gain: GainResult) -> str:
    """The p-value of a gain, corrected for the study where it is known so: `0.03`, `< 0.001`; `–` without one."""
    p_value = gain.p_value if gain.p_adjusted is None else gain.p_adjusted
    return "–" if p_value is None else "< 0.001" if p_value < 0.001 else f"{p_value:.2g}"


def p_in_words(gain: GainResult) -> str:
    """The p-value of a gain and what it is corrected for: `p = 0.03 after Holm, near 0.05`; "" without one."""
    told = p_text(gain)
    corrections = ["Holm"] if gain.p_adjusted is not None else []
    corrections += [f"{gain.looks} looks"] if gain.looks else []
    after = f" after {' and '.join(corrections)}" if corrections else ""
    near = ", near 0.05" if is_near_the_limit(gain) else ""
    return "" if told == "–" else f"p {told if told.startswith('<') else f'= {told}'}{after}{near}"


def is_near_the_limit(gain: GainResult) -> bool:
    """Whether a gain's p-value, corrected for the study, lies so near 0.05 that little would turn the answer over."""
    p_value = gain.p_adjusted
    return p_value is not None and _SIZE / _NEAR <= p_value <= _SIZE * _NEAR


def standing(gain: GainResult) -> str | None:
    """What a gain may be told as: `too small to matter`, a `confirmed gain` or `loss`, or `not confirmed`; None where
    it was not measured.
    """
    if gain.mean is None:
        return None
    if gain.is_too_small:
        return TOO_SMALL
    if not is_shown(gain):
        return "not confirmed"
    return "confirmed gain" if gain.mean > 0 else "confirmed loss" if gain.mean < 0 else "not confirmed"


def is_shown(gain: GainResult) -> bool:
    """Whether a gain or loss may be told as a fact: its p-value, corrected for the study, is at most 0.05.

    A gain that is no claim of the study has no corrected p-value: then its own counts, by the level that one claim
    more would have to reach. Of one without a p-value its interval decides.
    """
    if gain.p_adjusted is not None:
        return gain.p_adjusted <= _SIZE
    if gain.p_value is not None:
        return gain.p_value <= (_SIZE if gain.p_needed is None else gain.p_needed)
    return gain.interval is None or not gain.interval[0] <= 0 <= gain.interval[1]


def common_metric(first: str, second: str) -> str:
    """What a mean of two scores is said in: the score itself, or `the mean score` where they differ.

    Scores that share a unit share it in the mean too.
    """
    return first if _unit(first) == _unit(second) else "the mean score"


def gain_unit(metric: str) -> str:
    """The unit in which gains of a score are said: `points` for an accuracy."""
    return _unit(metric).name


def score_name(metric: str) -> str:
    """What a score is called in words: `R²`, `sign accuracy`."""
    return _unit(metric).score or one_line(metric).replace("_", " ")


def is_lower_better(metric: str) -> bool:
    """Whether a score is told the other way round than it is kept, since less of it is better."""
    return _unit(metric).lower


def told_as(metric: str) -> str:
    """The name of a score as it is told: `rmse` of `negative rmse`."""
    return metric.removeprefix(LOWER) if _unit(metric).lower else metric


def as_told(score: float, metric: str) -> float:
    """A score as it is called: an error is kept turned, so that higher is better, and told as what it is."""
    return -score if _unit(metric).lower else score


def score_text(score: float | None, metric: str) -> str:
    """A score as people read it: 93.1 % for an accuracy, three decimals for any other, two digits where those would
    show nothing; `–` where there is none.
    """
    if score is None:
        return "–"
    score = as_told(score, metric)
    return f"{100 * score:.1f} %" if _unit(metric).scale == 100 else _plain(score, metric)


def size_text(value: float, metric: str) -> str:
    """The size of a difference of scores in the score's own unit, without a sign: `1.4` for an accuracy's 0.014."""
    return _plain(abs(value), metric)


def change_text(value: float, metric: str) -> str:
    """A difference of scores with its sign in the score's own unit: `+1.4`; what rounds to zero has no minus.

    That of an error is told as it is: `−0.02` where it has become less, which is a gain.
    """
    text = _plain(as_told(value, metric), metric)
    return f"{'−' if float(text) < 0 else '+'}{text.lstrip('-')}"


def _bound_text(bound: float, metric: str) -> str:
    """An end of an interval: it keeps its sign where it rounds to zero, as that says whether 0 is inside."""
    text = change_text(bound, metric)
    return text.replace("+", "−") if as_told(bound, metric) < 0 else text


def change_in_validation(answer: SubjectResult, strength: float) -> float | None:
    """How a validation score changes from λ = 0 to a strength, between the strengths tried; None outside of them."""
    points = sorted(
        (point.strength, point.mean)
        for point in answer.told_curve
        if point.strength is not None and point.mean is not None
    )
    if not points or points[0][0] != 0 or not 0 <= strength <= points[-1][0]:
        return None
    upper = next(index for index, (at, _) in enumerate(points) if at >= strength)
    (left, low), (right, high) = points[max(0, upper - 1)], points[upper]
    share = (strength - left) / (right - left) if right > left else 0.0
    return low + share * (high - low) - points[0][1]


def strongest(answer: SubjectResult) -> float:
    """The strongest alignment that has a score in validation; 0 where there is none."""
    return max((point.strength or 0.0 for point in answer.told_curve if point.mean is not None), default=0.0)


def correlation_text(value: float) -> str:
    """A correlation with two decimals: `−0.53`."""
    return f"{value:.2f}".replace("-", "−")


def is_share(metric: str) -> bool:
    """Whether a score is at most 1 in no unit: a share, a correlation, R²."""
    return metric in _UNITS and not _unit(metric).lower


def gains_and_loses(metric: str) -> tuple[str, str]:
    """The verbs for a better and a worse score: an error that falls is no loss."""
    return ("improves by", "worsens by") if _unit(metric).lower else ("gains", "loses")


def in_unit(value: float, metric: str) -> float:
    """A difference of scores in the unit in which gains of that score are said: 1.4 points for an accuracy's 0.014."""
    return value * _unit(metric).scale


def spread_text(spread: float | None, metric: str) -> str:
    """A standard deviation of scores in the unit of their differences; `–` where there is none."""
    return "–" if spread is None else f"{in_unit(spread, metric):.{_unit(metric).decimals + 1}f}"


def duration(seconds: float) -> str:
    """Seconds, minutes or hours, whichever reads best."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _shows(gain: GainResult, metric: str) -> bool:
    """Whether a gain or an end of its interval is told as more than zeros."""
    values = (gain.mean or 0.0, *(gain.interval or ()))
    return any(float(change_text(value, metric).replace("−", "-")) for value in values)


def _finest(metric: str) -> float:
    """The smallest difference that the decimals of a score's unit can tell."""
    unit = _unit(metric)
    return float(10**-unit.decimals / unit.scale)


def _unit(metric: str) -> _Unit:
    return _UNITS.get(metric, _Unit(f"of {one_line(metric)}", 1, 3))


def _plain(value: float, metric: str) -> str:
    unit = _unit(metric)
    text = f"{value * unit.scale:.{unit.decimals}f}"
    if value and (metric not in _UNITS or unit.lower) and not float(text):  # of any size, such as a loss of 1e-4
        return f"{value:.2g}"
    return text
