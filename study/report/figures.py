"""The figures of a report: curves with their posterior, alignment metrics, PID bars, and λ* against redundancy.

Drawn with matplotlib's objects alone (no pyplot, so no global state and no display), legible without colour: what
differs in colour also differs in marker, line style or hatch. The same report gives the same SVG bytes.
"""

from __future__ import annotations

import io
import math
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import FixedFormatter, FixedLocator, NullLocator
from scipy import stats

from study.report import reading, words
from study.report.reading import Part, Report, number, part, parts
from study.selection import unwarp, warp, warp_scale

OVERVIEW = "00-strength-against-redundancy"

_OURS = re.compile(r"\d+-.+\.(png|svg)")  # names of figure files, in a folder that holds nothing else

_BLUE, _ORANGE, _GREEN, _INK, _GREY = "#1f5fa8", "#b8480e", "#2d7a4b", "#1a1a1a", "#6f6f6f"
_ENCODERS: tuple[dict[str, Any], ...] = (
    {"color": _BLUE, "marker": "o", "linestyle": "-"},
    {"color": _ORANGE, "marker": "s", "linestyle": "--"},
)
_ALIGNMENT: Mapping[str, tuple[str, dict[str, Any]]] = {
    "cka": ("CKA", {"color": _BLUE, "marker": "o", "linestyle": "-"}),
    "svcca": ("SVCCA", {"color": _ORANGE, "marker": "s", "linestyle": "--"}),
    "mutual_knn": ("mutual k-NN", {"color": _GREEN, "marker": "^", "linestyle": ":"}),
}
_BARS = {
    "redundancy": ("#9db8d9", ""),
    "unique_1": ("#c9dbbf", "///"),
    "unique_2": ("#f0cfae", "\\\\\\"),
    "synergy": ("#d9c3de", "xx"),
}
_SIZE = (4.4, 3.3)  # inches: two side by side on a desk, one on a phone, and still legible there
_STYLE: Mapping[str, Any] = {
    "font.family": "DejaVu Sans", "font.size": 9, "axes.titlesize": 10, "axes.titlelocation": "left",
    "axes.titleweight": "bold", "axes.spines.top": False, "axes.spines.right": False, "axes.edgecolor": _GREY,
    "axes.linewidth": 0.8, "axes.labelcolor": _INK, "text.color": _INK, "xtick.color": _INK, "ytick.color": _INK,
    "text.parse_math": False, "legend.frameon": False, "legend.fontsize": 8, "hatch.linewidth": 0.6,
    "lines.linewidth": 1.5, "lines.markersize": 5, "svg.fonttype": "none", "svg.hashsalt": "align-study",
    "figure.dpi": 160, "axes.unicode_minus": True,
}  # fmt: skip


def figures(report: Report) -> dict[str, Figure]:
    """Every figure of a report by name; names start with the cell's place in the report and are safe file names."""
    drawn: dict[str, Figure] = {}
    with _style():
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
        if overview := _overview(cells):
            drawn[OVERVIEW] = overview
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
        for extension, content in _encoded(figure).items():
            path = folder / f"{name}.{extension}"
            path.write_bytes(content)
            written.append(path)
    for path in folder.iterdir():
        if path not in written and _OURS.fullmatch(path.name):
            path.unlink()
    return sorted(written)


def _encoded(figure: Figure) -> dict[str, bytes]:
    """PNG and SVG of a figure, straight from the canvases: `savefig` would lay out and draw everything twice."""
    png, svg = io.BytesIO(), io.BytesIO()
    with _style():
        FigureCanvasAgg(figure).print_png(png, metadata={"Software": None})
        figure.set_layout_engine("none")  # keeps the places that the first drawing found
        figure.patch.set_alpha(0)  # the page's own colour, light or dark, shows through
        FigureCanvasSVG(figure).print_svg(svg, metadata={"Date": None, "Creator": None})
    return {"png": png.getvalue(), "svg": svg.getvalue()}


@contextmanager
def _style() -> Iterator[None]:
    with mpl.rc_context(dict(_STYLE)), warnings.catch_warnings():
        # Names in scripts that the font lacks stay legible in the SVG, whose text is text.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        yield


