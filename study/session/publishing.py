"""A study's report out of its record, and into its folder and MLflow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from study.cells.cell import Cell
from study.cli.display import Display
from study.config import StudyConfig, to_yaml
from study.config.folder import INDEX
from study.results.build import build_report
from study.results.model import Report
from study.results.writing import write_index, write_report
from study.search import Ledger
from study.search.record.notes import ERRORS, RUN, VERSIONS, Run
from study.search.record.private import made_for_owner_alone
from study.search.record.versions import library_versions
from study.session.background import recorded
from study.tracking import Tracker


def recorded_report(cells: Sequence[Cell], ledger: Ledger) -> Report:
    """The report of a study as its record has it, whether it has ended or not."""
    run = ledger.note(RUN)
    if run is None or not run.complete:  # not yet, or not since it was extended
        run = Run(complete=False, errors=ledger.note(ERRORS) or {}, versions={})
    if not run.versions:
        run = replace(run, versions=ledger.note(VERSIONS) or library_versions())
    return build_report(cells, ledger, *recorded(cells, ledger), run=run)


def publish(report: Report, folder: Path, config: StudyConfig, tracker: Tracker | None, display: Display) -> Report:
    """Write a report's files into the study's folder, show it in MLflow if there is a tracker, and return it."""
    write_files(report, folder, display)
    if tracker is not None:
        show_report(report, folder, config, tracker, display)
    return report


def write_files(report: Report, folder: Path, display: Display) -> None:
    """Write a report's files, and the page over all studies beside it; where that cannot be, say why."""
    write_report(report, folder)
    try:
        write_index(folder.parent)
    except OSError as error:
        display.say(f"{folder.parent / INDEX} was not written: {error.strerror}; the study's own report was")


def show_report(report: Report, folder: Path, config: StudyConfig, tracker: Tracker, display: Display) -> None:
    """Bring MLflow up to a report and its files; where that fails, say why."""
    with made_for_owner_alone(tracker.uri, artifacts=tracker.artifacts):
        problem = tracker.project(report, folder=folder, config_text=to_yaml(config), last=True).problem
    if problem:
        display.say(
            f"{problem}; nothing is lost: python -m study.report {folder.name} --out {folder.parent} --sync writes "
            "it later"
        )
