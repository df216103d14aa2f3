"""What would change an answer: the doubts that a report can name about itself."""

from __future__ import annotations

import math
from statistics import NormalDist

from study.results.reading import Part, interval, metric_of, number, one_line, pair_of, part, parts, strengths_of
from study.results.text.amounts import (
    change_in_validation,
    gain_unit,
    gain_with_interval,
    in_unit,
    score_text,
    size_text,
    strength_text,
    told_gain,
)

_FLAGS = {
    "edge": "its best strength lies at the end of the range tried: widen strength.range and run again",
    "undertrained": "its score was still improving at the last epoch: raise training.epochs",
    "diverged": "some of its trainings diverged: lower training.learning_rate or the upper end of strength.range",
    "few_seeds": "few seeds were trained at each strength: raise replicates.search",
}
_APART, _CHANGES_APART = 0.05, 0.03  # a score, and its change by alignment, from split to split; see `_far`
_T90 = {2: 6.31, 3: 2.92, 4: 2.35, 5: 2.13, 6: 2.02, 7: 1.94, 8: 1.89, 9: 1.86, 10: 1.83}  # 0.95 quantile by seeds


def caveats(cell: Part) -> list[str]:
    """What would change a cell's answer, one sentence each; empty where nothing known would."""
    found: list[str] = []
    names = pair_of(cell)
    for index, entry in enumerate(parts(cell, "encoders")[:2]):
        told = (_FLAGS.get(str(flag), one_line(flag).replace("_", " ")) for flag in entry.get("flags") or ())
        found.extend(f"{names[index]}: {text}." for text in told)
        gain = part(entry, "gain_over_zero")
        if entry.get("verdict") == "avoid" and entry.get("shape") not in ("falling", None):
            found.append(
                f"{names[index]}: its validation curve is {entry['shape']}, yet fresh seeds lose by alignment on the "
                "test split: the two splits differ, so check how they were made."
            )
        seeds = number(gain.get("seeds"))
        if gain.get("source") == "search":
            found.append(f"{names[index]}: its gain comes from the seeds of the search; confirm it on fresh ones.")
        elif seeds is not None and seeds < 5:
            found.append(f"{names[index]}: only {seeds:.0f} confirming seeds: raise replicates.confirm.")
        if entry.get("verdict") == "indifferent" and (needed := _seeds_needed(gain)):
            found.append(
                f"{names[index]}: a gain of {gain_with_interval(gain, metric_of(cell, index)).split(' ')[0]} "
                f"{gain_unit(metric_of(cell, index))}, if it is real, would be confirmed among this study's claims by "
                f"about {needed} seeds in four studies of five: raise replicates.confirm."
            )
        found.extend(f"{names[index]}: {line}." for line in _splits_apart(cell, index, entry))
        bounds, tried = interval(entry.get("interval")), strengths_of(entry)
        if bounds and tried and entry.get("verdict") == "align" and bounds[1] - bounds[0] > 0.5 * max(tried) > 0:
            low, high = map(strength_text, bounds)
            found.append(
                f"{names[index]}: λ* is only known to lie between {low} and {high}: "
                "raise replicates.search or strength.refine."
            )
    counts = part(cell, "counts")
    if (diverged := number(counts.get("diverged"))) and (total := number(counts.get("trainings"))):
        found.append(f"{diverged:.0f} of {total:.0f} trainings diverged and are left out of the means.")
    if not part(cell, "pair_choice").get("strategy") and not cell.get("error"):
        found.append("the search of this pair has not ended: run the same command again.")
    if cell.get("error"):
        found.append(f"the search of this pair ended early: {one_line(cell['error'])}.")
    return found


