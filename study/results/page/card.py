"""A study in brief, as HTML for the page over all studies: its pairs, what is decided, small curves of the encoders."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from study.results.model import CellResult, CurvePoint, EncoderResult, PosteriorCurve, Report
from study.results.page.parts import RUNNING, Running, escaped, sentence
from study.results.text import amounts
from study.results.text.pair import advice_with_gain
from study.selection import warp, warp_scale

_WIDTH, _HEIGHT, _MARGIN = 150.0, 46.0, 4.0  # of a small curve, in the units of its drawing
_MOST_PAIRS = 12  # that are drawn; of the others there is a line


def card(report: Report, *, running: Running | None = None) -> str:
    """The inside of a study's section on the page over all studies."""
    facts = (
        [f"running: {running.counted} by {running.at:%H:%M:%S}, provisional"]
        if running
        else [f"{report.trainings or 0} trainings"]
    )
    facts += [amounts.duration(report.wall_seconds)] if report.wall_seconds else []
    facts += ["stand-in data, which say nothing of the real ones"] if report.stand_in else []
    facts += [] if report.status in ("complete", None) or running else ["not ended"]
    pairs = "".join(_pair(cell) for cell in report.cells[:_MOST_PAIRS])
    if more := len(report.cells) - _MOST_PAIRS:
        pairs += f'<p class="note">and {more} more in its report</p>\n' if more > 0 else ""
    begin = f'{RUNNING}{running.seconds:.0f}">' if running else '<p class="meta">'
    return f'{begin}{" · ".join(map(escaped, facts))}</p>\n<div class="pairs">\n{pairs}</div>\n'


def small_curves(cell: CellResult) -> str:
    """A small curve of each encoder of a pair, those that have scores."""
    return "".join(_small_curve(cell, told.place, told.name, told.answer) for told in cell.told_encoders)


def _pair(cell: CellResult) -> str:
    verdict = cell.advice.verdict or ""
    style = verdict if verdict in ("align", "avoid") else ""
    return (
        f'<article><h3>{escaped(cell.title)}</h3>\n<p class="{style}">{sentence(advice_with_gain(cell))}</p>\n'
        f'<div class="small">{small_curves(cell)}</div></article>\n'
    )


def _small_curve(cell: CellResult, place: int, name: str, answer: EncoderResult) -> str:
    """An encoder's scores over λ: means, the posterior with its band, λ*; "" where nothing has a score yet."""
    points = [point for point in answer.told_curve if point.strength is not None and point.mean is not None]
    if not points:
        return ""
    metric, star = cell.metric(place), answer.lambda_star
    ends = (points[0], points[-1])
    scores = ", ".join(f"{amounts.score_text(one.mean, metric)} at λ = {one.strength:g}" for one in ends)
    told = f"{name}: {scores}; λ* {amounts.strength_with_interval(answer)}"
    caption = f"{name}, λ* {amounts.strength_text(star)}" if star is not None else name
    return (
        f'<figure><svg viewBox="0 0 {_WIDTH:g} {_HEIGHT:g}" role="img" aria-label="{escaped(told)}">'
        f"<title>{escaped(told)}</title>{_drawing(points, answer.told_posterior, star)}</svg>"
        f"<figcaption>{escaped(caption)}</figcaption></figure>\n"
    )


def _drawing(points: Sequence[CurvePoint], posterior: PosteriorCurve | None, star: float | None) -> str:
    """What is drawn of a curve, lowest first: the level at λ = 0, the band, the curve, the means, λ*."""
    strengths, means = [point.strength or 0.0 for point in points], [point.mean or 0.0 for point in points]
    known = posterior or PosteriorCurve()
    rows = [
        (at, mean, low, high)
        for at, mean, low, high in zip(known.strength, known.mean, known.low, known.high, strict=False)
        if at is not None and mean is not None and low is not None and high is not None
    ]
    scale = known.scale or warp_scale(np.array(strengths, float))
    heights = [*means, *(value for row in rows for value in row[1:])]
    top = max([*strengths, *(row[0] for row in rows), star or 0.0])
    bottom, span = min(heights), (max(heights) - min(heights)) or 1.0
    furthest = float(warp(np.array(top), scale=scale)) or 1.0

    def place(strength: float, score: float) -> str:
        across = float(warp(np.array(strength), scale=scale)) / furthest
        x = _MARGIN + across * (_WIDTH - 2 * _MARGIN)
        y = _HEIGHT - _MARGIN - (score - bottom) / span * (_HEIGHT - 2 * _MARGIN)
        return f"{x:.1f},{y:.1f}"

    known_at, curve = [row[0] for row in rows] or strengths, [row[1] for row in rows] or means
    level = f'<polyline class="level" points="{place(0.0, curve[0])} {place(top, curve[0])}"/>'
    band = [place(row[0], row[2]) for row in rows] + [place(row[0], row[3]) for row in reversed(rows)]
    line = map(place, known_at, curve)
    dots = "".join(
        '<circle cx="{}" cy="{}" r="1.6"/>'.format(*place(at, mean).split(","))
        for at, mean in zip(strengths, means, strict=True)
    )
    best = ""
    if star is not None:
        height = float(np.interp(star, known_at, curve))
        best = '<circle class="star" cx="{}" cy="{}" r="3.2"/>'.format(*place(star, height).split(","))
    return f'{level}<polygon points="{" ".join(band)}"/><polyline class="curve" points="{" ".join(line)}"/>{dots}{best}'
