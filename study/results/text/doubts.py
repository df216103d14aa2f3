"""What would change an answer: the doubts that a report can name about itself."""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import NamedTuple

from study.results.model import CellResult, CurvePoint, EncoderResult, GainResult, SearchedResult
from study.results.names import one_line
from study.results.text.amounts import (
    change_in_validation,
    change_text,
    common_metric,
    gain_unit,
    is_near_the_limit,
    is_share,
    p_text,
    score_text,
    size_text,
    strength_text,
    told_gain,
)
from study.results.text.budget import cut_text
from study.results.text.pair import is_unaligned, strategy_name, told_alternative

_FLAGS = {
    "edge": "its best strength lies at the end of the range tried: widen strength.range and run again",
    "undertrained": "its score was still improving at the last epoch: raise training.epochs",
    "diverged": "some of its trainings diverged: lower training.learning_rate or the upper end of strength.range",
    "few_seeds": "few seeds were trained at each strength: raise replicates.search",
}
_FLAGS_OF_FUNCTIONS = {
    "undertrained": "its score was still improving at the last report of progress: train for longer",
    "diverged": "some of its trainings diverged: lower its learning rate or the upper end of strength.range",
}
_NEAR = 0.05  # of an interval's width, from a line at which the answer turns
_MOST, _FEW_GROUPS = 0.5, 10  # share of an interval's variance; groups of test rows
_APART, _CHANGES_APART = 0.05, 0.03  # a score, and its change by alignment, from split to split; see `_far`
_TURNS = 4  # until a number of seeds agrees with the look that they make
_T90 = {2: 6.31, 3: 2.92, 4: 2.35, 5: 2.13, 6: 2.02, 7: 1.94, 8: 1.89, 9: 1.86, 10: 1.83}  # 0.95 quantile by seeds


def caveats(cell: CellResult) -> list[str]:
    """What would change a cell's answer, one sentence each; empty where nothing known would."""
    doubts: list[str] = []
    for index, name, encoder in cell.told_encoders:
        doubts += [f"{name}: {doubt}." for doubt in _of_encoder(cell, index, encoder)]
    doubts += _of_function(cell)
    diverged, trainings = cell.counts.diverged, cell.counts.trainings
    if diverged and trainings:
        doubts.append(f"{diverged} of {trainings} trainings diverged and are left out of the means.")
    doubts += _of_pair(cell)
    doubts += _of_extensions(cell)
    if cut := cut_text(cell):
        doubts.append(f"{cut}.")
    doubts += _of_these_rows(cell)
    if not cell.pair_choice.strategy and not cell.error:
        doubts.append("the search of this pair has not ended: run the same command again.")
    if cell.error:
        what = "its encoders were not trained" if cell.pair_choice.strategy else "the search of this pair ended early"
        doubts.append(f"{what}: {one_line(cell.error)}.")
    return doubts


def _of_function(cell: CellResult) -> list[str]:
    """Whether what is compared was trained by one state of the user's code, and depends on its seed."""
    if cell.own_training is None:
        return []
    doubts, states = [], cell.own_training.code
    if len(states) > 1:
        told = ", ".join(f"{count} by {one_line(state)[:8]}" for state, count in states.items())
        doubts.append(
            f"the code of its function changed while it was trained ({told}): run it anew under another name."
        )
    several = [point.scores for encoder in cell.encoders for point in encoder.curve if (point.seeds or 0) > 1]
    if several and all(len(set(scores)) == 1 for scores in several):
        doubts.append(
            "its scores are the same for every seed, so that its intervals know of no luck: seed whatever is random in "
            "it by trial.seed."
        )
    return doubts


def _of_pair(cell: CellResult) -> list[str]:
    """What the answer for the pair hangs on, and what it would take to confirm the strategy that comes closest, where
    none is confirmed.
    """
    chosen, told_one = told_alternative(cell.pair_choice)
    if is_unaligned(told_one) or cell.has_one_score:
        return []
    gain = told_one.gain_mean or GainResult()
    who = f"the pair as one, by “{strategy_name(cell, told_one.strategy or 'another strategy')}”"
    general = [_at_a_threshold(gain), _few_groups(gain)]
    if chosen:
        return [f"{who}: {line}." for line in general if line]
    told = _what_would_show(gain, common_metric(cell.metric(0), cell.metric(1)))
    return [f"{who}: {line}." for line in (*general, told) if line]


