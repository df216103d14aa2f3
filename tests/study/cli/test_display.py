"""What a study says of where it is: on a terminal, without one, in the log, and to a program's own callback."""

from __future__ import annotations

import io
import logging
import re
from collections.abc import Iterator
from dataclasses import replace

import pytest
from rich.console import Console

from study import StudyProgress
from study.cli import display
from study.cli.display import Display
from study.scheduling.coordinator import Progress
from trainables.output import logger

LATEST = "digits: left + fourier"


def at(done: int, *, begun: float = 0.0, planned: int = 100) -> Progress:
    """`done` trainings of `planned`, `begun` more in work of which none has ended."""
    return Progress(
        done=done, planned=planned, diverged=0, in_flight=begun, latest=LATEST, work_done=done + begun,
        work_ended=done, work_left=planned - done - begun, packs_out=3, planned_range=(80, 120),
        work_left_range=(80 - done - begun, 120 - done - begun),
    )  # fmt: skip


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[float]]:
    """A clock that stands still: what `display.time.monotonic` says is its one entry."""
    now = [100.0]
    monkeypatch.setattr(display.time, "monotonic", lambda: now[0])
    return iter([now]).__next__()  # type: ignore[return-value]


def lines(out: io.StringIO) -> list[str]:
    return out.getvalue().splitlines()


def test_no_time_left_is_said_before_the_first_pack_has_ended(clock: list[float]) -> None:
    """What a pack has done until then is done while workers start: it says nothing of the rate."""
    out = io.StringIO()
    with Display(Console(file=out)) as shown:
        for begun in (0.0, 3.0, 8.0):
            clock[0] += 60
            shown.update(at(0, begun=begun))
        clock[0] += 60
        shown.update(at(10, begun=5))
    *before, after = lines(out)
    assert before == [f"0 of about 100 trainings (80 to 120), 3 workers busy, starting, {LATEST}"] * 3
    assert after.startswith("10 of about 100 trainings (80 to 120), 3 workers busy, about ")


def test_the_time_left_lies_between_those_of_the_least_and_the_most_that_is_planned(clock: list[float]) -> None:
    """One unit of work a second, then one in two seconds: 80 are left, 60 to 100 by what is open."""
    told: list[StudyProgress] = []
    with Display(Console(file=io.StringIO(), quiet=True), on_progress=told.append) as shown:
        for done in range(1, 11):
            clock[0] += 1
            shown.update(at(done))
        for done in range(11, 21):
            clock[0] += 2
            shown.update(at(done))
    last = told[-1]
    assert last.seconds_left == pytest.approx(2 * 80, rel=0.05)
    assert last.seconds_left_range is not None
    fastest, slowest = last.seconds_left_range
    assert fastest == pytest.approx(60 * 29 / 19, rel=0.1)
    assert slowest == pytest.approx(100 * 2, rel=0.05)
    assert (last.done, last.planned, last.planned_range, last.busy) == (20, 100, (80, 120), 3)


def test_without_a_terminal_there_is_a_line_for_every_twentieth_or_minute(clock: list[float]) -> None:
    out = io.StringIO()
    with Display(Console(file=out)) as shown:
        for done in range(1000):  # a hundred seconds: at the begin and then at every twentieth
            clock[0] += 0.1
            shown.update(at(done, planned=1000))
        assert len(lines(out)) == 20
        for _ in range(600):  # ten minutes in which nothing ends
            clock[0] += 1
            shown.update(at(999, planned=1000))
    assert 29 <= len(lines(out)) <= 30


@pytest.mark.parametrize("width", [40, 60, 140])
def test_nothing_is_cut_on_a_narrow_terminal(width: int) -> None:
    out = io.StringIO()
    answers = {
        "digits, left + fourier": "align fourier only, λ = 1.9: +1.0 points over λ = 0",
        "digits, left + right": "one λ for both, 0.6 [0.3, 1.1]: +0.4 points over λ = 0",
    }
    with Display(Console(file=out, force_terminal=True, width=width)) as shown:
        shown.update(at(10))
        shown.show_answers(answers)
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|[━╸╺\r]", "", out.getvalue())
    assert max(map(len, text.splitlines())) <= width
    words = " ".join(text.split())
    assert "10 of about 100 trainings (80 to 120) · 3 workers busy · starting" in words
    for pair, told in answers.items():
        assert f"so far, provisional: {pair}: {told}" in words


def test_the_log_has_every_line_even_of_a_quiet_study(caplog: pytest.LogCaptureFixture, clock: list[float]) -> None:
    caplog.set_level(logging.INFO, logger="align_study")
    out = io.StringIO()
    for console in (Console(file=out), Console(file=out, quiet=True), Console(file=out, force_terminal=True)):
        caplog.clear()
        with Display(console) as shown:
            shown.stage("reading data", "reading data …")
            clock[0] += 60
            shown.update(at(10))
            shown.show_answers({"left + right": "λ* 0.6"})
        counted = f"10 of about 100 trainings (80 to 120), 3 workers busy, starting, {LATEST}"
        assert caplog.messages == ["reading data …", counted, "so far, provisional: left + right: λ* 0.6"]
        if not console.is_terminal and not console.quiet:
            assert lines(out) == caplog.messages


def test_what_a_callback_raises_is_told_once_and_stops_nothing(clock: list[float]) -> None:
    out, called = io.StringIO(), []

    def fails(progress: StudyProgress) -> None:
        called.append(progress.phase)
        raise RuntimeError("no network")

    with Display(Console(file=out), on_progress=fails) as shown:
        shown.stage("reading data")
        shown.update(at(0))
        for done in (10, 20, 30):
            clock[0] += 10
            shown.update(at(done))
        shown.stage("done")
    assert called == ["reading data", *["training"] * 4, "done"]
    assert [line for line in lines(out) if "no network" in line] == [
        "on_progress raised RuntimeError: no network; the study goes on, and calls it again"
    ]


def test_a_callback_is_called_twice_a_second_at_most(clock: list[float]) -> None:
    called: list[StudyProgress] = []
    with Display(Console(file=io.StringIO()), on_progress=called.append) as shown:
        for done in range(100):
            clock[0] += 0.01
            shown.update(at(done))
    assert len(called) == 2


def test_what_happens_to_packs_is_shown_if_asked_for_and_the_log_is_as_it_was_afterwards() -> None:
    before = logger().level, list(logger().handlers)
    for verbose in (False, True):
        out = io.StringIO()
        with Display(Console(file=out), verbose=verbose) as shown:
            logger().debug("pack done: pack %s", "a1")
            shown.say("a line")
        assert lines(out) == [*["pack done: pack a1"] * verbose, "a line"]
        assert (logger().level, list(logger().handlers)) == before


def test_one_answer_more_than_can_be_shown_is_counted() -> None:
    many = replace(StudyProgress(phase="training"), so_far={f"pair {k}": "λ* 1" for k in range(8)})
    assert many.answers[-1] == "and 2 more pairs"
    assert len(many.answers) == 7
