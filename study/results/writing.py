"""The files of a report: report.json, its page, figures and tables."""

from __future__ import annotations

import json
import os
from pathlib import Path

from study.config.folder import StudyFolder
from study.results.figures.drawing import draw
from study.results.frames import export
from study.results.model import Report, to_json
from study.results.page.html import render


def write_report(report: Report, folder: Path) -> None:
    """Write report.json, figures/, tables/ and report.html into a study's folder; the two files whole or not at all."""
    content, files = to_json(report), StudyFolder(folder)
    drawn = draw(content, files.figures)
    export(content, files.tables)
    figures = {path.stem: path.read_text(encoding="utf-8") for path in drawn if path.suffix == ".svg"}
    _replace(files.report, json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n")
    _replace(files.page, render(report, figures))


def _replace(path: Path, text: str) -> None:
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, path)
