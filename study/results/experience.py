"""Experiences that finished studies leave to later ones: `study.search.earlier` says what these make of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from study.results.model import Report


def experiences(report: Report) -> list[dict[str, Any]]:
    """The experiences of a finished study: its cells' profiles with λ* of the pair and its interval.

    As plain containers: other studies read them in this one's record.
    """
    if report.study is None or report.status != "complete" or report.stand_in:
        return []
    learnt = []
    for cell in report.cells:
        choice, profile = cell.pair_choice, list(cell.pid.components.values()) if cell.pid else [None]
        if choice.lambda_star is not None and all(bits is not None for bits in profile):
            learnt.append(
                {
                    "study": report.study,
                    "label": cell.label,
                    "estimator": cell.pid.estimator if cell.pid else None,
                    "profile": profile,
                    "lambda_star": choice.lambda_star,
                    "interval": list(choice.interval) if choice.interval else None,
                }
            )
    return learnt


def beside(out: Path, *, study: str) -> list[dict[str, Any]]:
    """The experiences of the other finished studies in the folder `out`; what cannot be read is passed over."""
    learnt: list[dict[str, Any]] = []
    for path in sorted(out.glob("*/report.json")):
        if path.parent.name != study:
            try:
                learnt += experiences(Report.from_json(json.loads(path.read_text(encoding="utf-8"))))
            except (OSError, ValueError):  # half a file, or none of ours
                continue
    return learnt
