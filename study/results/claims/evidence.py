"""The evidence that reports hold on a claim: judges, each of which finds what bears on one kind of claim.

A judge takes reports and yields findings, none where no report bears on it; what is not known is passed over.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from scipy import stats

from study.results.claims import published
from study.results.model import SIMILARITIES, CellResult, EncoderResult, EncoderTogether, MeasuredCrossing, Report
from study.results.model.containers import number
from study.results.names import one_line
from study.results.text.amounts import correlation_text, score_text, strength_text
from study.theory import rank_agreement

_LEVEL = 0.05
_GENERATED = frozenset({"synthetic", "linear", "gates", "gaussian", "continuous", "lsmi"})


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One piece of evidence, and whether the claim holds in it."""

    holds: bool
    evidence: str


Judge = Callable[[Sequence[Report]], Iterator[Finding]]


def _name(report: Report) -> str:
    """What a study is called: evidence of it begins with that, as two studies may be of the same data."""
    return one_line(report.study or "study")


def _cells(reports: Sequence[Report], dataset: str) -> Iterator[tuple[float, CellResult, str]]:
    """The cells of a generated dataset with their redundancy, ascending, and the name of their study."""
    cells = [
        (redundancy, cell, _name(report))
        for report in reports
        for cell in report.cells
        if cell.dataset == dataset and (redundancy := number(cell.variant.get("redundancy"))) is not None
    ]
    yield from sorted(cells, key=lambda found: found[0])


def _encoder(
    reports: Sequence[Report], dataset: str, modality: str, other: str
) -> Iterator[tuple[CellResult, int, str]]:
    """The cells of `modality` and `other`, which of their encoders is that of `modality`, and their study's name."""
    for report in reports:
        for cell in report.cells:
            if cell.dataset == dataset and set(cell.names) == {modality, other}:
                index = cell.names.index(modality)
                if index < len(cell.encoders):
                    yield cell, index, _name(report)


def _expected(cell: CellResult) -> tuple[EncoderTogether, ...]:
    """What the linear theory expects of each encoder; empty where it does not describe what was trained."""
    return cell.forecast.together.encoders if cell.forecast and cell.forecast.together else ()


def _curve_words(cell: CellResult, index: int) -> str:
    """`x1: falling, 46.7 % at λ = 0, 38.3 % at 2`."""
    encoder, metric = cell.encoders[index], cell.metric(index)
    ends = ""
    if means := encoder.means:
        (_, first), (strongest, last) = means[0], means[-1]
        ends = f", {score_text(first, metric)} at λ = 0, {score_text(last, metric)} at {strongest:g}"
    return f"{cell.names[index]}: {encoder.shape or 'no shape'}{ends}"


def shape_of_redundancy(values: tuple[float, ...], shape: str, peak: tuple[float, float] | None = None) -> Judge:
    """Both encoders of the synthetic cells with these R: the curve's shape, and λ* where a range of peaks is given."""

    def judge(reports: Sequence[Report]) -> Iterator[Finding]:
        for redundancy, cell, study in _cells(reports, "synthetic"):
            for index, encoder in enumerate(cell.encoders[:2]):
                if redundancy in values and encoder.shape:
                    told = f"{study}: R = {redundancy:g}, {_curve_words(cell, index)}"
                    yield _with_peak(encoder, shape, peak, told)

    return judge


def shape_of_encoder(
    dataset: str, modality: str, other: str, shape: str, peak: tuple[float, float] | None = None
) -> Judge:
    """One encoder of one pair: the shape of its curve, and λ* where a range of peaks is given."""

    def judge(reports: Sequence[Report]) -> Iterator[Finding]:
        for cell, index, study in _encoder(reports, dataset, modality, other):
            if cell.encoders[index].shape:
                yield _with_peak(cell.encoders[index], shape, peak, f"{study}: {_curve_words(cell, index)}")

    return judge


def _with_peak(encoder: EncoderResult, shape: str, peak: tuple[float, float] | None, told: str) -> Finding:
    holds = encoder.shape == shape
    if peak is not None and (bounds := encoder.interval):
        holds = holds and bounds[0] <= peak[1] and peak[0] <= bounds[1]
        told += f", λ* {strength_text(encoder.lambda_star)} [{', '.join(map(strength_text, bounds))}]"
    return Finding(holds=holds, evidence=told)


def metrics_rise(reports: Sequence[Report]) -> Iterator[Finding]:
    """Each study: how many of its pairs × metrics rise with λ by Kendall's τ over the strengths tried."""
    for report in reports:
        rising, falling, total = 0, [], 0
        for cell in report.cells:
            for name in SIMILARITIES:
                known = cell.similarity(name)
                if len(known) < 4:
                    continue
                trend = stats.kendalltau(*zip(*known, strict=True), alternative="greater")
                total += 1
                if trend.pvalue < _LEVEL:
                    rising += 1
                else:
                    falling.append(f"{name.replace('_', ' ')} of {cell.title} (τ = {trend.statistic:.2f})")
        if total:
            but = f", not {', '.join(falling[:3])}{' …' if len(falling) > 3 else ''}" if falling else ""
            told = f"{_name(report)}: {rising} of {total} rise{but}"
            yield Finding(holds=rising == total, evidence=told)


