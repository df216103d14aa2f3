"""The figures of one cell over its strengths: an encoder's scores with their posterior, and the similarities."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter
from scipy import stats

from study.results.figures.canvas import (
    ENCODER_STYLES,
    GREEN,
    GREY,
    INK,
    JOINT_STYLE,
    blank,
    blank_grid,
    legend,
    scale_strengths,
    shortened,
    tell,
)
from study.results.model import CellResult, CurvePoint, JointResult, PosteriorCurve, SubjectResult, ToldEncoder
from study.results.names import one_line
from study.results.text.amounts import (
    as_told,
    curve_text,
    gain_text,
    is_lower_better,
    score_name,
    score_text,
    strength_text,
    strength_with_interval,
)
from study.results.text.joint import TOGETHER, joint_metric

# One colour and one mark in every figure, none of them an encoder's: figures of several pairs show both.
_SIMILARITIES: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "cka": ("CKA", {"color": INK, "marker": "D", "linestyle": "-"}),
    "svcca": ("SVCCA", {"color": GREY, "marker": "v", "linestyle": "--"}),
    "mutual_knn": ("mutual k-NN", {"color": GREEN, "marker": "^", "linestyle": ":"}),
}
_MOST_NUMBERS = 9  # drawn of those that a function returns


_FEW_STRENGTHS = 40  # of which a mean of a single training each is drawn


def has_similarity(cell: CellResult) -> bool:
    """Whether a similarity is known of the cell."""
    return any(point.similarities.get(name) is not None for point in cell.alignment for name in _SIMILARITIES)


def draw_means(axes: Axes, curve: Sequence[CurvePoint], **look: Any) -> None:
    """The mean score at each strength with its 90 % t interval over seeds; nothing where there is none."""
    points = sorted(
        ((p.strength, p.mean, _half_width(p)) for p in curve if p.strength is not None and p.mean is not None),
        key=lambda point: point[0],
    )
    if points:
        strengths, means, errors = zip(*points, strict=True)
        axes.errorbar(strengths, means, errors, markerfacecolor="white", **look)


def draw_similarities(axes: Axes, cell: CellResult, **look: Any) -> None:
    """Each similarity of the two representations against λ."""
    for name, (label, own) in _SIMILARITIES.items():
        if known := cell.similarity(name):
            axes.plot(*zip(*known, strict=True), label=label, markerfacecolor="white", **own, **look)


def curve_figure(cell: CellResult, told: ToldEncoder) -> Figure:
    """One encoder's score against λ: seeds, means, posterior band, the level at λ = 0, λ* and its interval."""
    return answer_figure(
        told.answer,
        title=_curve_title(told, cell.metric(told.place)),
        look=ENCODER_STYLES[told.place],
        strength="alignment strength λ",
        score=_score_axis(cell, told.place),
        metric=cell.metric(told.place),
    )


def joint_figure(cell: CellResult, joint: JointResult) -> Figure:
    """What both representations tell together against λ, drawn as an encoder's score."""
    metric = joint_metric(cell)
    verdict = ", ".join(word for word in (joint.verdict, curve_text(joint, metric)) if word)
    return answer_figure(
        joint,
        title=f"{TOGETHER}, by a ridge probe{f': {verdict}' if verdict else ''}",
        look=JOINT_STYLE,
        strength="alignment strength λ",
        score=f"{score_name(metric)} (validation){upwards(metric)}",
        metric=metric,
    )


def pair_figure(cell: CellResult) -> Figure:
    """The curves of both encoders side by side, each as `curve_figure` draws it."""
    shown = [told for told in cell.told_encoders if told.answer.tried]
    figure, ((*every,),) = blank_grid(cell.title, rows=1, columns=max(1, len(shown)), size=(4.0, 2.7))
    for axes, told in zip(every, shown, strict=False):
        axes.set_title(_curve_title(told, cell.metric(told.place)), fontsize=9)
        _draw_answer(axes, told.answer, look=ENCODER_STYLES[told.place], metric=cell.metric(told.place))
        axes.set_xlabel("alignment strength λ")
        axes.set_ylabel(_score_axis(cell, told.place))
    legend(figure, *every[:1], columns=5)
    return figure


def _curve_title(told: ToldEncoder, metric: str) -> str:
    verdict = ", ".join(word for word in (told.answer.verdict, curve_text(told.answer, metric)) if word)
    name = told.name if told.answer.own_side is None else f"{told.name}, pulled alone"
    return f"{name}: {verdict}" if verdict else name


