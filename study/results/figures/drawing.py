"""The figures of a report: curves with their posterior, alignment metrics, PID bars, and λ* against redundancy.

Legible without colour: what differs in colour also differs in marker, line style or hatch.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from study.results import reading
from study.results.figures import across, theory
from study.results.figures.canvas import (
    BLUE,
    ENCODER_STYLES,
    GREEN,
    GREY,
    INK,
    ORANGE,
    blank,
    encoded,
    legend,
    scale_strengths,
    shortened,
    style,
    watermark,
)
from study.results.reading import CHANGES, FIGURES, OVERVIEW, SIDE_BY_SIDE, Part, Report, number, part, parts

_OURS = re.compile(rf"({OVERVIEW}|{SIDE_BY_SIDE}|{CHANGES})\.(png|svg)|\d\d+-.+-({'|'.join(FIGURES)})\.(png|svg)")
_ALIGNMENT: Mapping[str, tuple[str, dict[str, Any]]] = {
    "cka": ("CKA", {"color": BLUE, "marker": "o", "linestyle": "-"}),
    "svcca": ("SVCCA", {"color": ORANGE, "marker": "s", "linestyle": "--"}),
    "mutual_knn": ("mutual k-NN", {"color": GREEN, "marker": "^", "linestyle": ":"}),
}
_BARS = {
    "redundancy": ("#9db8d9", ""),
    "unique_1": ("#c9dbbf", "///"),
    "unique_2": ("#f0cfae", "\\\\\\"),
    "synergy": ("#d9c3de", "xx"),
}


def figures(report: Report) -> dict[str, Figure]:
    """Every figure of a report by name; names start with the cell's place in the report and are safe file names."""
    drawn: dict[str, Figure] = {}
    with style():
        cells = parts(report, "cells")
        for position, cell in enumerate(cells, start=1):
            stem = reading.file_stem(cell, position)
            for index, entry in enumerate(parts(cell, "encoders")[:2]):
                if reading.strengths_of(entry):
                    drawn[f"{stem}-curve-{index + 1}"] = _curve(cell, index, entry)
            if any(number(point.get(key)) is not None for point in parts(cell, "alignment") for key in _ALIGNMENT):
                drawn[f"{stem}-alignment"] = _alignment(cell)
            if any(number(part(cell, "pid").get(key)) is not None for key in reading.COMPONENTS):
                drawn[f"{stem}-pid"] = _pid(cell)
            if parts(part(cell, "forecast"), "encoders"):
                drawn[f"{stem}-forecast"] = theory.forecast_figure(cell)
            if theory.has_together(cell):
                drawn[f"{stem}-theory"] = theory.together_figure(cell)
        whole = {OVERVIEW: _overview, SIDE_BY_SIDE: across.side_by_side, CHANGES: across.changes}
        drawn.update((name, figure) for name, draws in whole.items() if (figure := draws(cells)))
        if any(cell.get("stand_in") for cell in cells):
            for figure in drawn.values():
                watermark(figure, "stand-in data")
    return dict(sorted(drawn.items()))


