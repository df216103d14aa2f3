"""What MLflow should show of a report: runs as plain records, made without MLflow and without touching anything.

One record per cell (the answer: its note, tags, metrics and files) and one per strength under it (two levels, no more:
deeper nesting cannot be browsed). Records are a function of the report and the files beside it, so they can be made
again at any time; `study.tracking` compares them with the store and writes the difference.
"""

from __future__ import annotations

import hashlib
import html
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from study.config.folder import StudyFolder
from study.results import reading
from study.results.model import CellResult, from_json
from study.results.reading import FIGURES, Part, Report, number, part, parts
from study.results.text import amounts
from study.results.text.doubts import caveats
from study.results.text.pair import cell_sentence
from trainables.spec import content_hash

NOTE_LIMIT = 7500  # characters; MLflow cuts a tag at 8000
_STATUS = {"complete": "FINISHED", "partial": "RUNNING", "interrupted": "KILLED", "failed": "FAILED"}


@dataclass(frozen=True, kw_only=True)
class ModelRecord:
    """A model that MLflow should have: `training` identifies its weights, `path` is the file of the encoder."""

    name: str
    training: str
    path: Path
    description: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class RunRecord:
    """One run: `identity` finds it again, the rest is what it should hold.

    `metrics` are (name, value, step); `note` is Markdown in which `{run}` stands for the run's id; `files` are
    (folder among the artifacts, file); `dataset` is None or the name, digest, source and profile of the input.
    """

    identity: str
    parent: str | None  # identity of the cell's record, None for a cell
    name: str
    status: str
    params: Mapping[str, str] = field(default_factory=dict)
    metrics: tuple[tuple[str, float, int], ...] = ()
    tags: Mapping[str, str] = field(default_factory=dict)
    note: str = ""
    files: tuple[tuple[str, Path], ...] = ()
    texts: Mapping[str, str] = field(default_factory=dict)  # artifacts given as text, by name
    dataset: Mapping[str, str] | None = None
    models: tuple[ModelRecord, ...] = ()

    @property
    def content(self) -> str:
        """Hash of all that the run should hold, the files' bytes included; equal hashes need no writing."""
        files = [(folder, path.name, hashlib.sha256(path.read_bytes()).hexdigest()) for folder, path in self.files]
        return content_hash(
            [
                self.name, self.status, dict(self.params), self.metrics, dict(self.tags), self.note, files,
                dict(self.texts), dict(self.dataset or {}), [(model.name, model.training) for model in self.models],
            ]
        )  # fmt: skip


def study_key(report: Report) -> str:
    """What all runs of a study share: hash of its name and configuration (another configuration: other runs)."""
    return content_hash([str(report.get("study")), str(report.get("config_hash"))])


def study_note(report: Report) -> str:
    """The experiment's description: one sentence per pair."""
    cells = [from_json(CellResult, cell) for cell in parts(report, "cells")]
    lines = [f"{place}. {_markdown(cell_sentence(cell))}" for place, cell in enumerate(cells, start=1)]
    return "\n".join(lines)[:NOTE_LIMIT]


def records(report: Report, *, folder: Path | None = None, config_text: str = "") -> list[RunRecord]:
    """Every run of a study, each cell before its strengths; `folder` holds report.html, report.json and figures/."""
    cells = parts(report, "cells")
    names = reading.natural_names([reading.label_of(cell) for cell in cells])
    made = []
    for position, (cell, name) in enumerate(zip(cells, names, strict=True), start=1):
        parent = _cell_record(report, cell, position, name, folder, config_text)
        made.append(parent)
        made.extend(_strength_records(cell, parent.identity))
    return made


def _cell_record(report: Report, cell: Part, position: int, name: str, folder: Path | None, config: str) -> RunRecord:
    choice, profile = part(cell, "pair_choice"), part(cell, "pid")
    status = _STATUS.get(str(report.get("status", "complete")), "RUNNING")
    if status == "FINISHED" and not choice.get("strategy"):
        status = "FAILED"  # the study ended and this cell has no answer
    metrics = dict(_answer_metrics(choice, ""))
    for index, entry in enumerate(parts(cell, "encoders")[:2], start=1):
        metrics |= _answer_metrics(entry, f"_{index}")
        metrics[f"lambda_1se_{index}"] = number(entry.get("lambda_1se"))
        metrics[f"baseline_{index}"] = number(part(entry, "baseline").get("mean"))
    for alternative in parts(choice, "alternatives"):
        if alternative.get("strategy") == choice.get("strategy"):
            metrics |= _strategy_metrics(part(alternative, "gain_mean"))
        for index, gain in enumerate((alternative.get("gains") or ())[:2], start=1):
            key = f"gain_{_key(alternative.get('strategy'))}_{index}"
            metrics[key] = number(gain.get("mean")) if isinstance(gain, Mapping) else None
    metrics |= {key: number(profile.get(key)) for key in reading.COMPONENTS}
    metrics |= {key: number(value) for key, value in part(cell, "counts").items()}
    stem = reading.file_stem(cell, position)
    files = tuple(_files(folder, stem))
    variant = part(cell, "variant")
    return RunRecord(
        identity=content_hash([study_key(report), reading.identity_of(cell)]),
        parent=None,
        name=name,
        status=status,
        params={
            _key(key): str(value) for key, value in {"seed": report.get("seed"), **variant}.items() if value is not None
        },
        metrics=tuple((_key(key), value, 0) for key, value in metrics.items() if value is not None),
        tags=_cell_tags(report, cell),
        note=_note(cell, [path.name for sub, path in files if sub and path.suffix == ".png"]),
        files=files,
        texts={"config.yaml": config} if config else {},
        dataset=_dataset(cell),
        models=tuple(_models(report, cell, folder)) if folder else (),
    )


