"""One encoder in plain words: its own verdict, what a strategy does to it, and the evidence for both.

What is missing (a partial study, a skipped confirmation) is left out of a sentence instead of being guessed.
"""

from __future__ import annotations

from study.results.model import CellResult, EncoderResult, GainResult, SearchedResult
from study.results.names import one_line
from study.results.text.amounts import (
    TOO_SMALL,
    change_in_validation,
    gain_unit,
    gain_with_interval,
    gains_and_loses,
    is_lower_better,
    is_shown,
    p_in_words,
    shape_text,
    size_text,
    strength_text,
    strength_with_interval,
    strongest,
    told_gain,
)

_SHAPES = {
    "rising": "the curve rises with λ",
    "falling": "the curve falls with λ",
    "ends lower": "the curve ends lower than it begins",
    "inverted-u": "the curve rises, then falls",
    "flat": "the curve is flat",
}
_SHAPES_OF_ERRORS = {
    "rising": "the error falls with λ",
    "falling": "the error rises with λ",
    "ends lower": "the error ends higher than it begins",
    "inverted-u": "the error falls, then rises",
    "flat": "the curve is flat",
}


def encoder_sentence(cell: CellResult, index: int) -> str:
    """The own verdict of encoder 0 or 1, with the evidence for it."""
    told = {one.place: one for one in cell.told_encoders}.get(index)
    name, answer = (told.name, told.answer) if told else (cell.names[index], EncoderResult())
    metric = cell.metric(index)
    if answer.lambda_star is None:
        return f"{name}: no answer yet."
    on_its_own = answer.arm in ("to_1", "to_2")
    verdict = {
        "align": f"{name} gains {'when only it is pulled' if on_its_own else 'from alignment'}",
        "avoid": f"{name} is better left unaligned",
        "indifferent": f"{name} is indifferent{' when only it is pulled' if on_its_own else ''}",
    }.get(answer.verdict or "", f"{name}: {one_line(answer.verdict or 'no verdict')}")
    verdict += f"; λ* ≈ {strength_with_interval(answer)}"
    curve = (_SHAPES_OF_ERRORS if is_lower_better(metric) else _SHAPES).get(shape_text(answer))
    gain, place = told_gain(answer)
    if gain.mean is None or answer.lambda_star:
        sentences = [f"{verdict}, {curve}" if curve else verdict]
        sentences += [f"At λ* it gets {_evidence(gain, metric)}"] if gain.mean is not None else []
    else:  # the curve, its highest point and what that is worth hang together
        worth = "it loses" if is_shown(gain) and gain.mean < 0 else "it shows no confirmed gain"
        worth = "it changes too little to matter" if gain.is_too_small else worth
        whole = f"{curve} on the whole, and " if curve else ""
        best = "error is lowest" if is_lower_better(metric) else "curve is highest"
        peak = f"at λ = {strength_text(place)}, where the searched {best},"
        sentences = [f"{verdict}, as {whole}{peak} {worth}: {_evidence(gain, metric)}"]
    return ". ".join([*sentences, *_range_remark(answer, metric), *_tuned(answer)]) + "."


def effect(gain: GainResult, metric: str) -> str:
    """What a gain comes to for the encoder whose it is: `gains 1.4 points [0.6, 2.2]`, `is indifferent`.

    A gain or loss is told as one only where it is confirmed: `shows no confirmed gain (+0.4 [+0.1, +0.7] points)`, and
    may matter: `changes too little to matter (+0.1 [−0.1, +0.3] points)`.
    """
    if gain.mean is None:
        return "was not measured"
    if gain.is_too_small:
        return f"changes too little to matter ({_numbers(gain, metric)})"
    if gain.interval is not None and gain.interval[0] <= 0 <= gain.interval[1]:
        return "is indifferent"
    if not is_shown(gain):
        return f"shows no confirmed gain ({_numbers(gain, metric)})"
    return f"{gains_and_loses(metric)[gain.mean < 0]} {_size(gain, metric)}"


