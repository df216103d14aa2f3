"""The answer from trainings that are done already, in words: for the terminal, a notebook and the page."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import groupby

from study.results.model import GainResult, OtherHyperparameter, OutsideResult
from study.results.names import capital, one_line
from study.results.text.amounts import p_in_words, shape_text, strength_text, strength_with_interval, told_gain

_LEFT_OUT = {
    "diverged": "diverged",
    "duplicates": "stand twice",
    "missing": "without a score or strength",
    "failed": "failed",
    "pruned": "stopped early",
    "running": "not ended",
    "set_aside": "of settings that were not the best at their strength",
    "other_split": "on another split",
}
_MOST_FAILED = 0.1  # share of trainings


def title(answer: OutsideResult) -> str:
    """What the answer is of: `encoder text: weight decay, by val_acc`."""
    whose = f"{answer.modality}: " if answer.modality else ""
    return f"{whose}{answer.name or 'λ'}, by {one_line(answer.score)}{' (lower is better)' if answer.minimise else ''}"


def headline(answer: OutsideResult) -> str:
    """λ* with its interval and the verdict in one sentence."""
    name, star = starred(answer), strength_with_interval(answer)
    gain, place = told_gain(answer)
    base = f"{symbol(answer)} = {strength_text(answer.relative_to)}"
    if place == answer.relative_to:  # the smallest strength, which is not 0
        gain = GainResult()
    told = gain_text(answer, gain) if gain.mean is not None else ""
    evidence = f"{told} over {base}, {p_in_words(gain)}, {basis(gain)}"
    what = {
        "align": f"the best is at {name} = {star}: {evidence}",
        "avoid": f"leave it at 0: {name} = {star}, and the score gets worse from there",
        "indifferent": f"no strength is shown to beat {base}; the curve is highest at {name} = {star}"
        + (f" ({evidence})" if gain.mean is not None else ""),
    }
    return f"{capital(what.get(answer.verdict or '', 'no answer'))}."


def basis(gain: GainResult) -> str:
    """What a gain rests on."""
    return {
        "confirm": "on fresh seeds",
        "split": "on the test split, with the seeds of the search",
        "search": "by these same trainings",
    }.get(gain.source or "", "")


def luck_sentence(answer: OutsideResult) -> str:
    """How much of the best trial's score is luck."""
    best = answer.best_trial
    if best is None or best.expected is None:
        return ""
    told = f"the best trial ({symbol(answer)} = {strength_text(best.strength)}) says {number(answer, best.score)}; "
    told += f"at its setting {number(answer, best.expected)}{_limits_after(answer, best.interval)} is to be expected"
    if (luck := best.luck or 0.0) > 0:
        told += f": {number(answer, luck)} of it is luck"
    return f"{capital(told)}."


def expected_sentence(answer: OutsideResult) -> str:
    """What λ* is to be expected to score."""
    if answer.expected_score is None:
        return ""
    told = f"{number(answer, answer.expected_score)}{_limits_after(answer, answer.expected_interval)}"
    se = (
        ""
        if answer.lambda_1se == answer.lambda_star
        else f"; {symbol(answer)} = {strength_text(answer.lambda_1se)} is within one standard error of the best"
    )
    return f"At {starred(answer)} = {strength_text(answer.lambda_star)}, {told} is to be expected{se}."


def next_sentence(answer: OutsideResult) -> str:
    """The trainings that would tell most, and how many seeds would settle the gain."""
    by_strength = sorted(answer.next, key=lambda one: one.strength or 0.0)
    parts = []
    for strength, group in groupby(by_strength, key=lambda one: one.strength):
        seeds = [one.seed or "" for one in group]
        parts.append(f"{strength_text(strength)} (seed{'s' if len(seeds) > 1 else ''} {', '.join(seeds)})")
    where = ", within what was tried" if "edge" in answer.flags else ""
    told = f"The next trainings that would tell most{where}: {symbol(answer)} = {', '.join(parts)}." if parts else ""
    if (needed := answer.seeds_needed) is not None:
        place = (answer.searched.lambda_star if answer.searched else None) or answer.lambda_star
        told += (
            f" If the gain is as large as the curve says, {needed} fresh seeds at {symbol(answer)} = "
            f"{strength_text(answer.relative_to)} and at {strength_text(place)} would show it (with 80 % probability)."
        )
    elif not _has_gain(answer):
        told += " There is no gain that more seeds could show."
    else:
        told += " Not even 200 fresh seeds would show a gain of this size (with 80 % probability): it hardly matters."
    return told.strip()


