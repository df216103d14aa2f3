"""The linear theory in a report: its forecast, and where it describes what was trained, theory and training in one."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from study.results.figures.canvas import ENCODER_STYLES, INK, blank, legend, scale_strengths, shortened
from study.results.figures.curves import draw_means
from study.results.model import CellResult, EncoderResult, EncoderTogether, ForecastResult, TogetherResult
from study.results.text.amounts import strength_text

_FLAT = 0.005  # of the target's variance: a forecast that varies by less is a sentence
_LINES = tuple({**style, "marker": ""} for style in ENCODER_STYLES)  # marks are for what was measured


def together_sentence(cell: CellResult) -> str:
    """How far the trained encoders followed the linear theory; "" where it says nothing of them."""
    told = []
    together = cell.forecast.together if cell.forecast else None
    for encoder, name in zip(together.encoders if together else (), cell.names, strict=False):
        predicted, measured = encoder.crossing, encoder.measured
        if predicted is None:
            loses = (
                f"but half of a loss was measured by λ = {strength_text(measured.strength)}"
                if measured and measured.strength is not None
                else "and none was measured"
            )
            told.append(f"{name}: no loss expected, {loses}")
        elif measured is None or measured.strength is None or measured.interval is None:
            told.append(
                f"{name}: half of its loss expected by λ = {strength_text(predicted)}, but no loss was measured"
            )
        else:
            low, high = measured.interval
            place = "inside" if low <= predicted <= high else "outside"
            told.append(
                f"{name}: half of its loss expected by λ = {strength_text(predicted)}, measured by "
                f"{strength_text(measured.strength)} [{strength_text(low)}, {strength_text(high)}], "
                f"the expected one {place} the interval"
            )
    return f"The linear theory: {'; '.join(told)}." if told else ""


def flat_sentence(cell: CellResult) -> str:
    """That the linear forecast expects no difference between strengths; "" where it does, or there is none."""
    spans = _spans(cell.forecast)
    if not spans or max(spans) >= _FLAT:
        return ""
    return f"The linear forecast is flat: at no strength would linear encoders lose {_FLAT:.1%} of the target."


def _spans(forecast: ForecastResult | None) -> list[float]:
    """How much the held-out risk of each encoder varies over the strengths."""
    encoders = forecast.encoders if forecast else ()
    risks = [[risk for _, risk in _points(one.strengths, one.held_out)] for one in encoders]
    return [max(values) - min(values) for values in risks if values]


def forecast_figure(forecast: ForecastResult, names: tuple[str, str]) -> Figure | None:
    """What linear encoders would lose, by the theory: held-out risk against strength, and where directions swap. None
    where that is the same at every strength: then there is `flat_sentence`.

    `names` are those of the pair's modalities.
    """
    if not (spans := _spans(forecast)) or max(spans) < _FLAT:
        return None
    figure, axes = blank("Linear forecast, before any training")
    every: list[float] = []
    for encoder, look, name in zip(forecast.encoders, _LINES, names, strict=False):
        known = _points(encoder.strengths, encoder.held_out)
        if not known:
            continue
        every += [strength for strength, _ in known]
        axes.plot(*zip(*known, strict=True), label=shortened(name, 16), **look)
        for critical in encoder.critical_strengths:
            axes.axvline(critical, linewidth=0.8, alpha=0.6, **look)
    axes.set_xscale("symlog", linthresh=min((s for s in every if s > 0), default=1.0))
    axes.set_xlim(left=0)
    axes.xaxis.set_major_formatter("{x:g}")  # the default writes formulas, which no text of ours may be read as
    axes.set_xlabel("strength, in units of the theory")
    axes.set_ylabel("unexplained share of the target")
    legend(figure, axes)
    return figure


def told_together(cell: CellResult) -> TogetherResult | None:
    """What the theory expects of what this cell trains; None where it does not describe that."""
    together = cell.forecast.together if cell.forecast else None
    if together and any(_points(together.strengths, encoder.scores) for encoder in together.encoders):
        return together
    return None


def together_figure(together: TogetherResult, cell: CellResult) -> Figure:
    """Score against λ: lines by the theory, marks as trained; below, each crossing, predicted and measured."""
    figure, axes = blank("Linear theory and training")
    trained = [*cell.encoders, EncoderResult(), EncoderResult()]  # before any training there are none
    known = list(zip(together.encoders, trained, cell.names, strict=False))
    for index, (predicted, encoder, name) in enumerate(known):
        line, look, short = _LINES[index], ENCODER_STYLES[index], shortened(name, 12)
        axes.plot(*zip(*_points(together.strengths, predicted.scores), strict=True), alpha=0.75, **line)
        draw_means(
            axes, encoder.curve, color=look["color"], marker=look["marker"], markersize=4, linestyle="none",
            elinewidth=1, capsize=2, label=f"{short}, trained", zorder=4,
        )  # fmt: skip
        axes.plot([], [], label=f"{short}, theory", **line)
    tried = [strength for _, encoder, _ in known for strength in encoder.tried]
    scale_strengths(axes, "x", tried or [strength for strength in together.strengths if strength is not None])
    _mark_crossings(axes, [predicted for predicted, _, _ in known])
    axes.set_xlabel("alignment strength λ")
    axes.set_ylabel("R² (validation)")
    legend(figure, axes, columns=2)
    return figure


def _mark_crossings(axes: Axes, encoders: Sequence[EncoderTogether]) -> None:
    """One row per encoder under the curves: the predicted crossing as a diamond, the measured one with its interval."""
    low, high = axes.get_ylim()
    for index, encoder in enumerate(encoders):
        row, look = low - (0.06 + 0.07 * index) * (high - low), ENCODER_STYLES[index]
        measured = encoder.measured
        if measured and measured.interval:
            axes.plot(
                measured.interval, (row, row), color=look["color"], linewidth=3, alpha=0.45, solid_capstyle="butt"
            )
        if measured and measured.strength is not None:
            axes.plot(measured.strength, row, **{**look, "linestyle": "none"}, label="half lost, 90 % interval")
        if encoder.crossing is not None:
            axes.axvline(encoder.crossing, linewidth=0.8, alpha=0.6, **_LINES[index])
            axes.plot(
                encoder.crossing, row, color=INK, marker="D", markerfacecolor="white", linestyle="none",
                label="expected there",
            )  # fmt: skip
    axes.set_ylim(low - 0.2 * (high - low), high)


def _points(strengths: Sequence[float | None], values: Sequence[float | None]) -> list[tuple[float, float]]:
    pairs = zip(strengths, values, strict=False)
    return [(strength, value) for strength, value in pairs if strength is not None and value is not None]