def _blank(title: str, *, size: tuple[float, float] = _SIZE) -> tuple[Figure, Axes]:
    figure = Figure(figsize=size, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.set_title(_short(title, 52))
    axes.grid(axis="y", color="#e3e3e3", linewidth=0.7)
    axes.set_axisbelow(True)
    axes.patch.set_alpha(0)
    return figure, axes


def _legend(figure: Figure, axes: Axes, *, columns: int = 3) -> None:
    handles, labels = axes.get_legend_handles_labels()
    if handles:
        figure.legend(handles, labels, loc="outside lower center", ncols=columns, columnspacing=1.2, handlelength=2.0)


def _curve(cell: Part, index: int, entry: Part) -> Figure:
    """One encoder's score against λ: seeds, means, posterior band, the level at λ = 0, λ* and its interval."""
    metric, name = reading.metric_of(cell, index), reading.pair_of(cell)[index]
    verdict = ", ".join(str(entry[key]) for key in ("verdict", "shape") if entry.get(key))
    figure, axes = _blank(f"{name}: {verdict}" if verdict else name)
    look = _ENCODERS[index]
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
            yerr=[_half_width(point) for point in means], color=color, marker=look["marker"], markerfacecolor="white",
            linestyle="none", elinewidth=1, capsize=2, label="mean, 90 % CI", zorder=4,
        )  # fmt: skip
        base = [float(point["mean"]) for point in means if point["strength"] == 0]
        if base:
            axes.axhline(base[0], color=_GREY, linestyle=(0, (1, 2)), linewidth=1, label="level at λ = 0", zorder=1)
    axes.margins(y=0.06)
    _warp(axes, "x", reading.strengths_of(entry))
    _mark_strength(axes, entry)
    axes.set_xlabel("alignment strength λ")
    axes.set_ylabel(f"{metric.replace('_', ' ')} (validation)")
    _legend(figure, axes)
    return figure


def _mark_strength(axes: Axes, entry: Part) -> None:
    """λ* as a diamond on the lower edge, its interval as a bar, `lambda_1se` as an open triangle."""
    low, high = axes.get_ylim()
    floor = low - 0.08 * (high - low)
    axes.set_ylim(low - 0.16 * (high - low), high)
    star, bounds = number(entry.get("lambda_star")), reading.interval(entry.get("interval"))
    if bounds:
        axes.plot(bounds, (floor, floor), color=_INK, linewidth=3, alpha=0.45, solid_capstyle="butt", zorder=3)
    if star is not None:
        axes.axvline(star, color=_INK, linewidth=0.8, linestyle=(0, (6, 3)), zorder=1)
        axes.plot(star, floor, color=_INK, marker="D", linestyle="none", zorder=5, label="λ*, 90 % interval")
    if (cautious := number(entry.get("lambda_1se"))) is not None:
        axes.plot(
            cautious, floor, color=_INK, marker="^", markerfacecolor="white", markersize=6, linestyle="none", zorder=4,
            label="within 1 s.e.",
        )  # fmt: skip


def _alignment(cell: Part) -> Figure:
    """Similarity of the two representations against λ, by each metric."""
    figure, axes = _blank("Similarity of the representations")
    points = [point for point in parts(cell, "alignment") if number(point.get("strength")) is not None]
    for key, (label, look) in _ALIGNMENT.items():
        known = sorted((float(p["strength"]), value) for p in points if (value := number(p.get(key))) is not None)
        if known:
            axes.plot(*zip(*known, strict=True), label=label, markerfacecolor="white", **look)
    _warp(axes, "x", [float(point["strength"]) for point in points])
    axes.set_ylim(min(0.0, axes.get_ylim()[0]), max(1.0, axes.get_ylim()[1]))
    axes.set_xlabel("alignment strength λ")
    axes.set_ylabel("similarity")
    _legend(figure, axes)
    return figure


def _pid(cell: Part) -> Figure:
    """The information profile in bits: estimate and interval, what chance alone gives, the exact value if known."""
    profile = part(cell, "pid")
    figure, axes = _blank(f"Information profile ({profile.get('estimator') or 'PID'})")
    first, second = (_short(name, 12) for name in reading.pair_of(cell))
    names = ("redundancy", f"unique\n{first}", f"unique\n{second}", "synergy")
    for place, key in enumerate(reading.COMPONENTS):
        value = number(profile.get(key))
        if value is None:
            continue
        face, hatch = _BARS[key]
        axes.bar(place, value, width=0.62, color=face, edgecolor=_INK, linewidth=0.8, hatch=hatch)
        if bounds := reading.interval(part(profile, "interval").get(key)):
            error = [[max(0.0, value - bounds[0])], [max(0.0, bounds[1] - value)]]
            axes.errorbar(place, value, yerr=error, color=_INK, capsize=4, linestyle="none", label="interval")
        if part(profile, "significant").get(key) is False:
            top = (reading.interval(part(profile, "interval").get(key)) or (value, value))[1]
            axes.annotate("n.s.", (place, top), xytext=(0, 4), textcoords="offset points", ha="center", fontsize=8)
        if (chance := number(part(profile, "null").get(key))) is not None:
            axes.hlines(
                chance, place - 0.4, place + 0.4, color=_INK, linestyle=":", linewidth=1.4, label="chance alone"
            )
        if (exact := number(part(profile, "exact").get(key))) is not None:
            axes.plot(place, exact, color=_INK, marker="D", markerfacecolor="white", linestyle="none", label="exact")
    axes.set_xticks(range(4), names)
    axes.tick_params(axis="x", length=0)
    axes.set_ylim(min(0.0, axes.get_ylim()[0]), axes.get_ylim()[1])
    axes.set_ylabel(str(profile.get("units") or "bits"))
    handles, labels = axes.get_legend_handles_labels()
    if unique := dict(zip(labels, handles, strict=True)):
        figure.legend(unique.values(), unique.keys(), loc="outside lower center", ncols=3)
    return figure


