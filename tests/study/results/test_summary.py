"""The table that a study ends with on the terminal."""

from __future__ import annotations

from rich.console import Console

from study.results.model import Report
from study.results.text.summary import summary
from tests.study.results import example


def shown(report: dict[str, object]) -> list[str]:
    console = Console(width=80, force_terminal=False)
    with console.capture() as capture:
        console.print(summary(Report.from_json(report)))
    return capture.get().splitlines()


def test_nothing_is_cut_in_80_columns() -> None:
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


def test_a_study_half_way_and_a_report_of_the_stable_fields_are_shown() -> None:
    assert any("no answer" in line for line in shown(example.partial_report()))
    bare = "\n".join(shown(example.without_optional_fields(example.digits_report())))
    assert "digits, left + right   R 1.92  U₁ 0.21  U₂ 0.17  S 0.44 bits, redundancy" in bare
    assert "None" not in bare
