"""The files of a report: report.json, its page, figures and tables; and the page over all studies of a folder."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path

from study.config.folder import INDEX, StudyFolder, recorded, reported, with_page
from study.results.figures.names import is_figure
from study.results.model import Report, to_json
from study.results.page.index import Listed, render_index
from study.results.page.parts import RUNNING, Running
from study.results.written import Written, made_from, read_written

_STALE = timedelta(minutes=10)  # a study whose card is older than that, and says it runs, was killed
_MOST_DRAWN = 12  # cells whose curves are drawn while the study runs


def write_report(report: Report, folder: Path) -> None:
    """Write report.json, figures/, tables/ and report.html into a study's folder; the two files whole or not at all.

    Where all of them are as an earlier call left them, and would come out the same again, nothing is written.
    """
    files = StudyFolder(folder)
    content = json.dumps(to_json(report), indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    source = made_from(content, beside=[files.config.name] if files.config.is_file() else [])
    if (known := read_written(files.written)) and known.stands(folder, made_from=source) and _only(known, files):
        return
    files.written.unlink(missing_ok=True)  # until all is there again
    written = _write(report, content, files)
    Written.of(written, folder=folder, made_from=source).save(files.written)


def _only(known: Written, files: StudyFolder) -> bool:
    """Whether there is no figure of another report."""
    figures = [path for path in files.figures.iterdir() if is_figure(path.name)] if files.figures.is_dir() else []
    return all(str(path.relative_to(files.path)) in known.files for path in figures)


def _write(report: Report, content: str, files: StudyFolder) -> list[Path]:
    """Write all files of a report, whose JSON is `content`; the files written."""
    from study.results.figures.drawing import draw  # here: with pandas a second, that unchanged files need not take
    from study.results.frames import export
    from study.results.page.card import card
    from study.results.page.html import render

    drawn, exported = draw(report.cells, files.figures), export(report, files.tables)
    tables = [path for path in exported if path.suffix == ".csv"]
    figures = {path.stem: path.read_text(encoding="utf-8") for path in drawn if path.suffix == ".svg"}
    _replace(files.report, content)
    _replace(files.page, render(report, figures, files=_beside(files, tables)))
    _replace(files.card, card(report))
    return [*drawn, *exported, files.report, files.page, files.card]


def draw_partial(report: Report) -> dict[str, str]:
    """The drawings of a study that runs, by name: those of its first cells."""
    from study.results.figures.drawing import draw_curves

    return draw_curves(report.cells[:_MOST_DRAWN])


def write_partial(report: Report, folder: Path, *, drawings: Mapping[str, str], running: Running | None) -> None:
    """Write report.html and the card of a study that has not ended into its folder, each whole or not at all.

    No report.json comes with it: that is of a study that has ended, or of the record when somebody asks for it.

    Raises:
        OSError: they cannot be written.
    """
    from study.results.page.card import card
    from study.results.page.html import render

    files = StudyFolder(folder)
    _replace(files.page, render(report, drawings, files=_beside(files, ()), running=running))
    _replace(files.card, card(report, running=running))


def _beside(files: StudyFolder, tables: Sequence[Path]) -> dict[str, str]:
    """What lies beside a study's page and is worth a link, by its address from there."""
    named = {f"{files.tables.name}/{path.name}": f"table of {path.stem} (CSV)" for path in tables}
    if tables:
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
    folders = {study.path.name: study for study in (*recorded(out), *reported(out), *with_page(out))}
    listed = sorted(map(_listed, folders.values()), key=lambda one: (one.written is None, one.folder))
    listed.sort(key=lambda one: one.written or datetime.min, reverse=True)
    path = out / INDEX
    _replace(path, render_index(listed))
    return path


def _listed(study: StudyFolder) -> Listed:
    name = study.path.name
    try:
        if study.card.is_file():
            text = study.card.read_text(encoding="utf-8")
            ended = not text.startswith(RUNNING)
            whole = ended and study.report.is_file()  # of the other studies of a bucket there are cards alone
            written = datetime.fromtimestamp((study.report if whole else study.card).stat().st_mtime)
            return Listed(folder=name, written=written, card=text, reload=_reload(text, written))
        written = datetime.fromtimestamp(study.report.stat().st_mtime)
        from study.results.page.card import card

        return Listed(folder=name, written=written, card=card(Report.from_json(json.loads(study.report.read_bytes()))))
    except (OSError, ValueError, RecursionError):  # there is none, or half a file
        return Listed(folder=name, written=None, card="")


def _reload(text: str, written: datetime) -> float | None:
    """After how many seconds a card is worth another look; None where its study runs no more."""
    if not text.startswith(RUNNING) or datetime.now() - written > _STALE:
        return None
    return float(text.removeprefix(RUNNING).partition('"')[0])


def _replace(path: Path, text: str) -> None:
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")  # studies that end at once write one page over all
    try:
        temporary.write_text(text, encoding="utf-8")
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
