"""The figures of a whole study after those of the papers: all pairs side by side, and the change against λ = 0.

`side_by_side` is Fig. 3 of Fang, Zhang and Chan (AAAI 2026) for generated data and its Fig. 5 for real pairs;
`changes` is its Fig. 4.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from study.results import reading
from study.results.figures.canvas import (
    ENCODER_STYLES,
    GREEN,
    GREY,
    INK,
    blank_grid,
    legend,
    scale_strengths,
    shortened,
)
from study.results.figures.theory import half_width
from study.results.reading import Part, number, part, parts
from study.results.text.amounts import gain_unit, in_unit, strength_text

_MOST_COLUMNS = 6
_METRICS: Mapping[str, tuple[str, dict[str, Any]]] = {
    "cka": ("CKA", {"color": INK, "marker": "D", "linestyle": "-"}),
    "svcca": ("SVCCA", {"color": GREY, "marker": "v", "linestyle": "--"}),
    "mutual_knn": ("mutual k-NN", {"color": GREEN, "marker": "^", "linestyle": ":"}),
}


def side_by_side(cells: Sequence[Part]) -> Figure | None:
    """Scores of both encoders above, similarity of their representations below, a column per pair.

    None below 2 and above 6 pairs with curves, and where not all are scored alike.
    """
    shown = [cell for cell in cells if any(reading.strengths_of(entry) for entry in parts(cell, "encoders")[:2])]
    metrics = {reading.metric_of(cell, index) for cell in shown for index in (0, 1)}
    if not 2 <= len(shown) <= _MOST_COLUMNS or len(metrics) != 1:
        return None
    figure, rows = blank_grid("Scores and similarity against λ", rows=2, columns=len(shown), size=(2.1, 1.9))
    for column, cell in enumerate(shown):
        score, similarity = rows[0][column], rows[1][column]
        score.set_title(_title(cell), fontsize=8, fontweight="normal")
        _draw_scores(score, cell)
        _draw_similarity(similarity, cell)
        tried = [strength for entry in parts(cell, "encoders")[:2] for strength in reading.strengths_of(entry)]
        for axes in (score, similarity):
            scale_strengths(axes, "x", tried, apart=0.15)
            axes.tick_params(axis="x", labelsize=6.5)
        similarity.set_ylim(0, 1)
        similarity.set_xlabel("λ")
    rows[0][0].set_ylabel(f"{_score_name(metrics.pop())} (validation)")
    rows[1][0].set_ylabel("similarity")
    legend(figure, rows[0][0], rows[1][0], columns=5)
    return figure


def changes(cells: Sequence[Part]) -> Figure | None:
    """The change of each encoder's score against λ = 0, over strengths × the option in which the cells differ.

    Colours diverge around zero: blue gains, red loses, as in the paper; the numbers say it without colour. None unless
    the cells differ in one numeric option alone and share two strengths above 0.
    """
    rows = _by_option(cells)
    if rows is None:
        return None
    option, ordered = rows
    tables = [[_changes_of(cell, index) for _, cell in ordered] for index in (0, 1)]
    shared = sorted(set.intersection(*(set(row) for table in tables for row in table)) - {0.0})
    if len(shared) < 2:
        return None
    metrics = [reading.metric_of(ordered[0][1], index) for index in (0, 1)]
    values = [
        np.array([[in_unit(row[strength], metric) for strength in shared] for row in table])
        for table, metric in zip(tables, metrics, strict=True)
    ]
    units = [gain_unit(metric) for metric in metrics]
    told = f", {units[0]}" if len(set(units)) == 1 else ""
    figure, ((first, second),) = blank_grid(
        f"Change in validation against λ = 0{told}",
        rows=1,
        columns=2,
        size=(0.6 + 0.46 * len(shared), 0.7 + 0.36 * len(ordered)),
    )
    same = max(float(np.abs(table).max()) for table in values)
    for index, (axes, table) in enumerate(zip((first, second), values, strict=True)):
        limit = (same if told else float(np.abs(table).max())) or 1.0
        axes.grid(visible=False)
        axes.pcolormesh(table, cmap="RdBu", vmin=-limit, vmax=limit)  # imshow would embed a picture, which pages refuse
        for (row, column), value in np.ndenumerate(table):
            text = f"{value:+.{1 if units[index] == 'points' else 2}f}"
            text = text if float(text) else text[1:]
            dark = abs(value) > 0.6 * limit
            axes.text(
                column + 0.5, row + 0.5, text.replace("-", "−"), ha="center", va="center", fontsize=6.5,
                color="white" if dark else INK,
            )  # fmt: skip
        name = reading.pair_of(ordered[0][1])[index] + ("" if told else f", {units[index]}")
        axes.set_title(shortened(name, 24), fontsize=8, fontweight="normal")
        axes.set_xticks(np.arange(len(shared)) + 0.5, [strength_text(strength) for strength in shared], fontsize=6.5)
        axes.set_yticks(np.arange(len(ordered)) + 0.5, [f"{value:g}" for value, _ in ordered])
        axes.set_xlabel("λ")
    first.set_ylabel(option.replace("_", " "))
    return figure


def _draw_scores(axes: Axes, cell: Part) -> None:
    for index, entry in enumerate(parts(cell, "encoders")[:2]):
        points = sorted(
            (
                (at, mean, half_width(point))
                for point in parts(entry, "curve")
                if (at := number(point.get("strength"))) is not None and (mean := number(point.get("mean"))) is not None
            ),
            key=lambda point: point[0],
        )
        if points:
            strengths, means, errors = zip(*points, strict=True)
            axes.errorbar(
                strengths, means, errors, **ENCODER_STYLES[index], markersize=3, markerfacecolor="white", linewidth=1,
                elinewidth=0.8, capsize=1.5, label=f"encoder {index + 1}",
            )  # fmt: skip


def _draw_similarity(axes: Axes, cell: Part) -> None:
    for key, (label, look) in _METRICS.items():
        known = sorted(
            (at, value)
            for point in parts(cell, "alignment")
            if (at := number(point.get("strength"))) is not None and (value := number(point.get(key))) is not None
        )
        if known:
            axes.plot(
                *zip(*known, strict=True), **look, markersize=3, linewidth=1, markerfacecolor="white", label=label
            )


def _score_name(metric: str) -> str:
    return "R²" if metric == "r2" else metric.replace("_", " ")


def _title(cell: Part) -> str:
    """The options in which the cells differ, or else the pair."""
    variant = part(cell, "variant")
    told = ", ".join(f"{key} {value:g}" for key, raw in variant.items() if (value := number(raw)) is not None)
    return shortened(told.replace("_", " ") or " + ".join(reading.pair_of(cell)), 24)


def _by_option(cells: Sequence[Part]) -> tuple[str, list[tuple[float, Part]]] | None:
    """The one numeric option in which the cells differ, and the cells by its value; None if it is not that simple."""
    options = {key for cell in cells for key in part(cell, "variant")}
    pairs = {reading.pair_of(cell) for cell in cells}
    if len(options) != 1 or len(pairs) != 1 or len(cells) < 2:
        return None
    (option,) = options
    known = [(value, cell) for cell in cells if (value := number(part(cell, "variant").get(option))) is not None]
    if len(known) < len(cells) or len({value for value, _ in known}) < len(known):
        return None
    return option, sorted(known, key=lambda pair: pair[0])


def _changes_of(cell: Part, index: int) -> dict[float, float]:
    """Change of the mean score against λ = 0 by strength; empty without a score at 0."""
    entries = parts(cell, "encoders")
    points = parts(entries[index], "curve") if index < len(entries) else []
    means = {
        at: mean
        for point in points
        if (at := number(point.get("strength"))) is not None and (mean := number(point.get("mean"))) is not None
    }
    return {at: mean - means[0.0] for at, mean in means.items()} if 0.0 in means else {}
