"""The answer for a pair in plain words: the sentences of the report, of the MLflow note and of the terminal.

Every function returns plain text, not markup. What is missing (a partial study, a skipped confirmation) is left out of
a sentence instead of being guessed.
"""

from __future__ import annotations

import re
from dataclasses import replace

from study.results.model import Alternative, CellResult, GainResult, PairResult
from study.results.names import capital, one_line
from study.results.text.amounts import (
    TOO_SMALL,
    common_metric,
    gain_unit,
    gain_with_interval,
    in_unit,
    is_shown,
    p_in_words,
    strength_text,
    strength_with_interval,
    told_gain,
)
from study.results.text.encoder import effect, without_alignment


def strategy_name(cell: CellResult, strategy: str) -> str:
    """A strategy by what it does to this pair: `one λ for both`, `align text only`."""
    first, second = cell.names
    return {
        "none": "do not align",
        "shared": "one λ for both",
        "to_1": f"align {first} only",
        "to_2": f"align {second} only",
        "per_encoder": "each its own λ",
    }.get(_way(cell, strategy), one_line(strategy))


def _way(cell: CellResult, strategy: str) -> str:
    """How a strategy aligns the pair: its one strength may pull one encoder alone, by the study file."""
    return cell.direction if strategy == "shared" and cell.direction else strategy


def reason_text(cell: CellResult) -> str:
    """Why the strategy is recommended, each by what it does to this pair: `“one λ for both” has the largest …`."""
    reason = one_line(cell.pair_choice.reason or "")
    return re.sub(
        r"\b(?:shared|to_1|to_2|per_encoder)\b", lambda match: f"“{strategy_name(cell, match.group())}”", reason
    )


def advice(cell: CellResult) -> str:
    """The recommended strategy and its strengths in a few words: `one λ for both, 0.6 [0.3, 1.1]`."""
    choice = cell.pair_choice
    if not choice.strategy:
        return "no answer"
    one, two = _strengths(choice)
    at = {
        "none": "",
        "shared": f", {'λ = ' if cell.direction else ''}{strength_with_interval(choice)}",
        "to_1": f", λ = {one}",
        "to_2": f", λ = {two}",
        "per_encoder": f", {one} and {two}",
    }.get(choice.strategy, "")
    return f"{strategy_name(cell, choice.strategy)}{at}"


def so_far(cell: CellResult) -> str:
    """What a pair has come to before its study has ended: its encoders' λ* by the search, then, confirmed, what
    `advice_with_gain` tells. "" where it has come to nothing yet.
    """
    gain = cell.advice.gain
    if gain and gain.source == "confirm":
        return advice_with_gain(cell)
    stars = [
        f"{told.name} {strength_with_interval(told.answer)}"
        for told in cell.told_encoders
        if told.answer.lambda_star is not None
    ]
    return f"λ* of {', of '.join(stars)}" if stars else ""


def advice_with_gain(cell: CellResult) -> str:
    """The recommended strategy with what the pair as one gains by it: `one λ for both, 0.6: +1.0 points over λ = 0`.

    Of `do not align` it is what the strategy that comes closest would gain: `do not align; closest: one λ for both at λ
    = 0.6, +0.1 points over λ = 0`.
    """
    chosen, _ = told_alternative(cell.pair_choice)
    if not (gain := pair_gain_text(cell)):
        return advice(cell)
    return f"{advice(cell)}: {gain}" if chosen else f"{advice(cell)}; closest: {_closest(cell)}, {gain}"