def _strength_records(cell: Part, parent: str) -> Iterator[RunRecord]:
    entries = parts(cell, "encoders")[:2]
    strengths = sorted({value for entry in entries for value in reading.strengths_of(entry)})
    names = reading.natural_names([f"λ = {strength:g}" for strength in strengths])
    similarity = {number(point.get("strength")): point for point in parts(cell, "alignment")}
    learning = {number(curve.get("strength")): curve for curve in parts(cell, "learning_curves")}
    for strength, name in zip(strengths, names, strict=True):
        metrics: dict[str, float | None] = {}
        for index, entry in enumerate(entries):
            score = f"{_key(reading.metric_of(cell, index))}_{index + 1}"
            point = next((p for p in parts(entry, "curve") if number(p.get("strength")) == strength), {})
            metrics[score] = number(point.get("mean"))
            metrics[f"{score}_sd"] = number(point.get("sd"))
            metrics[f"seeds_{index + 1}"] = number(point.get("seeds"))
            metrics[f"diverged_{index + 1}"] = number(point.get("diverged"))
        found = similarity.get(strength, {})
        metrics |= {f"similarity_{key}": number(found.get(key)) for key in ("cka", "svcca", "mutual_knn")}
        rows = [(key, value, 0) for key, value in metrics.items() if value is not None]
        yield RunRecord(
            identity=content_hash([parent, strength]),
            parent=parent,
            name=name,
            status="FAILED" if not any(metrics.get(f"seeds_{i}") for i in (1, 2)) else "FINISHED",
            params={"strength": f"{strength:g}"},
            metrics=(*rows, *_learning_metrics(cell, learning.get(strength, {}))),
            tags={
                "dataset": _line(cell.get("dataset")),
                "pair": " + ".join(reading.pair_of(cell)),
                "stand_in": "yes" if cell.get("stand_in") else "no",
            },
        )


def _learning_metrics(cell: Part, curve: Part) -> Iterator[tuple[str, float, int]]:
    """The learning curves, epoch by epoch; each point one metric value at step = epoch."""
    epochs = curve.get("epoch") or ()
    for index in (0, 1):
        values = curve.get(f"score_{index + 1}") or ()
        for epoch, value in zip(epochs, values, strict=False):
            if (score := number(value)) is not None and (step := number(epoch)) is not None:
                yield f"by_epoch/{_key(reading.metric_of(cell, index))}_{index + 1}", score, int(step)


def _answer_metrics(answer: Part, suffix: str) -> dict[str, float | None]:
    gain = part(answer, "gain_over_zero")
    low, high = reading.interval(answer.get("interval")) or (None, None)
    gain_low, gain_high = reading.interval(gain.get("interval")) or (None, None)
    return {
        f"lambda_star{suffix}": number(answer.get("lambda_star")),
        f"lambda_star{suffix}_low": low,
        f"lambda_star{suffix}_high": high,
        f"gain{suffix}": number(gain.get("mean")),
        f"gain{suffix}_low": gain_low,
        f"gain{suffix}_high": gain_high,
        f"p_value{suffix}": number(gain.get("p_adjusted", gain.get("p_value"))),
    }


def _strategy_metrics(gain: Part) -> dict[str, float | None]:
    """What the strategy gains for the pair as one; `gain` is that of one λ for both, whatever is recommended."""
    low, high = reading.interval(gain.get("interval")) or (None, None)
    return {
        "strategy_gain": number(gain.get("mean")),
        "strategy_gain_low": low,
        "strategy_gain_high": high,
        "strategy_p_value": number(gain.get("p_adjusted")),
    }