def counts_sentence(answer: OutsideResult) -> str:
    """How many trainings there are, and what became of those that were not used."""
    counts = answer.counts
    left = [f"{count} {why}" for key, why in _LEFT_OUT.items() if (count := getattr(counts, key) or 0)]
    told = f"{counts.trainings} trainings, {counts.used} used"
    others = (counts.trainings or 0) - (counts.used or 0) - sum(getattr(counts, key) or 0 for key in _LEFT_OUT)
    if others > 0 and told_gain(answer)[0].source != "search":
        told += f" to find {starred(answer)} and {others} to confirm it"
    told += f" ({', '.join(left)})" if left else ""
    if counts.averaged:
        told += f"; {counts.averaged} of the same strength and seed as another were averaged with it"
    took = ", ".join(f"{role} = {one_line(column)}" for role, column in answer.took.items())
    return f"{told}. Taken: {took}."


def remarks(answer: OutsideResult) -> list[str]:
    """What these trainings cannot tell, one sentence each."""
    told = list(answer.remarks)
    base = answer.relative_to
    if base and symbol(answer) == "λ":  # of a learning rate, say, 0 is no value
        told.append(
            f"no training has λ = 0: gains are over the smallest strength, {strength_text(base)}, and whether none at "
            "all would be better is not known"
        )
    elif base:
        told.append(f"gains are over the smallest {symbol(answer)}, {strength_text(base)}")
    seeds = answer.gain_over_zero.seeds if answer.gain_over_zero else None
    if not answer.paired:
        told.append(
            "it is not known which trainings share a seed: each is taken for a seed of its own. If all had the same "
            "seed, this is the answer for that seed, and another may differ; name the seeds, and use the same ones at "
            "every strength, to know"
        )
    elif seeds == 1:
        told.append("all trainings are of one seed: how much seeds differ is not known, give more")
    gain = told_gain(answer)[0]
    if gain.source == "search":
        told.append("the verdict rests on the trainings that λ* was found with: confirm it on fresh seeds")
    elif gain.source == "split":
        told.append("the test scores are of the seeds that λ* was found with: fresh seeds would confirm more")
    told += [sentence for one in answer.others if (sentence := _other(one))]
    if "edge" in answer.flags:
        told.append("the best strength lies at the end of what was tried: try beyond it first")
    failed, trainings = answer.counts.failed or 0, answer.counts.trainings or 0
    if failed > _MOST_FAILED * trainings:
        told.append("failed trials have no score here: where they diverged, write their score as nan")
    if answer.counts.pruned:
        told.append("trials that were stopped early are left out, so that strengths where many were look too good")
    if answer.strengths_merged:
        told.append(f"neighbouring strengths were taken together in {answer.strengths_merged} groups")
    return [f"{sentence}." for sentence in told]


def shape_sentence(answer: OutsideResult) -> str:
    """The form of the curve, and how sure that is."""
    told = {
        "inverted-u": "gets better up to a peak, and worse beyond",
        "rising": "gets better with the strength",
        "falling": "gets worse with the strength",
        "ends lower": "ends worse than it begins",
        "flat": "is flat, as far as these trainings can tell",
    }.get(shape_text(answer), "has no shape")
    p_value = answer.shape_p_value
    test = "" if p_value is None else f" (p {'< 0.001' if p_value < 0.001 else f'= {p_value:.2g}'} against a flat one)"
    return f"The curve {told}{test}."


