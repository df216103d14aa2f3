"""How busy a study kept its workers, from its event log.

    python tests/bench/busy.py studies/digits                    # of studies that were run, by folder
    python tests/bench/busy.py search_spaces/digits.yaml --workers 2   # runs one anew, minutes

Of each run in the log, from when its first pack trains until its last one has ended:

- *busy*: share of that time in which a worker has a pack, of as many workers as had one at once;
- *idle beside a pack*: seconds of workers without a pack while one waits, however few are ready of either;
- *first pack*: seconds from when it could have been taken until it trains. Beside it: a bare `import torch` in a fresh
  process on this machine now (median of three), which is the least that a worker needs.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

Event = Mapping[str, Any]
_ROUNDED = 0.1  # seconds: times of the log are rounded, so that one pack seems to begin before another ends


@dataclass(frozen=True, kw_only=True)
class Packed:
    """A pack, in seconds of the clock: since when it waited, when a worker began it, and when it ended."""

    ready: float
    begun: float
    ended: float


@dataclass(frozen=True, kw_only=True)
class Busy:
    """What a run comes to; `idle` are worker-seconds without a pack while one waits, of `all` worker-seconds."""

    workers: int
    packs: int
    share: float
    idle: float
    all: float
    first: float


def runs(log: Path) -> Iterator[list[Event]]:
    """The events of each run of a study that trained something."""
    run: list[Event] = []
    for event in (json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()):
        if event["event"] == "study_started":
            if any(one["event"] == "pack_done" for one in run):
                yield run
            run = []
        run.append(event)
    if any(one["event"] == "pack_done" for one in run):
        yield run


def packs(run: Sequence[Event]) -> list[Packed]:
    """The packs of a run that ended well."""
    ready: dict[str, float] = {}
    queued: dict[str, float] = {}
    begun: dict[str, float] = {}
    found = []
    for event in run:
        now, pack = datetime.fromisoformat(event["time"]).timestamp(), event.get("pack", "")
        if event["event"] == "pack_queued":
            queued[pack], ready[pack] = now, now - event.get("waited", 0.0)
        elif event["event"] == "pack_running":  # told after the first step
            begun[pack] = now - event.get("trained", 0.0)
        elif event["event"] == "pack_done":
            ended = queued[pack] + event["seconds"]  # noted later, once the worker has the next one
            start = begun.get(pack, ended - event.get("trained", event["seconds"]))
            found.append(Packed(ready=ready[pack], begun=start, ended=ended))
    return sorted(found, key=lambda one: one.begun)


def busy(found: Sequence[Packed]) -> Busy:
    """What workers did between the begin of the first pack and the end of the last."""
    start, end = found[0].begun, max(one.ended for one in found)
    changes = sorted({time for one in found for time in (one.ready, one.begun, one.ended) if start <= time <= end})
    spans = []
    for low, high in itertools.pairwise(changes):
        middle = (low + high) / 2
        at_work = sum(one.begun <= middle < one.ended for one in found)
        waiting = sum(one.ready <= middle < one.begun for one in found)
        spans.append((high - low, at_work, waiting))
    workers = max(at_work for length, at_work, _ in spans if length > _ROUNDED)
    return Busy(
        workers=workers,
        packs=len(found),
        share=sum(length * min(workers, at_work) for length, at_work, _ in spans) / (workers * (end - start)),
        idle=sum(length * min(max(0, workers - at_work), waiting) for length, at_work, waiting in spans),
        all=workers * (end - start),
        first=found[0].begun - min(one.ready for one in found),
    )


def import_torch() -> float:
    """Seconds that a fresh process takes to import torch, its start included."""
    times = []
    for _ in range(3):
        start = time.perf_counter()
        subprocess.run([sys.executable, "-c", "import torch"], check=True)
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("studies", nargs="+", type=Path, help="folders of studies, or study files to run")
    options.add_argument("--workers", type=int, default=2, help="of studies that are run (2)")
    given = options.parse_args()
    print(f"{os.cpu_count()} CPUs; a bare import of torch takes {import_torch():.1f} s")
    print(
        "| study | workers | packs | busy, % | idle beside a pack, s (of) | first pack, s |\n|---|---|---|---|---|---|"
    )
    with tempfile.TemporaryDirectory() as temporary:
        for study in given.studies:
            folder = study
            if study.suffix == ".yaml":
                command = ["-m", "study.run", "--space", str(study.resolve()), "--workers", str(given.workers)]
                subprocess.run([sys.executable, *command], cwd=temporary, check=True, capture_output=True)
                folder = Path(temporary, "studies", study.stem)
            for run in runs(folder / "events.jsonl"):
                one = busy(packs(run))
                print(
                    f"| {folder.name} | {one.workers} | {one.packs} | {100 * one.share:.1f} "
                    f"| {one.idle:.1f} ({one.all:.0f}) | {one.first:.1f} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
