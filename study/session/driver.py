"""What a study does while Ray runs: profiles, trainings, what came of them. `running` opens and publishes it."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor, Future
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

from study.cells.cell import Cell
from study.cli.display import Display
from study.cluster.pool import Cluster
from study.cluster.tuner import train
from study.pid import COMPONENTS, PIDProfile
from study.results.build import build_report
from study.results.encoders import collect_encoders
from study.results.experience import beside, experiences
from study.results.model import Report, to_json
from study.results.run import RUN, Run
from study.scheduling.coordinator import Coordinator, Progress
from study.scheduling.size import pack_size
from study.search import Ledger
from study.search.earlier import most_similar
from study.search.record.events import EventLog
from study.search.rounds import LEARNT
from study.session.background import Forecasts, Profiling
from study.session.memory import PeakMemory
from study.tracking import Tracker, TrackingResult
from trainables.datasets import MultimodalData
from trainables.saving.place import Place

# Notes of the ledger.
EXPERIENCES = "experiences"  # what later studies may learn from this one
PACK_SIZE = "pack_size"


class Trained(NamedTuple):
    """A study without anything left to train, its profiles and forecasts by cell id."""

    run: Run
    profiles: Mapping[str, PIDProfile]
    forecasts: Forecasts


def drive(
    cells: Sequence[Cell],
    datasets: Mapping[str, MultimodalData],
    ledger: Ledger,
    cluster: Cluster,
    *,
    folder: Path,
    checkpoints: Place,
    events: EventLog,
    tracker: Tracker,
    tracking: Future[TrackingResult],
    background: Executor,
    display: Display,
    memory: PeakMemory,
    started: float,
) -> Trained:
    """Train what the record of a study lacks.

    `datasets` are as the cluster's object store holds them; `tracking` is what `tracker` is busy with in the
    `background`.

    Raises:
        ConfigError: the data cannot carry a profile, or a node cannot write to `checkpoints`.
    """
    if ledger.note(PACK_SIZE) is None:  # a resumed study keeps its packs, on whatever it goes on
        share = cluster.share
        ledger.set_note(PACK_SIZE, pack_size(cells, datasets, cpus=share.cpus, gpus=share.gpus))
    with Profiling(cells, datasets, ledger, background=background) as profiling:
        if ledger.note(LEARNT) is None:  # chosen once: a resumed study must not learn from what ended meanwhile
            ledger.set_note(LEARNT, _learn(cells, ledger, profiling, folder.parent))

        show_after = 0.0

        def on_progress(progress: Progress) -> None:
            profiling.note()
            display.update(progress)

        def show_in_mlflow() -> None:
            nonlocal tracking, show_after
            begin = time.monotonic()
            # Else a later call, or the last one, will show it.
            if profiling.ready and tracking.done() and begin > show_after and not coordinator.finished:
                partial = build_report(cells, ledger, *profiling.result(), run=Run(complete=False))
                tracking = background.submit(tracker.project, to_json(partial))
                # A report of all cells after every one of them would take the square of their number.
                show_after = begin + 20 * (time.monotonic() - begin)

        coordinator = Coordinator(
            cells,
            ledger,
            pack_size=ledger.note(PACK_SIZE),
            on_progress=on_progress,
            on_cell_end=show_in_mlflow,
        )
        begin = time.monotonic()
        train(cluster, coordinator, checkpoints=checkpoints, events=events, say=display.say)
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
    tracking.result()  # two writers of one projection would make runs twice
    return Trained(run, *found)


def complete(cells: Sequence[Cell], ledger: Ledger, trained: Trained, *, folder: Path, checkpoints: Place) -> Report:
    """Complete the record with what came of it, keep the encoders in `folder`, and return the report."""
    report = build_report(cells, ledger, trained.profiles, trained.forecasts, run=trained.run)
    ledger.set_note(EXPERIENCES, experiences(report))
    collect_encoders(report, folder, written=checkpoints)
    ledger.set_note(RUN, asdict(trained.run))  # the last: the study has all that it is to have
    return report


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