def _score_axis(cell: CellResult, place: int) -> str:
    metric = cell.metric(place)
    return f"{score_name(metric)} (validation){upwards(metric)}"


def upwards(metric: str) -> str:
    """What an axis says beside a score's name where better is not more: up is better in every figure."""
    return ", lower is better" if is_lower_better(metric) else ""


def as_they_are(axes: Axes, metric: str) -> None:
    """Numbers on the axis of a score as it is called, which is kept turned where less of it is better."""
    if is_lower_better(metric):
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{as_told(value, metric) + 0.0:.6g}"))


def answer_figure(
    answer: SubjectResult,
    *,
    title: str,
    look: Mapping[str, Any],
    strength: str,
    score: str,
    metric: str = "",
    symbol: str = "λ",
    best: tuple[float, float] | None = None,
) -> Figure:
    """An answer's scores against the strength, whose axis is called so; `metric` is what the scores are kept as, `best`
    the place of the luckiest training.
    """
    figure, axes = blank(title)
    _draw_answer(axes, answer, look=look, metric=metric, symbol=symbol, best=best)
    axes.set_xlabel(strength)
    axes.set_ylabel(score)
    legend(figure, axes)
    return figure


def _draw_answer(
    axes: Axes,
    answer: SubjectResult,
    *,
    look: Mapping[str, Any],
    metric: str,
    symbol: str = "λ",
    best: tuple[float, float] | None = None,
) -> None:
    color = look["color"]
    seeds = [
        (point.strength, score)
        for point in answer.told_curve
        if point.strength is not None
        for score in point.scores
        if score is not None
    ]
    if seeds:
        strengths, scores = zip(*seeds, strict=True)
        axes.scatter(strengths, scores, s=9, color=color, alpha=0.35, linewidths=0, label="one seed", zorder=2)
    if band := _band(answer.told_posterior):
        axes.fill_between(band[0], band[2], band[3], color=color, alpha=0.16, linewidth=0, label="90 % posterior")
        axes.plot(band[0], band[1], color=color, linestyle=look["linestyle"], zorder=3)
    repeated = [point for point in answer.told_curve if (point.seeds or 0) > 1]
    if repeated or len(answer.told_curve) <= _FEW_STRENGTHS:
        draw_means(
            axes, answer.told_curve, color=color, marker=look["marker"], linestyle="none", elinewidth=1, capsize=2,
            label="mean, 90 % CI", zorder=4,
        )  # fmt: skip
    _tell_means(axes, answer.told_curve, metric=metric, symbol=symbol)
    base = next((point.mean for point in answer.told_curve if point.strength == 0), None)
    if base is not None:
        axes.axhline(base, color=GREY, linestyle=(0, (1, 2)), linewidth=1, label=f"level at {symbol} = 0", zorder=1)
    if best is not None:
        axes.plot(
            *best, color=INK, marker="*", markersize=9, markerfacecolor="white", linestyle="none", zorder=5,
            label="best trial",
        )  # fmt: skip
    axes.margins(y=0.06)
    limits = (answer.lambda_star, *(answer.interval or ()))
    tried = [point.strength for point in answer.told_curve if point.strength is not None]
    scale_strengths(axes, "x", tried, upto=max((value for value in limits if value is not None), default=0.0))
    _mark_strength(axes, answer, star="λ*" if symbol == "λ" else "best", metric=metric)
    as_they_are(axes, metric)


def _tell_means(axes: Axes, curve: Sequence[CurvePoint], *, metric: str, symbol: str) -> None:
    """Tell of each mean in numbers: the score with its interval, and the seeds."""
    for point in curve if len(curve) <= _FEW_STRENGTHS else ():
        if point.strength is None or point.mean is None:
            continue
        half, seeds = _half_width(point), point.seeds or 0
        ends = sorted((point.mean - half, point.mean + half), key=lambda value: as_told(value, metric))
        interval = f" [{', '.join(score_text(end, metric) for end in ends)}]" if half else ""
        told = f"{symbol} = {strength_text(point.strength)}: {score_text(point.mean, metric)}{interval}"
        tell(axes, point.strength, point.mean, f"{told}, {seeds} seed{'s' * (seeds != 1)}" if seeds else told)