def _seeds_needed(gain: Part) -> int | None:
    """Confirming seeds at which a gain as measured would be confirmed in four studies of five.

    By the p-value that Holm's correction asks of it among the claims that are not confirmed either; with Guenther's
    allowance for the t test (1981, The American Statistician 35:243). None where there is no gain, it has as many
    already, hundreds would not do, or the correction is not known.
    """
    mean, bounds, seeds = number(gain.get("mean")), interval(gain.get("interval")), number(gain.get("seeds"))
    if mean is None or bounds is None or seeds is None or seeds < 2 or mean <= 0 or gain.get("source") == "search":
        return None
    level = number(gain.get("p_needed"))
    if level is None:
        if number(gain.get("p_adjusted")) is not None:  # of a version that did not say what would do
            return None
        level = 0.05
    sd = (bounds[1] - bounds[0]) / (2 * _T90.get(int(seeds), 1.65)) * math.sqrt(seeds)
    tail, power = NormalDist().inv_cdf(1 - level / 2), NormalDist().inv_cdf(0.8)
    needed = math.ceil(((tail + power) * sd / mean) ** 2 + tail**2 / 2)
    return needed if seeds < needed <= 200 else None


def _splits_apart(cell: Part, index: int, entry: Part) -> list[str]:
    """Where validation and test split say different things of an encoder: its score at λ = 0, what alignment does."""
    metric = metric_of(cell, index)
    found = []
    at_zero = next((point for point in parts(entry, "curve") if point.get("strength") == 0), {})
    seen, unseen = number(at_zero.get("mean")), number(part(entry, "baseline").get("mean"))
    if seen is not None and unseen is not None and _far(seen, unseen, metric, _APART):
        found.append(
            f"at λ = 0 it scores {score_text(seen, metric)} in validation and {score_text(unseen, metric)} on the test "
            f"split, {size_text(seen - unseen, metric)} {gain_unit(metric)} apart{_luck_of_rows(cell, metric, seen)}: "
            "an answer from rows of the one need not hold for the other, so check how they were made, or give more rows"
        )
    for strength, gain in _tested(cell, index, entry).items():
        change, tested, bounds = change_in_validation(entry, strength), gain.get("mean"), interval(gain.get("interval"))
        if change is None or (on_test := number(tested)) is None or bounds is None:
            continue
        if _far(change, on_test, metric, _CHANGES_APART) and abs(change - on_test) > bounds[1] - bounds[0]:
            found.append(
                f"at λ = {strength_text(strength)} alignment changes its score by {_signed(change, metric)} in "
                f"validation and by {_signed(on_test, metric)} {gain_unit(metric)} on the test split: what holds for "
                "the rows of one split does not hold for the other's"
            )
    return found


def _tested(cell: Part, index: int, entry: Part) -> dict[float, Part]:
    """The gains of an encoder on the test split, by the shared strength that they belong to."""
    gain, place = told_gain(entry)
    found = {place: gain}
    for one in parts(part(cell, "pair_choice"), "alternatives"):
        gains, strengths = one.get("gains") or (), one.get("strengths") or ()
        if one.get("strategy") == "shared" and index < len(gains) and strengths and isinstance(gains[index], dict):
            found[float(strengths[0])] = gains[index]
    return {strength: gain for strength, gain in found.items() if strength and gain.get("source") == "confirm"}


def _far(one: float, other: float, metric: str, limit: float) -> bool:
    """Whether two numbers differ by more than `limit`: of an accuracy or R²; of other scores by that share of them."""
    size = 1.0 if in_unit(1, metric) == 100 or metric == "r2" else max(abs(one), abs(other))
    return abs(one - other) > limit * size


def _luck_of_rows(cell: Part, metric: str, score: float) -> str:
    """How far apart two splits of so many rows are by chance alone; known for a share of rows, which is binomial."""
    rows = [number(part(cell, "rows").get(split)) for split in ("valid", "test")]
    if in_unit(1, metric) != 100 or not all(rows) or not 0 < score < 1:
        return ""
    error = math.sqrt(score * (1 - score) * sum(1 / count for count in rows if count))
    told = size_text(1.645 * error, metric)
    return f" (two random splits of {rows[0]:.0f} and {rows[1]:.0f} rows are within {told} in nine of ten cases)"


def _signed(value: float, metric: str) -> str:
    return gain_with_interval({"mean": value}, metric)
