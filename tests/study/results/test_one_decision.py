"""One decision for a pair, said the same way everywhere, whatever the trainings came to.

Records are made up at random: gains and losses of each encoder by its own strength and by the other's, cliffs, curves
that fall by the end of the range, differences of any size beside the luck. The ledger, the report and all that is said
of it are real: the terminal, the page, MLflow, the tables, the status.
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from html import unescape
from itertools import pairwise
from typing import Any, cast

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.storages import InMemoryStorage
from rich.console import Console

from study.cells.building import build_cells
from study.cells.cell import Cell
from study.config import parse_config
from study.results.build import build_report
from study.results.flat import advised_numbers
from study.results.frames import frames
from study.results.model import Alternative, CellResult, GainResult, Report, ToldGain, to_json
from study.results.page.html import render
from study.results.text.amounts import gain_with_interval, p_text, shape_text, strength_text, told_gain
from study.results.text.encoder import encoder_sentence
from study.results.text.pair import cell_sentence, strategy_name
from study.results.text.summary import summary
from study.scheduling.coordinator import Coordinator
from study.scheduling.packs import PlannedPack
from study.search import Ledger, read_studies
from study.search.record.notes import CELLS, CONFIGURATION, RUN, RecordedCell, Run
from study.session.status import CellStatus, study_status
from study.tracking.content import RunRecord
from study.tracking.projection import records
from trainables.metrics.outcomes import ByUnit
from trainables.spec import ReplicateResult

STUDY = """
study: said
dataset: {name: digits}
pairs: [[left, right], [left, fourier]]
encoder: {width: 4}
training: {epochs: 1, batch_size: 256}
alignment: {one_sided: %s}
strength: {initial: [0, 0.5, 1, 4], refine: 0}
replicates: {search: 4, confirm: 6, splits: %s}
search: {smallest_gain: %s}
models: false
"""
SIDED, SPLITS, SMALLEST = ("auto", "always", "never"), ("resampled", "fixed"), (0.0, 0.005, 0.02)
NAMES = (("advised_gain", "advised_p_adjusted"), ("gain_1", "p_adjusted_1"), ("gain_2", "p_adjusted_2"))
Cells = tuple[Cell, ...]


@pytest.fixture(scope="module")
def prepared() -> Cells:
    return build_cells(parse_config(STUDY % (SIDED[0], SPLITS[0], SMALLEST[0])))[0]


@dataclass(frozen=True)
class Encoder:
    """What alignment does to an encoder, in points: by its own strength, by the other's, and behind λ = 2."""

    own: float
    others: float
    cliff: float

    def gain(self, own: float, other: float) -> float:
        rise = self.own * own * np.exp(1 - own) + self.others * other * np.exp(1 - other)
        return 0.01 * float(rise + self.cliff * (max(own, other) > 2))


points = st.floats(-6, 6) | st.floats(-0.6, 0.6)
# Any; and one that gains where it alone is pulled, and loses where the other one is.
encoders = st.builds(Encoder, own=points, others=points, cliff=st.just(0.0) | st.floats(-20, 2)) | st.builds(
    Encoder, own=st.floats(0.5, 6), others=st.floats(-6, 0), cliff=st.just(0.0)
)


def trainer(
    effects: Mapping[str, tuple[Encoder, Encoder]], luck: float, *, by_row: bool
) -> Callable[[PlannedPack], list[ReplicateResult]]:
    """Trainings of which the seeds share most of their luck, as those of one seed at two strengths do."""

    def train(pack: PlannedPack) -> list[ReplicateResult]:
        trained = []
        for asked, index in pack.members:
            strengths = asked.setting.strengths
            phase = asked.arm in ("confirm", "final")
            shared, own = (
                np.random.default_rng(zlib.crc32(f"{pack.cell.id} {phase} {index} {part}".encode())).normal(size=2)
                for part in ("", strengths)
            )
            one, two = (
                0.7 + encoder.gain(*order) + 0.01 * luck * (shared[side] + 0.4 * own[side])
                for side, (encoder, order) in enumerate(
                    zip(effects[pack.cell.id], (strengths, strengths[::-1]), strict=True)
                )
            )
            kept = None
            if by_row and phase:
                kept = ByUnit(values=(np.linspace(one - 0.2, one + 0.2, 9), np.linspace(two - 0.2, two + 0.2, 9)))
            trained.append(
                ReplicateResult(
                    status="ok",
                    scores=(one, two),
                    losses=(1.0, 1.0),
                    alignment={"cka": 0.5},
                    curve=((1.0, one, two, 1.0, 1.0),),
                    by_unit=kept.to_json() if kept else None,
                )
            )
        return trained

    return train


