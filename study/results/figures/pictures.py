"""Pictures of what alignment does: where representations lie, which classes are told, how training goes."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from study.results.figures.canvas import ENCODER_STYLES, GREY, INK, blank_grid, legend, shortened, tell
from study.results.figures.curves import as_they_are
from study.results.model import CellResult, ClassChange, LearningCurve, ProjectionResult
from study.results.text.amounts import score_name, score_text, strength_text

_CAPS, _MARKERS = ("round", "projecting"), ("o", "s")  # of the modalities, in every panel: dots and squares
_MOST_TOLD = 8  # epochs of a learning curve
_COLORS = 10  # of matplotlib's table of distinct ones; further classes begin again


def space_figure(cell: CellResult) -> Figure | None:
    """Both modalities' representations of the same rows at λ = 0, next to λ* and at the largest strength, paired rows
    joined; None where the report has none.
    """
    shown = [(one, places) for one in _projections(cell) if (places := one.places) is not None]
    if not shown:
        return None
    figure, ((*every,),) = blank_grid(
        "Both modalities' representations of the same rows", rows=1, columns=len(shown), size=(2.3, 2.1)
    )
    for axes, (one, places) in zip(every, shown, strict=True):
        _draw_space(axes, places, one)
        axes.set_title(_strengths(cell, one.strengths), fontsize=8, fontweight="normal")
        first, second = (*one.shares, 0.0, 0.0)[:2]
        axes.set_xlabel(f"PC 1 ({first:.0%})", fontsize=7)
        axes.set_ylabel(f"PC 2 ({second:.0%})", fontsize=7)
    for marker, name in zip(_MARKERS, cell.names, strict=True):
        every[0].plot(
            [], [], marker=marker, linestyle="none", color=GREY, markersize=4, label=shortened(name, 20)
        )  # fmt: skip
    every[0].plot([], [], color=GREY, linewidth=0.6, label="the same row")
    legend(figure, every[0])
    return figure


def _projections(cell: CellResult) -> tuple[ProjectionResult, ...]:
    return cell.pictures.projections if cell.pictures else ()


def _draw_space(axes: Axes, places: NDArray[np.float64], one: ProjectionResult) -> None:
    labels = one.told_labels
    labels = labels if len(labels) == places.shape[1] else np.zeros(places.shape[1], np.int64)
    axes.plot(*_segments(places[0], places[1]), color=GREY, linewidth=0.35, alpha=0.6, zorder=1)
    colors = _palette(one)
    short = 2e-3 * float(np.ptp(places)) or 1e-3
    for cap, points in zip(_CAPS, places, strict=True):
        for label in np.unique(labels):
            own = points[labels == label]
            axes.plot(
                *_segments(own, own + np.array((short, 0.0))), color=colors[int(label) % len(colors)], linewidth=3.0,
                solid_capstyle=cap, alpha=0.9, zorder=2,
            )  # fmt: skip
    axes.grid(visible=False)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_aspect("equal", adjustable="datalim")


def _segments(begin: NDArray[np.float64], end: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Lines between points (N, 2), as the coordinates of one path: as many paths, or markers, would be a large file."""
    gap = np.full_like(begin, np.nan)
    path = np.stack([begin, end, gap], 1).reshape(-1, 2)
    return path[:, 0], path[:, 1]


def _palette(one: ProjectionResult) -> list[tuple[float, ...]]:
    """Distinct colours for classes, an ordered row of them for fifths of the target."""
    import matplotlib as mpl

    if one.classes:
        return [tuple(mpl.colormaps["tab10"](k)) for k in range(_COLORS)]
    return [tuple(mpl.colormaps["viridis"](value)) for value in np.linspace(0, 0.9, 5)]


def _strengths(cell: CellResult, strengths: tuple[float, ...]) -> str:
    first, second = (*strengths, 0.0, 0.0)[:2]
    if first == second:
        return f"λ = {strength_text(first)}"
    if not second or not first:
        name = cell.names[0 if first else 1]
        return f"λ = {strength_text(first or second)}, {shortened(name, 14)} alone"
    return f"λ = {strength_text(first)} and {strength_text(second)}"


