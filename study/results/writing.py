"""The files of a report: report.json, its page, figures and tables; and the page over all studies of a folder."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from study.config.folder import INDEX, StudyFolder, recorded, reported
from study.results.figures.drawing import draw
from study.results.frames import export
from study.results.model import Report, to_json
from study.results.page.card import card
from study.results.page.html import render
from study.results.page.index import Listed, render_index


def write_report(report: Report, folder: Path) -> None:
    """Write report.json, figures/, tables/ and report.html into a study's folder; the two files whole or not at all."""
    content, files = to_json(report), StudyFolder(folder)
    drawn = draw(report.cells, files.figures)
    tables = [path for path in export(report, files.tables) if path.suffix == ".csv"]
    figures = {path.stem: path.read_text(encoding="utf-8") for path in drawn if path.suffix == ".svg"}
    _replace(files.report, json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n")
    _replace(files.page, render(report, figures, files=_beside(files, tables)))
    _replace(files.card, card(report))


def _beside(files: StudyFolder, tables: Sequence[Path]) -> dict[str, str]:
    """What lies beside a study's page and is worth a link, by its address from there."""
    named = {f"{files.tables.name}/{path.name}": f"table of {path.stem} (CSV)" for path in tables}
    named[files.report.name] = "report.json, all of it for programs"
    if files.config.is_file():
        named[files.config.name] = "study file, with every default"
    return {**named, f"../{INDEX}": "all studies of this folder"}


def write_index(out: Path) -> Path:
    """Write the page over all studies in the folder `out`, by the card of each, the newest first; its file.

    A card is small, while reports take a tenth of a second each to be read: only where a study of the version before
    has none is its report read. What cannot be read has no report yet.

    Raises:
        OSError: the page cannot be written.
    """
    folders = {study.path.name: study for study in (*recorded(out), *reported(out))}
    listed = sorted(map(_listed, folders.values()), key=lambda one: (one.written is None, one.folder))
    listed.sort(key=lambda one: one.written or datetime.min, reverse=True)
    path = out / INDEX
    _replace(path, render_index(listed))
    return path


def _listed(study: StudyFolder) -> Listed:
    name = study.path.name
    try:
        written = datetime.fromtimestamp(study.report.stat().st_mtime)
        if study.card.is_file():
            return Listed(folder=name, written=written, card=study.card.read_text(encoding="utf-8"))
        return Listed(folder=name, written=written, card=card(Report.from_json(json.loads(study.report.read_bytes()))))
    except (OSError, ValueError, RecursionError):  # there is none, or half a file
        return Listed(folder=name, written=None, card="")


def _replace(path: Path, text: str) -> None:
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")  # studies that end at once write one page over all
    try:
        temporary.write_text(text, encoding="utf-8")
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
