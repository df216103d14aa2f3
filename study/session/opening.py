"""Opening a study: its locks, its record, and whether it is the one that the record holds."""

from __future__ import annotations

import getpass
import os
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from study.cells.cell import Cell
from study.cells.same_data import check_same, digests, has_rescaled_targets, merged
from study.config import ConfigError, StudyConfig, differences, to_yaml
from study.config.folder import CHECKPOINTS, StudyFolder
from study.search import Ledger, open_storage
from study.search.record.events import EventLog
from study.search.record.extensions import past_of
from study.search.record.locks import FileLock, held
from study.search.record.notes import (
    CELLS,
    CONFIGURATION,
    DATA,
    EXTENSIONS,
    OWNER,
    RUN,
    STUDY_FILE,
    VERSIONS,
    RecordedCell,
)
from study.search.record.private import for_owner_alone, make_folder
from study.search.record.storage import Storage
from study.search.record.versions import library_versions
from study.session.bucket import Home
from study.session.extending import REMEDY, check_growth, extend, go_on, note_cells
from study.session.same_study import changed_code, in_words_of
from trainables.datasets import MultimodalData
from trainables.functions.spec import Value
from trainables.saving.place import Place

_ABANDONED_SECONDS = 24 * 3600.0
_OF_A_JOB = "[0-9a-f]" * 16  # the name of a folder that a user's function was given


@dataclass(frozen=True, kw_only=True)
class OpenStudy:
    """A study that this process alone may write: its folder, its record, its log, the place of its checkpoints."""

    folder: StudyFolder
    storage: Storage
    ledger: Ledger
    events: EventLog
    checkpoints: Place
    shares_checkpoints: bool  # whether their place is one that the study file names, and so is not locked with the rest
    kept: Place | None = None  # in a bucket, what `folder` is a copy of

    def remove_torn_checkpoints(self) -> None:
        """Remove what a killed process left half-written, where no other study can be writing."""
        if not self.shares_checkpoints:
            self.checkpoints.clear("*.pt.*")

    def remove_checkpoints(self) -> None:
        """Remove the checkpoints that nobody needs any more, as the study has ended.

        Another study of this name may keep its own in a place that the study file names: what was written to of late
        stays there.
        """
        untouched = _ABANDONED_SECONDS if self.shares_checkpoints else 0.0
        self.checkpoints.clear("*.pt*", untouched=untouched)
        self.checkpoints.clear_folders(_OF_A_JOB, untouched=untouched)


@contextmanager
def opened(config: StudyConfig, *, out: Path | Home, cells: int, say: Callable[[str], None]) -> Iterator[OpenStudy]:
    """The study in the folder `out`, this process's own until the context ends, whatever else does; `cells` are logged.

    Raises:
        ConfigError: another process has it, or its folder, record or checkpoints cannot be written.
    """
    home = Home(out) if isinstance(out, Path) else out
    with locked(home.folder, config.study) as folder:
        kept = home.kept(config.study)
        storage, events = Storage(config.storage), EventLog(folder, study=config.study)
        checkpoints = _checkpoints(config, kept or Place(str(folder.resolve())))

        def on_wait(line: str) -> None:
            say(line)
            events.emit("storage_away", {"reason": line})

        def on_damage(line: str) -> None:
            say(line)
            events.emit("record_damaged", {"reason": line})

        with held(storage, config.study, folder=folder, on_wait=on_wait) as renew:
            home.fetch()
            events.emit("study_started", {"storage": storage.label, "cells": cells, "config_hash": config.hash})
            with for_owner_alone():
                record = open_storage(storage, folder=StudyFolder(folder).record, say=on_damage)
            with closing(
                Ledger(record, name=config.study, space=space_of(config), choices=choices_of(config), renew=renew)
            ) as ledger:
                yield OpenStudy(
                    folder=StudyFolder(folder),
                    storage=storage,
                    ledger=ledger,
                    events=events,
                    checkpoints=checkpoints,
                    shares_checkpoints=config.resources.checkpoints is not None,
                    kept=kept,
                )
            home.push()  # while nobody else has the study


@contextmanager
def locked(out: Path, study: str) -> Iterator[Path]:
    """The study's folder `out/study`, held against every other driver for as long as the context lasts.

    Raises:
        ConfigError: another process holds it, or it cannot be written.
    """
    folder = out / study
    busy = f"the study {study} in {out} is being run already ({{holder}}); "
    busy += "wait for it, or give this one another name or --out"
    with ExitStack() as stack:
        try:
            if folder.is_symlink():
                raise ConfigError(
                    f"{folder} is a link to elsewhere, where a study must not write; remove it, or link {out} itself"
                )
            make_folder(folder)
            stack.enter_context(FileLock(StudyFolder(folder).lock, busy=busy).held())
        except OSError as error:
            raise ConfigError(
                f"cannot write the output folder {folder}: {error.strerror}; choose another one with --out"
            ) from None
        yield folder


