"""The table that a study ends with on the terminal."""

from __future__ import annotations

from types import ModuleType

from rich.console import Console

from study.results.model import Report
from study.results.text.summary import summary


def shown(report: dict[str, object]) -> list[str]:
    console = Console(width=80, force_terminal=False)
    with console.capture() as capture:
        console.print(summary(Report.from_json(report)))
    return capture.get().splitlines()


def test_nothing_is_cut_in_80_columns(example: ModuleType) -> None:
    """What is longer than its column goes on in the next line, as gains at another strength and long names do."""
    report = example.digits_report()
    encoder = report["cells"][0]["encoders"][0]
    encoder["modality"] = "a_modality_of_a_long_name"
    lines = shown(report)

    assert all(len(line) <= 80 for line in lines)
    assert not any("…" in line for line in lines)
    for cell in report["cells"]:
        for encoder in cell["encoders"]:
            assert any(encoder["verdict"] in line and encoder["shape"] in line for line in lines)
    assert encoder["modality"][:12] in "".join(lines)
