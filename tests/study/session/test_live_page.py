"""The page of a study while it runs."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest

from study.results.model import Report
from study.results.writing import write_index, write_report
from study.session import live_page
from study.session.live_page import LivePage
from tests.study.results import example

REFRESH = '<meta http-equiv="refresh" content="25">'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "part").mkdir()
    return tmp_path / "part"


def partial() -> Report:
    return Report.from_json(example.partial_report())


def texts(folder: Path) -> tuple[str, str]:
    """The study's page and the one over all studies."""
    return tuple((path).read_text(encoding="utf-8") for path in (folder / "report.html", folder.parent / "index.html"))  # type: ignore[return-value]


def test_the_page_says_that_it_is_partial_and_reloads_until_the_report_takes_its_place(folder: Path) -> None:
    with LivePage(folder, say=print) as page:
        made = page.show(partial, counted="300 of about 888 trainings (438 to 921)")
        assert made == partial()
    for text in texts(folder):
        assert REFRESH in text
        assert re.search(r"running: 300 of about 888 trainings \(438 to 921\) by \d\d:\d\d:\d\d", text)
        assert "provisional" in text
    assert texts(folder)[0].count("<svg") == 4  # both curves of two pairs
    assert "report.json" not in texts(folder)[0]  # there is none yet
    assert not list(folder.glob("*.tmp"))
    write_report(Report.from_json(example.digits_report()), folder)
    write_index(folder.parent)
    for text in texts(folder):
        assert 'http-equiv="refresh"' not in text
        assert "is running" not in text


def test_the_page_of_a_study_that_was_interrupted_reloads_no_more(folder: Path) -> None:
    def interrupted() -> None:
        with LivePage(folder, say=print) as page:
            page.show(partial, counted="3 of 8 trainings")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    for text in texts(folder):
        assert 'http-equiv="refresh"' not in text
    assert "This study has not ended" in texts(folder)[0]


def test_the_page_over_all_studies_reloads_no_more_long_after_a_study_was_killed(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with LivePage(folder, say=print) as page:
        page.show(partial, counted="3 of 8 trainings")
    assert REFRESH in write_index(folder.parent).read_text()
    monkeypatch.setattr("study.results.writing._STALE", -abs(live_page.datetime.now() - live_page.datetime.min))
    assert REFRESH not in write_index(folder.parent).read_text()


def test_pages_cost_less_than_a_fiftieth_of_the_time(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_page, "RELOAD_SECONDS", 0.0)
    made = []

    def slow() -> Report:
        made.append(time.monotonic())
        time.sleep(0.04)
        return partial()

    with LivePage(folder, say=print) as page:
        while not made or time.monotonic() < made[0] + 1.5:  # the first takes 40 ms, and so much again for the drawing
            page.show(slow, counted="")
            time.sleep(0.01)
    assert len(made) == 1


def test_a_page_that_cannot_be_written_is_told_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_page, "RELOAD_SECONDS", 0.0)
    monkeypatch.setattr(live_page, "_SPARED", 0.0)
    said: list[str] = []
    with LivePage(tmp_path / "nowhere", say=said.append) as page:
        while page.show(partial, counted="") is None or len(said) < 1:
            time.sleep(0.01)
        page.show(partial, counted="")
    assert said == ["the page of the study so far was not written (No such file or directory); the study goes on"]
