"""One study from its configuration to its report: its lock, its record, Ray for as long as it trains, its files."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from importlib import import_module
from pathlib import Path

from study.cells.building import build_cells, data_notes
from study.cells.cell import Cell
from study.cells.same_data import DATA, check_same, data_at_hand, digests, has_rescaled_targets, merged
from study.cli.display import Display
from study.cluster.pool import Cluster
from study.config import ConfigError, StudyConfig, differences, load_config, parse_config, to_yaml
from study.results.model import Report
from study.results.run import RUN, VERSIONS
from study.search import Ledger, close_storage, open_storage, read_notes
from study.search.record.events import EventLog
from study.search.record.locks import FileLock, held
from study.search.record.private import for_owner_alone, made_for_owner_alone, make_folder
from study.search.record.storage import Storage
from study.search.record.versions import library_versions
from study.session.memory import PeakMemory
from study.session.same_study import as_recorded, cells_as_recorded
from study.tracking import Tracker, TrackingResult
from trainables.datasets import MultimodalData
from trainables.saving.place import Place

LOCK = ".lock"
JOURNAL = "optuna"  # folder of the record, if it is a file
CHECKPOINTS = "packs"  # of packs in flight
CONFIG = "config.yaml"  # the resolved study file
_ABANDONED_SECONDS = 24 * 3600.0
STUDY_FILE = "study_file"  # note of the ledger: the text of config.yaml


def run_study(
    config: StudyConfig,
    *,
    out: Path,
    address: str | None = None,
    tracking: str,
    display: Display,
    started: float,
) -> Report:
    """Run or resume a study, write its folder `out/<study>`, and return the report.

    Args:
        config: of the study.
        out: folder of all studies.
        address: of a running Ray cluster; None starts one here.
        tracking: MLflow's tracking URI.
        display: shows progress and lines.
        started: `time.monotonic()` at which the command started, for the report's wall time.

    Raises:
        ConfigError: the configuration does not fit the data, the machine, or the study of this name on record.
    """
    cells, datasets = build_cells(config)
    for line in data_notes(datasets):
        display.say(line)
    with ExitStack() as stack:
        memory = stack.enter_context(PeakMemory())
        folder = stack.enter_context(locked(out, config.study))
        storage, events = Storage(config.storage), EventLog(folder, study=config.study)
        checkpoints = _checkpoints(config, folder)

        def on_wait(line: str) -> None:
            display.say(line)
            events.emit("storage_away", {"reason": line})

        renew = stack.enter_context(held(storage, config.study, folder=folder, on_wait=on_wait))
        events.emit("study_started", {"storage": storage.label, "cells": len(cells), "config_hash": config.hash})

        def on_damage(line: str) -> None:
            display.say(line)
            events.emit("record_damaged", {"reason": line})

        with for_owner_alone():
            opened = open_storage(storage, folder=folder / JOURNAL, say=on_damage)
        ledger = Ledger(opened, name=config.study, space=_space(config), renew=renew)
        stack.callback(ledger.close)
        config, cells, datasets = _check_in(config, cells, datasets, folder, ledger, say=display.say)
        if config.resources.checkpoints is None:
            checkpoints.clear("*.pt.*")  # torn by a kill
        tracker = Tracker(tracking, say=display.say)
        storage.check_apart(tracker.uri)
        if (ended := ledger.note(RUN)) and not ended["errors"]:  # nothing is left to train, nor to start Ray for
            from study.results.encoders import lacks_encoders
            from study.session.publishing import publish, recorded_report

            recorded = recorded_report(cells, ledger)
            if not lacks_encoders(recorded, cells, ledger):
                checkpoints.clear("*.pt*", untouched=_untouched(config))
                return publish(recorded, folder, config, tracker, display)
        if done := ledger.trained:
            display.say(f"resuming: {done} training{'s' * (done > 1)} done")
        joined = stack.enter_context(ExitStack())  # left after the background, if that reads the data that Ray holds
        background = stack.enter_context(ThreadPoolExecutor(2))
        prepared = background.submit(_prepare, tracker)
        data_bytes = sum(data.n_bytes for data in datasets.values())
        cluster = joined.enter_context(
            Cluster(config.resources, address=address, data_bytes=data_bytes, say=display.say)
        )
        storage.check_nodes(cluster.nodes)
        datasets = cluster.share_data(datasets)  # and nothing else holds them any more

        from study.results.writing import write_report
        from study.session.driver import complete, drive
        from study.session.publishing import show_report

        trained = drive(
            cells,
            datasets,
            ledger,
            cluster,
            folder=folder,
            checkpoints=checkpoints,
            events=events,
            tracker=tracker,
            tracking=prepared,
            background=background,
            display=display,
            memory=memory,
            started=started,
        )

        def end() -> Report:
            report = complete(cells, ledger, trained, folder=folder, checkpoints=checkpoints)
            write_report(report, folder)
            checkpoints.clear("*.pt*", untouched=_untouched(config))
            return report

        del datasets  # they lie in Ray's memory
        ending = background.submit(end)  # which needs nothing of Ray, whose end takes a second
        joined.close()
        report = ending.result()
        show_report(report, folder, config, tracker, display)
        return report


def _prepare(tracker: Tracker) -> TrackingResult:
    """What takes seconds and needs no Ray, while that starts: importing what comes next, and MLflow's store."""
    for module in ("study.session.driver", "study.session.publishing"):
        import_module(module)
    with made_for_owner_alone(tracker.uri):
        return tracker.prepare()


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

    own = load_config(folder / CONFIG) if (folder / CONFIG).exists() else None
    place = Storage(storage or (own.storage if own else "journal"))
    name = own.study if own and storage is None else folder.name
    config = _recorded_config(place, name, folder)
    if own and own.hash != config.hash:
        raise ConfigError(
            f"{folder} holds another study of this name ({'; '.join(differences(own.identity, config.identity))}); "
            "give another folder with --out"
        )
    with locked(folder.parent, folder.name), ExitStack() as stack:
        stack.enter_context(held(place, name, folder=folder, on_wait=display.say))
        ledger = Ledger(open_storage(place, folder=folder / JOURNAL), name=name, space=_space(config))
        stack.callback(ledger.close)
        cells = tuple(Cell.from_json(value, config=config) for value in ledger.note("cells"))
        if known := ledger.note(DATA):
            remedy = "undo the change, or rebuild where they are not at hand"
            check_same(known, digests(cells, data_at_hand(cells)), cells, study=name, remedy=remedy)
        report = recorded_report(cells, ledger)
        with for_owner_alone():
            (folder / CONFIG).write_text(to_yaml(config), encoding="utf-8")
        return publish(report, folder, config, Tracker(tracking, say=display.say) if tracking else None, display)


