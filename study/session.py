"""One study from its configuration to its report: lock, profiles, training, projection, files."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from study.cells import Cell, build_cells
from study.cluster.pool import Cluster
from study.config import ConfigError, StudyConfig, differences, load_config, parse_config, to_yaml
from study.coordinator import ERRORS, Coordinator, Progress
from study.events import EventLog
from study.locks import FileLock, held
from study.packing import pack_size
from study.peak_memory import PeakMemory
from study.profiling import Profiling, recorded
from study.progress import Display
from study.report import write_report
from study.report.answers import recommended_settings
from study.report.build import RUN, Run, build_report, library_versions
from study.report.models import collect_encoders
from study.rounds import LEARNT
from study.search import Ledger, close_storage, open_storage, read_notes
from study.storage import Storage
from study.tracking import Tracker, TrackingResult
from study.transfer import COMPONENTS, beside, experiences, most_similar
from trainables.place import Place

LOCK = ".lock"
JOURNAL = "optuna"  # folder of the record, if it is a file
CHECKPOINTS = "packs"  # of packs in flight
CONFIG = "config.yaml"  # the resolved study file
# Notes of the ledger, which together with its trials hold all that a report is made of.
EXPERIENCES = "experiences"  # what later studies may learn from this one
STUDY_FILE = "study_file"  # the text of config.yaml
VERSIONS = "versions"  # of the libraries that the study was last run with


def run_study(
    config: StudyConfig,
    *,
    out: Path,
    address: str | None = None,
    tracking: str,
    display: Display,
    started: float,
) -> dict[str, Any]:
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
        ledger = _open_ledger(config, cells, folder, renew)
        stack.callback(ledger.close)
        tracker = Tracker(tracking)
        storage.check_apart(tracker.uri)
        if (ended := ledger.note(RUN)) and not ended["errors"]:  # nothing is left to train, nor to start Ray for
            return _publish(_recorded_report(cells, ledger), folder, config, tracker, display)
        joined = stack.enter_context(ExitStack())  # left after the background, which reads the data that Ray holds
        background = stack.enter_context(ThreadPoolExecutor(2))
        busy: Future[TrackingResult] = background.submit(tracker.prepare)  # takes as long as Ray's start
        data_bytes = sum(data.n_bytes for data in datasets.values())
        cluster = joined.enter_context(Cluster(config.resources, address=address, data_bytes=data_bytes))
        storage.check_nodes(cluster.nodes)
        if ledger.note("pack_size") is None:  # a resumed study keeps its packs, on whatever it goes on
            share = cluster.share
            ledger.set_note("pack_size", pack_size(cells, datasets, cpus=share.cpus, gpus=share.gpus))
        datasets = cluster.share_data(datasets)  # and nothing else holds them any more
        profiling = stack.enter_context(Profiling(cells, datasets, ledger, background=background))
        if ledger.note(LEARNT) is None:  # chosen once: a resumed study must not learn from what ended meanwhile
            ledger.set_note(LEARNT, _learn(cells, ledger, profiling, out))

        show_after = 0.0

        def on_progress(progress: Progress) -> None:
            profiling.note()
            display.update(progress)

        def show_in_mlflow() -> None:
            nonlocal busy, show_after
            begin = time.monotonic()
            # Else a later call, or the last one, will show it.
            if profiling.ready and busy.done() and begin > show_after:
                partial = build_report(cells, ledger, *profiling.result(), run=Run(complete=False))
                busy = background.submit(tracker.project, partial)
                # A report of all cells after every one of them would take the square of their number.
                show_after = begin + 20 * (time.monotonic() - begin)

        coordinator = Coordinator(
            cells,
            ledger,
            pack_size=ledger.note("pack_size"),
            recommend=recommended_settings,
            on_progress=on_progress,
            on_cell_end=show_in_mlflow,
        )
        begin = time.monotonic()
        cluster.train(coordinator, checkpoints=checkpoints, events=events, say=display.say)
        training_seconds = time.monotonic() - begin
        found = profiling.result()
        run = Run(
            complete=True,
            wall_seconds=time.monotonic() - started,
            training_seconds=training_seconds,
            peak_memory_bytes=memory.peak,
            errors=coordinator.errors,
        )
        events.emit("study_trained", {"seconds": round(run.wall_seconds, 1), "failed_cells": len(coordinator.errors)})
        busy.result()  # two writers of one projection would make runs twice
        report = build_report(cells, ledger, *found, run=run)
        ledger.set_note(EXPERIENCES, experiences(report))
        collect_encoders(report, folder, written=checkpoints)
        ledger.set_note(RUN, asdict(run))  # the last: the study has all that it is to have
        return _publish(report, folder, config, tracker, display)


def _learn(cells: Sequence[Cell], ledger: Ledger, profiling: Profiling, out: Path) -> dict[str, list[dict[str, Any]]]:
    """For each cell what the most similar cells of earlier studies came to, in this storage and in the folder `out`.

    Where there are any, this waits for the profiles.
    """
    config = cells[0].config
    if not config.search.transfer:
        return {}
    stored = ledger.notes_elsewhere(EXPERIENCES)
    earlier = [one for found in stored.values() for one in found]
    earlier += [one for one in beside(out, study=config.study) if one["study"] not in stored]
    if not earlier:
        return {}
    learnt = {}
    for cell, profile in profiling.result()[0].items():
        bits = [getattr(profile, name) for name in COMPONENTS]
        learnt[cell] = most_similar(bits, profile.estimator, earlier, range_=config.strength.range)
    return learnt


def rebuild(folder: Path, *, storage: str | None = None, tracking: str | None, display: Display) -> dict[str, Any]:
    """Write a study's report again, and its projection to MLflow if `tracking` is given, from its record alone.

    Args:
        folder: of the study; made where there is none and the record lies elsewhere.
        storage: that holds the record, as in a study file, under the folder's name; None: the one that the folder's
            config.yaml names, or else a journal in the folder.
        tracking: MLflow's tracking URI.
        display: shows lines.

    Raises:
        ConfigError: there is no such study, it is being run, or the folder holds another one of its name.
    """
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
        report = _recorded_report(cells, ledger)
        (folder / CONFIG).write_text(to_yaml(config), encoding="utf-8")
        return _publish(report, folder, config, Tracker(tracking) if tracking else None, display)


def _recorded_report(cells: Sequence[Cell], ledger: Ledger) -> dict[str, Any]:
    versions = ledger.note(VERSIONS) or library_versions()
    known = ledger.note(RUN) or {"complete": False, "errors": ledger.note(ERRORS) or {}}
    return build_report(cells, ledger, *recorded(cells, ledger), run=Run(**{"versions": versions, **known}))


def _recorded_config(place: Storage, name: str, folder: Path) -> StudyConfig:
    """The configuration of the study called `name`, as it was last run with."""
    opened = open_storage(place, folder=folder / JOURNAL, read_only=True)
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


def _publish(
    report: dict[str, Any], folder: Path, config: StudyConfig, tracker: Tracker | None, display: Display
) -> dict[str, Any]:
    write_report(report, folder)
    if tracker is not None:
        outcome = tracker.project(report, folder=folder, config_text=to_yaml(config), last=True)
        if outcome.problem:
            display.say(f"{outcome.problem}; nothing is lost: python -m study.report {folder} --sync writes it later")
    return report


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
            folder.mkdir(parents=True, exist_ok=True)
            stack.enter_context(FileLock(folder / LOCK, busy=busy).held())
        except OSError as error:
            raise ConfigError(
                f"cannot write the output folder {folder}: {error.strerror}; choose another one with --out"
            ) from None
        yield folder


def _open_ledger(config: StudyConfig, cells: Sequence[Cell], folder: Path, renew: Callable[[], bool]) -> Ledger:
    storage = open_storage(Storage(config.storage), folder=folder / JOURNAL)
    ledger = Ledger(storage, name=config.study, space=_space(config), renew=renew)
    ledger.take_over()
    known = ledger.note("configuration")
    if known is None:
        ledger.set_note("cells", [cell.to_json() for cell in cells])
        ledger.set_note("configuration", config.identity)
    elif changed := differences(known, config.identity):
        raise ConfigError(
            f"the study {config.study} in {folder.parent} was started with another configuration "
            f"({'; '.join(changed)}); give this one another name, or undo the change to resume it"
        )
    ledger.set_note(STUDY_FILE, to_yaml(config))
    ledger.set_note(VERSIONS, library_versions())
    (folder / CONFIG).write_text(to_yaml(config), encoding="utf-8")
    return ledger


def _checkpoints(config: StudyConfig, folder: Path) -> Place:
    """Where packs in flight keep their checkpoints: in the study's folder, unless the study file names a place."""
    given = config.resources.checkpoints
    try:
        return Place(str(folder.resolve())).below(CHECKPOINTS) if given is None else Place(given).below(config.study)
    except OSError as error:
        raise ConfigError(f"cannot write the checkpoints' folder {given or folder}: {error.strerror}") from None


def _space(config: StudyConfig) -> dict[str, tuple[float, float]]:
    nuisance = {str(name): values.bounds for name, values in config.search.nuisance.items()}
    return {"strength": config.strength.range, **nuisance}
