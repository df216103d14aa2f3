"""The answer in plain words: the sentences of the report, of the MLflow note and of the terminal.

Every function takes parts of a report dict (report.json) and returns plain text, not markup. A field that is missing
or null (a partial study, a skipped confirmation) is left out of the sentence instead of being guessed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from study.results.reading import (
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
from study.results.text.amounts import (
    capitalised,
    change_in_validation,
    common_metric,
    gain_unit,
    gain_with_interval,
    p_text,
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


def advice_with_gain(cell: Part) -> str:
    """The recommended strategy with what the pair as one gains by it: `one λ for both, 0.6: +1.0 points over λ = 0`."""
    chosen, _ = _told_alternative(cell)
    gain = pair_gain_text(cell) if chosen else ""
    return f"{advice(cell)}: {gain}" if gain else advice(cell)


def cell_sentence(cell: Part) -> str:
    """What to do with a pair, at which strength, what each encoder gets from it, and what the pair as one gains."""
    first, second = pair_of(cell)
    choice = part(cell, "pair_choice")
    if not choice.get("strategy"):
        return f"{capitalised(label_of(cell))}: no answer{_because(cell)}."
    strategy = str(choice["strategy"])
    one, two = _strengths(choice)
    shared = strength_with_interval(choice)
    told = {
        "none": f"Do not align {first} and {second}",
        "shared": f"Align {first} and {second} at λ ≈ {shared}",
        "to_1": f"Align {first} to {second} only, at λ ≈ {_with_interval(choice, one)}, and leave {second} untouched",
        "to_2": f"Align {second} to {first} only, at λ ≈ {_with_interval(choice, two)}, and leave {first} untouched",
        "per_encoder": f"Align {first} at λ ≈ {one} and {second} at λ ≈ {two}, each on its own side",
    }.get(strategy, f"{capitalised(one_line(strategy))} {first} and {second}")
    doubt = " Not confirmed on fresh seeds yet."
    return " ".join([f"{told}: {_effects(cell, strategy)}.", *_pair_gain(cell)]) + doubt * _unconfirmed(cell, strategy)


def pair_gain_text(cell: Part) -> str:
    """What the pair as one gains by its strategy, or by the one that comes closest: `+1.0 [+0.6, +1.4] points, p = …`.

    "" where no strategy was tried.
    """
    _, alternative = _told_alternative(cell)
    gain, metric = part(alternative, "gain_mean"), common_metric(metric_of(cell, 0), metric_of(cell, 1))
    if number(gain.get("mean")) is None:
        return ""
    split = " in validation" if gain.get("source") == "search" else ""
    return f"{gain_with_interval(gain, metric)} {gain_unit(metric)} over λ = 0{split}" + (
        f", {told}" if (told := _p_value(gain)) else ""
    )


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
    verdict = {
        "align": f"{name} wants to be aligned",
        "avoid": f"{name} is better left unaligned",
        "indifferent": f"{name} is indifferent",
    }.get(str(entry.get("verdict")), f"{name}: {one_line(entry.get('verdict') or 'no verdict')}")
    sentences = [f"{verdict}; λ* ≈ {strength_with_interval(entry)}"]
    if entry.get("shape") in _SHAPES:
        sentences[0] += f", {_SHAPES[entry['shape']]}"
    gain, place = told_gain(entry)
    if number(gain.get("mean")) is not None:
        at = "λ*" if entry["lambda_star"] else f"λ = {strength_text(place)}, where the searched curve is highest,"
        evidence = f"At {at} it gets {gain_with_interval(gain, metric)} {gain_unit(metric)} over λ = 0"
        details = [_seeds(gain), _p_value(gain)]
        sentences.append(f"{evidence} ({', '.join(detail for detail in details if detail)})")
    return ". ".join([*sentences, *_range_remark(entry, metric)]) + "."


def _range_remark(entry: Part, metric: str) -> list[str]:
    """What the end of the range does to an encoder whose curve comes down to it, on the split where it was measured."""
    end = strongest(entry)
    change = change_in_validation(entry, end)
    if entry.get("shape") not in ("falling", "inverted-u") or change is None or change >= 0:
        return []
    loss = f"{size_text(change, metric)} {gain_unit(metric)}"
    return [f"By the end of the range, λ = {strength_text(end)}, it scores {loss} lower in validation than at λ = 0"]


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
    if strategy == "none" and _nothing_differs(cell):
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


def _nothing_differs(cell: Part) -> bool:
    """Whether neither a curve nor a gain that is told differs from what luck alone would give.

    Told are those of every strategy tried, of each encoder, and of the pair at its one strength.
    """
    choice, entries = part(cell, "pair_choice"), parts(cell, "encoders")[:2]
    told = [gain for one in parts(choice, "alternatives") for gain in _measured(one)]
    told += [told_gain(answer)[0] for answer in (*entries, choice)]
    bounds = [found for gain in told if (found := interval(gain.get("interval")))]
    return all(low <= 0 <= high for low, high in bounds) and all(
        entry.get("verdict") not in ("align", "avoid") and entry.get("shape") in ("flat", None) for entry in entries
    )


def _measured(alternative: Part) -> list[Part]:
    """The gains of a strategy that were measured: of each encoder, and of the pair."""
    gains = alternative.get("gains")
    each = gains if isinstance(gains, Sequence) else ()
    return [gain for gain in (*each, alternative.get("gain_mean")) if isinstance(gain, Mapping)]


def _told_alternative(cell: Part) -> tuple[bool, Part]:
    """The strategy chosen and True; where it is `none`, the one whose gain for the pair comes closest, and False."""
    choice = part(cell, "pair_choice")
    tried = [one for one in parts(choice, "alternatives") if number(part(one, "gain_mean").get("mean")) is not None]
    chosen = [one for one in tried if one.get("strategy") == choice.get("strategy") != "none"]
    if chosen or choice.get("strategy") != "none":
        return True, chosen[0] if chosen else {}
    return False, max(tried, key=lambda one: float(one["gain_mean"]["mean"]), default={})


def _pair_gain(cell: Part) -> list[str]:
    """The pair's own gain in a sentence, if it was measured."""
    chosen, alternative = _told_alternative(cell)
    if not (told := pair_gain_text(cell)):
        return []
    if chosen:
        return [f"The pair as one: {told}."]
    name = strategy_name(cell, str(alternative.get("strategy")))
    strengths = [strength_text(value) for value in alternative.get("strengths") or () if value]
    at = f" at λ = {' and '.join(dict.fromkeys(strengths))}" if strengths else ""
    return [f"No strategy's gain is confirmed; closest comes “{name}”{at}: {told}."]