def check_in(
    study: OpenStudy,
    config: StudyConfig,
    cells: tuple[Cell, ...],
    datasets: Mapping[str, MultimodalData],
    *,
    say: Callable[[str], None],
) -> tuple[StudyConfig, tuple[Cell, ...], Mapping[str, MultimodalData]]:
    """Begin a record, or go on with one of the same configuration and data; all of them as the record spells them.

    A configuration that asks for more of the same extends the record.

    Raises:
        ConfigError: the record is one of another configuration, of one that asks for more, or of other data.
    """
    ledger = study.ledger
    ledger.take_over()
    known, recorded = ledger.note(CONFIGURATION), ledger.note(CELLS) or ()
    if known is None:
        ledger.set_note(OWNER, _owner())
        ledger.set_note(DATA, digests(cells, datasets))
        ledger.set_note(CELLS, [RecordedCell.of(cell) for cell in cells])
        ledger.set_note(CONFIGURATION, config.identity)
    else:
        if left_out := differences(config.identity, config.as_begun(known).identity):
            say(
                f"the study {config.study} goes on as it began, where the default is another now: {'; '.join(left_out)}"
            )
        config, cells, datasets = in_words_of(known, recorded, config, cells, datasets)
        growth = check_growth(config, known, cells, recorded, where=study.folder.path.parent)
        _check_data(ledger, cells, datasets, recorded, extended=growth is not None, say=say)
        if growth is not None:
            extend(ledger, growth, config, cells, say=say)
            study.events.emit("study_extended", {"changes": list(growth.lines), "config_hash": config.hash})
        if lines := go_on(ledger, config, cells, say=say):
            study.events.emit("study_extended", {"changes": lines, "config_hash": config.hash})
        if {cell.id for cell in recorded} != {cell.id for cell in cells}:
            note_cells(ledger, cells)
        extensions = ledger.note(EXTENSIONS)
        cells = tuple(replace(cell, past=past_of(cell.id, extensions)) for cell in cells)
        for name in changed_code(cells, recorded):
            say(
                f"note: the code of {name} is not what {config.study} began with; its trainings so far stay, and new "
                "ones use the new code: give the study another name to train all of them anew"
            )
    ledger.set_note(STUDY_FILE, to_yaml(config))
    ledger.set_note(VERSIONS, library_versions())
    with for_owner_alone():
        study.folder.config.write_text(to_yaml(config), encoding="utf-8")
    return config, cells, datasets


def _owner() -> str:
    """Who runs this process, and where."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # of a number without a name, as in some containers
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"


def space_of(config: StudyConfig) -> dict[str, tuple[float, float]]:
    """Smallest and largest value of every parameter that a study searches, as a `Ledger` needs them."""
    nuisance = {name: one.bounds for name, one in config.search.nuisance.items() if one.choices is None}
    return {"strength": config.strength.range, **nuisance}


def choices_of(config: StudyConfig) -> dict[str, tuple[Value, ...]]:
    """All values of every parameter that a study chooses among some, as a `Ledger` needs them."""
    return {name: one.choices for name, one in config.search.nuisance.items() if one.choices is not None}


def _check_data(
    ledger: Ledger,
    cells: Sequence[Cell],
    datasets: Mapping[str, MultimodalData],
    recorded: Sequence[RecordedCell],
    *,
    extended: bool,
    say: Callable[[str], None],
) -> None:
    """Check that a study goes on with the data that it began with, and note what the version before has not noted.

    Raises:
        ConfigError: it does not, or what it has trained cannot be compared with what it would train.
    """
    name, current = cells[0].config.study, digests(cells, datasets)
    if (known := ledger.note(DATA)) is None:
        ended = ledger.note(RUN)
        if (ended is None or ended.errors or extended) and has_rescaled_targets(cells, datasets):
            raise ConfigError(
                f"the study {name} was begun by a version that trained on real targets in the data's own unit, so "
                "that its strengths mean something else; give this one another name to run it anew"
            )
        say(f"the record of {name} is of a version that kept no digest of the data; from now on they are compared")
    else:
        check_same(known, current, cells, study=name, remedy=REMEDY)
    before, now = {cell.id for cell in recorded}, {cell.id for cell in cells}
    pairs = {cell.pair for cell in recorded}
    # Of an extension that was killed before it noted its cells, the configuration on record asks for them.
    asked = {cell.id for cell in cells if extended or cell.config.pairs != "all" or cell.pair in pairs}
    if odd := (before - now) | (now - before - asked):
        raise ConfigError(
            f"the data of the study {name} changed after it began (other pairs: {', '.join(sorted(odd))}); {REMEDY}"
        )
    if known is None or known != (noted := merged(known, current)):
        ledger.set_note(DATA, current if known is None else noted)


def _checkpoints(config: StudyConfig, folder: Place) -> Place:
    """Where packs in flight keep their checkpoints: in the study's folder, unless the study file names a place."""
    given = config.resources.checkpoints
    try:
        return folder.below(CHECKPOINTS) if given is None else Place(given).below(config.study)
    except OSError as error:
        raise ConfigError(f"cannot write the checkpoints' folder {given or folder}: {error.strerror}") from None
