"""The figures of a whole study: λ* against redundancy, and, after those of the papers, all pairs side by side and
the change against λ = 0.

`side_by_side` is Fig. 3 of Fang, Zhang and Chan (AAAI 2026) for generated data and its Fig. 5 for real pairs;
`changes` is its Fig. 4.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from study.results.figures.canvas import (
    ENCODER_STYLES,
    INK,
    blank,
    blank_grid,
    legend,
    scale_strengths,
    shortened,
    tell,
)
from study.results.figures.curves import as_they_are, draw_means, draw_similarities, upwards
from study.results.model import CellResult, EncoderResult
from study.results.model.containers import number
from study.results.text.amounts import as_told, gain_unit, in_unit, score_name, strength_text, strength_with_interval

_MOST_COLUMNS = 6
_FEWEST_PAIRS = 3


def overview(cells: Sequence[CellResult]) -> Figure | None:
    """λ* of every encoder against its pair's redundancy, with both intervals; numbers name the cells. None where fewer
    than three pairs are answered, which show no relation.

    Both encoders of a pair stand at its one redundancy: encoder 1 large and wide, encoder 2 small and thin on it.
    """
    answered = [
        (position, index, cell.pid.redundancy, encoder.lambda_star, encoder)
        for position, cell in enumerate(cells, start=1)
        for index, encoder in enumerate(cell.encoders[:2])
        if cell.pid and cell.pid.redundancy is not None and encoder.lambda_star is not None
    ]
    if len({redundancy for _, _, redundancy, _, _ in answered}) < _FEWEST_PAIRS:
        return None
    figure, axes = blank("λ* against redundancy, over all pairs", size=(5.6, 3.6))
    for position, index, redundancy, star, encoder in answered:
        look = ENCODER_STYLES[index]
        bounds = encoder.interval or (star, star)
        side = -1 if index == 0 else 1
        width, alpha, size = ((5.0, 0.3, 9.0), (1.2, 1.0, 4.5))[index]
        axes.plot(
            (redundancy, redundancy), bounds, color=look["color"], linewidth=width, alpha=alpha,
            solid_capstyle="butt", zorder=2 + index,
        )  # fmt: skip
        known = cells[position - 1].pid
        if known is not None and (ends := known.interval.get("redundancy")):
            axes.plot(ends, (star, star), color=look["color"], linewidth=width / 2, alpha=alpha, zorder=2 + index)
        face = look["color"] if encoder.verdict == "align" else "white"
        axes.plot(
            redundancy, star, color=look["color"], marker=look["marker"], markersize=size, markerfacecolor=face,
            linestyle="none", zorder=4 + index,
        )  # fmt: skip
        words = f"{position}, {cells[position - 1].names[index]}: λ* {strength_with_interval(encoder)}"
        tell(axes, redundancy, star, f"{words}, redundancy {redundancy:.2f} bits")
        axes.annotate(
            f"{shortened(cells[position - 1].names[index], 12)} {position}", (redundancy, star),
            xytext=(5 * side, 4), textcoords="offset points", fontsize=7.5,
            ha="right" if side < 0 else "left", color=INK,
        )  # fmt: skip
    tried = [strength for cell in cells for encoder in cell.encoders for strength in encoder.tried]
    scale_strengths(axes, "y", [*tried, *(star for _, _, _, star, _ in answered)])
    for index, look in enumerate(ENCODER_STYLES):
        axes.plot(
            [], [], label=_whose(cells, index) or f"{('first', 'second')[index]} of a pair", color=look["color"],
            marker=look["marker"], markersize=(9.0, 4.5)[index], linewidth=(5.0, 1.2)[index],
        )  # fmt: skip
    axes.plot([], [], color=INK, marker="o", linestyle="none", label="filled: align")
    axes.plot(
        [], [], color=INK, marker="o", markerfacecolor="white", linestyle="none", label="open: avoid, indifferent"
    )
    axes.set_xlabel("redundancy (bits), 90 % interval")
    axes.set_ylabel("λ*, 90 % interval")
    legend(figure, axes, columns=4)
    return figure


def side_by_side(cells: Sequence[CellResult]) -> Figure | None:
    """Scores of both encoders above, similarity of their representations below, a column per pair.

    None below 2 and above 6 pairs with curves, and where not all are scored alike.
    """
    shown = [cell for cell in cells if any(encoder.tried for encoder in cell.encoders[:2])]
    metrics = {cell.metric(index) for cell in shown for index in (0, 1)}
    if not 2 <= len(shown) <= _MOST_COLUMNS or len(metrics) != 1:
        return None
    named_alike = all(_whose(shown, index) for index in (0, 1))  # else each column says whose is whose
    figure, rows = blank_grid("Scores and similarity against λ", rows=2, columns=len(shown), size=(2.1, 1.9))
    for column, cell in enumerate(shown):
        score, similarity = rows[0][column], rows[1][column]
        score.set_title(_title(cell), fontsize=8, fontweight="normal")
        for index, name, encoder in cell.told_encoders:
            draw_means(
                score, encoder.curve, **ENCODER_STYLES[index], markersize=3, linewidth=1, elinewidth=0.8, capsize=1.5,
                label=shortened(name, 16),
            )  # fmt: skip
        if not named_alike:
            score.legend(fontsize=6, borderpad=0.2, handlelength=1.5)
        draw_similarities(similarity, cell, markersize=3, linewidth=1)
        tried = [strength for encoder in cell.encoders[:2] for strength in encoder.tried]
        for axes in (score, similarity):
            scale_strengths(axes, "x", tried, apart=0.15)
            axes.tick_params(axis="x", labelsize=6.5)
        similarity.set_ylim(0, 1)
        similarity.set_xlabel("λ")
    metric = metrics.pop()
    rows[0][0].set_ylabel(f"{score_name(metric)} (validation){upwards(metric)}")
    for axes in rows[0]:
        as_they_are(axes, metric)
    rows[1][0].set_ylabel("similarity")
    legend(figure, *(rows[0][:1] if named_alike else ()), rows[1][0], columns=5)
    return figure


def _whose(cells: Sequence[CellResult], index: int) -> str | None:
    """The name that encoder 0 or 1 has in every pair; None where pairs are of different modalities."""
    names = {cell.names[index] for cell in cells}
    return shortened(names.pop(), 16) if len(names) == 1 else None


def changes(cells: Sequence[CellResult]) -> Figure | None:
    """The change of each encoder's score against λ = 0, over strengths × the option in which the cells differ.

    Colours diverge around zero: blue gains, red loses, as in the paper; the numbers say it without colour. None unless
    the cells differ in one numeric option alone and share two strengths above 0.
    """
    rows = _by_option(cells)
    if rows is None:
        return None
    option, ordered = rows
    tables = [[_changes_of(cell.encoders[index : index + 1]) for _, cell in ordered] for index in (0, 1)]
    shared = sorted(set.intersection(*(set(row) for table in tables for row in table)) - {0.0})
    if len(shared) < 2:
        return None
    metrics = [ordered[0][1].metric(index) for index in (0, 1)]
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
            text = f"{as_told(value, metrics[index]):+.{1 if units[index] == 'points' else 2}f}"
            text = text if float(text) else text[1:]
            dark = abs(value) > 0.6 * limit
            axes.text(
                column + 0.5, row + 0.5, text.replace("-", "−"), ha="center", va="center", fontsize=6.5,
                color="white" if dark else INK,
            )  # fmt: skip
        name = ordered[0][1].names[index] + ("" if told else f", {units[index]}")
        axes.set_title(shortened(name, 24), fontsize=8, fontweight="normal")
        axes.set_xticks(np.arange(len(shared)) + 0.5, [strength_text(strength) for strength in shared], fontsize=6.5)
        axes.set_yticks(np.arange(len(ordered)) + 0.5, [f"{value:g}" for value, _ in ordered])
        axes.set_xlabel("λ")
    first.set_ylabel(option.replace("_", " "))
    return figure


def _title(cell: CellResult) -> str:
    """The options in which the cells differ, or else the pair."""
    told = ", ".join(f"{key} {value:g}" for key, raw in cell.variant.items() if (value := number(raw)) is not None)
    return shortened(told.replace("_", " ") or " + ".join(cell.names), 24)


def _by_option(cells: Sequence[CellResult]) -> tuple[str, list[tuple[float, CellResult]]] | None:
    """The one numeric option in which the cells differ, and the cells by its value; None if it is not that simple."""
    options = {key for cell in cells for key in cell.variant}
    if len(options) != 1 or len({cell.names for cell in cells}) != 1 or len(cells) < 2:
        return None
    (option,) = options
    known = [(value, cell) for cell in cells if (value := number(cell.variant.get(option))) is not None]
    if len(known) < len(cells) or len({value for value, _ in known}) < len(known):
        return None
    return option, sorted(known, key=lambda pair: pair[0])


def _changes_of(encoder: Sequence[EncoderResult]) -> dict[float, float]:
    """Change of the mean score against λ = 0 by strength; empty without a score at 0, or without the encoder."""
    means = dict(encoder[0].means) if encoder else {}
    return {strength: mean - means[0.0] for strength, mean in means.items()} if 0.0 in means else {}