def cell_sentence(cell: CellResult) -> str:
    """What to do with a pair, at which strength, what each encoder gets from it, and what the pair as one gains."""
    first, second = cell.names
    choice, strategy = cell.pair_choice, cell.pair_choice.strategy
    if not strategy:
        return f"{capital(cell.title)}: no answer{_because(cell)}."
    one, two = _strengths(choice)
    at = _one_strength(cell)
    told = {
        "none": f"Do not align {first} and {second}, as {_no_reason(choice)}",
        "shared": f"Align {first} and {second} at λ ≈ {at}",
        "to_1": f"Align {first} to {second} only, at λ ≈ {at}, and leave {second} untouched",
        "to_2": f"Align {second} to {first} only, at λ ≈ {at}, and leave {first} untouched",
        "per_encoder": f"Align {first} at λ ≈ {one} and {second} at λ ≈ {two}, each on its own side",
    }.get(_way(cell, strategy), f"{capital(one_line(strategy))} {first} and {second}")
    doubt = " Not confirmed on fresh seeds yet." if _unconfirmed(cell, strategy) else ""
    return " ".join([f"{told}: {_effects(cell, strategy)}.", *_pair_gain(cell)]) + doubt


def pair_gain_text(cell: CellResult) -> str:
    """What the pair as one gains by its strategy, or by the one that comes closest: `+1.0 [+0.6, +1.4] points, p = …`.

    "" where no strategy was tried, or the closest is none, as all its strengths are 0.
    """
    _, alternative = told_alternative(cell.pair_choice)
    if is_unaligned(alternative):
        return ""
    gain, metric = alternative.gain_mean or GainResult(), common_metric(cell.metric(0), cell.metric(1))
    if gain.mean is None:
        return ""
    split = " in validation" if gain.source == "search" else ""
    told = [f"{gain_with_interval(gain, metric)} {gain_unit(metric)} over λ = 0{split}", p_in_words(gain)]
    if gain.is_too_small:
        told.append(TOO_SMALL)
    elif not is_shown(gain):
        told.append("not confirmed")
    elif gain.smallest_gain is not None and 0 < gain.mean < gain.smallest_gain:
        told.append(f"which may be {TOO_SMALL} (less than {in_unit(gain.smallest_gain, metric):g} {gain_unit(metric)})")
    return ", ".join(part for part in told if part)


def _no_reason(choice: PairResult) -> str:
    """Why a pair is not to be aligned."""
    closest = told_alternative(choice)[1].gain_mean
    gains = [one.gain_mean for one in choice.alternatives if one.gain_mean and one.gain_mean.mean is not None]
    small = [gain for gain in gains if gain.is_too_small and is_shown(gain) and (gain.mean or 0.0) > 0]
    if closest in small:
        return f"what the pair would gain is confirmed, and {TOO_SMALL}"
    return f"no strategy's gain for the pair is confirmed{' that would matter' if small else ''}"


def _because(cell: CellResult) -> str:
    """Why there is no answer, as far as the report knows."""
    if cell.error:
        return f", because its search failed ({one_line(cell.error)})"
    if cell.counts.trainings and cell.counts.diverged == cell.counts.trainings:
        return ", because every training diverged"
    return " yet"


def _effects(cell: CellResult, strategy: str) -> str:
    """`text gains 1.4 points [0.6, 2.2], vision is indifferent`: what the chosen strategy does to each encoder."""
    if strategy == "none" and _nothing_differs(cell):
        return "no strength makes a difference that this study can measure"
    gains = _gains_of(cell, strategy)
    effects = []
    for index, name, answer in cell.told_encoders:
        metric = cell.metric(index)
        if strategy == "none":
            effects.append(f"{name} {without_alignment(answer, metric)}")
        elif _way(cell, strategy) != f"to_{2 - index}":  # to_2 leaves encoder 1 as it is, to_1 encoder 2
            effects.append(f"{name} {effect(gains[index], metric)}")
    return ", ".join(effects) or "see the table"


def _nothing_differs(cell: CellResult) -> bool:
    """Whether neither a curve nor a gain that is told differs from what luck alone would give.

    Told are those of every strategy tried, of each encoder, and of the pair at its one strength.
    """
    encoders = cell.encoders[:2]
    told = [gain for one in cell.pair_choice.alternatives for gain in _measured(one)]
    told += [told_gain(answer)[0] for answer in (*encoders, cell.pair_choice)]
    return all(gain.interval is None or gain.interval[0] <= 0 <= gain.interval[1] for gain in told) and all(
        answer.verdict not in ("align", "avoid") and answer.shape in ("flat", None) for answer in encoders
    )