def _of_extensions(cell: CellResult) -> list[str]:
    """What it means for an answer that the study was extended after it could be seen."""
    doubts = []
    if seen := [one for one in cell.extensions if one.looked in ("partly", "whole")]:
        times = "once" if len(seen) == 1 else f"{len(seen)} times"
        seeds = ", ".join(str(one.confirm) for one in seen)
        doubts.append(
            f"its confirmation could be seen before the study was extended ({times}, at {seeds} seeds): where more was "
            "confirmed since, p-values and intervals of gains are corrected for every look."
        )
    if cell.left_behind:
        told = "; ".join(
            f"{one.seeds} seeds at λ = {' and '.join(dict.fromkeys(strength_text(s) for s in one.strengths if s)) or 0}"
            for one in cell.left_behind
        )
        doubts.append(
            f"its search, as it was extended, has left strengths behind that were confirmed before: {told} do not "
            "count any more."
        )
    return doubts


def _of_these_rows(cell: CellResult) -> list[str]:
    """What confirmed gains of one split cannot tell."""
    told = [one.gain_mean for one in cell.pair_choice.alternatives if one.gain_mean]
    if not any(gain.source == "confirm" and not gain.is_for_new_rows for gain in told):
        return []
    return [
        "all replicates share one split of the rows: intervals and p-values count the luck of the seeds alone, and do "
        "not tell what is to be expected on other rows; for that, set replicates.splits: resampled."
        if cell.own_training is None
        else "intervals and p-values count the luck of the seeds, and that of the rows only as far as its function "
        "draws them by trial.seed."
    ]


def _of_encoder(cell: CellResult, index: int, encoder: EncoderResult) -> list[str]:
    """What would change the answer of one encoder of a cell, without its name and the full stop."""
    metric, gain = cell.metric(index), encoder.gain_over_zero or GainResult()
    known = _FLAGS if cell.own_training is None else {**_FLAGS, **_FLAGS_OF_FUNCTIONS}
    doubts = [known.get(flag, one_line(flag).replace("_", " ")) for flag in encoder.flags]
    if encoder.verdict == "avoid" and encoder.shape not in ("falling", None):
        doubts.append(
            f"its validation curve is {encoder.shape}, yet fresh seeds lose by alignment on the test split: the two "
            "splits differ, so check how they were made"
        )
    if gain.source == "search":
        doubts.append("its gain comes from the seeds of the search; confirm it on fresh ones")
    elif gain.seeds == 0:
        doubts.append(f"no confirming seed has a score at λ = 0 and at λ* alike: {known['diverged']}")
    elif gain.seeds is not None and gain.seeds < 5:
        doubts.append(f"only {gain.seeds} confirming seed{'s' * (gain.seeds > 1)}: raise replicates.confirm")
    if encoder.verdict == "indifferent" and (told := _what_would_show(gain, metric)):
        doubts.append(told)
    searched = encoder.searched or SearchedResult()
    if searched.highest is not None:
        doubts.append(
            f"λ = {strength_text(searched.lambda_star)} was confirmed before its search was extended and stands for λ* "
            f"still: the curve is highest at {strength_text(searched.highest)} by now, by less than λ* is uncertain"
        )
    doubts += [told for told in (_at_a_threshold(told_gain(encoder)[0]), _few_groups(gain)) if told]
    doubts += _splits_apart(cell, index, encoder)
    bounds, tried = encoder.interval, encoder.tried
    if bounds and tried and encoder.verdict == "align" and bounds[1] - bounds[0] > 0.5 * max(tried) > 0:
        low, high = map(strength_text, bounds)
        doubts.append(f"λ* is only known to lie between {low} and {high}: raise replicates.search or strength.refine")
    return doubts


