"""Notes of a record that somebody else has written: one line, wherever they are read."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from study import report, status
from study.config import ConfigError, StudyConfig
from study.search.record.forms import has_form
from study.search.record.notes import CELLS, CONFIGURATION, NOTES, Note, profile_of

JOURNAL = Path(__file__).parents[2] / "session" / "version_before" / "journal.log"
CELL = "digits/left+right"
OTHERS: tuple[object, ...] = (None, "x", 3, True, [], {}, {"x": None}, [None])


def rows() -> list[dict[str, Any]]:
    return [json.loads(line) for line in JOURNAL.read_text().splitlines()]


def noted() -> dict[str, Any]:
    """Every note of a whole study of the version before."""
    notes: dict[str, Any] = {}
    for row in rows():
        if row["op_code"] == 2:
            notes |= row["user_attr"]
    return notes


def places(value: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where something lies in a container, at any depth."""
    yield place
    inside = value.items() if isinstance(value, dict) else enumerate(value[:2]) if isinstance(value, list) else ()
    for key, one in inside:
        yield from places(one, (*place, key))


def changed(value: Any, place: tuple[Any, ...], other: object) -> Any:
    if not place:
        return other
    value = copy.deepcopy(value)
    at = value
    for key in place[:-1]:
        at = at[key]
    at[place[-1]] = other
    return value


@pytest.mark.parametrize("note", [*NOTES, profile_of(CELL)], ids=lambda note: note.key)
def test_a_note_of_another_form_is_read_as_none_or_refused_in_a_line(note: Note[Any]) -> None:
    notes = noted()
    assert note.among({}) is None
    if note.key not in notes:
        return
    assert note.among(notes) is not None
    config = StudyConfig.model_validate(CONFIGURATION.among(notes))
    lines: list[str] = []
    for place in places(notes[note.key]):
        for other in OTHERS:
            try:
                read = note.among({note.key: changed(notes[note.key], place, other)})
                if note is CELLS and read is not None:
                    _ = [cell.cell(config) for cell in read]
            except ConfigError as error:
                lines.append(str(error))
    assert lines
    assert not any("\n" in line for line in lines)


@pytest.mark.parametrize(
    ("key", "place", "other"),
    [
        ("run", ("wall_seconds",), None),
        ("run", ("versions",), "x"),
        ("run", ("errors",), []),
        ("run", (), {}),
        ("forecasts", (CELL,), None),
        ("forecasts", (CELL, "encoders"), []),
        (f"pid:{CELL}", ("interval",), {}),
        (f"pid:{CELL}", ("redundancy",), "much"),
        ("cells", (0, "pair"), ["left"]),
        ("cells", (0, "encoders", 0), {"colour": 3}),
        ("study_file", (), "study: [3"),
    ],
)
def test_a_report_and_the_status_say_it_in_a_line(
    key: str, place: tuple[Any, ...], other: object, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    written = rows()
    for row in written:
        row.pop("sum", None)  # as another program writes
        if key in row.get("user_attr", {}):
            row["user_attr"][key] = changed(row["user_attr"][key], place, other)
    folder = tmp_path / "before" / "optuna"
    folder.mkdir(parents=True)
    (folder / "journal.log").write_text("".join(json.dumps(row) + "\n" for row in written))

    code = report.main(["before", "--out", str(tmp_path)])
    out, said = capsys.readouterr()
    assert (code, out) == (2, "")
    assert said.startswith("error: ")
    assert said.count("\n") == 1

    assert status.main(["--out", str(tmp_path)]) in (0, 2)
    assert "Traceback" not in "".join(capsys.readouterr())


def test_forms() -> None:
    assert has_form(3, float)
    assert not has_form(True, (int, float, None))
    assert has_form([1, "a", 2], [(int, str), ...])
    assert not has_form([1, 2, 3], [int, int])
    assert has_form({"a": 1, "more": []}, {"a": int, "b?": str})
    assert not has_form({"b": "x"}, {"a": int})
    assert not has_form({"a": 1, "b": 2}, {"a": int, "b?": str})
    assert has_form({"x": [1.5]}, {str: [float, ...]})
    assert not has_form({"x": None}, {str: [float, ...]})
