"""The encoders that a study keeps: what the report says of them, and their files."""

from __future__ import annotations

import contextlib
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import cast

from study.cells.cell import Cell
from study.cells.trials import Asked, Setting
from study.config.folder import MODELS, StudyFolder
from study.results.model import KeptEncoder, Report
from study.search import Ledger
from study.selection import Strategy, strengths_by_encoder
from trainables.functions.spec import FunctionSpec
from trainables.saving.place import Place
from trainables.spec import PackSpec


def kept_encoder(
    cell: Cell, ledger: Ledger, encoder: int, *, settings: tuple[Setting, Setting] | None, stem: str
) -> KeptEncoder | None:
    """The entry of encoder 0 or 1 of a cell: its file, its registered name, how it was trained and what it scores.

    `settings` are those that the report recommends for the two, `stem` is that of the cell's files. None where it was
    not trained so, or diverged: what was trained for a decision that has changed since is not this report's. None, too,
    where a function did not keep it.
    """
    trial = _trained(ledger, cell.id, settings[encoder]) if settings else None
    if trial is None:
        return None
    score = trial.results[0].scores[encoder]
    if not math.isfinite(score):
        return None
    spec = cell.job("final", [(trial.setting, 0)])
    if isinstance(spec, FunctionSpec) and encoder not in trial.results[0].kept:
        return None
    return KeptEncoder(
        file=f"{MODELS}/{stem}-{encoder + 1}-{_safe(cell.pair[encoder])}.pt",
        registered=_registered_name(cell, encoder),
        training=spec.hash,
        strengths=(trial.setting.strength_1, trial.setting.strength_2),
        nuisance=dict(sorted(trial.setting.nuisance.items())),
        seed=spec.replicas[0].seed,
        fit=spec.fit if isinstance(spec, PackSpec) else (),
        split=spec.evaluate,
        score=score,
    )


def not_kept(cells: Sequence[Cell], ledger: Ledger) -> tuple[str, ...]:
    """The encoders that a study was to keep and a function has trained without `trial.keep`, in the order of cells."""
    return tuple(
        dict.fromkeys(
            name
            for cell in cells
            if cell.config.models and cell.config.trainer is not None
            for index, name in enumerate(cell.pair)
            if (finals := [trial for trial in ledger.trials(cell.id, "final") if trial.results])
            and not any(index in trial.results[0].kept for trial in finals)
        )
    )


def lacks_encoders(report: Report, cells: Sequence[Cell], ledger: Ledger) -> bool:
    """Whether encoders that a study keeps were never trained at the strengths that its report recommends.

    So of a study that an earlier version ended, which corrected each pair's strategies alone before it trained them.
    """
    for cell, result in zip(cells, report.cells, strict=True):
        choice = result.pair_choice
        if not cell.config.models or choice.strategy is None or choice.strengths is None:
            continue
        confirmed = {_strengths(trial) for trial in ledger.trials(cell.id, "confirm") if trial.results}
        trained = {_strengths(trial) for trial in ledger.trials(cell.id, "final") if trial.results}
        if not set(strengths_by_encoder(cast("Strategy", choice.strategy), choice.strengths)) & confirmed <= trained:
            return True
    return False


def _strengths(trial: Asked) -> tuple[float, float]:
    return trial.setting.strength_1, trial.setting.strength_2


def _trained(ledger: Ledger, cell: str, setting: Setting) -> Asked | None:
    trials = [trial for trial in ledger.trials(cell, "final") if trial.setting == setting and 0 in trial.results]
    return trials[-1] if trials else None


def collect_encoders(report: Report, folder: Path, *, written: Place, kept: Place | None = None) -> None:
    """Move the files of a report's encoders from where the trainings wrote them to the study's folder, and to the
    place in a bucket that it is a copy of, if it is one.
    """
    from trainables.saving.export import encoder_file  # here: it brings torch, and a report does without

    StudyFolder(folder).models.mkdir(exist_ok=True)
    for cell in report.cells:
        for index, encoder in enumerate(cell.encoders):
            model = encoder.model
            if model and model.training and model.file:
                with contextlib.suppress(FileNotFoundError):  # an earlier run has it there already
                    _collect(encoder_file(model.training, index), folder / model.file, written=written, kept=kept)


def _collect(name: str, target: Path, *, written: Place, kept: Place | None) -> None:
    if kept is None:
        written.take(name, target)
        return
    written.download(name, target)
    kept.upload(target, f"{MODELS}/{target.name}")  # before the other goes: this machine may be lost at any moment
    written.remove(name)


def _registered_name(cell: Cell, encoder: int) -> str:
    """`<study>.<pair>.<modality>`, the pair with what is special about its data; MLflow takes no / and no :."""
    pair = "-".join([*(f"{key}={value}" for key, value in cell.variant.items()), *cell.pair])
    return re.sub(r"[/:\s]+", "-", f"{cell.config.study}.{pair}.{cell.pair[encoder]}")


def _safe(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9_-]+", "-", name).strip("-")[:40] or "encoder"