@dataclass(frozen=True)
class Said:
    """A report, and all that is said of it."""

    report: Report
    terminal: str
    page: str
    runs: tuple[RunRecord, ...]
    tables: Mapping[str, Any]
    statuses: tuple[CellStatus, ...]


def said_of(cells: Cells, train: Callable[[PlannedPack], list[ReplicateResult]]) -> Said:
    storage = InMemoryStorage()
    ledger = Ledger(storage, name="said", space={"strength": (0, 4)})
    as_json = [json.loads(json.dumps(cell.to_json())) for cell in cells]  # as any storage but this one gives it back
    ledger.set_note(CELLS, [RecordedCell(cell) for cell in as_json])
    ledger.set_note(CONFIGURATION, cells[0].config.identity)
    coordinator = Coordinator(cells, ledger, pack_size=50)
    while (pack := coordinator.next_pack()) is not None:
        coordinator.complete(pack.id, train(pack))
    run = Run(complete=True, versions={})
    ledger.set_note(RUN, run)
    report = Report.from_json(to_json(build_report(cells, ledger, {}, {}, run=run)))
    (record,) = read_studies(storage, name="said")
    status = study_status(record, now=datetime.now())
    assert status is not None
    console = Console(width=500, force_terminal=False)
    with console.capture() as capture:
        console.print(summary(report))
    return Said(
        report=report,
        terminal=capture.get(),
        page=render(report),
        runs=tuple(record for record in records(report) if record.parent is None),
        tables=frames(report),
        statuses=status.cells,
    )


anything = given(
    st.tuples(*[encoders] * 4),
    st.floats(0.01, 3),
    st.sampled_from(SIDED),
    st.sampled_from(SPLITS),
    st.sampled_from(SMALLEST),
)


@anything
@settings(max_examples=10, deadline=None, derandomize=True)
def test_a_report_contradicts_itself_nowhere(
    prepared: Cells, effects: tuple[Encoder, ...], luck: float, sided: str, splits: str, smallest: float
) -> None:
    check_all(prepared, effects, luck, sided, splits, smallest)


@pytest.mark.slow
@pytest.mark.timeout(600)
@anything
@settings(max_examples=150, deadline=None, derandomize=True)
def test_no_report_of_many_contradicts_itself(
    prepared: Cells, effects: tuple[Encoder, ...], luck: float, sided: str, splits: str, smallest: float
) -> None:
    check_all(prepared, effects, luck, sided, splits, smallest)


def check_all(
    prepared: Cells, effects: tuple[Encoder, ...], luck: float, sided: str, splits: str, smallest: float
) -> None:
    config = parse_config(STUDY % (sided, splits, smallest))
    cells = tuple(replace(cell, config=config) for cell in prepared)
    planted = {cells[0].id: effects[:2], cells[1].id: effects[2:]}
    train = trainer(cast("Any", planted), luck, by_row=splits == "resampled")
    said = said_of(cells, train)
    for place in range(len(cells)):
        check_decision(said, place)
        check_encoders(said.report.cells[place], smallest)
    check_p_values(said)


def chosen_of(cell: CellResult) -> tuple[Alternative | None, GainResult]:
    """The strategy that is advised, None where it is none, and what the pair gains by it."""
    strategy = cell.pair_choice.strategy
    chosen = next((one for one in cell.pair_choice.alternatives if one.strategy == strategy), None)
    assert (chosen is None) == (strategy == "none")
    return chosen, (chosen.gain_mean or GainResult()) if chosen else GainResult()


