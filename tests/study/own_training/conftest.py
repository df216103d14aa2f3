"""Studies of a planted function, run by the command a user types."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.study.studies import TinyStudy

PLANTED = Path(__file__).with_name("planted.py")
STUDY = """
study: tiny
trainer: {{call: planted.py:{call}, options: {options}}}
pairs: [[image, text]]
strength: {{initial: [0, 0.5, 1, 2, 4], refine: {refine}, per_round: 2}}
replicates: {{search: {search}, confirm: {confirm}}}
{more}
"""


@pytest.fixture
def own_study(tmp_path: Path) -> Iterator[Callable[..., TinyStudy]]:
    """Makes studies of a function of planted.py, in folders of their own."""
    made: list[TinyStudy] = []

    def make(call: str = "train", name: str = "study", *options: str, more: str = "", **keys: Any) -> TinyStudy:
        values = {"options": "{}", "refine": 2, "search": 3, "confirm": 5, **keys}
        text = STUDY.format(call=call, more=more, **values).replace("LOG", str(tmp_path / name / "LOG"))
        made.append(TinyStudy(tmp_path / name, *options, text=text))
        shutil.copy(PLANTED, tmp_path / name)
        return made[-1]

    yield make
    for study in made:
        study.close()
