"""One encoder in plain words: its own verdict, what a strategy does to it, and the evidence for both.

What is missing (a partial study, a skipped confirmation) is left out of a sentence instead of being guessed.
"""

from __future__ import annotations

from study.results.model import CellResult, EncoderResult, GainResult
from study.results.reading import one_line
from study.results.text.amounts import (
    change_in_validation,
    gain_unit,
    gain_with_interval,
    p_in_words,
    size_text,
    strength_text,
    strength_with_interval,
    strongest,
    told_gain,
)

_SHAPES = {
    "rising": "the curve rises with λ",
    "falling": "the curve falls with λ",
    "inverted-u": "the curve rises, then falls",
    "flat": "the curve is flat",
}


def encoder_sentence(cell: CellResult, index: int) -> str:
    """The own verdict of encoder 0 or 1, with the evidence for it."""
    name, metric = cell.names[index], cell.metric(index)
    answer = cell.encoders[index] if index < len(cell.encoders) else EncoderResult()
    if answer.lambda_star is None:
        return f"{name}: no answer yet."
    verdict = {
        "align": f"{name} wants to be aligned",
        "avoid": f"{name} is better left unaligned",
        "indifferent": f"{name} is indifferent",
    }.get(answer.verdict or "", f"{name}: {one_line(answer.verdict or 'no verdict')}")
    sentences = [f"{verdict}; λ* ≈ {strength_with_interval(answer)}"]
    if curve := _SHAPES.get(answer.shape or ""):
        sentences[0] += f", {curve}"
    gain, place = told_gain(answer)
    if gain.mean is not None:
        at = "λ*" if answer.lambda_star else f"λ = {strength_text(place)}, where the searched curve is highest,"
        evidence = f"At {at} it gets {gain_with_interval(gain, metric)} {gain_unit(metric)} over λ = 0"
        details = [_seeds(gain), p_in_words(gain)]
        sentences.append(f"{evidence} ({', '.join(detail for detail in details if detail)})")
    return ". ".join([*sentences, *_range_remark(answer, metric)]) + "."


def effect(gain: GainResult, metric: str) -> str:
    """What a gain comes to for the encoder whose it is: `gains 1.4 points [0.6, 2.2]`, `is indifferent`."""
    unit, bounds = gain_unit(metric), gain.interval
    if gain.mean is None:
        return "was not measured"
    split = " in validation" if gain.source == "search" else ""
    if bounds is None:
        return f"{'gains' if gain.mean >= 0 else 'loses'} {size_text(gain.mean, metric)} {unit}{split}"
    if bounds[0] <= 0 <= bounds[1]:
        return "is indifferent"
    low, high = sorted(abs(bound) for bound in bounds)
    verb = "gains" if gain.mean > 0 else "loses"
    return f"{verb} {size_text(gain.mean, metric)} {unit} [{size_text(low, metric)}, {size_text(high, metric)}]{split}"


def without_alignment(answer: EncoderResult, metric: str) -> str:
    """Why a pair that should not be aligned should not, by one of its encoders."""
    gain, place = told_gain(answer)
    told, bounds = effect(gain, metric), gain.interval
    if answer.verdict == "align":
        return f"alone would gain {told.removeprefix('gains ')} at λ ≈ {strength_text(place)}"
    if answer.verdict == "avoid" and bounds is not None and bounds[1] < 0:
        return f"{told} at λ = {strength_text(place)}"
    return {
        "falling": "gets worse with λ by its validation curve",
        "rising": "gets better with λ by its validation curve",
        "inverted-u": "is best between the ends by its validation curve",
    }.get(answer.shape or "", "is indifferent" if answer.verdict != "avoid" else "is better without it")


def _range_remark(answer: EncoderResult, metric: str) -> list[str]:
    """What the end of the range does to an encoder whose curve comes down to it, on the split where it was measured."""
    end = strongest(answer)
    change = change_in_validation(answer, end)
    if answer.shape not in ("falling", "inverted-u") or change is None or change >= 0:
        return []
    loss = f"{size_text(change, metric)} {gain_unit(metric)}"
    return [f"By the end of the range, λ = {strength_text(end)}, it scores {loss} lower in validation than at λ = 0"]


def _seeds(gain: GainResult) -> str:
    if gain.seeds is None:
        return ""
    kind, split = ("search", " in validation") if gain.source == "search" else ("fresh", "")
    return f"{gain.seeds} {kind} seed{'' if gain.seeds == 1 else 's'}{split}"
