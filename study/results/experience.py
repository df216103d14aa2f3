"""Experiences that finished studies leave to later ones: `study.search.earlier` says what these make of them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from study.config.folder import reported
from study.results.model import Report
from study.search.earlier import Experience


def experiences(report: Report) -> list[Experience]:
    """The experiences of a finished study: its cells' profiles with λ* of the pair and its interval."""
    return list(_experiences(report)) if report.status == "complete" and not report.stand_in else []


def beside(out: Path, *, study: str) -> list[Experience]:
    """The experiences of the other finished studies in the folder `out`; what cannot be read is passed over."""
    learnt: list[Experience] = []
    for folder in reported(out):
        if folder.path.name != study:
            try:
                report = Report.from_json(json.loads(folder.report.read_text(encoding="utf-8")))
            except (OSError, ValueError, RecursionError):  # half a file
                continue
            learnt += experiences(report)
    return learnt


def _experiences(report: Report) -> Iterator[Experience]:
    for cell in report.cells:
        profile = [] if cell.pid is None else list(cell.pid.components.values())
        known = [bits for bits in profile if bits is not None]
        star, interval = cell.pair_choice.lambda_star, cell.pair_choice.interval
        if report.study is None or cell.pid is None or star is None or len(known) < len(profile):
            continue
        yield {
            "study": report.study,
            "label": cell.label,
            "estimator": cell.pid.estimator,
            "profile": known,
            "lambda_star": star,
            "interval": None if interval is None else list(interval),
        }