def similarity_figure(cell: CellResult) -> Figure:
    """Similarity of the two representations against λ, each in a line of its own."""
    figure, axes = blank("Similarity of the representations")
    draw_similarities(axes, cell)
    for strength, value in cell.similarity("cka"):
        others = [(label, dict(cell.similarity(name)).get(strength)) for name, (label, _) in _SIMILARITIES.items()]
        numbers = ", ".join(f"{label} {other:.2f}" for label, other in others if other is not None)
        tell(axes, strength, value, f"λ = {strength_text(strength)}: {numbers}")
    scale_strengths(axes, "x", [point.strength for point in cell.alignment if point.strength is not None])
    axes.set_ylim(min(0.0, axes.get_ylim()[0]), max(1.0, axes.get_ylim()[1]))
    axes.set_xlabel("alignment strength λ")
    axes.set_ylabel("similarity")
    legend(figure, axes)
    return figure


def numbers_figure(cell: CellResult) -> Figure | None:
    """Other numbers that a user's function returned against λ, each on its own axes; None where it returned none."""
    names = list(dict.fromkeys(name for point in cell.other_numbers for name in point.numbers))[:_MOST_NUMBERS]
    known = {
        name: [
            (point.strength, value)
            for point in cell.other_numbers
            if point.strength is not None and (value := point.numbers.get(name)) is not None
        ]
        for name in names
    }
    drawn = {name: points for name, points in known.items() if points}
    if not drawn:
        return None
    columns = min(3, len(drawn))
    rows = -(-len(drawn) // columns)
    figure, grid = blank_grid("Other numbers", rows=rows, columns=columns, size=(2.1, 1.7))
    every = [axes for row in grid for axes in row]
    for axes, (name, points) in zip(every, drawn.items(), strict=False):
        axes.plot(*zip(*points, strict=True), color=INK, marker="o", markersize=3, markerfacecolor="white", linewidth=1)
        for strength, value in points:
            tell(axes, strength, value, f"{shortened(one_line(name), 40)} {value:.4g} at λ = {strength_text(strength)}")
        axes.set_title(shortened(one_line(name), 24), fontsize=8, fontweight="normal")
        scale_strengths(axes, "x", [strength for strength, _ in points], apart=0.2)
        axes.tick_params(labelsize=6.5)
        axes.set_xlabel("λ")
    for axes in every[len(drawn) :]:
        axes.set_visible(False)
    return figure


def _mark_strength(axes: Axes, answer: SubjectResult, *, star: str, metric: str) -> None:
    """λ* as a diamond on the lower edge, its interval as a bar, `lambda_1se` as an open triangle."""
    low, high = axes.get_ylim()
    floor = low - 0.08 * (high - low)
    axes.set_ylim(low - 0.16 * (high - low), high)
    if answer.interval:
        axes.plot(answer.interval, (floor, floor), color=INK, linewidth=3, alpha=0.45, solid_capstyle="butt", zorder=3)
    if answer.lambda_star is not None:
        axes.axvline(answer.lambda_star, color=INK, linewidth=0.8, linestyle=(0, (6, 3)), zorder=1)
        axes.plot(
            answer.lambda_star,
            floor,
            color=INK,
            marker="D",
            linestyle="none",
            zorder=5,
            label=f"{star}, 90 % interval",
        )
        gain = gain_text(answer, metric)
        told = f"{star} {strength_with_interval(answer)}"
        tell(axes, answer.lambda_star, floor, told if gain == "–" else f"{told}: {gain}")
    if answer.lambda_1se is not None:
        axes.plot(
            answer.lambda_1se, floor, color=INK, marker="^", markerfacecolor="white", markersize=6, linestyle="none",
            zorder=4, label="within 1 s.e.",
        )  # fmt: skip


def _band(posterior: PosteriorCurve | None) -> tuple[list[float], ...] | None:
    """The posterior's four columns where they are complete, else None."""
    if posterior is None:
        return None
    columns = (posterior.strength, posterior.mean, posterior.low, posterior.high)
    rows = [row for row in zip(*columns, strict=False) if all(value is not None for value in row)]
    return tuple([value for value in column if value is not None] for column in zip(*rows, strict=True)) or None


def _half_width(point: CurvePoint) -> float:
    """Half of the 90 % t interval of a mean over seeds; 0 for a single seed."""
    seeds = point.seeds or 0
    if point.sd is None or seeds < 2:
        return 0.0
    return float(stats.t.ppf(0.95, seeds - 1) * point.sd / math.sqrt(seeds))