def _recorded_config(place: Storage, name: str, folder: Path) -> StudyConfig:
    """The configuration of the study called `name`, as it was last run with."""

    def refuse(damage: str) -> None:  # a report of a part must not take the place of the whole one
        raise ConfigError(f"{damage}; run the study again with study.run, which goes on from what is sound")

    opened = open_storage(place, folder=folder / JOURNAL, read_only=True, say=refuse)
    try:
        notes = read_notes(opened, name)
    finally:
        close_storage(opened)
    if not notes.get("cells") or not notes.get("configuration"):
        raise ConfigError(
            f"{place.label if place.kind != 'journal' else folder} holds no study {name} that has begun; run it first, "
            "or name one of those that python -m study.status lists"
        )
    text = notes.get(STUDY_FILE) or to_yaml(StudyConfig.model_validate(notes["configuration"]))
    return parse_config(text, source=f"the record of {name}")


@contextmanager
def locked(out: Path, study: str) -> Iterator[Path]:
    """The study's folder `out/study`, held against every other driver for as long as the context lasts.

    Raises:
        ConfigError: another process holds it, or it cannot be written.
    """
    folder = out / study
    if folder.is_symlink():
        raise ConfigError(
            f"{folder} is a link to elsewhere, where a study must not write; remove it, or link {out} itself"
        )
    busy = f"the study {study} in {out} is being run already ({{holder}}); "
    busy += "wait for it, or give this one another name or --out"
    with ExitStack() as stack:
        try:
            make_folder(folder)
            stack.enter_context(FileLock(folder / LOCK, busy=busy).held())
        except OSError as error:
            raise ConfigError(
                f"cannot write the output folder {folder}: {error.strerror}; choose another one with --out"
            ) from None
        yield folder


