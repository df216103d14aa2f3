"""The answer in plain words: the sentences of the report, of the MLflow note and of the terminal.

Every function takes parts of a report dict (report.json) and returns plain text, not markup. A field that is missing
or null (a partial study, a skipped confirmation) is left out of the sentence instead of being guessed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from study.report.reading import (
    COMPONENTS,
    Part,
    interval,
    label_of,
    metric_of,
    number,
    one_line,
    pair_of,
    part,
    parts,
)


class _Unit(NamedTuple):
    name: str  # of a difference
    scale: float
    decimals: int


# How a difference of each score is said; a score that is not listed is said as it is, under its own name.
_UNITS = {"accuracy": _Unit("points", 100, 1), "sign_accuracy": _Unit("points", 100, 1), "r2": _Unit("of R²", 1, 3)}

_SHAPES = {
    "rising": "the curve rises with λ",
    "falling": "the curve falls with λ",
    "inverted-u": "the curve rises, then falls",
    "flat": "the curve is flat",
}


def strength_text(value: object) -> str:
    """A strength to two significant digits without an exponent: 0.6, 1.1, 0.025, 12."""
    strength = number(value)
    if strength is None:
        return "?"
    if strength == 0:
        return "0"
    decimals = max(0, 1 - math.floor(math.log10(abs(strength))))
    text = f"{strength:.{decimals}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def strength_with_interval(answer: Part) -> str:
    """λ* with its interval, `0.6 [0.3, 1.1]`; `–` where there is no answer."""
    if number(answer.get("lambda_star")) is None:
        return "–"
    text = strength_text(answer.get("lambda_star"))
    bounds = interval(answer.get("interval"))
    return text if bounds is None else f"{text} [{strength_text(bounds[0])}, {strength_text(bounds[1])}]"


def gain_with_interval(gain: Part, metric: str) -> str:
    """A gain in the score's own unit with its interval and sign, `+1.4 [+0.6, +2.2]`; `–` where there is none."""
    mean, bounds, unit = number(gain.get("mean")), interval(gain.get("interval")), _unit(metric)
    if mean is None:
        return "–"
    text = _signed(mean, unit)
    return text if bounds is None else f"{text} [{_signed(bounds[0], unit)}, {_signed(bounds[1], unit)}]"


def gain_or_cost(entry: Part, metric: str) -> str:
    """An encoder's gain at λ* with its unit; where λ* is 0, what the strongest alignment costs: `−5.4 points at λ = 4`.

    The gain is marked where it comes from the seeds of the search; the cost always does.
    """
    gain = part(entry, "gain_over_zero")
    if entry.get("lambda_star") == 0 and entry.get("verdict") == "avoid" and (cost := _cost(entry)):
        strength, loss = cost
        return f"{_signed(-loss, _unit(metric))} {gain_unit(metric)} at λ = {strength_text(strength)}"
    told = gain_with_interval(gain, metric)
    if told == "–":
        return told
    return f"{told} {gain_unit(metric)}{' (search seeds)' if gain.get('source') == 'search' else ''}"


def gain_unit(metric: str) -> str:
    """The unit in which gains of a score are said: `points` for an accuracy."""
    return _unit(metric).name


def score_text(value: object, metric: str) -> str:
    """A score as people read it: 93.1 % for an accuracy, three decimals for any other; `–` where there is none."""
    score = number(value)
    if score is None:
        return "–"
    return f"{100 * score:.1f} %" if _unit(metric).scale == 100 else f"{score:.3f}"


def profile_text(cell: Part) -> str:
    """What the pair knows about the target, in bits, by component; for generated data the exact values as well.

    The synthetic generator's own "redundancy" counts features: it is said as a count, and that it is no part of the
    profile.
    """
    first, second = pair_of(cell)
    names = {"unique_1": f"unique to {first}", "unique_2": f"unique to {second}"}
    profile = part(cell, "pid")
    known = [(names.get(key, key), number(profile.get(key))) for key in COMPONENTS]
    bits = ", ".join(f"{name} {value:.2f}" for name, value in known if value is not None)
    if not bits:
        return "no information profile"
    text = f"{bits} {profile.get('units') or 'bits'}"
    exact = [number(part(profile, "exact").get(key)) for key in COMPONENTS]
    if None not in exact:
        text += f"; exact, in the same order: {', '.join(f'{value:.2f}' for value in exact)}"
    shared = part(cell, "variant").get("redundancy")
    if cell.get("dataset") == "synthetic" and isinstance(shared, int):
        text += f". That {shared} of the label's 8 features are in both is a count, not the redundancy in bits"
    return text


def strategy_name(cell: Part, strategy: str) -> str:
    """A strategy by what it does to this pair: `one λ for both`, `align text only`."""
    first, second = pair_of(cell)
    return {
        "none": "do not align",
        "shared": "one λ for both",
        "to_1": f"align {first} only",
        "to_2": f"align {second} only",
        "per_encoder": "each its own λ",
    }.get(strategy, one_line(strategy))


