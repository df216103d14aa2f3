"""The linear theory in a report: its forecast, and where it describes what was trained, theory and training in one."""

from __future__ import annotations

import math
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy import stats

from study.results import reading
from study.results.figures.canvas import ENCODER_STYLES, INK, blank, legend, scale_strengths, shortened
from study.results.reading import Part, number, part, parts
from study.results.text.amounts import strength_text

_LINES = tuple({**style, "marker": ""} for style in ENCODER_STYLES)  # marks are for what was measured


def together_sentence(cell: Part) -> str:
    """How far the trained encoders followed the linear theory; "" where it says nothing of them."""
    told = []
    for entry, name in zip(parts(_together(cell), "encoders"), reading.pair_of(cell), strict=False):
        predicted, measured = number(entry.get("crossing")), part(entry, "measured")
        bounds, at = reading.interval(measured.get("interval")), number(measured.get("strength"))
        if predicted is None:
            loses = (
                f"but half of a loss was measured by λ = {strength_text(at)}"
                if at is not None
                else "and none was measured"
            )
            told.append(f"{name}: no loss expected, {loses}")
        elif at is None or bounds is None:
            told.append(
                f"{name}: half of its loss expected by λ = {strength_text(predicted)}, but no loss was measured"
            )
        else:
            place = "inside" if bounds[0] <= predicted <= bounds[1] else "outside"
            told.append(
                f"{name}: half of its loss expected by λ = {strength_text(predicted)}, measured by "
                f"{strength_text(at)} [{strength_text(bounds[0])}, {strength_text(bounds[1])}], "
                f"the expected one {place} the interval"
            )
    return f"The linear theory: {'; '.join(told)}." if told else ""


def forecast_figure(cell: Part) -> Figure:
    """What linear encoders would lose, by the theory: held-out risk against strength, and where directions swap."""
    figure, axes = blank("Linear forecast, before any training")
    every: list[float] = []
    for entry, look, name in zip(
        parts(part(cell, "forecast"), "encoders"), _LINES, reading.pair_of(cell), strict=False
    ):
        known = _points(entry.get("strengths"), entry.get("held_out"))
        if not known:
            continue
        every += [strength for strength, _ in known]
        axes.plot(*zip(*known, strict=True), label=shortened(name, 16), **look)
        for critical in entry.get("critical_strengths") or ():
            axes.axvline(float(critical), linewidth=0.8, alpha=0.6, **look)
    axes.set_xscale("symlog", linthresh=min((s for s in every if s > 0), default=1.0))
    axes.set_xlim(left=0)
    axes.xaxis.set_major_formatter("{x:g}")  # the default writes formulas, which no text of ours may be read as
    axes.set_xlabel("strength, in units of the theory")
    axes.set_ylabel("unexplained share of the target")
    legend(figure, axes)
    return figure


def has_together(cell: Part) -> bool:
    """Whether the theory describes what this cell trains."""
    return any(_points(_together(cell).get("strengths"), e.get("scores")) for e in parts(_together(cell), "encoders"))


def together_figure(cell: Part) -> Figure:
    """Score against λ: lines by the theory, marks as trained; below, each crossing, predicted and measured."""
    figure, axes = blank("Linear theory and training")
    together = _together(cell)
    measured = [*parts(cell, "encoders"), {}, {}]  # a profile has none
    known = list(zip(parts(together, "encoders"), measured, reading.pair_of(cell), strict=False))
    for index, (predicted, trained, name) in enumerate(known):
        line, style, short = _LINES[index], ENCODER_STYLES[index], shortened(name, 12)
        axes.plot(*zip(*_points(together.get("strengths"), predicted.get("scores")), strict=True), alpha=0.75, **line)
        if means := [point for point in parts(trained, "curve") if number(point.get("mean")) is not None]:
            axes.errorbar(
                [float(p["strength"]) for p in means], [float(p["mean"]) for p in means],
                [half_width(p) for p in means], color=style["color"], marker=style["marker"], markersize=4,
                markerfacecolor="white", linestyle="none", elinewidth=1, capsize=2, label=f"{short}, trained", zorder=4,
            )  # fmt: skip
        axes.plot([], [], label=f"{short}, theory", **line)
    tried = [strength for _, trained, _ in known for strength in reading.strengths_of(trained)]
    scale_strengths(axes, "x", tried or [float(s) for s in together.get("strengths") or (0.0, 1.0)])
    _mark_crossings(axes, [predicted for predicted, _, _ in known])
    axes.set_xlabel("alignment strength λ")
    axes.set_ylabel("R² (validation)")
    legend(figure, axes, columns=2)
    return figure


def _mark_crossings(axes: Axes, encoders: Sequence[Part]) -> None:
    """One row per encoder under the curves: the predicted crossing as a diamond, the measured one with its interval."""
    low, high = axes.get_ylim()
    for index, entry in enumerate(encoders):
        row, look = low - (0.06 + 0.07 * index) * (high - low), ENCODER_STYLES[index]
        measured = part(entry, "measured")
        if bounds := reading.interval(measured.get("interval")):
            axes.plot(bounds, (row, row), color=look["color"], linewidth=3, alpha=0.45, solid_capstyle="butt")
        if (at := number(measured.get("strength"))) is not None:
            axes.plot(at, row, **{**look, "linestyle": "none"}, label="half lost, 90 % interval")
        if (crossing := number(entry.get("crossing"))) is not None:
            axes.axvline(crossing, linewidth=0.8, alpha=0.6, **_LINES[index])
            axes.plot(
                crossing, row, color=INK, marker="D", markerfacecolor="white", linestyle="none", label="expected there"
            )
    axes.set_ylim(low - 0.2 * (high - low), high)


def _together(cell: Part) -> Part:
    return part(part(cell, "forecast"), "together")


def _points(strengths: object, values: object) -> list[tuple[float, float]]:
    if not isinstance(strengths, Sequence) or not isinstance(values, Sequence):
        return []
    pairs = ((number(s), number(v)) for s, v in zip(strengths, values, strict=False))
    return [(s, v) for s, v in pairs if s is not None and v is not None]


def half_width(point: Part) -> float:
    """Half of the 90 % t interval of a mean over seeds; 0 for a single seed."""
    seeds, sd = number(point.get("seeds")) or 0, number(point.get("sd"))
    return float(stats.t.ppf(0.95, seeds - 1) * sd / math.sqrt(seeds)) if sd is not None and seeds > 1 else 0.0
