"""The look of the report's figures: sizes, styles, the axis of strengths, and their files' bytes.

matplotlib's objects alone (no pyplot, so no global state and no display). The same figure gives the same bytes.
"""

from __future__ import annotations

import io
import math
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import FixedFormatter, FixedLocator, NullLocator

from study.results.figures.tips import Tip, with_tips
from study.results.text.amounts import strength_text
from study.selection import unwarp, warp, warp_scale

BLUE, ORANGE, GREEN, INK, GREY = "#1f5fa8", "#b8480e", "#2d7a4b", "#1a1a1a", "#6f6f6f"
# Encoders 1 and 2 in every figure: told apart without colour, too.
ENCODER_STYLES: tuple[dict[str, Any], ...] = (
    {"color": BLUE, "marker": "o", "linestyle": "-"},
    {"color": ORANGE, "marker": "s", "linestyle": "--"},
)

JOINT_STYLE: Mapping[str, Any] = {"color": GREEN, "marker": "D", "linestyle": "-."}  # of what both tell together

_SIZE = (4.4, 3.3)  # inches: two side by side on a desk, one on a phone, and still legible there
_STYLE: Mapping[str, Any] = {
    "font.family": "DejaVu Sans", "font.size": 9, "axes.titlesize": 10, "axes.titlelocation": "left",
    "axes.titleweight": "bold", "axes.spines.top": False, "axes.spines.right": False, "axes.edgecolor": GREY,
    "axes.linewidth": 0.8, "axes.labelcolor": INK, "text.color": INK, "xtick.color": INK, "ytick.color": INK,
    "text.parse_math": False, "legend.frameon": False, "legend.fontsize": 8, "hatch.linewidth": 0.6,
    "lines.linewidth": 1.5, "lines.markersize": 5, "svg.fonttype": "none", "svg.hashsalt": "align-study",
    "figure.dpi": 160, "axes.unicode_minus": True,
}  # fmt: skip


class Drawing(Figure):
    """A figure that tells of some of its points in numbers, see `tell`."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.told: list[tuple[Axes, float, float, str]] = []

    @property
    def tips(self) -> list[Tip]:
        """What is told, and where; once the figure has been laid out."""
        height = 72 * float(self.get_figheight())
        tips = []
        for axes, x, y, text in self.told:
            across, up = axes.transData.transform((x, y)) * 72 / self.dpi
            tips.append(Tip(x=float(across), y=height - float(up), text=text))
        return tips


def tell(axes: Axes, x: float, y: float, text: str) -> None:
    """Tell this of the point (x, y) of a drawing, in words and numbers, to who points at it or gives it the focus."""
    if isinstance(axes.figure, Drawing):
        axes.figure.told.append((axes, x, y, text))


@contextmanager
def style() -> Iterator[None]:
    """The settings under which figures are made and drawn; matplotlib's own come back afterwards."""
    with mpl.rc_context(dict(_STYLE)), warnings.catch_warnings():
        # Names in scripts that the font lacks stay legible in the SVG, whose text is text.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        yield


