"""Names of cells and files, whatever a report says."""

from __future__ import annotations

import re
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from study.results.model import CellResult, from_json
from study.results.names import natural_names


def cell(value: dict[str, Any]) -> CellResult:
    return from_json(CellResult, value)


def test_a_cell_without_names_still_has_some() -> None:
    assert cell({}).names == ("encoder 1", "encoder 2")
    assert cell({"dataset": "d", "pair": ["a", "b"]}).title == "d, a + b"
    assert cell({}).metric(1) == "accuracy"


def test_names_are_told_on_one_line() -> None:
    assert cell({"pair": ["a\nb", "c\x00\x1b[31md"]}).names == ("a b", "c [31md")


def test_natural_names_sort_as_text_in_the_order_of_their_numbers() -> None:
    names = [f"set R = {redundancy}" for redundancy in (0, 2, 10, 100)]
    padded = natural_names(names)
    assert sorted(padded) == padded
    assert padded[0] == "set R = 000"


def test_natural_names_leave_decimals_alone() -> None:
    assert natural_names(["λ = 0.25", "λ = 0.5", "λ = 12"]) == ["λ = 00.25", "λ = 00.5", "λ = 12"]


@given(st.text(), st.integers(1, 99))
def test_file_stems_are_safe_on_any_file_system(name: str, position: int) -> None:
    assert re.fullmatch(r"\d\d-[a-z0-9-]{1,60}", cell({"id": name}).file_stem(position))


def test_cells_have_different_file_stems_even_where_their_names_collapse() -> None:
    stems = [cell({"id": name}).file_stem(place) for place, name in enumerate(["a/b", "a b", "…"], start=1)]
    assert len(set(stems)) == 3