def draw(report: Report, folder: Path) -> list[Path]:
    """Write every figure of a report as SVG and PNG into `folder` (made if missing); the files written, sorted.

    Figures of an earlier report that this one no longer has are removed.

    Raises:
        OSError: `folder` cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, figure in figures(report).items():
        for extension, content in encoded(figure).items():
            path = folder / f"{name}.{extension}"
            path.write_bytes(content)
            written.append(path)
    for path in folder.iterdir():
        if path not in written and _OURS.fullmatch(path.name):
            path.unlink()
    return sorted(written)


def _curve(cell: Part, index: int, entry: Part) -> Figure:
    """One encoder's score against λ: seeds, means, posterior band, the level at λ = 0, λ* and its interval."""
    metric, name = reading.metric_of(cell, index), reading.pair_of(cell)[index]
    verdict = ", ".join(str(entry[key]) for key in ("verdict", "shape") if entry.get(key))
    figure, axes = blank(f"{name}: {verdict}" if verdict else name)
    look = ENCODER_STYLES[index]
    color = look["color"]
    points = [point for point in parts(entry, "curve") if number(point.get("strength")) is not None]
    seeds = [
        (float(point["strength"]), score)
        for point in points
        for value in point.get("scores") or ()
        if (score := number(value)) is not None
    ]
    if seeds:
        strengths, scores = zip(*seeds, strict=True)
        axes.scatter(strengths, scores, s=9, color=color, alpha=0.35, linewidths=0, label="one seed", zorder=2)
    if band := _band(part(entry, "posterior")):
        axes.fill_between(band[0], band[2], band[3], color=color, alpha=0.16, linewidth=0, label="90 % posterior")
        axes.plot(band[0], band[1], color=color, linestyle=look["linestyle"], zorder=3)
    means = [point for point in points if number(point.get("mean")) is not None]
    if means:
        axes.errorbar(
            [float(point["strength"]) for point in means], [float(point["mean"]) for point in means],
            yerr=[theory.half_width(point) for point in means], color=color, marker=look["marker"],
            markerfacecolor="white", linestyle="none", elinewidth=1, capsize=2, label="mean, 90 % CI", zorder=4,
        )  # fmt: skip
        base = [float(point["mean"]) for point in means if point["strength"] == 0]
        if base:
            axes.axhline(base[0], color=GREY, linestyle=(0, (1, 2)), linewidth=1, label="level at λ = 0", zorder=1)
    axes.margins(y=0.06)
    answer = (entry.get("lambda_star"), *(reading.interval(entry.get("interval")) or ()))
    beyond = max((value for value in map(number, answer) if value is not None), default=0.0)
    scale_strengths(axes, "x", reading.strengths_of(entry), upto=beyond)
    _mark_strength(axes, entry)
    axes.set_xlabel("alignment strength λ")
    axes.set_ylabel(f"{metric.replace('_', ' ')} (validation)")
    legend(figure, axes)
    return figure


def _mark_strength(axes: Axes, entry: Part) -> None:
    """λ* as a diamond on the lower edge, its interval as a bar, `lambda_1se` as an open triangle."""
    low, high = axes.get_ylim()
    floor = low - 0.08 * (high - low)
    axes.set_ylim(low - 0.16 * (high - low), high)
    star, bounds = number(entry.get("lambda_star")), reading.interval(entry.get("interval"))
    if bounds:
        axes.plot(bounds, (floor, floor), color=INK, linewidth=3, alpha=0.45, solid_capstyle="butt", zorder=3)
    if star is not None:
        axes.axvline(star, color=INK, linewidth=0.8, linestyle=(0, (6, 3)), zorder=1)
        axes.plot(star, floor, color=INK, marker="D", linestyle="none", zorder=5, label="λ*, 90 % interval")
    if (cautious := number(entry.get("lambda_1se"))) is not None:
        axes.plot(
            cautious, floor, color=INK, marker="^", markerfacecolor="white", markersize=6, linestyle="none", zorder=4,
            label="within 1 s.e.",
        )  # fmt: skip


def _alignment(cell: Part) -> Figure:
    """Similarity of the two representations against λ, by each metric."""
    figure, axes = blank("Similarity of the representations")
    points = [point for point in parts(cell, "alignment") if number(point.get("strength")) is not None]
    for key, (label, look) in _ALIGNMENT.items():
        known = sorted((float(p["strength"]), value) for p in points if (value := number(p.get(key))) is not None)
        if known:
            axes.plot(*zip(*known, strict=True), label=label, markerfacecolor="white", **look)
    scale_strengths(axes, "x", [float(point["strength"]) for point in points])
    axes.set_ylim(min(0.0, axes.get_ylim()[0]), max(1.0, axes.get_ylim()[1]))
    axes.set_xlabel("alignment strength λ")
    axes.set_ylabel("similarity")
    legend(figure, axes)
    return figure