def without_alignment(answer: EncoderResult, metric: str) -> str:
    """Why a pair that should not be aligned should not, by one of its encoders."""
    gain, place = told_gain(answer)
    bounds = gain.interval
    if answer.verdict == "align":
        verb = "improve by" if is_lower_better(metric) else "gain"
        return f"alone would {verb} {_size(gain, metric)} at λ ≈ {strength_text(place)}"
    if gain.is_too_small:
        return f"changes too little to matter ({_numbers(gain, metric)} at λ = {strength_text(place)})"
    if answer.verdict == "avoid":
        if bounds is not None and bounds[1] < 0:
            if is_shown(gain):
                return f"{gains_and_loses(metric)[1]} {_size(gain, metric)} at λ = {strength_text(place)}"
            return f"shows no confirmed gain ({_numbers(gain, metric)} at λ = {strength_text(place)})"
        return "gets worse with λ by its validation curve" if answer.shape == "falling" else "is better without it"
    peak = (answer.searched or SearchedResult()).lambda_star or answer.lambda_star
    return {
        "falling": "shows no confirmed gain (its validation curve falls by the end of the range)",
        "rising": "shows no confirmed gain (its validation curve rises with λ)",
        "inverted-u": f"peaks at λ ≈ {strength_text(peak)} in validation",
    }.get(answer.shape or "", "is indifferent")


def _size(gain: GainResult, metric: str) -> str:
    """The size of a gain or loss: `1.4 points [0.6, 2.2]`."""
    if gain.mean is None:
        return "an unknown amount"
    limits = ", ".join(size_text(bound, metric) for bound in sorted(gain.interval or (), key=abs))
    interval = f" [{limits}]" if limits else ""
    return f"{size_text(gain.mean, metric)} {gain_unit(metric)}{interval}{_split(gain)}"


def _numbers(gain: GainResult, metric: str) -> str:
    """A gain with its sign: `−0.4 [−0.7, −0.1] points`."""
    return f"{gain_with_interval(gain, metric)} {gain_unit(metric)}{_split(gain)}"


def _split(gain: GainResult) -> str:
    return " in validation" if gain.source == "search" else ""


def _range_remark(answer: EncoderResult, metric: str) -> list[str]:
    """What the end of the range does to an encoder whose curve comes down to it, on the split where it was measured."""
    end = strongest(answer)
    change = change_in_validation(answer, end)
    if answer.shape not in ("falling", "inverted-u") or change is None or change >= 0:
        return []
    loss = f"{size_text(change, metric)} {gain_unit(metric)}"
    than = "worse" if is_lower_better(metric) else "lower"
    return [f"By the end of the range, λ = {strength_text(end)}, it scores {loss} {than} in validation than at λ = 0"]


def _tuned(answer: EncoderResult) -> list[str]:
    """The hyperparameters that the search chose for it, where the pair is advised to train it."""
    told = [
        f"{one_line(name)} = {f'{value:.3g}' if isinstance(value, float) else one_line(value)}"
        for name, value in answer.tuned.items()
    ]
    return [f"As advised it trains with {', '.join(told)}"] if told else []


def _evidence(gain: GainResult, metric: str) -> str:
    """A gain with its seeds and its p-value: `+1.4 [+0.6, +2.2] points over λ = 0 (10 fresh seeds, p = 0.003)`."""
    details = ", ".join(detail for detail in (_seeds(gain), p_in_words(gain)) if detail)
    told = f"{gain_with_interval(gain, metric)} {gain_unit(metric)} over λ = 0"
    told = f"{told} ({details})" if details else told
    return f"{told}, {TOO_SMALL}" if gain.is_too_small else told


def _seeds(gain: GainResult) -> str:
    if gain.seeds is None:
        return ""
    kind, split = ("search", " in validation") if gain.source == "search" else ("fresh", "")
    return f"{gain.seeds} {kind} seed{'' if gain.seeds == 1 else 's'}{split}"
