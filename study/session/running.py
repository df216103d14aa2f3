"""One study from its configuration to its files: what is held for how long, and what happens beside what."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from typing import TYPE_CHECKING

from study.cells.building import build_cells, data_notes, encoder_notes
from study.cli.display import Display
from study.config import StudyConfig
from study.results.model import Report
from study.search.allowance import shares
from study.search.record.notes import RUN
from study.session.bucket import Home, Out, at_hand, check_record
from study.session.function import Function, note_changes, read_function
from study.session.memory import PeakMemory
from study.session.opening import check_in, opened
from study.tracking import Tracker

if TYPE_CHECKING:
    from study.session.driver import Session, Trained


def run_study(
    config: StudyConfig,
    *,
    out: Out,
    address: str | None = None,
    tracker: Tracker,
    display: Display,
    started: float,
    function: Function | None = None,
) -> Report:
    """Run or resume a study, write its folder `out/<study>`, and return the report.

    Args:
        config: of the study.
        out: folder of all studies, or its place in a bucket.
        address: of a running Ray cluster; None starts one here.
        tracker: of MLflow's store.
        display: shows progress and lines.
        started: `time.monotonic()` at which the command started, for the report's wall time.
        function: that trains, where it is given from Python rather than named in the configuration.

    Raises:
        ConfigError: the configuration does not fit the data, the machine, or the study of this name on record; or the
            bucket cannot be read or written.
    """
    check_record(config, out)
    with at_hand(out, [config.study], say=display.say) as home, display.spelling(home.spelt):
        return _run(
            config,
            home=home,
            address=address,
            tracker=tracker,
            display=display,
            started=started,
            function=function,
        )


def _run(
    config: StudyConfig,
    *,
    home: Home,
    address: str | None,
    tracker: Tracker,
    display: Display,
    started: float,
    function: Function | None,
) -> Report:
    """The same with a folder on this machine.

    Three things are held, each for as long as whatever needs it: the study, until its last word is written; work that
    needs nothing of Ray (MLflow, the report's files), so that Ray may end beside it; Ray, with the work that reads the
    data it holds, which must have ended before.
    """
    display.stage("reading data", "reading data …" if config.dataset is not None else "")
    code = read_function(config, function, out=home.folder)
    cells, datasets = build_cells(config, code=code.hash if code else "")
    shares(config, cells)  # a budget that is too small is refused before anything is begun
    for line in (*data_notes(datasets, splits=config.replicates.splits), *encoder_notes(cells, datasets)):
        display.say(line)
    with PeakMemory() as memory, opened(config, out=home, cells=len(cells), say=display.say) as study:
        config, cells, datasets = check_in(study, config, cells, datasets, say=display.say)
        if code is not None:
            note_changes(code, cells, study.ledger, say=display.say)
        study.remove_torn_checkpoints()
        study.storage.check_apart(tracker.uri)
        ended = study.ledger.note(RUN)
        if ended and ended.complete and not ended.errors:  # nothing is left to train, nor to start Ray for
            from study.results.encoders import lacks_encoders
            from study.session.publishing import publish, recorded_report

            recorded = recorded_report(cells, study.ledger)
            if not lacks_encoders(recorded, cells, study.ledger):
                study.remove_checkpoints()
                display.stage("writing the report")
                publish(recorded, study.folder.path, config, tracker, display)
                display.stage("done")
                return recorded
        from study.cluster.pool import Cluster  # here: a study that has ended does without Ray
        from study.session.live import LiveProjection

        if done := study.ledger.trained:
            display.say(f"resuming: {done} training{'s' * (done > 1)} done")
        data_bytes = sum(data.n_bytes for data in datasets.values())
        with ThreadPoolExecutor(1) as beside_ray:
            beside_ray.submit(_import_ahead)
            display.stage("starting Ray")
            live = LiveProjection(tracker, executor=beside_ray)
            with (
                Cluster(
                    config.resources,
                    address=address,
                    data_bytes=data_bytes,
                    auto_gpus=config.auto_gpus,
                    say=display.say,
                ) as cluster,
                ThreadPoolExecutor(1) as within_ray,
            ):
                study.storage.check_nodes(cluster.nodes)
                datasets = cluster.share_data(datasets)  # and nothing else holds them any more
                if code is not None:
                    cluster.share_code(code)

                from study.session.driver import Session, drive
                from study.session.publishing import show_report

                session = Session(study=study, cells=cells, display=display, memory=memory, started=started)
                slots = cluster.slots
                display.say(f"report while it runs: {study.folder.page}; up to {slots} worker{'s' * (slots > 1)}")
                trained = drive(session, datasets, cluster, background=within_ray, live=live)
                display.stage("writing the report")
                del datasets  # they lie in Ray's memory
                ending = beside_ray.submit(_end, session, trained)  # while Ray ends, which takes a second
            report = ending.result()
        show_report(report, study.folder.path, config, tracker, display)
        display.stage("done")
        return report


def _import_ahead() -> None:
    """Import what comes next, which takes seconds and needs no Ray, while that starts."""
    for module in ("study.session.driver", "study.session.publishing"):
        import_module(module)


def _end(session: Session, trained: Trained) -> Report:
    """Everything that is left to do once nothing is left to train, but for MLflow's part."""
    from study.session.driver import complete
    from study.session.publishing import write_files

    report = complete(session, trained)
    write_files(report, session.study.folder.path, session.display)
    session.study.remove_checkpoints()
    return report
