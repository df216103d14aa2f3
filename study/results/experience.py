"""Experiences that finished studies leave to later ones: `study.search.earlier` says what these make of them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from study.config.folder import reported
from study.pid import COMPONENTS
from study.search.earlier import Experience


def experiences(report: Mapping[str, Any]) -> list[Experience]:
    """The experiences of a finished study: its cells' profiles with λ* of the pair and its interval."""
    if report.get("status") != "complete" or report.get("stand_in"):
        return []
    learnt: list[Experience] = []
    for cell in report.get("cells", ()):
        choice, pid = cell.get("pair_choice") or {}, cell.get("pid") or {}
        if choice.get("lambda_star") is not None and all(pid.get(name) is not None for name in COMPONENTS):
            learnt.append(
                {
                    "study": report["study"],
                    "label": cell.get("label"),
                    "estimator": pid.get("estimator"),
                    "profile": [float(pid[name]) for name in COMPONENTS],
                    "lambda_star": float(choice["lambda_star"]),
                    "interval": choice.get("interval"),
                }
            )
    return learnt


def beside(out: Path, *, study: str) -> list[Experience]:
    """The experiences of the other finished studies in the folder `out`; what cannot be read is passed over."""
    learnt: list[Experience] = []
    for folder in reported(out):
        if folder.path.name != study:
            try:
                learnt += experiences(json.loads(folder.report.read_text(encoding="utf-8")))
            except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
                continue  # it is of another version, or half a file
    return learnt
