"""A study's report written again from its record alone, where nothing else of it needs to be left."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from study.cells.same_data import check_same, data_at_hand, digests
from study.cli.display import Display
from study.config import ConfigError, StudyConfig, differences, load_resolved, parse_resolved, to_yaml
from study.config.folder import StudyFolder
from study.results.model import Report
from study.search import Ledger, close_storage, open_storage, read_notes
from study.search.record.locks import held
from study.search.record.notes import CELLS, CONFIGURATION, DATA, EXTENSIONS, STUDY_FILE
from study.search.record.private import for_owner_alone
from study.search.record.storage import Storage
from study.session.opening import choices_of, locked, space_of
from study.tracking import Tracker


def rebuild(folder: Path, *, storage: str | None = None, tracking: str | None, display: Display) -> Report:
    """Write a study's report again, and its projection to MLflow if `tracking` is given, from its record alone.

    Args:
        folder: of the study; made where there is none and the record lies elsewhere.
        storage: that holds the record, as in a study file, under the folder's name; None: the one that the folder's
            config.yaml names, or else a journal in the folder.
        tracking: MLflow's tracking URI.
        display: shows lines.

    Raises:
        ConfigError: there is no such study, it is being run, the folder holds another one of its name, or its data are
            at hand and have changed. Where they cannot be loaded here, the record alone speaks.
    """
    from study.session.publishing import publish, recorded_report

    files = StudyFolder(folder)
    own = load_resolved(files.config) if files.config.exists() else None
    place = Storage(storage or (own.storage if own else "journal"))
    name = own.study if own and storage is None else folder.name
    config = _recorded_config(place, name, files)
    if own and own.hash != config.hash:
        raise ConfigError(
            f"{folder} holds another study of this name ({'; '.join(differences(own.identity, config.identity))}); "
            "give another folder with --out"
        )
    with (
        locked(folder.parent, folder.name),
        held(place, name, folder=folder, on_wait=display.say),
        closing(
            Ledger(
                open_storage(place, folder=files.record),
                name=name,
                space=space_of(config),
                choices=choices_of(config),
            )
        ) as ledger,
    ):
        extensions = ledger.note(EXTENSIONS)
        cells = tuple(cell.cell(config, extensions=extensions) for cell in ledger.note(CELLS) or ())
        if known := ledger.note(DATA):
            remedy = "undo the change, or rebuild where they are not at hand"
            check_same(known, digests(cells, data_at_hand(cells)), cells, study=name, remedy=remedy)
        report = recorded_report(cells, ledger)
        with for_owner_alone():
            files.config.write_text(to_yaml(config), encoding="utf-8")
        return publish(report, folder, config, Tracker(tracking, say=display.say) if tracking else None, display)


def _recorded_config(place: Storage, name: str, files: StudyFolder) -> StudyConfig:
    """The configuration of the study called `name`, as it was last run with."""

    def refuse(damage: str) -> None:  # a report of a part must not take the place of the whole one
        raise ConfigError(f"{damage}; run the study again with study.run, which goes on from what is sound")

    opened = open_storage(place, folder=files.record, read_only=True, say=refuse)
    try:
        notes = read_notes(opened, name)
    finally:
        close_storage(opened)
    cells, identity = CELLS.among(notes), CONFIGURATION.among(notes)
    if not cells or not identity:
        where = place.label if place.kind != "journal" else files.path
        raise ConfigError(
            f"{where} holds no study {name} that has begun; run it first, "
            "or name one of those that python -m study.status lists"
        )
    text = STUDY_FILE.among(notes)
    if text is None:
        try:
            text = to_yaml(StudyConfig.of_identity(identity))
        except ValueError:
            raise ConfigError(
                f"the record of {name} has a configuration of another version; read it with the version that wrote it"
            ) from None
    return parse_resolved(text, source=f"the record of {name}")
