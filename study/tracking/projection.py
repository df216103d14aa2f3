"""What MLflow should show of a report: runs as plain records, made without MLflow and without touching anything.

One record per cell (the answer: its note, tags, metrics and files) and one per strength under it (two levels, no more:
deeper nesting cannot be browsed). Records are a function of the report and the files beside it, so they can be made
again at any time; `study.tracking` compares them with the store and writes the difference.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

from study.config.folder import CONFIG, StudyFolder
from study.results.figures.names import FIGURES
from study.results.model import CellResult, GainResult, ProfileResult, Report
from study.results.names import natural_names
from study.results.text import amounts
from study.tracking.content import ModelRecord, RunRecord
from study.tracking.naming import key, line
from study.tracking.notes import cell_note
from study.tracking.numbers import cell_metrics, points_at, strength_metrics
from study.tracking.settings import Settings
from trainables.spec import content_hash

_STATUS = {"complete": "FINISHED", "partial": "RUNNING", "interrupted": "KILLED", "failed": "FAILED"}


def study_key(report: Report) -> str:
    """What all runs of a study share: hash of its name and configuration (another configuration: other runs).

    Of one that was extended it is the configuration that it began with: its runs are brought up to date.
    """
    return content_hash([str(report.study), str(report.begun_as or report.config_hash)])


def records(report: Report, *, folder: Path | None = None, config_text: str = "") -> list[RunRecord]:
    """Every run of a study, each cell before its strengths; `folder` holds report.html, report.json and figures/."""
    names = natural_names([cell.title for cell in report.cells])
    settings, made = Settings(config_text), []
    for position, (cell, name) in enumerate(zip(report.cells, names, strict=True), start=1):
        files = tuple(_files(folder, cell.file_stem(position)))
        parent = RunRecord(
            identity=content_hash([study_key(report), cell.identity]),
            parent=None,
            name=name,
            status=_status(report, cell),
            params={**settings.of_a_cell, **_params(report, cell)},
            metrics=cell_metrics(cell),
            tags=_tags(report, cell),
            note=cell_note(cell, [path.name for place, path in files if place and path.suffix == ".png"]),
            files=files,
            texts={CONFIG: config_text} if config_text else {},
            dataset=_dataset(cell),
            models=tuple(_models(report, cell, folder)) if folder else (),
        )
        made.append(parent)
        made.extend(_strength_records(cell, parent.identity, {**settings.of_a_training, **_options(cell)}))
    return made


def _status(report: Report, cell: CellResult) -> str:
    status = _STATUS.get(report.status or "complete", "RUNNING")
    # Of a study that ended, a cell without an answer has failed.
    return "FAILED" if status == "FINISHED" and not cell.pair_choice.strategy else status


def _params(report: Report, cell: CellResult) -> dict[str, str]:
    own = cell.own_training
    params = {"seed": report.seed, **cell.variant, **({"trainer": own.call} if own else {})}
    return {**{key(name): str(value) for name, value in params.items() if value is not None}, **_options(cell)}


def _options(cell: CellResult) -> dict[str, str]:
    """The options of the user's function."""
    options = cell.own_training.options if cell.own_training else {}
    return {key(f"option_{name}"): str(value) for name, value in options.items() if value is not None}


def _strength_records(cell: CellResult, parent: str, settings: Mapping[str, str]) -> Iterator[RunRecord]:
    strengths = sorted({strength for encoder in cell.encoders[:2] for strength in encoder.tried})
    names = natural_names([f"λ = {strength:g}" for strength in strengths])
    for strength, name in zip(strengths, names, strict=True):
        yield RunRecord(
            identity=content_hash([parent, strength]),
            parent=parent,
            name=name,
            status="FINISHED" if any(point.seeds for point in points_at(cell, strength)) else "FAILED",
            params={**settings, "strength": f"{strength:g}"},
            metrics=strength_metrics(cell, strength),
            tags={
                "dataset": line(cell.dataset or "none"),
                "pair": " + ".join(cell.names),
                "stand_in": _yes(cell.stand_in),
            },
        )


def _tags(report: Report, cell: CellResult) -> dict[str, str]:
    choice, profile = cell.pair_choice, cell.pid or ProfileResult()
    tags = {
        "dataset": cell.dataset,
        "pair": " + ".join(cell.names),
        "strategy": choice.strategy,
        "direction": cell.direction,
        "verdict": cell.advice.verdict,
        "gain": _standing(cell.advice.gain or GainResult()),
        "dominant": profile.dominant,
        "pid_estimator": profile.estimator,
        "stand_in": _yes(report.stand_in),
        "config_hash": report.config_hash,
        "code": " ".join(cell.own_training.code) if cell.own_training else None,
    }
    for index, encoder in enumerate(cell.encoders[:2], start=1):
        tags[f"modality_{index}"] = encoder.modality
        tags[f"verdict_{index}"] = encoder.verdict
        tags[f"gain_{index}"] = _standing(encoder.told_gain)
        tags[f"shape_{index}"] = encoder.shape
        tags[f"flags_{index}"] = ", ".join(encoder.flags) or "none"
    return {name: line(value) for name, value in tags.items() if value is not None}


def _standing(gain: GainResult) -> str | None:
    """What a gain may be told as, and for which rows."""
    told = amounts.standing(gain)
    if told is None or gain.source == "search":
        return told and f"{told}, in validation"
    return f"{told}, for {'new rows' if gain.is_for_new_rows else 'these rows'}"


def _files(folder: Path | None, stem: str) -> Iterator[tuple[str, Path]]:
    """The report and the cell's own figures, those that exist."""
    if folder is None:
        return
    files = StudyFolder(folder)
    for path in (files.page, files.report):
        if path.is_file():
            yield "", path
    for kind in FIGURES:
        for extension in ("png", "svg"):
            if (path := files.figures / f"{stem}-{kind}.{extension}").is_file():
                yield files.figures.name, path


def _models(report: Report, cell: CellResult, folder: Path) -> Iterator[ModelRecord]:
    """The kept encoders whose files are there."""
    for index, encoder in enumerate(cell.encoders[:2]):
        model, modality, metric = encoder.model, cell.names[index], cell.metric(index)
        if model is None or model.file is None or not (path := folder / model.file).is_file():
            continue
        strengths = " and ".join(f"{strength:g}" for strength in model.strengths or ())
        tags = {
            "dataset": cell.dataset,
            "label": cell.label,
            "modality": modality,
            "strengths": strengths,
            f"test_{key(amounts.told_as(metric))}": (
                None if model.score is None else f"{amounts.as_told(model.score, metric):.6f}"
            ),
            "stand_in": _yes(report.stand_in),
        }
        yield ModelRecord(
            name=str(model.registered),
            training=str(model.training),
            path=path,
            description=f"Encoder of {modality} of {cell.title}, trained with strengths {strengths}; "
            f"{amounts.score_name(metric)} {amounts.score_text(model.score, metric)} on the test split.",
            tags={
                **{name: line(value) for name, value in tags.items() if value},
                "config_hash": line(report.config_hash),
            },
        )


def _dataset(cell: CellResult) -> dict[str, str] | None:
    if cell.dataset is None:
        return None
    profile = cell.pid or ProfileResult()
    source = {"dataset": str(cell.dataset), "pair": list(cell.names), "variant": dict(cell.variant)}
    told = {**profile.components, "units": profile.units, "estimator": profile.estimator}
    return {
        "name": line(cell.dataset)[:500] or "data",
        "digest": content_hash(source),
        "source": json.dumps(source),
        "profile": json.dumps(told),
    }


def _yes(value: bool) -> str:
    return "yes" if value else "no"