def advice(cell: Part) -> str:
    """The recommended strategy and its strengths in a few words: `one λ for both, 0.6 [0.3, 1.1]`."""
    choice = part(cell, "pair_choice")
    strategy = choice.get("strategy")
    if not strategy:
        return "no answer"
    one, two = _strengths(choice)
    at = {
        "none": "",
        "shared": f", {strength_with_interval(choice)}",
        "to_1": f", λ = {one}",
        "to_2": f", λ = {two}",
        "per_encoder": f", {one} and {two}",
    }.get(str(strategy), "")
    return f"{strategy_name(cell, str(strategy))}{at}"


def cell_sentence(cell: Part) -> str:
    """What to do with a pair, at which strength, and what each encoder gets from it."""
    first, second = pair_of(cell)
    choice = part(cell, "pair_choice")
    if not choice.get("strategy"):
        return f"{_capital(label_of(cell))}: no answer{_because(cell)}."
    strategy = str(choice["strategy"])
    one, two = _strengths(choice)
    shared = strength_with_interval(choice)
    told = {
        "none": f"Do not align {first} and {second}",
        "shared": f"Align {first} and {second} at λ ≈ {shared}",
        "to_1": f"Align {first} to {second} only, at λ ≈ {_with_interval(choice, one)}, and leave {second} untouched",
        "to_2": f"Align {second} to {first} only, at λ ≈ {_with_interval(choice, two)}, and leave {first} untouched",
        "per_encoder": f"Align {first} at λ ≈ {one} and {second} at λ ≈ {two}, each on its own side",
    }.get(strategy, f"{_capital(one_line(strategy))} {first} and {second}")
    doubt = " Not confirmed on fresh seeds yet." if _unconfirmed(cell) else ""
    return f"{told}: {_effects(cell, strategy)}.{doubt}"


def learnt_text(cell: Part) -> str:
    """What a search started from: the most similar pairs of earlier studies, and what that spared; "" for nothing."""
    transfer = part(cell, "transfer")
    known = [
        f"{one_line(one.get('study'))} ({one_line(one.get('label'))}, λ* {strength_text(one.get('lambda_star'))})"
        for one in parts(transfer, "from")
    ]
    if not known:
        return ""
    spared = number(transfer.get("spared")) or 0
    effect = f"{spared:.0f} trainings spared" if spared else "no training spared"
    return f"tried first what was best for similar pairs: {', '.join(known)}; {effect}"


def encoder_sentence(cell: Part, encoder: int) -> str:
    """One encoder's own verdict, with the evidence for it."""
    entry = parts(cell, "encoders")[encoder] if encoder < len(parts(cell, "encoders")) else {}
    name, metric = pair_of(cell)[encoder], metric_of(cell, encoder)
    if number(entry.get("lambda_star")) is None:
        return f"{name}: no answer yet."
    harm = "strong alignment" if entry["lambda_star"] > 0 else "alignment"
    verdict = {
        "align": f"{name} wants to be aligned",
        "avoid": f"{harm} harms {name}, which {_loss(entry, metric) or 'is better without it'}",
        "indifferent": f"{name} is indifferent",
    }.get(str(entry.get("verdict")), f"{name}: {one_line(entry.get('verdict') or 'no verdict')}")
    sentences = [f"{verdict}; λ* ≈ {strength_with_interval(entry)}"]
    if entry.get("shape") in _SHAPES:
        sentences[0] += f", {_SHAPES[entry['shape']]}"
    tried = entry if entry["lambda_star"] > 0 else part(entry, "searched")
    gain, place = part(tried, "gain_over_zero"), number(tried.get("lambda_star")) or 0
    if place > 0 and number(gain.get("mean")) is not None:
        at = "λ*" if tried is entry else f"λ = {strength_text(place)}, where the searched curve is highest,"
        evidence = f"At {at} it gets {gain_with_interval(gain, metric)} {gain_unit(metric)} over λ = 0"
        details = [_seeds(gain), _p_value(gain)]
        sentences.append(f"{evidence} ({', '.join(detail for detail in details if detail)})")
    return ". ".join(sentences) + "."


def _because(cell: Part) -> str:
    """Why there is no answer, as far as the report knows."""
    counts = part(cell, "counts")
    if cell.get("error"):
        return f", because its search failed ({one_line(cell['error'])})"
    if number(counts.get("trainings")) and counts.get("diverged") == counts.get("trainings"):
        return ", because every training diverged"
    return " yet"


