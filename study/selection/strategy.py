"""One strength or two: which way of aligning a pair its confirmed gains support."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from study.selection.confirm import Gain, holm

Strategy = Literal["none", "shared", "to_1", "to_2", "per_encoder"]
# From the simplest up: of strategies that the evidence cannot tell apart the first is recommended.
STRATEGIES: tuple[Strategy, ...] = ("none", "shared", "to_1", "to_2", "per_encoder")


@dataclass(frozen=True, kw_only=True)
class StrategyGains:
    """A strategy's confirmed gains over λ = 0: encoder 1, encoder 2 and the pair as one."""

    gain_1: Gain
    gain_2: Gain
    gain_mean: Gain


@dataclass(frozen=True, kw_only=True)
class StrategyChoice:
    """The recommended strategy, why in one sentence, and the Holm-adjusted p-value of every alternative's gain.

    The sentence names no gain: in which unit a score is told is not known here.
    """

    strategy: Strategy
    reason: str
    adjusted_p: Mapping[Strategy, float]


def strengths_by_encoder(
    strategy: Strategy, strengths: tuple[float, float]
) -> tuple[tuple[float, float], tuple[float, float]]:
    """The two strengths of the training that gives encoder 1, and of the one that gives encoder 2.

    One training gives both, but where each has a strength of its own: one-sided trainings are independent.
    """
    first, second = strengths
    return ((first, 0.0), (0.0, second)) if strategy == "per_encoder" else ((first, second), (first, second))


def choose_strategy(
    candidates: Mapping[Strategy, StrategyGains],
    *,
    adjusted_p: Mapping[Strategy, float] | None = None,
    smallest_gain: float = 0.0,
    size: float = 0.05,
) -> StrategyChoice:
    """The simplest strategy that the evidence cannot tell from the best.

    A strategy is eligible if its gain for the pair as one is above 0 with a p-value of at most `size`: `adjusted_p`
    where a whole study is corrected for, else Holm-adjusted over the strategies compared; unless that gain is shown to
    be too small to matter, for `smallest_gain`. `per_encoder` must gain both encoders something, since else one of the
    one-sided strategies gains more with less. Of the eligible ones, the one with the largest mean gain is best;
    recommended is the first in the order of `STRATEGIES` whose mean gain is within one standard error of it. Without
    an eligible one it is `none`.

    Raises:
        ValueError: no candidate is given, or one that does not exist.
    """
    unknown = [name for name in candidates if name not in STRATEGIES]
    if unknown or not candidates:
        raise ValueError(f"strategies to compare: {list(candidates)}; give one or more of {', '.join(STRATEGIES)}")
    names: list[Strategy] = [name for name in STRATEGIES if name in candidates and name != "none"]
    corrected = holm([candidates[name].gain_mean.p_value for name in names])
    adjusted: dict[Strategy, float] = dict(adjusted_p or zip(names, corrected, strict=True))
    confirmed = [name for name in names if adjusted[name] <= size and candidates[name].gain_mean.mean > 0]
    confirmed = [name for name in confirmed if name != "per_encoder" or _gains_both(candidates[name])]
    eligible = [name for name in confirmed if not candidates[name].gain_mean.is_too_small(smallest_gain)]
    if not eligible:
        reason = "no strategy has a confirmed gain"
        if confirmed:
            reason = f"the confirmed gain of {' and of '.join(confirmed)} is too small to matter"
        return StrategyChoice(strategy="none", reason=reason, adjusted_p=adjusted)
    best = max(eligible, key=lambda name: candidates[name].gain_mean.mean)
    top = candidates[best].gain_mean
    near = [name for name in eligible if candidates[name].gain_mean.mean >= top.mean - top.standard_error]
    chosen = near[0]
    reason = f"{chosen} has the largest confirmed gain"
    if chosen != best:
        reason = f"{chosen} is simpler than {best} and within one standard error of its gain"
    return StrategyChoice(strategy=chosen, reason=reason, adjusted_p=adjusted)


def _gains_both(gains: StrategyGains) -> bool:
    return gains.gain_1.mean > 0 and gains.gain_2.mean > 0
