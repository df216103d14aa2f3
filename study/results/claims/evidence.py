"""The evidence that reports hold on a claim: judges, each of which finds what bears on one kind of claim.

A judge takes reports and yields findings, none where no report bears on it; a field that is missing is passed over.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from scipy import stats

from study.results import reading
from study.results.claims import published
from study.results.reading import Part, Report, number, part, parts
from study.results.text.amounts import score_text, strength_text
from study.theory import rank_agreement

_LEVEL = 0.05
_METRICS = ("cka", "svcca", "mutual_knn")
_GENERATED = frozenset({"synthetic", "linear", "gates", "gaussian", "continuous", "lsmi"})


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One piece of evidence, and whether the claim holds in it."""

    holds: bool
    evidence: str


Judge = Callable[[Sequence[Report]], Iterator[Finding]]


def _cells(reports: Sequence[Report], dataset: str) -> Iterator[tuple[float, Part]]:
    """The cells of a generated dataset with their redundancy, ascending."""
    found = [
        (redundancy, cell)
        for report in reports
        for cell in parts(report, "cells")
        if cell.get("dataset") == dataset
        and (redundancy := number(part(cell, "variant").get("redundancy"))) is not None
    ]
    yield from sorted(found, key=lambda pair: pair[0])


def _encoder(reports: Sequence[Report], dataset: str, modality: str, other: str) -> Iterator[tuple[Part, int, Part]]:
    """The encoder of `modality` in the pair of `modality` and `other`."""
    for report in reports:
        for cell in parts(report, "cells"):
            names = reading.pair_of(cell)
            if cell.get("dataset") == dataset and set(names) == {modality, other}:
                index = names.index(modality)
                if index < len(entries := parts(cell, "encoders")):
                    yield cell, index, entries[index]


def _curve_words(cell: Part, index: int, entry: Part) -> str:
    """`x1: falling, 46.7 % at λ = 0, 38.3 % at 2`."""
    points = sorted(
        (at, mean)
        for point in parts(entry, "curve")
        if (at := number(point.get("strength"))) is not None and (mean := number(point.get("mean"))) is not None
    )
    metric, shape = reading.metric_of(cell, index), str(entry.get("shape") or "no shape")
    ends = (
        f", {score_text(points[0][1], metric)} at λ = 0, {score_text(points[-1][1], metric)} at {points[-1][0]:g}"
        if points
        else ""
    )
    return f"{reading.pair_of(cell)[index]}: {shape}{ends}"


def shape_of_redundancy(values: tuple[float, ...], shape: str, peak: tuple[float, float] | None = None) -> Judge:
    """Both encoders of the synthetic cells with these R: the curve's shape, and λ* where a range of peaks is given."""

    def found(reports: Sequence[Report]) -> Iterator[Finding]:
        for redundancy, cell in _cells(reports, "synthetic"):
            for index, entry in enumerate(parts(cell, "encoders")[:2]):
                if redundancy in values and entry.get("shape"):
                    told = f"R = {redundancy:g}, {_curve_words(cell, index, entry)}"
                    yield _with_peak(entry, shape, peak, told)

    return found


def shape_of_encoder(
    dataset: str, modality: str, other: str, shape: str, peak: tuple[float, float] | None = None
) -> Judge:
    """One encoder of one pair: the shape of its curve, and λ* where a range of peaks is given."""

    def found(reports: Sequence[Report]) -> Iterator[Finding]:
        for cell, index, entry in _encoder(reports, dataset, modality, other):
            if entry.get("shape"):
                yield _with_peak(entry, shape, peak, _curve_words(cell, index, entry))

    return found


def _with_peak(entry: Part, shape: str, peak: tuple[float, float] | None, told: str) -> Finding:
    holds = entry.get("shape") == shape
    if peak is not None and (bounds := reading.interval(entry.get("interval"))):
        holds = holds and bounds[0] <= peak[1] and peak[0] <= bounds[1]
        told += f", λ* {strength_text(entry.get('lambda_star'))} [{', '.join(map(strength_text, bounds))}]"
    return Finding(holds=holds, evidence=told)


def metrics_rise(reports: Sequence[Report]) -> Iterator[Finding]:
    """Study by study, how many of its pairs × metrics rise with λ by Kendall's τ over the strengths tried."""
    for report in reports:
        rising, falling, total = 0, [], 0
        for cell in parts(report, "cells"):
            points = parts(cell, "alignment")
            for name in _METRICS:
                known = [
                    (at, value)
                    for point in points
                    if (at := number(point.get("strength"))) is not None
                    and (value := number(point.get(name))) is not None
                ]
                if len(known) < 4:
                    continue
                trend = stats.kendalltau(*zip(*known, strict=True), alternative="greater")
                total += 1
                if trend.pvalue < _LEVEL:
                    rising += 1
                else:
                    falling.append(f"{name.replace('_', ' ')} of {reading.label_of(cell)} (τ = {trend.statistic:.2f})")
        if total:
            but = f", not {', '.join(falling[:3])}{' …' if len(falling) > 3 else ''}" if falling else ""
            told = f"{reading.one_line(report.get('study'))}: {rising} of {total} rise{but}"
            yield Finding(holds=rising == total, evidence=told)


def more_redundancy_more_alignment(reports: Sequence[Report]) -> Iterator[Finding]:
    """Rank correlation of R and λ* over the encoders of the synthetic cells, five at least."""
    found = [
        (redundancy, star)
        for redundancy, cell in _cells(reports, "synthetic")
        for entry in parts(cell, "encoders")[:2]
        if (star := number(entry.get("lambda_star"))) is not None
    ]
    if len(found) >= 5:
        yield _rank_finding(found, "R and λ*")


