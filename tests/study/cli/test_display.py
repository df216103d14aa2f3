"""What a study says of its time left."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from study.cli import display
from study.scheduling.coordinator import Progress


def test_no_time_left_is_said_before_the_first_pack_has_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a pack has done until then is done while workers start: it says nothing of the rate."""
    monkeypatch.setattr(display, "PLAIN_SECONDS", -1.0)
    out = io.StringIO()
    with display.Display(Console(file=out)) as shown:
        for begun, ended in ((0.0, 0.0), (3.0, 0.0), (8.0, 0.0), (15.0, 10.0)):
            shown.update(
                Progress(
                    done=int(ended), planned=100, diverged=0, in_flight=begun - ended, latest="digits",
                    work_done=begun, work_ended=ended, work_left=100 - begun,
                )
            )  # fmt: skip
    *before, after = out.getvalue().splitlines()
    assert before == ["0/100 trainings, digits, starting"] * 3
    assert after.startswith("10/100 trainings, digits, about ")