def check_decision(said: Said, place: int) -> None:
    """Strategy, strengths, gain, interval and p of a pair are the same wherever they are said, and come first."""
    cell, status, run = said.report.cells[place], said.statuses[place], said.runs[place]
    choice = cell.pair_choice
    chosen, gain = chosen_of(cell)
    strengths = chosen.strengths if chosen and chosen.strengths else (0.0, 0.0)
    assert choice.strengths == strengths

    assert choice.verdict != ("align" if chosen is None else "avoid")

    metrics = {name: value for name, value, _ in run.metrics}
    assert (run.tags["strategy"], run.tags["verdict"] == "align") == (choice.strategy, chosen is not None)
    assert (metrics["advised_strength_1"], metrics["advised_strength_2"]) == strengths
    if choice.strategy != "per_encoder":
        assert metrics["advised_strength"] == max(strengths)
    told = tuple(metrics.get(f"advised_{name}") for name in ("gain", "gain_low", "gain_high", "p_value", "p_adjusted"))
    assert told == (gain.mean, *(gain.interval or (None, None)), gain.p_value, gain.p_adjusted)
    assert (metrics["lambda_star"], metrics["lambda_star_high"]) == (choice.lambda_star, (choice.interval or ())[1])

    row = said.tables["pairs"].iloc[place]
    assert (row["strategy"], row["strength_1"], row["strength_2"]) == (choice.strategy, *strengths)
    assert (row["verdict"] == "align") == (chosen is not None)
    if chosen:
        assert (row["advised_gain"], row["advised_gain_low"]) == (gain.mean, (gain.interval or ())[0])
        assert row["advised_p_adjusted"] == gain.p_adjusted
    in_table = {name: None if pd.isna(row[name]) else row[name] for name in advised_numbers(cell.advice)}
    assert in_table == advised_numbers(cell.advice)
    assert {name: metrics.get(name) for name in in_table} == in_table

    assert cell.advised == cell.advice
    assert status.advised == cell.advised
    assert (status.lambda_star, status.interval) == (choice.lambda_star, choice.interval)
    assert (status.strategy, status.strengths) == (choice.strategy, strengths)
    assert (status.gain, status.gain_interval, status.p_adjusted) == (gain.mean, gain.interval, gain.p_adjusted)

    lines = [line.strip() for line in said.terminal.splitlines()]
    first = lines[next(i for i, line in enumerate(lines) if line.startswith(cell.title)) + 1]
    assert first == status.advice
    sentence = cell_sentence(cell)
    assert sentence.startswith("Do not align" if chosen is None else "Align")
    page = re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]+>", "", said.page)))
    assert page.index(squeezed(sentence)) < page.index(squeezed(first)) < page.rindex("The evidence")
    assert f"{cell.title}: {first}" in page
    assert run.note.startswith("**")
    assert first.startswith(strategy_name(cell, choice.strategy or ""))
    if chosen:
        for told_by in (first, sentence):
            assert gain_with_interval(gain, "accuracy") in told_by
            assert p_text(gain) in told_by
            assert all(strength_text(strength) in told_by for strength in strengths if strength)


def squeezed(text: str) -> str:
    return re.sub(r"\s+", " ", text)