def text(answers: Sequence[OutsideResult]) -> str:
    """The whole answer for the terminal."""
    return "\n\n".join("\n".join(_lines(answer)) for answer in answers)


def sentences(answer: OutsideResult) -> list[str]:
    """The sentences of an answer, the answer first."""
    told = [headline(answer), expected_sentence(answer), shape_sentence(answer), luck_sentence(answer)]
    return [sentence for sentence in (*told, next_sentence(answer)) if sentence]


def _lines(answer: OutsideResult) -> list[str]:
    lines = [title(answer), f"  {counts_sentence(answer)}"]
    lines += [f"  {sentence}" for sentence in (*sentences(answer), fixed_sentence(answer)) if sentence]
    return [*lines, *(f"  · {remark}" for remark in remarks(answer))]


def symbol(answer: OutsideResult) -> str:
    """λ, or the name of another hyperparameter."""
    return answer.name or "λ"


def starred(answer: OutsideResult) -> str:
    """λ*, or `best weight decay`."""
    return "λ*" if symbol(answer) == "λ" else f"best {symbol(answer)}"


def number(answer: OutsideResult, value: float | None) -> str:
    """A score with as many decimals as the noise leaves a meaning."""
    return "?" if value is None else f"{value:{_format(answer)}}".replace("-", "−")


def signed(answer: OutsideResult, value: float | None) -> str:
    """A gain with its sign."""
    return "?" if value is None else f"{value:+{_format(answer)}}".replace("-", "−")


def gain_text(answer: OutsideResult, gain: GainResult) -> str:
    """A gain with its interval: `+0.023 [+0.016, +0.030]`."""
    return f"{signed(answer, gain.mean)} {limits(answer, gain.interval, sign=True)}"


def limits(answer: OutsideResult, interval: tuple[float, float] | None, *, sign: bool = False) -> str:
    """An interval in brackets."""
    if interval is None:
        return ""
    told = signed if sign else number
    return f"[{told(answer, interval[0])}, {told(answer, interval[1])}]"


def _limits_after(answer: OutsideResult, interval: tuple[float, float] | None) -> str:
    return f" {limits(answer, interval)}" if interval else ""


def _format(answer: OutsideResult) -> str:
    """Two digits of the width of what is told of the scores; powers of ten where nobody would count the zeros."""
    size = abs(answer.expected_score or (answer.best_trial.score if answer.best_trial else None) or 1.0)
    spreads = [interval[1] - interval[0] for interval in _intervals(answer) if interval]
    finest = max(min(spreads, default=0.0), 1e-3 * size)  # of scores without any noise, four digits
    decimals = 1 - math.floor(math.log10(max(finest, 1e-300)))
    if 1e-5 <= size < 1e9 or size == 0:
        return f".{max(0, decimals)}f"
    return f".{min(12, max(1, decimals + math.floor(math.log10(size))))}e"


def _intervals(answer: OutsideResult) -> list[tuple[float, float] | None]:
    best = answer.best_trial
    return [answer.expected_interval, best.interval if best else None, told_gain(answer)[0].interval]


def _has_gain(answer: OutsideResult) -> bool:
    gain = told_gain(answer)[0]
    return bool(gain.mean and gain.mean > 0)


def _other(other: OtherHyperparameter) -> str:
    if other.role == "nuisance":
        return f"{other.name} ({other.values}) was held at its best at each strength"
    if other.role == "varies":
        correlation = other.correlation
        how = "" if correlation is None else f", rank correlation with the score {correlation:.2f}".replace("-", "−")
        return (
            f"{other.name} varies too ({other.values}{how}): the answer is about its values as they were drawn, and "
            "depends on them; fix it, or try the same values at every strength"
        )
    return ""


def fixed_sentence(answer: OutsideResult) -> str:
    """The hyperparameters that were of one value."""
    held = [f"{one.name} = {one.values}" for one in answer.others if one.role == "fixed"]
    return f"Held fixed: {', '.join(held)}." if held else ""
