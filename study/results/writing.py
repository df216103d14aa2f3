"""The files of a report: report.json, its page, figures and tables."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from study.config.folder import StudyFolder
from study.results.figures.drawing import draw
from study.results.frames import export
from study.results.page.html import render


def write_report(report: Mapping[str, Any], folder: Path) -> None:
    """Write report.json, figures/, tables/ and report.html into a study's folder; the two files whole or not at all."""
    files = StudyFolder(folder)
    drawn = draw(report, files.figures)
    export(report, files.tables)
    figures = {path.stem: path.read_text(encoding="utf-8") for path in drawn if path.suffix == ".svg"}
    _replace(files.report, json.dumps(report, indent=1, ensure_ascii=False, allow_nan=False) + "\n")
    _replace(files.page, render(report, figures))


def _replace(path: Path, text: str) -> None:
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, path)
