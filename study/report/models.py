"""The encoders that a study keeps: what the report says of them, and their files."""

from __future__ import annotations

import contextlib
import math
import re
from pathlib import Path
from typing import Any

from study.cells import Cell
from study.report.reading import Report, part, parts
from study.search import Ledger
from trainables.export import encoder_file
from trainables.place import Place

FOLDER = "models"  # beside the report


def kept_encoder(cell: Cell, ledger: Ledger, encoder: int, *, stem: str) -> dict[str, Any] | None:
    """The entry of encoder 0 or 1 of a cell: its file, its registered name, how it was trained and what it scores.

    None where it was not trained, or diverged. `stem` is that of the cell's files.
    """
    trials = [trial for trial in ledger.trials(cell.id, "final") if 0 in trial.results]
    if not trials:
        return None
    trial = trials[min(encoder, len(trials) - 1)]  # two where each encoder has a strength of its own
    score = trial.results[0].scores[encoder]
    if not math.isfinite(score):
        return None
    spec = cell.pack("final", [(trial.setting, 0)])
    return {
        "file": f"{FOLDER}/{stem}-{encoder + 1}-{_safe(cell.pair[encoder])}.pt",
        "registered": _registered_name(cell, encoder),
        "training": spec.hash,
        "strengths": [trial.setting.strength_1, trial.setting.strength_2],
        "nuisance": dict(sorted(trial.setting.nuisance.items())),
        "seed": spec.replicas[0].seed,
        "fit": list(spec.fit),
        "split": spec.evaluate,
        "score": score,
    }


def collect_encoders(report: Report, folder: Path, *, written: Place) -> None:
    """Move the files of a report's encoders from where the trainings wrote them to the study's folder."""
    (folder / FOLDER).mkdir(exist_ok=True)
    for cell in parts(report, "cells"):
        for index, entry in enumerate(parts(cell, "encoders")):
            model = part(entry, "model")
            if model:
                with contextlib.suppress(FileNotFoundError):  # an earlier run has it there already
                    written.take(encoder_file(str(model["training"]), index), folder / str(model["file"]))


def _registered_name(cell: Cell, encoder: int) -> str:
    """`<study>.<pair>.<modality>`, the pair with what is special about its data; MLflow takes no / and no :."""
    pair = "-".join([*(f"{key}={value}" for key, value in cell.variant.items()), *cell.pair])
    return re.sub(r"[/:\s]+", "-", f"{cell.config.study}.{pair}.{cell.pair[encoder]}")


def _safe(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9_-]+", "-", name).strip("-")[:40] or "encoder"
