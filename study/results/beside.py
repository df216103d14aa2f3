"""Two studies side by side: the answers of the pairs that both have."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from rich.table import Table
from rich.text import Text

from study.results.model import CellResult, EncoderResult, Report
from study.results.model.answers import Limits
from study.results.model.containers import said
from study.results.text.amounts import gain_text, strength_with_interval, told_gain

Key = tuple[str, tuple[str, ...], tuple[tuple[str, str], ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Beside:
    """An encoder of a pair in both studies."""

    pair: str | None = said(required=True)
    modality: str | None = said(required=True)
    lambda_star: tuple[float | None, ...] = said("of both studies", default=(), length=2, null=True)
    intervals: tuple[Limits | None, ...] = said("90 %", default=(), length=2, null=True)
    overlap: Limits | None = said("strengths that both intervals of λ* hold; null: none", null=True)
    gains: tuple[float | None, ...] = said("over λ = 0", default=(), length=2, null=True)
    gain_intervals: tuple[Limits | None, ...] = said("90 %", default=(), length=2, null=True)
    gains_at: tuple[float | None, ...] = said(
        "the strength of each: λ*, or where the searched curve is highest, if λ* is 0", default=(), length=2, null=True
    )
    gain_overlap: Limits | None = said("null: none", null=True)
    verdicts: tuple[str | None, ...] = said(default=(), length=2, null=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class TwoStudies:
    """What two studies say of the same pairs, and the pairs that only one of them has."""

    studies: tuple[str | None, ...] = said(required=True, default=(), length=2)
    encoders: tuple[Beside, ...] = said(required=True, default=())
    only_first: tuple[str, ...] = said(default=())
    only_second: tuple[str, ...] = said(default=())
    differences: tuple[str, ...] = said("of the study files, `key: first -> second`", default=())


def side_by_side(first: Report, second: Report) -> TwoStudies:
    """The two reports, pair by pair in the order of the first: the same dataset, variant and modalities."""
    ours, theirs = ({_key(cell): cell for cell in report.cells} for report in (first, second))
    return TwoStudies(
        studies=(first.study, second.study),
        encoders=tuple(one for key, cell in ours.items() if key in theirs for one in _encoders(cell, theirs[key])),
        only_first=tuple(cell.title for key, cell in ours.items() if key not in theirs),
        only_second=tuple(cell.title for key, cell in theirs.items() if key not in ours),
    )


def _key(cell: CellResult) -> Key:
    variant = tuple(sorted((name, str(value)) for name, value in cell.variant.items()))
    return cell.dataset or "", cell.pair, variant


def _encoders(ours: CellResult, theirs: CellResult) -> Iterator[Beside]:
    for (_, name, one), two in zip(ours.told_encoders, theirs.encoders, strict=False):
        gains, places = zip(*(told_gain(answer) for answer in (one, two)), strict=True)
        yield Beside(
            pair=ours.title,
            modality=name,
            lambda_star=(one.lambda_star, two.lambda_star),
            intervals=(one.interval, two.interval),
            overlap=overlap(one.interval, two.interval),
            gains=(gains[0].mean, gains[1].mean),
            gain_intervals=(gains[0].interval, gains[1].interval),
            gains_at=tuple(place or None for place in places),
            gain_overlap=overlap(gains[0].interval, gains[1].interval),
            verdicts=(one.verdict, two.verdict),
        )


def overlap(one: Limits | None, two: Limits | None) -> Limits | None:
    """What two intervals have in common; None where that is nothing, or one of them is not known."""
    if one is None or two is None:
        return None
    low, high = max(one[0], two[0]), min(one[1], two[1])
    return (low, high) if low <= high else None


def beside_table(first: Report, second: Report) -> Table:
    """Both reports as a table for the terminal: a group of rows for each pair that both have."""
    table = Table(box=None, pad_edge=False)
    for name in ("", "study", "λ* [90 %]", "gain over λ = 0", "verdict", "intervals of λ*"):
        table.add_column(name, overflow="fold")
    theirs = {_key(cell): cell for cell in second.cells}
    names = [first.study or "?", second.study or "?"]
    if names[0] == names[1]:
        names = [f"{name}, {place}" for name, place in zip(names, ("first", "second"), strict=True)]
    for cell in first.cells:
        other = theirs.get(_key(cell))
        if other is None:
            continue
        table.add_row(Text(cell.title, style="bold"))
        for (index, name, one), two in zip(cell.told_encoders, other.encoders, strict=False):
            table.add_row(*_row(f"  {name}", names[0], one, cell.metric(index)), Text(_overlap_text(one, two)))
            table.add_row(*_row("", names[1], two, other.metric(index)))
    return table


def _row(name: str, study: str, answer: EncoderResult, metric: str) -> list[Text]:
    told = strength_with_interval(answer), gain_text(answer, metric), answer.verdict or "no answer"
    return [Text(text) for text in (name, study, *told)]


def _overlap_text(one: EncoderResult, two: EncoderResult) -> str:
    if one.interval is None or two.interval is None:
        return "–"
    return "overlap" if overlap(one.interval, two.interval) else "apart"