def classes_figure(cell: CellResult) -> Figure | None:
    """The share of each class that each encoder tells at λ = 0 and at the strengths compared; None without any."""
    known = cell.pictures
    shown = [(place, change) for place, change in enumerate(known.classes[:2] if known else ()) if _has_both(change)]
    if known is None or not shown:
        return None
    shown_at = _strengths(cell, known.strengths)
    count = max(len(change.at_zero) for _, change in shown)
    figure, ((*every,),) = blank_grid(
        f"Accuracy by class (test), λ = 0 against {shown_at}",
        rows=1, columns=len(shown), size=(2.6, 0.7 + 0.16 * count),
    )  # fmt: skip
    for axes, (place, change) in zip(every, shown, strict=True):
        look = ENCODER_STYLES[place]
        rows = [
            (100 * zero, 100 * star, row)
            for row, (zero, star) in enumerate(zip(change.at_zero, change.at_star, strict=True))
            if zero is not None and star is not None
        ]
        zeros, stars, heights = np.array(rows, float).reshape(-1, 3).T
        joined = _segments(np.stack([zeros, heights], 1), np.stack([stars, heights], 1))
        axes.plot(*joined, color=look["color"], linewidth=1.2, zorder=2)
        axes.plot(zeros, heights, color=INK, marker="|", markersize=6, linestyle="none", zorder=3)
        axes.plot(stars, heights, color=look["color"], marker=look["marker"], markersize=4, linestyle="none", zorder=4)
        for zero, star, row in rows:
            tell(axes, star, row, f"class {row}: {zero:.1f} % at λ = 0, {star:.1f} % at {shown_at}")
        axes.set_title(shortened(cell.names[place], 24), fontsize=8, fontweight="normal")
        axes.set_yticks(range(len(change.at_zero)))
        axes.tick_params(labelsize=6.5, left=False)
        axes.invert_yaxis()
        axes.grid(axis="x", color="#e3e3e3", linewidth=0.7)
        axes.set_xlabel("rows of the class that are told, %", fontsize=7)
    every[0].set_ylabel("class")
    every[0].plot([], [], color=INK, marker="|", linestyle="none", label="λ = 0")
    every[0].plot([], [], color=INK, marker="o", markersize=4, label=shown_at)
    legend(figure, every[0])
    return figure


def _has_both(change: ClassChange) -> bool:
    return bool(change.at_zero) and len(change.at_zero) == len(change.at_star)


def learning_figure(cell: CellResult) -> Figure | None:
    """The score of both encoders after each epoch that was measured, at λ = 0 and next to λ*; None without curves."""
    curves = [curve for curve in cell.learning_curves if curve.strength is not None and len(curve.epoch) > 1]
    at_zero = next((curve for curve in curves if curve.strength == 0), None)
    shown = [told for told in cell.told_encoders[:2] if at_zero and _scores(at_zero, told.place)]
    if at_zero is None or not shown:
        return None
    figure, ((*every,),) = blank_grid("Learning curves", rows=1, columns=len(shown), size=(2.6, 1.9))
    for axes, told in zip(every, shown, strict=True):
        look, metric = ENCODER_STYLES[told.place], cell.metric(told.place)
        star = told.answer.lambda_star
        others = [curve for curve in curves if curve.strength and _scores(curve, told.place)]
        near = max(others, key=lambda curve: curve.strength or 0.0, default=None)  # without a λ* above 0 to be near to
        if star:
            near = min(others, key=lambda curve: abs((curve.strength or 0.0) - star), default=None)
        for curve, color, style in ((at_zero, GREY, (0, (1, 2))), (near, look["color"], "-")):
            if curve is not None:
                points = _scores(curve, told.place)
                at = f"λ = {strength_text(curve.strength)}"
                for epoch, score in dict.fromkeys(points[:: -(-len(points) // _MOST_TOLD) or 1] + points[-1:]):
                    tell(axes, epoch, score, f"{at}, epoch {epoch:g}: {score_text(score, metric)}")
                axes.plot(
                    *zip(*points, strict=True), color=color, linestyle=style, marker=look["marker"], markersize=2.5,
                    linewidth=1.2, label=at,
                )  # fmt: skip
        axes.set_title(shortened(told.name, 24), fontsize=8, fontweight="normal")
        axes.legend(fontsize=6.5, borderpad=0.2, handlelength=2)
        axes.tick_params(labelsize=7)
        axes.set_xlabel("epoch", fontsize=8)
        axes.set_ylabel(f"{score_name(metric)} (validation)", fontsize=8)
        as_they_are(axes, metric)
    return figure


def _scores(curve: LearningCurve, place: int) -> list[tuple[float, float]]:
    values = curve.score_1 if place == 0 else curve.score_2
    known = zip(curve.epoch, values, strict=False)
    return [(epoch, score) for epoch, score in known if epoch is not None and score is not None]
