"""What a search and its confirmation come to together: verdict, shape and the λ* that is reported."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from study.selection.confirm import Gain
from study.selection.optimum import Selection
from study.selection.shape import Shape

Verdict = Literal["align", "avoid", "indifferent"]
SIZE = 0.05


@dataclass(frozen=True, kw_only=True)
class Conclusion:
    """The answer for one encoder, or for a pair as one: every part agrees with the others.

    `align` comes with a curve that is rising or an inverted U and with `lambda_star` > 0; `avoid` with `lambda_star`
    = 0 inside `interval`, no gain, and a falling curve unless fresh seeds contradict the search; `indifferent` with
    the estimate as the search left it. `gain` is that of `lambda_star` over 0, so 0 where `lambda_star` is.
    """

    verdict: Verdict
    shape: Shape
    lambda_star: float
    interval: tuple[float, float]
    lambda_1se: float
    gain: Gain


def conclude(
    selection: Selection,
    gain: Gain,
    *,
    adjusted_p: float | None = None,
    used: Gain | None = None,
    smallest_gain: float = 0.0,
    size: float = SIZE,
) -> Conclusion:
    """Verdict and shape by the search and by `gain`, the confirmed one of `selection.lambda_star` over λ = 0.

    `align`: the gain is above 0 with a p-value (`adjusted_p` where given) of at most `size`. This is evidence of the
    shape too: the curve does rise, and is an `inverted-u` if its strong end lies below λ* (`drop_p_value`), else
    `rising`. A gain that is shown to be too small to matter (`Gain.is_too_small`, for `smallest_gain`) is none to align
    for, and a loss of that size none to avoid.

    `avoid`: alignment is shown to hurt, and not aligning is the answer. Either the gain is below 0 with a p-value of
    at most `size`, whatever the searched curve looks like (its shape is kept: search and confirmation then disagree,
    which a reader must see); or the searched curve is `falling` by its tests, its average over the range of strengths
    lies below λ = 0 (`harm_p_value` at most `size`), the interval of λ* holds 0, and that of the gain does not lie
    above 0. λ* is then reported as 0: that the curve is highest a little above 0 was not borne out.

    `indifferent`: neither. The shape is that of the searched curve. So it is, too, for an encoder whose searched curve
    falls but which is to be trained at a strength whose gain, `used`, is not shown to be a loss: what alignment does at
    the strong end is no reason to avoid it where it would be used.
    """
    p_value = gain.p_value if adjusted_p is None else adjusted_p
    confirmed = p_value <= size and not gain.is_too_small(smallest_gain)
    if confirmed and gain.mean > 0:
        shape: Shape = "inverted-u" if selection.drop_p_value <= size else "rising"
        return _conclusion("align", shape, selection, gain)
    is_used = used is not None and not used.interval[1] < 0
    falls = selection.shape == "falling" and selection.harm_p_value <= size and selection.interval[0] == 0
    falls = falls and not gain.interval[0] > 0
    if not is_used and (falls or (confirmed and gain.mean < 0)):
        none = replace(gain, mean=0.0, interval=(0.0, 0.0), p_value=1.0, standard_error=0.0)
        unaligned = replace(selection, lambda_star=0.0, lambda_1se=0.0, interval=(0.0, selection.interval[1]))
        return _conclusion("avoid", selection.shape, unaligned, none)
    return _conclusion("indifferent", selection.shape, selection, gain)


def _conclusion(verdict: Verdict, shape: Shape, selection: Selection, gain: Gain) -> Conclusion:
    return Conclusion(
        verdict=verdict,
        shape=shape,
        lambda_star=selection.lambda_star,
        interval=selection.interval,
        lambda_1se=selection.lambda_1se,
        gain=gain,
    )
