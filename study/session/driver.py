"""What a study does while Ray runs: profiles, trainings, what came of them. `running` says in which order."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from study.cells.cell import Cell
from study.cli.display import Display
from study.cluster.pool import Cluster
from study.cluster.tuner import train
from study.pid import COMPONENTS, PIDProfile
from study.results.build import build_report
from study.results.encoders import collect_encoders, not_kept
from study.results.experience import beside, experiences
from study.results.model import Report
from study.results.text.pair import so_far
from study.scheduling.coordinator import Coordinator, Progress
from study.scheduling.size import pack_size
from study.scheduling.spending import Spending
from study.search import Ledger
from study.search.earlier import Experience, most_similar
from study.search.record.notes import EXPERIENCES, LEARNT, PACK_SIZE, RUN, SPENT, Run
from study.session.account import Account
from study.session.background import Forecasts, Profiling
from study.session.live import LiveProjection
from study.session.live_page import LivePage
from study.session.memory import PeakMemory
from study.session.opening import OpenStudy
from trainables.datasets import MultimodalData


@dataclass(frozen=True, kw_only=True)
class Session:
    """One run of an open study: its cells as the record spells them, who is shown what, and what is measured."""

    study: OpenStudy
    cells: Sequence[Cell]
    display: Display
    memory: PeakMemory
    started: float  # by `time.monotonic()`


class Trained(NamedTuple):
    """A study without anything left to train, its profiles and forecasts by cell id."""

    run: Run
    profiles: Mapping[str, PIDProfile]
    forecasts: Forecasts


def drive(
    session: Session,
    datasets: Mapping[str, MultimodalData],
    cluster: Cluster,
    *,
    background: Executor,
    live: LiveProjection,
) -> Trained:
    """Train what the record of a study lacks.

    Args:
        session: of the study.
        datasets: as the cluster's object store holds them.
        cluster: to train on.
        background: computes profiles and forecasts, from those datasets.
        live: shows what is there meanwhile.

    Raises:
        ConfigError: the data cannot carry a profile, or a node cannot write to the study's checkpoints.
    """
    study, cells, ledger = session.study, session.cells, session.study.ledger
    with_data = [cell for cell in cells if cell.dataset is not None]
    with (
        Profiling(with_data, datasets, ledger, background=background) as profiling,
        LivePage(study.folder.path, say=session.display.say) as page,
    ):

        def by_now() -> Report:
            known = profiling.result() if profiling.ready else ({}, {})
            return build_report(cells, ledger, *known, run=Run(complete=False))

        def on_progress(progress: Progress) -> None:
            profiling.keep()
            session.display.update(progress)
            if report := page.show(by_now, counted=session.display.counted):
                told = {cell.title: text for cell in report.cells if (text := so_far(cell))}
                session.display.show_answers(told)

        def on_cell_end() -> None:
            if profiling.ready:  # else a later call, or the last one, will show it
                live.show(by_now)

        def prepare() -> Coordinator:
            if (size := ledger.note(PACK_SIZE)) is None:
                size = pack_size(cells, datasets, cpus=cluster.share.cpus, gpus=cluster.share.gpus)
                ledger.set_note(PACK_SIZE, size)  # a resumed study keeps its packs, on whatever it goes on
            if ledger.note(LEARNT) is None:  # chosen once: a resumed study must not learn from what ended meanwhile
                ledger.set_note(LEARNT, _learn(cells, ledger, profiling, study.folder.path.parent))
            budget = cells[0].config.budget
            spending = None
            if budget.minutes is not None or budget.gpu_hours is not None:
                before, gpus = ledger.note(SPENT), cluster.share.gpus
                spending = Spending(
                    budget, gpus=gpus, places=lambda: cluster.slots_now, before=before, say=session.display.say
                )
            coordinator = Coordinator(
                cells, ledger, pack_size=size, on_progress=on_progress, on_cell_end=on_cell_end, spending=spending
            )
            session.display.update(coordinator.progress)  # at once: a worker may take a while until it can train
            return coordinator

        begin = time.monotonic()
        account = Account(ledger, gpus=cluster.share.gpus)
        # The workers start meanwhile; nobody else uses the record until the coordinator is there.
        with account, ThreadPoolExecutor(1) as beside_workers:
            coming = beside_workers.submit(prepare)
            train(
                cluster,
                coming,
                checkpoints=study.checkpoints,
                events=study.events,
                say=session.display.say,
                spent=account.add,
                warm=_first_packs(cells),
            )
        training_seconds = time.monotonic() - begin
        profiles, forecasts = profiling.result()
    run = Run(
        complete=True,
        wall_seconds=time.monotonic() - session.started,
        training_seconds=training_seconds,
        peak_memory_bytes=session.memory.peak,
        errors=coming.result().errors,
    )
    study.events.emit("study_trained", {"seconds": round(run.wall_seconds, 1), "failed_cells": len(run.errors)})
    live.finish()
    return Trained(run, profiles, forecasts)


def complete(session: Session, trained: Trained) -> Report:
    """Complete the record with what came of it, keep the encoders in the study's folder, and return the report."""
    study = session.study
    report = build_report(session.cells, study.ledger, trained.profiles, trained.forecasts, run=trained.run)
    study.ledger.set_note(EXPERIENCES, experiences(report))
    collect_encoders(report, study.folder.path, written=study.checkpoints, kept=study.kept)
    if missing := not_kept(session.cells, study.ledger):
        session.display.say(
            f"note: models: true, and the function kept no encoder of {' and '.join(missing)}; call "
            f"trial.keep({missing[0]!r}, model) before it returns"
        )
    study.ledger.set_note(RUN, trained.run)  # the last: the study has all that it is to have
    return report


def _first_packs(cells: Sequence[Cell]) -> int:
    """How many packs a study begins with, at least."""
    config = cells[0].config
    if config.trainer is None:
        return max(2, len(cells))  # `pack_size` keeps two workers busy
    return len(cells) * len(config.strength.design) * config.search.trials_per_strength * config.replicates.search


def _learn(cells: Sequence[Cell], ledger: Ledger, profiling: Profiling, out: Path) -> dict[str, list[Experience]]:
    """What the most similar cells of earlier studies came to, for each cell, in this storage and in the folder `out`.

    Where there are any, this waits for the profiles.
    """
    config = cells[0].config
    if not config.search.transfer:
        return {}
    stored = ledger.notes_elsewhere(EXPERIENCES)
    earlier = [one for left in stored.values() for one in left]
    earlier += [one for one in beside(out, study=config.study) if one["study"] not in stored]
    if not earlier:
        return {}
    learnt = {}
    for cell, profile in profiling.result()[0].items():
        bits = [getattr(profile, name) for name in COMPONENTS]
        learnt[cell] = most_similar(bits, profile.estimator, earlier, range_=config.strength.range)
    return learnt
