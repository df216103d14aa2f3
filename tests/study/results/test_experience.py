"""Experiences that finished studies leave to later ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from study.results.experience import beside, experiences
from study.results.model import Report


def report(study: str = "old", *, star: float | None = 0.6, profile: tuple[float | None, ...] = (1, 0, 0.5, 0)) -> Any:
    names = ("redundancy", "unique_1", "unique_2", "synergy")
    pid = {**dict(zip(names, profile, strict=True)), "estimator": "broja"}
    cell = {"label": "a + b", "pid": pid, "pair_choice": {"lambda_star": star, "interval": [0.3, 1]}}
    return {"study": study, "status": "complete", "stand_in": False, "cells": [cell]}


def left(content: Any) -> list[Any]:
    """The experiences of the study whose report.json has this content."""
    return list(experiences(Report.from_json(content)))


def test_a_finished_study_leaves_its_profiles_and_optima() -> None:
    (one,) = left(report())
    assert (one["study"], one["lambda_star"], one["profile"]) == ("old", 0.6, [1, 0, 0.5, 0])


@pytest.mark.parametrize("change", [{"status": "partial"}, {"stand_in": True}])
def test_unfinished_studies_and_made_up_data_teach_nothing(change: dict[str, Any]) -> None:
    assert left(report() | change) == []
    assert left(report(star=None)) == []


def test_a_pair_without_a_whole_profile_teaches_nothing() -> None:
    assert left(report(profile=(1, 0, None, 0))) == []


def test_studies_beside_are_read_and_broken_ones_passed_over(tmp_path: Path) -> None:
    for name, text in (
        ("old", json.dumps(report())),
        ("own", json.dumps(report("own"))),
        ("torn", '{"cells": ['),
        ("list", "[]"),
    ):
        (tmp_path / name).mkdir()
        (tmp_path / name / "report.json").write_text(text)
    assert [one["study"] for one in beside(tmp_path, study="own")] == ["old"]
