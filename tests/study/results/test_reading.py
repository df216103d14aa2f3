from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from study.results import reading


@pytest.mark.parametrize("value", [None, True, "1", float("nan"), float("inf"), [1], {}])
def test_what_is_not_a_finite_number_reads_as_none(value: object) -> None:
    assert reading.number(value) is None


@pytest.mark.parametrize("value", [None, [1], [1, 2, 3], "12", [None, 1], [1, float("nan")]])
def test_what_is_not_two_finite_numbers_reads_as_no_interval(value: object) -> None:
    assert reading.interval(value) is None


@pytest.mark.parametrize("value", [None, [], "text", {"key": None}, {"key": "text"}, {}])
def test_a_part_that_is_missing_reads_as_empty(value: object) -> None:
    assert reading.part(value, "key") == {}
    assert reading.parts(value, "key") == []


def test_a_cell_without_names_still_has_some() -> None:
    assert reading.pair_of({}) == ("encoder 1", "encoder 2")
    assert reading.label_of({"dataset": "d", "pair": ["a", "b"]}) == "d, a + b"
    assert reading.metric_of({}, 1) == "accuracy"


def test_names_are_told_on_one_line() -> None:
    assert reading.pair_of({"pair": ["a\nb", "c\x00\x1b[31md"]}) == ("a b", "c [31md")


def test_natural_names_sort_as_text_in_the_order_of_their_numbers() -> None:
    names = [f"set R = {redundancy}" for redundancy in (0, 2, 10, 100)]
    padded = reading.natural_names(names)
    assert sorted(padded) == padded
    assert padded[0] == "set R = 000"


def test_natural_names_leave_decimals_alone() -> None:
    assert reading.natural_names(["λ = 0.25", "λ = 0.5", "λ = 12"]) == ["λ = 00.25", "λ = 00.5", "λ = 12"]


@given(st.text(), st.integers(1, 99))
def test_file_stems_are_safe_on_any_file_system(name: str, position: int) -> None:
    assert re.fullmatch(r"\d\d-[a-z0-9-]{1,60}", reading.file_stem({"id": name}, position))


def test_cells_have_different_file_stems_even_where_their_names_collapse() -> None:
    stems = [reading.file_stem({"id": name}, place) for place, name in enumerate(["a/b", "a b", "…"], start=1)]
    assert len(set(stems)) == 3