def unique_information_and_gain(reports: Sequence[Report]) -> Iterator[Finding]:
    """Over the encoders of real pairs: the share of its own information that is redundant, and the gain at λ*."""
    found = []
    for report in reports:
        for cell in parts(report, "cells"):
            profile = part(cell, "pid")
            shared = number(profile.get("redundancy"))
            for index, entry in enumerate(parts(cell, "encoders")[:2]):
                own = number(profile.get(f"unique_{index + 1}"))
                gain = number(part(entry, "gain_over_zero").get("mean"))
                if cell.get("dataset") in _GENERATED or shared is None or own is None or gain is None:
                    continue
                if shared + own > 0:
                    found.append((shared / (shared + own), gain))
    if len(found) >= 5:
        yield _rank_finding(found, "redundant share of an encoder's information and gain at λ*")


def _rank_finding(pairs: Sequence[tuple[float, float]], what: str) -> Finding:
    agreement = rank_agreement([x for x, _ in pairs], [y for _, y in pairs])
    low, high = agreement.spearman_interval
    told = f"{what}: rank correlation {agreement.spearman:.2f} [{low:.2f}, {high:.2f}] over {agreement.cells} encoders"
    return Finding(holds=low > 0, evidence=told)


def gains_by_the_end(dataset: str, pair: tuple[str, str]) -> Judge:
    """Both encoders of one pair: the paired difference between the largest λ and 0, over the seeds of the search."""

    def found(reports: Sequence[Report]) -> Iterator[Finding]:
        for modality, other in (pair, pair[::-1]):
            for cell, index, entry in _encoder(reports, dataset, modality, other):
                if len(rises := _rises_by_the_end(entry)) >= 2:
                    p_value = float(stats.ttest_1samp(rises, 0, alternative="greater").pvalue)
                    told = f"{_curve_words(cell, index, entry)} (p = {p_value:.2g})"
                    yield Finding(holds=p_value < _LEVEL, evidence=told)

    return found


def _rises_by_the_end(entry: Part) -> list[float]:
    """The paired differences between the largest strength and the smallest one, a seed each."""
    points = [point for point in parts(entry, "curve") if number(point.get("strength")) is not None]
    points.sort(key=lambda point: float(point["strength"]))
    if len(points) < 2:
        return []
    ends = zip(points[0].get("scores") or (), points[-1].get("scores") or (), strict=False)
    return [b - a for before, after in ends if (a := number(before)) is not None and (b := number(after)) is not None]


def profiles_agree(reports: Sequence[Report]) -> Iterator[Finding]:
    """Pair by pair, the published information profile and the measured one."""
    for report in reports:
        for cell in parts(report, "cells"):
            if (agrees := published.agrees(cell)) is not None and (values := published.published_profile(cell)):
                measured = [part(cell, "pid").get(name) for name in reading.COMPONENTS]
                told = f"published {published.profile_words(values)}, measured {published.profile_words(measured)} bits"
                yield Finding(holds=agrees, evidence=f"{reading.label_of(cell)}: {told}")


def linear(*, loses: bool) -> Judge:
    """Of the linear family: whether R² falls by half of a loss somewhere, below and above a redundancy of ½."""

    def found(reports: Sequence[Report]) -> Iterator[Finding]:
        for redundancy, cell in _cells(reports, "linear"):
            entries = parts(part(part(cell, "forecast"), "together"), "encoders")
            for index, (entry, predicted) in enumerate(zip(parts(cell, "encoders"), entries, strict=False)):
                if (redundancy < 0.5) == loses and entry.get("curve"):
                    crossing = number(part(predicted, "measured").get("strength"))
                    told = f"r = {redundancy:g}, {_curve_words(cell, index, entry)}"
                    yield Finding(holds=(crossing is not None) == loses, evidence=told)

    return found


def crossings(reports: Sequence[Report]) -> Iterator[Finding]:
    """Of linear encoders on the linear family: whether each expected crossing is inside the measured one's interval."""
    for redundancy, cell in _cells(reports, "linear"):
        entries = parts(part(part(cell, "forecast"), "together"), "encoders")
        for entry, encoder in zip(entries, parts(cell, "encoders"), strict=False):
            if encoder.get("kind", "linear") != "linear":
                continue
            predicted, measured = number(entry.get("crossing")), part(entry, "measured")
            bounds, at = reading.interval(measured.get("interval")), number(measured.get("strength"))
            if predicted is not None and at is not None and bounds is not None:
                told = f"expected {predicted:.2f}, measured {at:.2f} [{bounds[0]:g}, {bounds[1]:g}]"
                yield Finding(
                    holds=bounds[0] <= predicted <= bounds[1],
                    evidence=f"r = {redundancy:g}, {reading.one_line(entry.get('modality'))}: {told}",
                )


def no_harm(dataset: str) -> Judge:
    """Every encoder of a dataset: no paired loss at the largest λ against 0, over the seeds of the search."""

    def found(reports: Sequence[Report]) -> Iterator[Finding]:
        for report in reports:
            for cell in parts(report, "cells"):
                for index, entry in enumerate(parts(cell, "encoders")[:2]):
                    if cell.get("dataset") == dataset and len(rises := _rises_by_the_end(entry)) >= 2:
                        p_value = float(stats.ttest_1samp(rises, 0, alternative="less").pvalue)
                        told = f"{_curve_words(cell, index, entry)} (p of a loss {p_value:.2g})"
                        yield Finding(holds=p_value >= _LEVEL, evidence=told)

    return found