def _check_in(
    config: StudyConfig,
    cells: tuple[Cell, ...],
    datasets: Mapping[str, MultimodalData],
    folder: Path,
    ledger: Ledger,
    *,
    say: Callable[[str], None],
) -> tuple[StudyConfig, tuple[Cell, ...], Mapping[str, MultimodalData]]:
    """Begin a record, or go on with one of the same configuration and data; all of them as the record spells them."""
    ledger.take_over()
    known = ledger.note("configuration")
    if known is not None:
        config = as_recorded(config, known, datasets, cells=ledger.note("cells"))
    if known is None:
        ledger.set_note(DATA, digests(cells, datasets))
        ledger.set_note("cells", [cell.to_json() for cell in cells])
        ledger.set_note("configuration", config.identity)
    elif changed := differences(known, config.identity):
        raise ConfigError(
            f"the study {config.study} in {folder.parent} was started with another configuration "
            f"({'; '.join(changed)}); give this one another name, or undo the change to resume it"
        )
    else:
        cells, datasets = cells_as_recorded(cells, datasets, ledger.note("cells"), config)
        _check_data(ledger, cells, datasets, say)
    ledger.set_note(STUDY_FILE, to_yaml(config))
    ledger.set_note(VERSIONS, library_versions())
    with for_owner_alone():
        (folder / CONFIG).write_text(to_yaml(config), encoding="utf-8")
    return config, cells, datasets


def _check_data(
    ledger: Ledger,
    cells: Sequence[Cell],
    datasets: Mapping[str, MultimodalData],
    say: Callable[[str], None],
) -> None:
    """Whether a study goes on with the data that it began with; what the version before has not noted is noted.

    Raises:
        ConfigError: it does not, or what it has trained cannot be compared with what it would train.
    """
    study, current = cells[0].config.study, digests(cells, datasets)
    remedy = "give this one another name, or undo the change to resume it"
    if (known := ledger.note(DATA)) is None:
        ended = ledger.note(RUN)
        if (ended is None or ended["errors"]) and has_rescaled_targets(cells, datasets):
            raise ConfigError(
                f"the study {study} was begun by a version that trained on real targets in the data's own unit, so "
                "that its strengths mean something else; give this one another name to run it anew"
            )
        say(f"the record of {study} is of a version that kept no digest of the data; from now on they are compared")
    else:
        check_same(known, current, cells, study=study, remedy=remedy)
    before, now = [value["id"] for value in ledger.note("cells")], [cell.id for cell in cells]
    if before != now:
        odd = ", ".join(sorted(set(before) ^ set(now)))
        raise ConfigError(f"the data of the study {study} changed after it began (other pairs: {odd}); {remedy}")
    if known is None or known != (noted := merged(known, current)):
        ledger.set_note(DATA, current if known is None else noted)


def _checkpoints(config: StudyConfig, folder: Path) -> Place:
    """Where packs in flight keep their checkpoints: in the study's folder, unless the study file names a place."""
    given = config.resources.checkpoints
    try:
        return Place(str(folder.resolve())).below(CHECKPOINTS) if given is None else Place(given).below(config.study)
    except OSError as error:
        raise ConfigError(f"cannot write the checkpoints' folder {given or folder}: {error.strerror}") from None


def _untouched(config: StudyConfig) -> float:
    """For how many seconds nobody must have written to a checkpoint that nobody needs: another study of this name may
    keep its own in a place that the study file names, but none in a folder that is locked.
    """
    return 0.0 if config.resources.checkpoints is None else _ABANDONED_SECONDS


def _space(config: StudyConfig) -> dict[str, tuple[float, float]]:
    nuisance = {str(name): values.bounds for name, values in config.search.nuisance.items()}
    return {"strength": config.strength.range, **nuisance}