def blank(title: str, *, size: tuple[float, float] = _SIZE) -> tuple[Figure, Axes]:
    """An empty figure with one set of axes under a title."""
    figure = Drawing(figsize=size, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.set_title(shortened(title, 52))
    axes.grid(axis="y", color="#e3e3e3", linewidth=0.7)
    axes.set_axisbelow(True)
    axes.patch.set_alpha(0)
    return figure, axes


def blank_grid(title: str, *, rows: int, columns: int, size: tuple[float, float]) -> tuple[Figure, list[list[Axes]]]:
    """An empty figure with rows × columns of axes of this size each, in inches, under a title."""
    figure = Drawing(figsize=(0.5 + columns * size[0], 0.8 + rows * size[1]), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(shortened(title, 72), x=0.01, ha="left", fontsize=10, fontweight="bold")
    grid = [list(row) for row in figure.subplots(rows, columns, squeeze=False)]
    for axes in (axes for row in grid for axes in row):
        axes.grid(axis="y", color="#e3e3e3", linewidth=0.7)
        axes.set_axisbelow(True)
        axes.patch.set_alpha(0)
    return figure, grid


def legend(figure: Figure, *every: Axes, columns: int = 3) -> None:
    """A legend below the axes, each label once."""
    found = [axes.get_legend_handles_labels() for axes in every]
    handles = [handle for some, _ in found for handle in some]
    labels = [str(label) for _, some in found for label in some]
    if unique := dict(zip(labels, handles, strict=True)):
        figure.legend(
            unique.values(),
            unique.keys(),
            loc="outside lower center",
            ncols=columns,
            columnspacing=1.2,
            handlelength=2.0,
        )


def watermark(figure: Figure, text: str) -> None:
    """`text` across the whole figure, faint."""
    figure.text(0.5, 0.55, text, ha="center", va="center", rotation=20, fontsize=26, color="#b00000", alpha=0.16)


def shortened(text: str, width: int) -> str:
    """`text` cut to `width` characters."""
    return text if len(text) <= width else text[: width - 1] + "…"


def scale_strengths(
    axes: Axes, which: str, strengths: Sequence[float], *, apart: float = 0.1, upto: float = 0.0
) -> None:
    """Put strengths on the axis on which `study.selection` smooths them, ticks `apart` (share of the axis) at least.

    0 has a place on it. It ends at the largest strength, or at `upto` where that is larger.
    """
    positive = sorted(value for value in strengths if value > 0)
    top = max(positive[-1], upto) if positive else upto or 1.0
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
        if tick <= top and all(abs(to_scale(tick) - to_scale(other)) >= apart * limit for other in ticks):
            ticks.append(tick)
    ticks.sort()
    getattr(axes, f"set_{which}scale")("function", functions=(to_scale, from_scale))
    getattr(axes, f"set_{which}lim")(float(from_scale(-0.04 * limit)), float(from_scale(1.04 * limit)))
    axis = getattr(axes, f"{which}axis")
    axis.set_major_locator(FixedLocator(ticks))
    axis.set_major_formatter(FixedFormatter([strength_text(tick) for tick in ticks]))
    axis.set_minor_locator(NullLocator())


def encoded(figure: Figure) -> dict[str, bytes]:
    """PNG and SVG of a figure, straight from the canvases: `savefig` would lay out and draw everything twice."""
    png, svg = io.BytesIO(), io.BytesIO()
    with style():
        FigureCanvasAgg(figure).print_png(png, metadata={"Software": None})
        figure.set_layout_engine("none")  # keeps the places that the first drawing found
        figure.patch.set_alpha(0)  # the page's own colour, light or dark, shows through
        FigureCanvasSVG(figure).print_svg(svg, metadata={"Date": None, "Creator": None})
    return {"png": png.getvalue(), "svg": _told(figure, svg.getvalue()).encode()}


def as_svg(figure: Figure) -> str:
    """SVG of a figure alone, which takes half as long as both."""
    svg = io.BytesIO()
    with style():
        figure.patch.set_alpha(0)
        FigureCanvasSVG(figure).print_svg(svg, metadata={"Date": None, "Creator": None})
    return _told(figure, svg.getvalue())


def _told(figure: Figure, svg: bytes) -> str:
    tips = figure.tips if isinstance(figure, Drawing) else []
    return with_tips(_compact(svg).decode(), tips, width=72 * float(figure.get_figwidth()))


def _compact(svg: bytes) -> bytes:
    """The same drawing in two thirds of the bytes: places to a tenth of a point (of small marks, a hundredth) in place
    of a millionth, nothing between them that need not be there.
    """
    svg = re.sub(_NEEDLESS, b"", svg)
    svg = re.sub(rb' (?:d|x|y)="[^"]*"', _compact_places, re.sub(rb"\s*\n\s*", b"\n", svg))
    return _ALIKE.sub(_in_one_style, svg)


_NEEDLESS = re.compile(
    rb'<metadata>.*?</metadata>|<!--.*?-->| transform="rotate\(-?0 [^"]*"| id="(?:line2d|text|[xy]tick|patch)_\d+"',
    re.DOTALL,
)
_ALIKE = re.compile(rb'<use [^>]*? style="([^"]*)"/>\n(?:<use [^>]*? style="\1"/>\n)+')


def _in_one_style(marks: re.Match[bytes]) -> bytes:
    style = b' style="' + marks[1] + b'"'
    return b"<g" + style + b">\n" + marks[0].replace(style, b"") + b"</g>\n"


def _compact_places(attribute: re.Match[bytes]) -> bytes:
    short = re.sub(rb"-?\d+\.\d+", _compact_number, attribute.group())
    return b" " + re.sub(rb"\s*([MLQCZ])\s*", rb"\1", short.strip())


def _compact_number(number: re.Match[bytes]) -> bytes:
    value = float(number.group())
    return f"{value:.{1 if abs(value) >= 10 else 2}f}".rstrip("0").rstrip(".").encode()