def _measured(alternative: Alternative) -> list[GainResult]:
    """The gains of a strategy that were measured: of each encoder, and of the pair."""
    return [gain for gain in (*alternative.gains, alternative.gain_mean) if gain is not None]


def is_unaligned(alternative: Alternative) -> bool:
    """Whether a strategy came to λ = 0 for both encoders: it is no alignment, and has nothing to gain over it."""
    return alternative.strengths is not None and not any(alternative.strengths)


def told_alternative(choice: PairResult) -> tuple[bool, Alternative]:
    """The strategy chosen and True; where it is `none`, the one whose gain for the pair comes closest, and False.

    Empty where the gain of none was measured.
    """
    tried = [
        (one.gain_mean.mean, one) for one in choice.alternatives if one.gain_mean and one.gain_mean.mean is not None
    ]
    if choice.strategy == "none":
        return False, max(tried, key=lambda each: each[0], default=(0.0, Alternative()))[1]
    return True, next((one for _, one in tried if one.strategy == choice.strategy), Alternative())


def _pair_gain(cell: CellResult) -> list[str]:
    """The pair's own gain in a sentence, if it was measured."""
    chosen, _ = told_alternative(cell.pair_choice)
    if not (told := pair_gain_text(cell)) or cell.has_one_score:  # else it was told a moment ago
        return []
    if chosen:
        return [f"The pair as one: {told}."]
    return [f"Closest comes {_closest(cell)}: {told}."]


def _closest(cell: CellResult) -> str:
    """The strategy that comes closest where none is chosen, and its strengths: `“one λ for both” at λ = 0.6`."""
    _, alternative = told_alternative(cell.pair_choice)
    name = strategy_name(cell, alternative.strategy or "another strategy")
    strengths = [strength_text(strength) for strength in alternative.strengths or () if strength]
    at = f" at λ = {' and '.join(dict.fromkeys(strengths))}" if strengths else ""
    return f"“{name}”{at}"


def _unconfirmed(cell: CellResult, strategy: str) -> bool:
    """Whether a number that is told of the strategy comes from the search."""
    told = _measured(told_alternative(cell.pair_choice)[1])
    if strategy == "none" or not told:
        told += [told_gain(answer)[0] for answer in cell.encoders[:2]]
    return any(gain.source == "search" for gain in told)


def _gains_of(cell: CellResult, strategy: str) -> tuple[GainResult, GainResult]:
    """Both encoders' gains under a strategy: as measured for it, or each encoder's own where it was not.

    Those measured for a strategy are no claims of their own: they are held to what one claim more would need.
    """
    gains = [answer.gain_over_zero for answer in cell.encoders[:2]]
    for alternative in cell.pair_choice.alternatives:
        if alternative.strategy == strategy and len(alternative.gains) == 2:
            needed = (alternative.gain_mean or GainResult()).p_needed
            gains = [gain and replace(gain, p_needed=needed) for gain in alternative.gains]
    first, second, *_ = (*(gain or GainResult() for gain in gains), GainResult(), GainResult())
    return first, second


def _one_strength(cell: CellResult) -> str:
    """The strength of a strategy that has one, with its own interval: of one side alone it is that side's."""
    choice, advised = cell.pair_choice, cell.advice
    if choice.strategy == "shared":
        return strength_with_interval(choice)
    strength = max(choice.strengths or (choice.lambda_star or 0.0,))
    if advised.strength != strength:
        return strength_text(strength)
    return strength_with_interval(replace(choice, lambda_star=strength, interval=advised.interval))


def _strengths(choice: PairResult) -> tuple[str, str]:
    one, two = choice.strengths or (choice.lambda_star, choice.lambda_star)
    return strength_text(one), strength_text(two)