def _unconfirmed(cell: Part, strategy: str) -> bool:
    """Whether a number that is told of the strategy comes from the search."""
    _, alternative = _told_alternative(cell)
    told = _measured(alternative) if alternative else []
    if strategy == "none" or not told:
        told += [told_gain(entry)[0] for entry in parts(cell, "encoders")[:2]]
    return any(gain.get("source") == "search" for gain in told)


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
    split = " in validation" if gain.get("source") == "search" else ""
    if bounds is None:
        return f"{'gains' if mean >= 0 else 'loses'} {size_text(mean, metric)} {unit}{split}"
    if bounds[0] <= 0 <= bounds[1]:
        return "is indifferent"
    low, high = sorted(abs(bound) for bound in bounds)
    verb = "gains" if mean > 0 else "loses"
    return f"{verb} {size_text(mean, metric)} {unit} [{size_text(low, metric)}, {size_text(high, metric)}]{split}"


def _without_alignment(entry: Part, metric: str) -> str:
    """Why a pair that should not be aligned should not, by one of its encoders."""
    gain, place = told_gain(entry)
    told, bounds = _effect(gain, metric), interval(gain.get("interval"))
    if entry.get("verdict") == "align":
        return f"alone would gain {told.removeprefix('gains ')} at λ ≈ {strength_text(place)}"
    if entry.get("verdict") == "avoid" and bounds is not None and bounds[1] < 0:
        return f"{told} at λ = {strength_text(place)}"
    return {
        "falling": "gets worse with λ by its validation curve",
        "rising": "gets better with λ by its validation curve",
        "inverted-u": "is best between the ends by its validation curve",
    }.get(str(entry.get("shape")), "is indifferent" if entry.get("verdict") != "avoid" else "is better without it")


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
    kind, split = ("search", " in validation") if gain.get("source") == "search" else ("fresh", "")
    return f"{seeds:.0f} {kind} seed{'' if seeds == 1 else 's'}{split}"


def _p_value(gain: Part) -> str:
    told = p_text(gain)
    after = " after Holm" if number(gain.get("p_adjusted")) is not None else ""
    return "" if told == "–" else f"p {told if told.startswith('<') else f'= {told}'}{after}"
