"""Notes that MLflow shows beside a study and beside a cell: what is told of them, as Markdown."""

from __future__ import annotations

from collections.abc import Sequence

from study.results.model import CellResult, Report
from study.results.text import amounts
from study.results.text.doubts import caveats
from study.results.text.joint import joint_sentence
from study.results.text.pair import cell_sentence
from study.tracking.naming import markdown

NOTE_LIMIT = 7500  # characters; MLflow cuts a tag at 8000


def study_note(report: Report) -> str:
    """The experiment's description: one sentence per pair."""
    lines = [f"{place}. {_sentence(cell)}" for place, cell in enumerate(report.cells, start=1)]
    return "\n".join(lines)[:NOTE_LIMIT]


def cell_note(cell: CellResult, pictures: Sequence[str]) -> str:
    """The run's description: the sentence, the table, the figures, and what would change the answer."""
    images = [f"![{name}](get-artifact?path=figures%2F{name}&run_uuid={{run}})" for name in pictures]
    kept = [encoder.model.registered for encoder in cell.encoders if encoder.model]
    usage = [f'- `mlflow.pyfunc.load_model("models:/{name}@best")`' for name in kept if name]
    doubts = [f"- {markdown(sentence)}" for sentence in caveats(cell)]
    sections = [
        f"**{_sentence(cell)}**",
        markdown(joint_sentence(cell)),
        "\n".join(_table(cell)),
        "\n".join(images),
        "\n".join(["What would change this answer:", "", *doubts]) if doubts else "",
        "\n".join(["The encoders, trained at the recommended strengths:", "", *usage]) if usage else "",
        "The whole report is `report.html` among the artifacts.",
    ]
    note = "\n\n".join(section for section in sections if section)
    return note if len(note) <= NOTE_LIMIT else note[:NOTE_LIMIT] + " …"


def _sentence(cell: CellResult) -> str:
    return markdown(cell_sentence(cell))


def _table(cell: CellResult) -> list[str]:
    rows = [
        "| encoder | λ* [90 %] | gain over λ = 0 [90 %] | p (Holm) | verdict | curve |",
        "|---|---|---|---|---|---|",
    ]
    for index, name, encoder in cell.told_encoders:
        columns = (
            name,
            amounts.strength_with_interval(encoder),
            amounts.gain_text(encoder, cell.metric(index)),
            amounts.p_text(amounts.told_gain(encoder)[0]),
            encoder.verdict or "–",
            amounts.curve_text(encoder, cell.metric(index)) or "–",
        )
        rows.append(f"| {' | '.join(markdown(column) for column in columns)} |")
    return rows
