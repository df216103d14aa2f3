"""Experiences that finished studies leave to later ones: `study.search.earlier` says what these make of them."""

from __future__ import annotations

import json
from pathlib import Path

from study.config.folder import reported
from study.pid import COMPONENTS
from study.results.model import Report
from study.search.earlier import Experience


def experiences(report: Report) -> list[Experience]:
    """The experiences of a finished study: its cells' profiles with λ* of the pair and its interval."""
    if report.study is None or report.status != "complete" or report.stand_in:
        return []
    learnt: list[Experience] = []
    for cell in report.cells:
        choice, profile = cell.pair_choice, cell.pid.components.values() if cell.pid else ()
        bits = [value for value in profile if value is not None]
        if choice.lambda_star is not None and len(bits) == len(COMPONENTS):
            learnt.append(
                {
                    "study": report.study,
                    "label": cell.label,
                    "estimator": cell.pid.estimator if cell.pid else None,
                    "profile": bits,
                    "lambda_star": choice.lambda_star,
                    "interval": list(choice.interval) if choice.interval else None,
                }
            )
    return learnt


def beside(out: Path, *, study: str) -> list[Experience]:
    """The experiences of the other finished studies in the folder `out`; what cannot be read is passed over."""
    learnt: list[Experience] = []
    for folder in reported(out):
        if folder.path.name != study:
            try:
                learnt += experiences(Report.from_json(json.loads(folder.report.read_text(encoding="utf-8"))))
            except (OSError, ValueError, RecursionError):  # half a file, or none of ours
                continue
    return learnt