def _pid(cell: Part) -> Figure:
    """The information profile in bits: estimate, interval and spread, what chance gives, the exact value if known."""
    profile = part(cell, "pid")
    figure, axes = blank(f"Information profile ({profile.get('estimator') or 'PID'})")
    first, second = (shortened(name, 12) for name in reading.pair_of(cell))
    names = ("redundancy", f"unique\n{first}", f"unique\n{second}", "synergy")
    for place, key in enumerate(reading.COMPONENTS):
        value = number(profile.get(key))
        if value is None:
            continue
        face, hatch = _BARS[key]
        axes.bar(place, value, width=0.62, color=face, edgecolor=INK, linewidth=0.8, hatch=hatch)
        if bounds := reading.interval(part(profile, "interval").get(key)):
            error = [[max(0.0, value - bounds[0])], [max(0.0, bounds[1] - value)]]
            axes.errorbar(place, value, yerr=error, color=INK, capsize=4, linestyle="none", label="interval")
        spread = [number(part(part(profile, "spread"), size).get(key)) for size in part(profile, "spread")]
        if len(marks := [mark for mark in spread if mark is not None]) > 1:
            at = [place + 0.2] * len(marks)
            axes.plot(at, marks, color=INK, marker="_", markersize=7, linestyle="none", label="other numbers of bins")
        if part(profile, "significant").get(key) is False:
            top = (reading.interval(part(profile, "interval").get(key)) or (value, value))[1]
            axes.annotate("n.s.", (place, top), xytext=(0, 4), textcoords="offset points", ha="center", fontsize=8)
        if (chance := number(part(profile, "null").get(key))) is not None:
            axes.hlines(chance, place - 0.4, place + 0.4, color=INK, linestyle=":", linewidth=1.4, label="chance alone")
        if (exact := number(part(profile, "exact").get(key))) is not None:
            axes.plot(place, exact, color=INK, marker="D", markerfacecolor="white", linestyle="none", label="exact")
    axes.set_xticks(range(4), names)
    axes.tick_params(axis="x", length=0)
    axes.set_ylim(min(0.0, axes.get_ylim()[0]), axes.get_ylim()[1])
    axes.set_ylabel(str(profile.get("units") or "bits"))
    legend(figure, axes)
    return figure


def _overview(cells: Sequence[Part]) -> Figure | None:
    """λ* of every encoder against its pair's redundancy; numbers name the cells. None where nothing is answered.

    Both encoders of a pair stand at its one redundancy: encoder 1 large and wide, encoder 2 small and thin on it.
    """
    answered = [
        (position, index, redundancy, star, entry)
        for position, cell in enumerate(cells, start=1)
        for index, entry in enumerate(parts(cell, "encoders")[:2])
        if (redundancy := number(part(cell, "pid").get("redundancy"))) is not None
        and (star := number(entry.get("lambda_star"))) is not None
    ]
    if not answered:
        return None
    figure, axes = blank("λ* against redundancy, over all pairs", size=(5.6, 3.6))
    for position, index, redundancy, star, entry in answered:
        look = ENCODER_STYLES[index]
        bounds = reading.interval(entry.get("interval")) or (star, star)
        side = -1 if index == 0 else 1
        width, alpha, size = ((5.0, 0.3, 9.0), (1.2, 1.0, 4.5))[index]
        axes.plot(
            (redundancy, redundancy), bounds, color=look["color"], linewidth=width, alpha=alpha,
            solid_capstyle="butt", zorder=2 + index,
        )  # fmt: skip
        face = look["color"] if entry.get("verdict") == "align" else "white"
        axes.plot(
            redundancy, star, color=look["color"], marker=look["marker"], markersize=size, markerfacecolor=face,
            linestyle="none", zorder=4 + index,
        )  # fmt: skip
        axes.annotate(
            str(position), (redundancy, star), xytext=(5 * side, 4), textcoords="offset points", fontsize=7.5,
            ha="right" if side < 0 else "left", color=INK,
        )  # fmt: skip
    tried = [value for cell in cells for entry in parts(cell, "encoders") for value in reading.strengths_of(entry)]
    scale_strengths(axes, "y", [*tried, *(a[3] for a in answered)])
    for index, look in enumerate(ENCODER_STYLES):
        axes.plot(
            [], [], label=f"encoder {index + 1}", color=look["color"], marker=look["marker"],
            markersize=(9.0, 4.5)[index], linewidth=(5.0, 1.2)[index],
        )  # fmt: skip
    axes.plot([], [], color=INK, marker="o", linestyle="none", label="filled: align")
    axes.plot(
        [], [], color=INK, marker="o", markerfacecolor="white", linestyle="none", label="open: avoid, indifferent"
    )
    axes.set_xlabel("redundancy (bits)")
    axes.set_ylabel("λ*, 90 % interval")
    legend(figure, axes, columns=4)
    return figure


def _band(posterior: Part) -> tuple[list[float], ...] | None:
    """The posterior's four columns where they are complete, else None."""
    columns = [posterior.get(key) for key in ("strength", "mean", "low", "high")]
    if not all(isinstance(column, Sequence) and column for column in columns):
        return None
    rows = [row for row in zip(*columns, strict=False) if all(number(value) is not None for value in row)]
    return tuple(map(list, zip(*rows, strict=True))) if rows else None
