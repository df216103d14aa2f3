"""Experiences that finished studies leave to later ones: `study.search.earlier` says what these make of them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from study.pid import COMPONENTS


def experiences(report: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The experiences of a finished study: its cells' profiles with λ* of the pair and its interval."""
    if report.get("status") != "complete" or report.get("stand_in"):
        return []
    learnt = []
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


def beside(out: Path, *, study: str) -> list[dict[str, Any]]:
    """The experiences of the other finished studies in the folder `out`; what cannot be read is passed over."""
    learnt: list[dict[str, Any]] = []
    for path in sorted(out.glob("*/report.json")):
        if path.parent.name != study:
            try:
                learnt += experiences(json.loads(path.read_text(encoding="utf-8")))
            except (OSError, ValueError, KeyError, TypeError, AttributeError):  # of another version, or half a file
                continue
    return learnt
