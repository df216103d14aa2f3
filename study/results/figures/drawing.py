"""The figures of a report, by name and as files.

Legible without colour: what differs in colour also differs in marker, line style or hatch.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure

from study.results.figures import across, curves, pictures, theory
from study.results.figures.canvas import as_svg, encoded, style, watermark
from study.results.figures.information import information_figure
from study.results.figures.names import CHANGES, OVERVIEW, SIDE_BY_SIDE, is_figure
from study.results.model import CellResult

_WHERE_THERE_IS_ANY = {
    "space": pictures.space_figure,
    "classes": pictures.classes_figure,
    "learning": pictures.learning_figure,
    "numbers": curves.numbers_figure,
}


def figures(cells: Sequence[CellResult]) -> dict[str, Figure]:
    """Every figure of a report's cells by name: what is known of a cell is drawn, and of all of them together.

    Names start with the cell's place in the report and are safe file names.
    """
    drawn: dict[str, Figure] = {}
    with style():
        for position, cell in enumerate(cells, start=1):
            stem = cell.file_stem(position)
            for told in cell.told_encoders[:2]:
                if told.answer.tried:
                    drawn[f"{stem}-curve-{told.place + 1}"] = curves.curve_figure(cell, told)
            if cell.joint and cell.joint.tried:
                drawn[f"{stem}-joint"] = curves.joint_figure(cell, cell.joint)
            if curves.has_similarity(cell):
                drawn[f"{stem}-alignment"] = curves.similarity_figure(cell)
            for kind, draws in _WHERE_THERE_IS_ANY.items():
                if figure := draws(cell):
                    drawn[f"{stem}-{kind}"] = figure
            if cell.pid and any(value is not None for value in cell.pid.components.values()):
                drawn[f"{stem}-pid"] = information_figure(cell.pid, cell.names)
            if cell.forecast and (figure := theory.forecast_figure(cell.forecast, cell.names)):
                drawn[f"{stem}-forecast"] = figure
            if together := theory.told_together(cell):
                drawn[f"{stem}-theory"] = theory.together_figure(together, cell)
        whole = {OVERVIEW: across.overview, SIDE_BY_SIDE: across.side_by_side, CHANGES: across.changes}
        drawn.update((name, figure) for name, draws in whole.items() if (figure := draws(cells)))
        if any(cell.stand_in for cell in cells):
            for figure in drawn.values():
                watermark(figure, "stand-in data")
    return dict(sorted(drawn.items()))


def draw_curves(cells: Sequence[CellResult]) -> dict[str, str]:
    """The curves of both encoders of each cell as SVG text, by name: what a study that runs is looked at for."""
    drawn = {}
    with style():
        for position, cell in enumerate(cells, start=1):
            for told in cell.told_encoders[:2]:
                if told.answer.tried:
                    figure = curves.curve_figure(cell, told)
                    if cell.stand_in:
                        watermark(figure, "stand-in data")
                    drawn[f"{cell.file_stem(position)}-curve-{told.place + 1}"] = as_svg(figure)
    return drawn


def draw(cells: Sequence[CellResult], folder: Path) -> list[Path]:
    """Write every figure of a report's cells as SVG and PNG into `folder` (made if missing); the files, sorted.

    Figures of an earlier report that this one no longer has are removed.

    Raises:
        OSError: `folder` cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, figure in figures(cells).items():
        for extension, content in encoded(figure).items():
            path = folder / f"{name}.{extension}"
            path.write_bytes(content)
            written.append(path)
    for path in folder.iterdir():
        if path not in written and is_figure(path.name):
            path.unlink()
    return sorted(written)
