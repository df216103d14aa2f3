"""What earlier studies teach a new one, and that it never narrows a search."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from study.cells.building import build_cells
from study.config import parse_config
from study.search import Ledger, open_storage
from study.search.earlier import most_similar, reordered
from study.search.record.notes import EXPERIENCES, LEARNT
from study.search.rounds import rounds
from trainables.spec import ReplicateResult

DESIGN = (0.0, 0.1, 0.25, 0.5, 0.6, 0.75, 1.0, 2.0, 4.0)


def experience(study: str = "old", *, star: float = 0.6, profile: tuple[float, ...] = (1, 0, 0.5, 0)) -> dict[str, Any]:
    """What one pair of a study came to."""
    return {
        "study": study, "label": "a + b", "estimator": "broja",
        "profile": list(profile), "lambda_star": star, "interval": [0.3, 1],
    }  # fmt: skip


def test_the_nearest_profile_comes_first_whichever_way_round_its_pair_is() -> None:
    earlier = [experience("far", profile=(0, 1, 1, 1)), experience("near", profile=(1, 0.5, 0, 0))]
    similar = most_similar((1, 0, 0.5, 0), "broja", earlier, range_=(0, 4))
    assert [one["study"] for one in similar] == ["near", "far"]
    assert similar[0]["distance"] == 0
    assert most_similar((1, 0, 0.5, 0), "batch", earlier, range_=(0, 4)) == []
    assert most_similar((1, 0, 0.5, 0), "broja", earlier, range_=(0, 0.5)) == []


def test_what_was_best_before_is_tried_first_with_zero_and_the_end() -> None:
    first, rest = reordered(DESIGN, [experience(star=0.55)])
    assert {0.0, 4.0, 0.5, 0.6} <= set(first)
    assert set(rest) == set(DESIGN) - set(first)
    assert reordered(DESIGN, []) == (DESIGN, ())


@given(st.lists(st.floats(0, 4), max_size=4), st.sets(st.floats(0, 4), min_size=1, max_size=12))
def test_the_design_is_only_reordered(stars: list[float], strengths: set[float]) -> None:
    design = tuple(sorted({0.0, *strengths}))
    first, rest = reordered(design, [{"lambda_star": star} for star in stars])
    assert sorted([*first, *rest]) == list(design)
    assert {design[0], design[-1]} <= set(first)
    assert (first, rest) == (tuple(sorted(first)), tuple(sorted(rest)))


STUDY = """
study: small
dataset: {name: digits}
pairs: [[left, right]]
strength: {initial: [0, 0.5, 1, 2, 3, 4], refine: 0}
replicates: {search: 2, confirm: 0}
alignment: {one_sided: never}
search: {stop_interval: %s}
"""


def searched(folder: Path, *, stop_interval: float, learnt: bool = True) -> list[list[float]]:
    """The strengths of every round of a search whose scores are a planted curve."""
    config = parse_config(STUDY % stop_interval)
    (cell,), _ = build_cells(config)
    ledger = Ledger(open_storage(folder=folder), name="small", space={"strength": (0, 4)})
    ledger.set_note(LEARNT, {cell.id: [experience(star=0.9)]} if learnt else {})
    rounds_asked = []
    for asked in rounds(cell, ledger):
        rounds_asked.append([trial.setting.strength_1 for trial in asked])
        for trial in asked:
            score = -((trial.setting.strength_1 - 1) ** 2)
            results = {
                index: ReplicateResult(
                    status="ok", scores=(score + index, score), losses=(0, 0), alignment={}, curve=((1, 0, 0, 0, 0),)
                )
                for index in trial.replicates
            }
            ledger.record(cell.id, trial, results)
    return rounds_asked


def test_a_search_begins_where_similar_ones_ended_and_covers_the_rest(tmp_path: Path) -> None:
    assert searched(tmp_path, stop_interval=0) == [[0, 0.5, 1, 4], [2, 3]]


def test_a_search_that_is_sure_early_spares_the_rest(tmp_path: Path) -> None:
    assert searched(tmp_path, stop_interval=10) == [[0, 0.5, 1, 4]]


def test_a_search_that_learnt_nothing_asks_for_its_whole_design_at_once(tmp_path: Path) -> None:
    assert searched(tmp_path, stop_interval=0, learnt=False) == [[0, 0.5, 1, 2, 3, 4]]


def test_a_study_leaves_its_experiences_in_a_shared_storage(tmp_path: Path) -> None:
    storage = open_storage(folder=tmp_path)
    first, second = (Ledger(storage, name=name, space={"strength": (0, 4)}) for name in ("first", "second"))
    first.set_note(EXPERIENCES, [experience("first")])
    assert list(second.notes_elsewhere(EXPERIENCES)) == ["first"]
    assert first.notes_elsewhere(EXPERIENCES) == {}
