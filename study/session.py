"""One study from its configuration to its report: lock, profiles, training, projection, files."""

from __future__ import annotations

import fcntl
import os
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from study.cells import Cell, build_cells
from study.cluster import Cluster
from study.config import ConfigError, StudyConfig, differences, to_yaml
from study.coordinator import AUTO_PACK_CPU, Coordinator
from study.peak_memory import PeakMemory
from study.pid import Discretiser, PIDProfile, profile_pair
from study.progress import Display
from study.report import write_report
from study.report.build import Run, build_report
from study.search import Ledger, open_storage
from study.tracking import Tracker
from trainables.spec import derive_seed

LOCK = ".lock"


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
    with PeakMemory() as memory, _locked(out, config) as folder:
        ledger = _open_ledger(config, folder)
        tracker = Tracker(tracking)
        warm_up = threading.Thread(target=tracker.prepare, daemon=True)
        with Cluster(config.resources, address=address) as cluster:
            warm_up.start()
            profiles = _profiles(cells, ledger)
            coordinator = Coordinator(cells, ledger, pack_size=_pack_size(config), on_progress=display.update)
            begin = time.monotonic()
            cluster.train(coordinator, datasets, checkpoints=folder / "packs")
            training_seconds = time.monotonic() - begin
        warm_up.join()
        run = Run(
            complete=True,
            wall_seconds=time.monotonic() - started,
            training_seconds=training_seconds,
            peak_memory_bytes=memory.peak,
            errors=coordinator.errors,
        )
        report = build_report(cells, ledger, profiles, run=run)
        write_report(report, folder)
        outcome = tracker.project(report, folder=folder, config_text=to_yaml(config))
        for problem in [outcome.problem] if outcome.problem else []:
            display.say(problem)
        return report


@contextmanager
def _locked(out: Path, config: StudyConfig) -> Iterator[Path]:
    """The study's folder, held against a second driver for as long as the context lasts."""
    folder = out / config.study
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = (folder / LOCK).open("a+")
    except OSError as error:
        raise ConfigError(
            f"cannot write the output folder {folder}: {error.strerror}; choose another one with --out"
        ) from None
    with handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            handle.seek(0)
            raise ConfigError(
                f"the study {config.study} in {out} is being run already (process {handle.read().strip() or '?'}); "
                "wait for it, or give this one another name or --out"
            ) from None
        handle.truncate(0)
        handle.write(str(os.getpid()))
        handle.flush()
        yield folder


def _open_ledger(config: StudyConfig, folder: Path) -> Ledger:
    nuisance = {str(name): values.bounds for name, values in config.search.nuisance.items()}
    storage = open_storage(None, folder=folder / "optuna")
    ledger = Ledger(storage, name=config.study, space={"strength": config.strength.range, **nuisance})
    known = ledger.note("configuration")
    if known is None:
        ledger.set_note("configuration", config.identity)
    elif changed := differences(known, config.identity):
        raise ConfigError(
            f"the study {config.study} in {folder.parent} was started with another configuration "
            f"({'; '.join(changed)}); give this one another name, or undo the change to resume it"
        )
    (folder / "config.yaml").write_text(to_yaml(config), encoding="utf-8")
    return ledger


def _profiles(cells: Sequence[Cell], ledger: Ledger) -> dict[str, PIDProfile]:
    """Every cell's profile: from the ledger where an earlier run computed it, else now."""
    discretisers: dict[str, Discretiser] = {}
    profiles: dict[str, PIDProfile] = {}
    for cell in cells:
        known: Mapping[str, Any] | None = ledger.note(f"pid:{cell.id}")
        if known is None:
            pid = cell.config.pid
            discretiser = discretisers.setdefault(cell.data_key, Discretiser())
            try:
                profile = profile_pair(
                    cell.data,
                    estimator=pid.estimator,
                    bootstrap=pid.bootstrap,
                    seed=derive_seed(cell.config.seed, cell.id, "pid"),
                    discretiser=discretiser,
                )
            except ValueError as error:
                raise ConfigError(f"profile of {cell.label}: {error}") from None
            known = profile.to_json()
            ledger.set_note(f"pid:{cell.id}", known)
        profiles[cell.id] = PIDProfile.from_json(known)
    return profiles


def _pack_size(config: StudyConfig) -> int:
    return AUTO_PACK_CPU if isinstance(config.resources.pack, str) else config.resources.pack
