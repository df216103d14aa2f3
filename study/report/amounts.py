"""Strengths, scores, gains, costs and durations as the report, the MLflow note and the terminal write them."""

from __future__ import annotations

import math
from typing import NamedTuple

from study.report.reading import Part, interval, number, one_line, part, parts


class _Unit(NamedTuple):
    name: str  # of a difference
    scale: float
    decimals: int


# How a difference of each score is said; a score that is not listed is said as it is, under its own name.
_UNITS = {"accuracy": _Unit("points", 100, 1), "sign_accuracy": _Unit("points", 100, 1), "r2": _Unit("of R²", 1, 3)}


def strength_text(value: object) -> str:
    """A strength to two significant digits without an exponent: 0.6, 1.1, 0.025, 12."""
    strength = number(value)
    if strength is None:
        return "?"
    if strength == 0:
        return "0"
    decimals = max(0, 1 - math.floor(math.log10(abs(strength))))
    text = f"{strength:.{decimals}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def strength_with_interval(answer: Part) -> str:
    """λ* with its interval, `0.6 [0.3, 1.1]`; `–` where there is no answer."""
    if number(answer.get("lambda_star")) is None:
        return "–"
    text = strength_text(answer.get("lambda_star"))
    bounds = interval(answer.get("interval"))
    return text if bounds is None else f"{text} [{strength_text(bounds[0])}, {strength_text(bounds[1])}]"


def gain_with_interval(gain: Part, metric: str) -> str:
    """A gain in the score's own unit with its interval and sign, `+1.4 [+0.6, +2.2]`; `–` where there is none."""
    mean, bounds, unit = number(gain.get("mean")), interval(gain.get("interval")), _unit(metric)
    if mean is None:
        return "–"
    text = _signed(mean, unit)
    return text if bounds is None else f"{text} [{_signed(bounds[0], unit)}, {_signed(bounds[1], unit)}]"


def gain_or_cost(entry: Part, metric: str) -> str:
    """An encoder's gain at λ* with its unit; where λ* is 0, what the strongest alignment costs: `−5.4 points at λ = 4`.

    The gain is marked where it comes from the seeds of the search; the cost always does.
    """
    gain = part(entry, "gain_over_zero")
    if entry.get("lambda_star") == 0 and entry.get("verdict") == "avoid" and (known := cost(entry)):
        strength, loss = known
        return f"{_signed(-loss, _unit(metric))} {gain_unit(metric)} at λ = {strength_text(strength)}"
    told = gain_with_interval(gain, metric)
    if told == "–":
        return told
    return f"{told} {gain_unit(metric)}{' (search seeds)' if gain.get('source') == 'search' else ''}"


def gain_unit(metric: str) -> str:
    """The unit in which gains of a score are said: `points` for an accuracy."""
    return _unit(metric).name


def score_text(value: object, metric: str) -> str:
    """A score as people read it: 93.1 % for an accuracy, three decimals for any other; `–` where there is none."""
    score = number(value)
    if score is None:
        return "–"
    return f"{100 * score:.1f} %" if _unit(metric).scale == 100 else f"{score:.3f}"


def size_text(value: float, metric: str) -> str:
    """The size of a difference of scores in the score's own unit, without a sign: `1.4` for an accuracy's 0.014."""
    return _plain(abs(value), _unit(metric))


def cost(entry: Part) -> tuple[float, float] | None:
    """The strongest strength tried and what it loses against λ = 0 in validation; None where it loses nothing."""
    points = {number(point.get("strength")): number(point.get("mean")) for point in parts(entry, "curve")}
    known = {strength: mean for strength, mean in points.items() if strength is not None and mean is not None}
    base = known.get(0.0)
    return None if base is None or base <= known[max(known)] else (max(known), base - known[max(known)])


def duration(seconds: float) -> str:
    """Seconds, minutes or hours, whichever reads best."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _unit(metric: str) -> _Unit:
    return _UNITS.get(metric, _Unit(f"of {one_line(metric)}", 1, 3))


def _plain(value: float, unit: _Unit) -> str:
    return f"{value * unit.scale:.{unit.decimals}f}"


def _signed(value: float, unit: _Unit) -> str:
    text = _plain(value, unit)
    return text.replace("-", "−") if float(text) < 0 else f"+{text.lstrip('-')}"
