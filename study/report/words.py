"""The answer in plain words: the sentences of the report, of the MLflow note and of the terminal.

Every function takes parts of a report dict (report.json) and returns plain text, not markup. A field that is missing
or null (a partial study, a skipped confirmation) is left out of the sentence instead of being guessed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from study.report.amounts import cost, gain_unit, gain_with_interval, size_text, strength_text, strength_with_interval
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

_SHAPES = {
    "rising": "the curve rises with λ",
    "falling": "the curve falls with λ",
    "inverted-u": "the curve rises, then falls",
    "flat": "the curve is flat",
}


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
    mean, bounds, unit = number(gain.get("mean")), interval(gain.get("interval")), gain_unit(metric)
    if mean is None:
        return "was not measured"
    if bounds is None:
        return f"{'gains' if mean >= 0 else 'loses'} {size_text(mean, metric)} {unit}"
    if bounds[0] <= 0 <= bounds[1]:
        return "is indifferent"
    low, high = sorted(abs(bound) for bound in bounds)
    verb = "gains" if mean > 0 else "loses"
    return f"{verb} {size_text(mean, metric)} {unit} [{size_text(low, metric)}, {size_text(high, metric)}]"


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
    if (known := cost(entry)) is None:
        return ""
    return f"loses {size_text(known[1], metric)} {gain_unit(metric)} by λ = {strength_text(known[0])}"


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


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