def _effects(cell: Part, strategy: str) -> str:
    """`text gains 1.4 points [0.6, 2.2], vision is indifferent`: what the chosen strategy does to each encoder."""
    entries, names = parts(cell, "encoders")[:2], pair_of(cell)
    if strategy == "none" and not any(entry.get("verdict") in ("align", "avoid") for entry in entries):
        return "no strength makes a difference that this study can measure"
    gains = _gains_of(cell, strategy)
    effects = []
    for index, entry in enumerate(entries):
        metric = metric_of(cell, index)
        if strategy == "none":
            effects.append(f"{names[index]} {_without_alignment(entry, metric)}")
        elif strategy != f"to_{2 - index}":  # to_2 leaves encoder 1 as it is, to_1 encoder 2
            effects.append(f"{names[index]} {_effect(gains[index], metric)}")
    return ", ".join(effects) or "see the table"


def _unconfirmed(cell: Part) -> bool:
    return any(part(entry, "gain_over_zero").get("source") == "search" for entry in parts(cell, "encoders"))


def _gains_of(cell: Part, strategy: str) -> tuple[Part, Part]:
    """Both encoders' gains under a strategy: as measured for it, or each encoder's own where it was not."""
    own = [part(entry, "gain_over_zero") for entry in parts(cell, "encoders")[:2]]
    for alternative in parts(part(cell, "pair_choice"), "alternatives"):
        gains = alternative.get("gains")
        if alternative.get("strategy") == strategy and isinstance(gains, Sequence) and len(gains) == 2:
            own = [gain if isinstance(gain, Mapping) else {} for gain in gains]
    own += [{}, {}]
    return own[0], own[1]


def _effect(gain: Part, metric: str) -> str:
    mean, bounds, unit = number(gain.get("mean")), interval(gain.get("interval")), _unit(metric)
    if mean is None:
        return "was not measured"
    if bounds is None:
        return f"{'gains' if mean >= 0 else 'loses'} {_plain(abs(mean), unit)} {unit.name}"
    if bounds[0] <= 0 <= bounds[1]:
        return "is indifferent"
    low, high = sorted(abs(bound) for bound in bounds)
    verb = "gains" if mean > 0 else "loses"
    return f"{verb} {_plain(abs(mean), unit)} {unit.name} [{_plain(low, unit)}, {_plain(high, unit)}]"


def _without_alignment(entry: Part, metric: str) -> str:
    """Why a pair that should not be aligned should not, by one of its encoders."""
    if entry.get("verdict") == "align":
        gain = _effect(part(entry, "gain_over_zero"), metric).removeprefix("gains ")
        return f"alone would gain {gain} at λ ≈ {strength_text(entry.get('lambda_star'))}"
    if entry.get("verdict") != "avoid":
        return "is indifferent"
    return _loss(entry, metric) or "is harmed by it"


def _loss(entry: Part, metric: str) -> str:
    """How much the strongest alignment that was tried costs an encoder; "" where it costs nothing."""
    if (cost := _cost(entry)) is None:
        return ""
    return f"loses {_plain(cost[1], _unit(metric))} {gain_unit(metric)} by λ = {strength_text(cost[0])}"


def _cost(entry: Part) -> tuple[float, float] | None:
    """The strongest strength tried and what it loses against λ = 0 in validation; None where it loses nothing."""
    points = {number(point.get("strength")): number(point.get("mean")) for point in parts(entry, "curve")}
    known = {strength: mean for strength, mean in points.items() if strength is not None and mean is not None}
    base = known.get(0.0)
    return None if base is None or base <= known[max(known)] else (max(known), base - known[max(known)])


def _strengths(choice: Part) -> tuple[str, str]:
    values = choice.get("strengths") or (choice.get("lambda_star"),)
    return strength_text(values[0]), strength_text(values[-1])


def _with_interval(choice: Part, chosen: str) -> str:
    """A chosen one-sided strength, with an interval only where it is the pair's own answer, which has one."""
    text = strength_with_interval(choice)
    return text if text.split(" ")[0] == chosen else chosen


def _seeds(gain: Part) -> str:
    seeds = number(gain.get("seeds"))
    if seeds is None:
        return ""
    return f"{seeds:.0f} {'search' if gain.get('source') == 'search' else 'fresh'} seed{'' if seeds == 1 else 's'}"


def _p_value(gain: Part) -> str:
    for key, note in (("p_adjusted", " after Holm"), ("p_value", "")):
        if (value := number(gain.get(key))) is not None:
            return f"p {'< 0.001' if value < 0.001 else f'= {value:.2g}'}{note}"
    return ""


def _unit(metric: str) -> _Unit:
    return _UNITS.get(metric, _Unit(f"of {one_line(metric)}", 1, 3))


def _plain(value: float, unit: _Unit) -> str:
    return f"{value * unit.scale:.{unit.decimals}f}"


def _signed(value: float, unit: _Unit) -> str:
    text = _plain(value, unit)
    return text.replace("-", "−") if float(text) < 0 else f"+{text.lstrip('-')}"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
