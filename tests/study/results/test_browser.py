"""The page in a real browser, where one is installed."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from study.results.model import Report
from study.results.writing import write_report
from tests.study.results import example

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(BROWSER is None, reason="no Chromium on this machine: install chromium to see the page in it"),
]


def _console(page: Path, profile: Path) -> list[str]:
    """What the browser's console says about a page; the page's policy makes each attempt to load something an error."""
    options = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-background-networking",
        "--enable-logging=stderr",
    ]
    command = [str(BROWSER), *options, f"--user-data-dir={profile}", "--dump-dom", page.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    assert "How strongly to align" in done.stdout
    return [line for line in done.stderr.splitlines() if "CONSOLE" in line]


@pytest.mark.parametrize("name", ["digits_report", "hostile_report"])
def test_the_page_opens_without_a_word_on_the_console(tmp_path: Path, name: str) -> None:
    write_report(Report.from_json(getattr(example, name)()), tmp_path)
    assert _console(tmp_path / "report.html", tmp_path / "profile") == []


def test_a_page_that_loads_something_would_be_noticed(tmp_path: Path) -> None:
    write_report(Report.from_json(example.digits_report()), tmp_path)
    page = tmp_path / "report.html"
    page.write_text(page.read_text().replace("<main>", '<main><img src="http://127.0.0.1:9/x.png" alt="">'))
    assert _console(page, tmp_path / "profile")
