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
# An exact look reads every mapping of every process, 3 ms each. Resident memory asks for one at once where it is this
# many times what it was at the last, after some seconds where it is larger than ever, and in any case after more
# seconds: what was shared may no longer be.
_LEAPT, _LARGER = 1.25, 1.01
_LARGER_SECONDS, _EXACT_SECONDS = 2.5, 10.0


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
        largest, seen, looked = 0.0, 0.0, -math.inf
        while not self._stop.wait(INTERVAL_SECONDS):
            resident = _total(lambda process: process.memory_info().rss)
            passed = time.monotonic() - looked
            larger = resident > _LARGER * largest and passed > _LARGER_SECONDS
            if resident > _LEAPT * seen or larger or passed > _EXACT_SECONDS:
                largest, seen, looked = max(largest, resident), resident, time.monotonic()
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
