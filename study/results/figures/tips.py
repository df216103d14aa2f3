"""What a drawing tells of its points in numbers: shown where the mouse or the keyboard's focus is, without a script."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

_RADIUS, _TEXT, _SIGN = 6.0, 8.0, 4.6  # points: of what the mouse finds, of the text, width of one of its signs
_PAD = 3.0
# Nothing of it is seen, but for what a page's style shows; what all points share stands once.
_LOOK = f'class="tips" fill="#fff" fill-opacity="0" font-size="{_TEXT:g}" text-anchor="middle"'


@dataclass(frozen=True, kw_only=True)
class Tip:
    """What is told of one point: where it is, in points from the upper left corner, and the text."""

    x: float
    y: float
    text: str


def with_tips(svg: str, tips: Sequence[Tip], *, width: float) -> str:
    """A drawing of this width, in points, with what is told of its points.

    Each point takes the focus and has a title; its text is drawn beside it but hidden, until a page shows it.
    """
    if not tips:
        return svg
    head, end, rest = svg.rpartition("</svg>")
    return f"{head}<g {_LOOK}>\n{''.join(_point(tip, width) for tip in tips)}</g>\n{end}{rest}"


def _point(tip: Tip, width: float) -> str:
    text = escape(tip.text)
    wide = min(width - 2 * _PAD, _SIGN * len(tip.text) + 2 * _PAD)
    left = min(max(_PAD, tip.x - wide / 2), width - wide - _PAD)
    above = tip.y > 3 * _TEXT + _RADIUS
    top = tip.y - _RADIUS - 2 * _TEXT if above else tip.y + _RADIUS + _PAD
    box = f'<rect x="{left:.0f}" y="{top:.0f}" width="{wide:.0f}" height="{2 * _TEXT - 2:g}"/>'
    at = f'x="{left + wide / 2:.0f}" y="{top + _TEXT + 2:.0f}" textLength="{wide - 2 * _PAD:.0f}"'
    mark = f'<circle cx="{tip.x:.1f}" cy="{tip.y:.1f}" r="{_RADIUS:g}"/>'
    told = f'<g class="tip" display="none">{box}<text {at}>{text}</text></g>'
    return f'<g class="point" tabindex="0" role="img"><title>{text}</title>{mark}{told}</g>\n'