def _cell_tags(report: Report, cell: Part) -> dict[str, str]:
    choice = part(cell, "pair_choice")
    tags: dict[str, Any] = {
        "dataset": cell.get("dataset"),
        "pair": " + ".join(reading.pair_of(cell)),
        "strategy": choice.get("strategy"),
        "verdict": choice.get("verdict"),
        "dominant": part(cell, "pid").get("dominant"),
        "pid_estimator": part(cell, "pid").get("estimator"),
        "stand_in": "yes" if report.get("stand_in") else "no",
        "config_hash": report.get("config_hash"),
    }
    for index, entry in enumerate(parts(cell, "encoders")[:2], start=1):
        tags[f"modality_{index}"] = entry.get("modality")
        tags[f"verdict_{index}"] = entry.get("verdict")
        tags[f"shape_{index}"] = entry.get("shape")
        tags[f"flags_{index}"] = ", ".join(map(str, entry.get("flags") or ())) or "none"
    return {key: _line(value) for key, value in tags.items() if value is not None}


def _note(cell: Part, pictures: Sequence[str]) -> str:
    """The run's description: the sentence, the table, the figures, and what would change the answer."""
    rows = [
        "| encoder | λ* [90 %] | gain over λ = 0 [90 %] | p (Holm) | verdict | curve |",
        "|---|---|---|---|---|---|",
    ]
    told = from_json(CellResult, cell)
    for index, (name, answer) in enumerate(zip(told.names, told.encoders, strict=False)):
        columns = (
            name, amounts.strength_with_interval(answer), amounts.gain_text(answer, told.metric(index)),
            amounts.p_text(amounts.told_gain(answer)[0]), answer.verdict or "–", answer.shape or "–",
        )  # fmt: skip
        rows.append(f"| {' | '.join(_markdown(column) for column in columns)} |")
    images = [f"![{name}](get-artifact?path=figures%2F{name}&run_uuid={{run}})" for name in pictures]
    models = [part(entry, "model").get("registered") for entry in parts(cell, "encoders")]
    usage = [f'- `mlflow.pyfunc.load_model("models:/{name}@best")`' for name in models if name]
    doubts = [f"- {_markdown(line)}" for line in caveats(told)]
    sections = [
        f"**{_markdown(cell_sentence(told))}**",
        "\n".join(rows),
        "\n".join(images),
        "\n".join(["What would change this answer:", "", *doubts]) if doubts else "",
        "\n".join(["The encoders, trained at the recommended strengths:", "", *usage]) if usage else "",
        "The whole report is `report.html` among the artifacts.",
    ]
    note = "\n\n".join(section for section in sections if section)
    return note if len(note) <= NOTE_LIMIT else note[:NOTE_LIMIT] + " …"


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


def _models(report: Report, cell: Part, folder: Path) -> Iterator[ModelRecord]:
    """The kept encoders whose files are there."""
    for index, (modality, entry) in enumerate(zip(reading.pair_of(cell), parts(cell, "encoders"), strict=False)):
        model = part(entry, "model")
        if not model or not (path := folder / str(model.get("file"))).is_file():
            continue
        metric, score = reading.metric_of(cell, index), number(model.get("score"))
        strengths = " and ".join(f"{strength:g}" for strength in model.get("strengths", ()))
        yield ModelRecord(
            name=str(model.get("registered")),
            training=str(model.get("training")),
            path=path,
            description=f"Encoder of {modality} of {reading.label_of(cell)}, trained with strengths {strengths}; "
            f"{metric.replace('_', ' ')} {amounts.score_text(score, metric)} on the test split.",
            tags={
                **{key: _line(cell.get(key)) for key in ("dataset", "label") if cell.get(key)},
                "modality": _line(modality),
                "strengths": strengths,
                f"test_{_key(metric)}": f"{score:.6f}",
                "stand_in": "yes" if report.get("stand_in") else "no",
                "config_hash": _line(report.get("config_hash")),
            },
        )


def _dataset(cell: Part) -> dict[str, str]:
    source = {
        "dataset": str(cell.get("dataset")),
        "pair": list(reading.pair_of(cell)),
        "variant": dict(part(cell, "variant")),
    }
    profile = {key: part(cell, "pid").get(key) for key in (*reading.COMPONENTS, "units", "estimator")}
    return {
        "name": _line(cell.get("dataset"))[:500] or "data",
        "digest": content_hash(source),
        "source": json.dumps(source),
        "profile": json.dumps(profile),
    }


def _key(value: object) -> str:
    """A name that MLflow takes for a metric or parameter."""
    return re.sub(r"[^A-Za-z0-9_-]+", "_", str(value))[:200] or "_"


def _line(value: object) -> str:
    return " ".join(str(value).split())[:500]


def _markdown(value: object) -> str:
    """Text in which Markdown and HTML have no meaning."""
    return re.sub(r"([\\`*_{}\[\]#|!~$])", r"\\\1", html.escape(_line(value), quote=False))
