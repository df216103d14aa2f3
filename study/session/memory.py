"""Peak memory of a study: this process and everything it started, summed."""

from __future__ import annotations

import math
import os
import threading
import time
from collections.abc import Callable
from types import TracebackType

import psutil

INTERVAL_SECONDS = 0.5
_GROWN = 1.01  # resident memory beyond this share of its largest asks for an exact look,
_EXACT_SECONDS = 5.0  # and so does this much time: what was shared may no longer be


class PeakMemory:
    """Samples, while its context lasts, the memory of this process and all its descendants.

    Proportional set size where the system tells it, so that pages shared between processes count once.
    """

    def __init__(self) -> None:
        self.peak = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> PeakMemory:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        largest, looked = 0.0, -math.inf
        while not self._stop.wait(INTERVAL_SECONDS):
            resident = _total(lambda process: process.memory_info().rss)
            now = time.monotonic()
            # An exact look reads every mapping of every process, 3 ms each.
            if resident > _GROWN * largest or now - looked > _EXACT_SECONDS:
                largest, looked = max(largest, resident), now
                self.peak = max(self.peak, _total(_proportional))


def _total(measure: Callable[[psutil.Process], int]) -> int:
    root = psutil.Process(os.getpid())
    total = 0
    for process in [root, *root.children(recursive=True)]:
        try:
            total += measure(process)
        except psutil.Error:  # ended meanwhile
            continue
    return total


def _proportional(process: psutil.Process) -> int:
    info = process.memory_full_info()
    return int(getattr(info, "pss", info.rss))