def check_encoders(cell: CellResult, smallest: float) -> None:
    """`avoid` means that no strength is worth having where it would be used; the end of the range is a remark."""
    choice = cell.pair_choice
    chosen, gain = chosen_of(cell)
    sentence = cell_sentence(cell)
    named = {strength_text(strength) for strength in choice.strengths or ()}
    for one in choice.alternatives:
        named |= {strength_text(strength) for strength in one.strengths or ()}
    if chosen:
        assert gain.p_adjusted is not None
        assert gain.p_adjusted <= 0.05
        assert not gain.is_too_small
    for index, encoder in enumerate(cell.encoders):
        low, high = encoder.interval or (0.0, 0.0)
        assert low <= (encoder.lambda_star or 0.0) <= high
        assert (encoder.gain or ToldGain()).strength == (
            encoder.lambda_star or (encoder.searched.lambda_star if encoder.searched else None) or None
        )
        assert not (encoder.lambda_star and shape_text(encoder) == "falling")
        own = next((one for one in choice.alternatives if one.strategy == f"to_{index + 1}"), None)
        gains = own.gain_mean if own and own.gain_mean else GainResult()
        is_claimed = (gains.mean or 0) > 0 and (gains.p_adjusted or 0.0) <= 0.05 and not gains.is_too_small
        pulled = chosen and chosen.strengths and chosen.strengths[index]
        told = encoder_sentence(cell, index)
        for answer in (encoder.gain_over_zero, encoder.searched.gain_over_zero if encoder.searched else None):
            assert answer is None or answer.smallest_gain in (None, smallest)
        if encoder.verdict == "avoid":
            assert (encoder.lambda_star, encoder.interval[0] if encoder.interval else 0.0) == (0.0, 0.0)
            assert choice.strategy == "shared" or not is_claimed
            worth = told_gain(encoder)[0].interval
            assert worth is None or not worth[0] > 0
            if pulled and chosen:
                loss = chosen.gains[index]
                assert loss is not None
                assert loss.interval is not None
                assert loss.interval[1] < 0
            assert f"{cell.names[index]} gains" not in sentence
        if encoder.verdict == "align":
            assert encoder.gain_over_zero is not None
            assert not encoder.gain_over_zero.is_too_small
            assert encoder.lambda_star
        if encoder.searched and encoder.searched.lambda_star is not None:
            named |= {strength_text(encoder.searched.lambda_star), strength_text(encoder.lambda_star)}
        before, _, remark = told.partition("By the end of the range, λ = 4")
        assert "λ = 4" not in before or "4" in named
        assert not remark or "in validation" in remark
    assert set(re.findall(r"λ [=≈] ([\d.]*\d)", sentence)) <= named | {"0"}


def gains_in(value: object) -> Iterator[dict[str, Any]]:
    """Every gain that a report holds."""
    if isinstance(value, dict):
        if {"mean", "interval", "p_value"} <= set(value):
            yield value
        for each in value.values():
            yield from gains_in(each)
    elif isinstance(value, list):
        for each in value:
            yield from gains_in(each)


def check_p_values(said: Said) -> None:
    """Every p in a table is that of the number beside it."""
    known: dict[str, set[str]] = {}
    pairs = set()
    for one in gains_in(to_json(said.report)):
        gain = GainResult(
            mean=one["mean"],
            interval=one["interval"],
            p_value=one["p_value"],
            seeds=one["seeds"],
            p_adjusted=one.get("p_adjusted"),
        )
        if gain.p_adjusted is not None:
            known.setdefault(gain_with_interval(gain, "accuracy"), set()).add(p_text(gain))
            pairs.add((gain.mean, gain.p_adjusted))
    rows = [
        [unescape(re.sub(r"<[^>]+>", "", cell)) for cell in re.findall(r"<t[dh].*?>(.*?)</t[dh]>", row, re.S)]
        for row in re.findall(r"<tr.*?>(.*?)</tr>", said.page, re.S)
    ]
    rows += [
        [unescape(part).strip() for part in line.split("|")[1:-1]]
        for run in said.runs
        for line in run.note.splitlines()
    ]
    checked = 0
    for row in rows:
        for cell, beside in pairwise(row):
            numbers = re.match(r"[+−][\d.]+ \[[^\]]+\]", cell.replace("\\", ""))
            if numbers and re.fullmatch(r"< 0\.001|[\d.e-]+|–", beside):
                assert beside in known.get(numbers.group(), set())
                checked += 1
    told = [told_gain(encoder)[0].mean is not None for cell in said.report.cells for encoder in cell.encoders]
    assert checked >= 2 * sum(told)  # on the page and in MLflow's note
    for run in said.runs:
        metrics = {name: value for name, value, _ in run.metrics}
        for gain_name, p_name in NAMES:
            if p_name in metrics:
                assert (metrics[gain_name], metrics[p_name]) in pairs
    for table, prefix in ((said.tables["pairs"], "advised_"), (said.tables["encoders"], "")):
        for _, row_ in table.dropna(subset=[f"{prefix}p_adjusted"]).iterrows():
            assert (row_[f"{prefix}gain"], row_[f"{prefix}p_adjusted"]) in pairs