def _what_would_show(gain: GainResult, metric: str) -> str:
    """What it would take to show a gain that is not confirmed: seeds, or rows where these are what is missing; "" where
    that is not known.
    """
    needed = _needed(gain)
    if gain.mean is None or needed is None:
        return ""
    real = f"if the gain of {change_text(gain.mean, metric)} {gain_unit(metric)} is real, about"
    if needed.of == "seeds":
        return (
            f"{real} {needed.many} confirming seeds would show it with 80 % probability: raise replicates.confirm (the "
            f"same command with --set replicates.confirm={needed.many} trains those that are missing)"
        )
    what = "groups of rows (people, recordings …)" if needed.of == "groups" else "rows"
    return (
        f"{real} {_roughly(needed.many):,} {what} in the test split, where it has {gain.units}, would show it with 80 "
        "% probability: these are what is missing, and not seeds"
    )


def _roughly(count: int) -> int:
    """A count to two significant digits: it is an estimate."""
    size = int(10 ** max(0, len(str(count)) - 2))
    return -(-count // size) * size


class _Needed(NamedTuple):
    many: int
    of: str


def _needed(gain: GainResult) -> _Needed | None:
    """Confirming seeds at which a gain as measured would be confirmed with a probability of 80 %; or rows or groups of
    the test split, where no number of seeds would do, as the luck of these is too large.

    By the p-value that Holm's correction asks of it among the claims that are not confirmed either, at a look more than
    there were; with Guenther's allowance for the t test (1981, The American Statistician 35:243). None where there is
    no gain, it has as many already, hundreds of seeds (or a hundred times the rows) would not do, or the correction is
    not known.
    """
    mean, bounds, seeds, level = gain.mean, gain.interval, gain.seeds, gain.p_needed
    if mean is None or bounds is None or seeds is None or seeds < 2 or mean <= 0 or gain.source == "search":
        return None
    if gain.splits is not None or gain.is_too_small:  # neither would show more
        return None
    if level is None:
        if gain.p_adjusted is not None:  # of a version that did not say what would do
            return None
        level = 0.05
    units, share = gain.units or 0, (gain.units_share or 0.0) if gain.units else 0.0
    degrees = seeds if not units else min(seeds, units)
    error = gain.standard_error or (bounds[1] - bounds[0]) / (2 * _T90.get(degrees, 1.65))
    of_seeds, of_units = (1 - share) * error**2, share * error**2
    needed = 0
    for _ in range(_TURNS):  # the more seeds there are in the end, the less the first ones told of them
        tail = NormalDist().inv_cdf(1 - _next_level(level, gain, seeds / max(seeds, needed)) / 2)
        wanted = _wanted(mean, tail)
        if wanted <= of_units:
            break
        needed = math.ceil(of_seeds * seeds / (wanted - of_units) + tail**2 / 2)
    else:
        if seeds < needed <= 200:
            return _Needed(needed, "seeds")
    wanted = _wanted(mean, NormalDist().inv_cdf(1 - level / 2))  # of other rows nobody has seen a gain
    if units and wanted > of_seeds:
        needed = math.ceil(of_units * units / (wanted - of_seeds))
        if units < needed <= 100 * units and gain.unit != "blocks":  # of which there are as many for any number of rows
            return _Needed(needed, gain.unit or "rows")
    return None


def _next_level(level: float, gain: GainResult, share: float) -> float:
    """At which p-value a gain is confirmed at the next look, of which this one has a `share` of the seeds: about what
    `study.selection.looks.nominal_level` has, or less, as the shares of looks before this one are not known here.
    """
    return level * min(1.0, (1 + share**2) / 2.0 ** (gain.looks or 1))


def _wanted(mean: float, tail: float) -> float:
    """The variance at which a gain of this size is beyond `tail` standard errors with a probability of 80 %."""
    return (mean / (tail + NormalDist().inv_cdf(0.8))) ** 2


def _few_groups(gain: GainResult) -> str:
    """Whether the groups of the test split, and not the seeds, are what an interval is wide for; "" where not."""
    share = gain.units_share or 0.0
    if gain.unit != "groups" or gain.units is None or (share < _MOST and gain.units >= _FEW_GROUPS):
        return ""
    if gain.units == 1:
        return "all test rows are of one group, so that nothing tells how much others would differ: test on more groups"
    return (
        f"its gain rests on {gain.units} groups of test rows, whose luck is {100 * share:.0f} % of the interval's "
        "variance: more groups (people, recordings …) would make it narrower, and more seeds would not"
        if share >= _MOST
        else f"its gain rests on {gain.units} groups of test rows alone: others may differ more than these do"
    )


def _at_a_threshold(gain: GainResult) -> str:
    """Where an answer would be another if little moved; "" where it would not."""
    if is_near_the_limit(gain):
        return (
            f"p = {p_text(gain)} after Holm lies near 0.05, where the answer turns: other seeds, or a machine that "
            "rounds otherwise, may turn it"
        )
    bounds, smallest = gain.interval, gain.smallest_gain
    if bounds is None or not bounds[0] < bounds[1]:
        return ""
    near = _NEAR * (bounds[1] - bounds[0])
    if min(map(abs, bounds)) <= near:
        return "the interval of its gain ends near 0: with other seeds it may hold 0, or not"
    if smallest and abs(max(map(abs, bounds)) - smallest) <= near:  # the limit that decides whether it lies within
        return (
            "the interval of its gain ends near the smallest gain of interest: whether it is too small to matter may "
            "turn with other seeds"
        )
    return ""


def _splits_apart(cell: CellResult, index: int, encoder: EncoderResult) -> list[str]:
    """Where validation and test split say different things of an encoder: its score at λ = 0, what alignment does."""
    metric = cell.metric(index)
    doubts = []
    seen = next((point for point in encoder.curve if point.strength == 0), CurvePoint()).mean
    unseen = encoder.baseline.mean if encoder.baseline else None
    luck = None if seen is None else _luck_of_rows(cell, metric, seen)
    if seen is not None and unseen is not None and _far(seen, unseen, metric, max(_APART, luck or 0.0)):
        doubts.append(
            f"at λ = 0 it scores {score_text(seen, metric)} in validation and {score_text(unseen, metric)} on the test "
            f"split, {size_text(seen - unseen, metric)} {gain_unit(metric)} apart{_luck_text(cell, metric, luck)}: "
            "an answer from rows of the one need not hold for the other, so check how they were made, or give more rows"
        )
    for strength, gain in _tested(cell, index, encoder).items():
        change, on_test, bounds = change_in_validation(encoder, strength), gain.mean, gain.interval
        if change is None or on_test is None or bounds is None:
            continue
        if _far(change, on_test, metric, _CHANGES_APART) and abs(change - on_test) > bounds[1] - bounds[0]:
            doubts.append(
                f"at λ = {strength_text(strength)} alignment changes its score by {change_text(change, metric)} in "
                f"validation and by {change_text(on_test, metric)} {gain_unit(metric)} on the test split: what holds "
                "for the rows of one split does not hold for the other's"
            )
    return doubts


def _tested(cell: CellResult, index: int, encoder: EncoderResult) -> dict[float, GainResult]:
    """The gains of an encoder on the test split, by the shared strength that they belong to."""
    gain, place = told_gain(encoder)
    tried: dict[float, GainResult | None] = {place: gain}
    for one in cell.pair_choice.alternatives:
        if one.strategy == "shared" and one.strengths and index < len(one.gains) and one.gains[index]:
            tried[one.strengths[0]] = one.gains[index]
    return {strength: gain for strength, gain in tried.items() if strength and gain and gain.source == "confirm"}


def _far(one: float, other: float, metric: str, limit: float) -> bool:
    """Whether two numbers differ by more than `limit`: of a score without a unit; of others by that share of them."""
    size = 1.0 if is_share(metric) else max(abs(one), abs(other))
    return abs(one - other) > limit * size


def _luck_of_rows(cell: CellResult, metric: str, score: float) -> float | None:
    """How far apart two splits of so many rows are by chance alone, in nine of ten cases.

    Known for a share of rows, which is binomial; None for any other score.
    """
    valid, test = cell.rows.get("valid"), cell.rows.get("test")
    if metric not in ("accuracy", "sign_accuracy") or not valid or not test or not 0 < score < 1:
        return None
    return 1.645 * math.sqrt(score * (1 - score) * (1 / valid + 1 / test))


def _luck_text(cell: CellResult, metric: str, luck: float | None) -> str:
    if luck is None:
        return ""
    rows = f"{cell.rows.get('valid')} and {cell.rows.get('test')} rows"
    return f" (two random splits of {rows} are within {size_text(luck, metric)} in nine of ten cases)"