def _overview(cells: Sequence[Part]) -> Figure | None:
    """λ* of every encoder against its pair's redundancy; numbers name the cells. None where nothing is answered."""
    answered = [
        (position, index, redundancy, star, entry)
        for position, cell in enumerate(cells, start=1)
        for index, entry in enumerate(parts(cell, "encoders")[:2])
        if (redundancy := number(part(cell, "pid").get("redundancy"))) is not None
        and (star := number(entry.get("lambda_star"))) is not None
    ]
    if not answered:
        return None
    figure, axes = _blank("λ* against redundancy, over all pairs", size=(6.6, 3.8))
    spread = 0.006 * (max(a[2] for a in answered) - min(a[2] for a in answered) or 1.0)
    for position, index, redundancy, star, entry in answered:
        look = _ENCODERS[index]
        bounds = reading.interval(entry.get("interval")) or (star, star)
        place = redundancy + (-spread if index == 0 else spread)
        axes.plot((place, place), bounds, color=look["color"], linewidth=1.2, linestyle=look["linestyle"], zorder=2)
        face = look["color"] if entry.get("verdict") == "align" else "white"
        axes.plot(
            place, star, color=look["color"], marker=look["marker"], markerfacecolor=face, linestyle="none", zorder=3
        )
        axes.annotate(str(position), (place, star), xytext=(-5 if index == 0 else 5, 4), textcoords="offset points",
                      ha="right" if index == 0 else "left", fontsize=7.5, color=_INK)  # fmt: skip
    tried = [value for cell in cells for entry in parts(cell, "encoders") for value in reading.strengths_of(entry)]
    _warp(axes, "y", [*tried, *(a[3] for a in answered)])
    for index, look in enumerate(_ENCODERS):
        axes.plot([], [], label=f"encoder {index + 1}", **look)
    axes.plot([], [], color=_INK, marker="o", linestyle="none", label="filled: align")
    axes.plot(
        [], [], color=_INK, marker="o", markerfacecolor="white", linestyle="none", label="open: avoid, indifferent"
    )
    axes.set_xlabel("redundancy (bits)")
    axes.set_ylabel("λ*, 90 % interval")
    _legend(figure, axes, columns=4)
    return figure


def _warp(axes: Axes, which: str, strengths: Sequence[float]) -> None:
    """Put strengths on the axis on which `study.selection` smooths them; 0 has a place on it."""
    positive = sorted(value for value in strengths if value > 0)
    top = positive[-1] if positive else 1.0
    scale = warp_scale([0.0, *(positive or [top])])

    def to_scale(value: Any) -> Any:
        return np.sign(value) * warp(np.abs(value), scale=scale)

    def from_scale(value: Any) -> Any:
        return np.sign(value) * unwarp(np.abs(value), scale=scale)

    limit = float(to_scale(top))
    decades = range(math.floor(math.log10(positive[0])) if positive else -1, math.ceil(math.log10(top)) + 1)
    round_values = (digit * 10.0**power for digit in (1, 5, 2) for power in reversed(decades))
    ticks: list[float] = []
    for tick in (0.0, top, *round_values):  # the ends first, then round values where there is room
        if tick <= top and all(abs(to_scale(tick) - to_scale(other)) >= 0.1 * limit for other in ticks):
            ticks.append(tick)
    ticks.sort()
    getattr(axes, f"set_{which}scale")("function", functions=(to_scale, from_scale))
    getattr(axes, f"set_{which}lim")(float(from_scale(-0.04 * limit)), float(from_scale(1.04 * limit)))
    axis = getattr(axes, f"{which}axis")
    axis.set_major_locator(FixedLocator(ticks))
    axis.set_major_formatter(FixedFormatter([words.strength_text(tick) for tick in ticks]))
    axis.set_minor_locator(NullLocator())


def _band(posterior: Part) -> tuple[list[float], ...] | None:
    """The posterior's four columns where they are complete, else None."""
    columns = [posterior.get(key) for key in ("strength", "mean", "low", "high")]
    if not all(isinstance(column, Sequence) and column for column in columns):
        return None
    rows = [row for row in zip(*columns, strict=False) if all(number(value) is not None for value in row)]
    return tuple(map(list, zip(*rows, strict=True))) if rows else None


def _half_width(point: Part) -> float:
    """Half of the 90 % t interval of a mean over seeds; 0 for a single seed."""
    seeds, sd = number(point.get("seeds")) or 0, number(point.get("sd"))
    return float(stats.t.ppf(0.95, seeds - 1) * sd / math.sqrt(seeds)) if sd is not None and seeds > 1 else 0.0


def _short(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"