def more_redundancy_more_alignment(reports: Sequence[Report]) -> Iterator[Finding]:
    """Rank correlation of R and λ* over the encoders of the synthetic cells, five at least."""
    pairs = [
        (redundancy, encoder.lambda_star)
        for redundancy, cell, _ in _cells(reports, "synthetic")
        for encoder in cell.encoders[:2]
        if encoder.lambda_star is not None
    ]
    if len(pairs) >= 5:
        yield _rank_finding(pairs, "R and λ*")


def unique_information_and_gain(reports: Sequence[Report]) -> Iterator[Finding]:
    """Rank correlation of the redundant share of an encoder's own information and its gain at λ*, over real pairs."""
    pairs = []
    for cell in (cell for report in reports for cell in report.cells if cell.dataset not in _GENERATED):
        shared, *unique, _ = published.measured_profile(cell)
        for encoder, own in zip(cell.encoders, unique, strict=False):
            gain = encoder.gain_over_zero.mean if encoder.gain_over_zero else None
            if shared is not None and own is not None and gain is not None and shared + own > 0:
                pairs.append((shared / (shared + own), gain))
    if len(pairs) >= 5:
        yield _rank_finding(pairs, "redundant share of an encoder's information and gain at λ*")


def _rank_finding(pairs: Sequence[tuple[float, float]], what: str) -> Finding:
    agreement = rank_agreement([x for x, _ in pairs], [y for _, y in pairs])
    low, high = agreement.spearman_interval
    limits = f"[{correlation_text(low)}, {correlation_text(high)}]"
    told = f"{what}: rank correlation {correlation_text(agreement.spearman)} {limits} over {agreement.cells} encoders"
    return Finding(holds=low > 0, evidence=told)


def gains_by_the_end(dataset: str, pair: tuple[str, str]) -> Judge:
    """Both encoders of one pair: the paired difference between the largest λ and 0, over the seeds of the search."""

    def judge(reports: Sequence[Report]) -> Iterator[Finding]:
        for modality, other in (pair, pair[::-1]):
            for cell, index, study in _encoder(reports, dataset, modality, other):
                if len(rises := _rises_by_the_end(cell.encoders[index])) >= 2:
                    p_value = float(stats.ttest_1samp(rises, 0, alternative="greater").pvalue)
                    told = f"{study}: {_curve_words(cell, index)} (p = {p_value:.2g})"
                    yield Finding(holds=p_value < _LEVEL, evidence=told)

    return judge


def _rises_by_the_end(encoder: EncoderResult) -> list[float]:
    """The paired differences between the largest strength and the smallest one, a seed each."""
    points = sorted(
        ((point.strength, point.scores) for point in encoder.curve if point.strength is not None),
        key=lambda point: point[0],
    )
    if len(points) < 2:
        return []
    ends = zip(points[0][1], points[-1][1], strict=False)
    return [after - before for before, after in ends if before is not None and after is not None]


def profiles_agree(reports: Sequence[Report]) -> Iterator[Finding]:
    """Each pair: the published information profile and the measured one."""
    for report in reports:
        for cell in report.cells:
            if (agrees := published.agrees(cell)) is not None and (values := published.published_profile(cell)):
                measured = published.measured_profile(cell)
                told = f"published {published.profile_words(values)}, measured {published.profile_words(measured)} bits"
                yield Finding(holds=agrees, evidence=f"{_name(report)}: {cell.title}, {told}")


def linear(*, loses: bool) -> Judge:
    """The linear family: whether R² falls by half of a loss somewhere, below and above a redundancy of ½."""

    def judge(reports: Sequence[Report]) -> Iterator[Finding]:
        for redundancy, cell, study in _cells(reports, "linear"):
            for index, (encoder, expected) in enumerate(zip(cell.encoders, _expected(cell), strict=False)):
                if (redundancy < 0.5) == loses and encoder.curve:
                    crossed = expected.measured is not None and expected.measured.strength is not None
                    told = f"{study}: r = {redundancy:g}, {_curve_words(cell, index)}"
                    yield Finding(holds=crossed == loses, evidence=told)

    return judge


def crossings(reports: Sequence[Report]) -> Iterator[Finding]:
    """Linear encoders on the linear family: whether each expected crossing is inside the measured one's interval."""
    for redundancy, cell, study in _cells(reports, "linear"):
        for expected, encoder in zip(_expected(cell), cell.encoders, strict=False):
            if (encoder.kind or "linear") != "linear":
                continue
            predicted, measured = expected.crossing, expected.measured or MeasuredCrossing()
            if predicted is not None and measured.strength is not None and measured.interval is not None:
                low, high = measured.interval
                told = f"expected {predicted:.2f}, measured {measured.strength:.2f} [{low:g}, {high:g}]"
                yield Finding(
                    holds=low <= predicted <= high,
                    evidence=f"{study}: r = {redundancy:g}, {one_line(expected.modality)}: {told}",
                )


def no_harm(dataset: str) -> Judge:
    """Every encoder of a dataset: no paired loss at the largest λ against 0, over the seeds of the search."""

    def judge(reports: Sequence[Report]) -> Iterator[Finding]:
        for report in reports:
            for cell in report.cells:
                for index, encoder in enumerate(cell.encoders[:2]):
                    if cell.dataset == dataset and len(rises := _rises_by_the_end(encoder)) >= 2:
                        p_value = float(stats.ttest_1samp(rises, 0, alternative="less").pvalue)
                        told = f"{_name(report)}: {_curve_words(cell, index)} (p of a loss {p_value:.2g})"
                        yield Finding(holds=p_value >= _LEVEL, evidence=told)

    return judge
