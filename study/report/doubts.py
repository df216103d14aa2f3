"""What would change an answer: the doubts that a report can name about itself."""

from __future__ import annotations

import math

from study.report.amounts import gain_unit, gain_with_interval, strength_text
from study.report.reading import Part, interval, metric_of, number, one_line, pair_of, part, parts, strengths_of

_FLAGS = {
    "edge": "its best strength lies at the end of the range tried: widen strength.range and run again",
    "undertrained": "its score was still improving at the last epoch: raise training.epochs",
    "diverged": "some of its trainings diverged: lower training.learning_rate or the upper end of strength.range",
    "few_seeds": "few seeds were trained at each strength: raise replicates.search",
}
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
                f"{gain_unit(metric_of(cell, index))}, if it is real, would be confirmed by about {needed} seeds: "
                "raise replicates.confirm."
            )
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
    """Confirming seeds at which a gain as measured would be significant at 5 % in four studies of five.

    None where there is no gain, it has as many already, or hundreds would not do.
    """
    mean, bounds, seeds = number(gain.get("mean")), interval(gain.get("interval")), number(gain.get("seeds"))
    if mean is None or bounds is None or seeds is None or seeds < 2 or mean <= 0:
        return None
    sd = (bounds[1] - bounds[0]) / (2 * _T90.get(int(seeds), 1.65)) * math.sqrt(seeds)
    needed = math.ceil((2.8 * sd / mean) ** 2)  # normal quantiles of 0.975 and 0.8
    return needed if seeds < needed <= 200 else None
