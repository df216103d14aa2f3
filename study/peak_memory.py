"""Peak memory of a study: this process and everything it started, summed."""

from __future__ import annotations

import os
import threading
from types import TracebackType

import psutil

INTERVAL_SECONDS = 0.5


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
        while not self._stop.wait(INTERVAL_SECONDS):
            self.peak = max(self.peak, _total())


def _total() -> int:
    root = psutil.Process(os.getpid())
    total = 0
    for process in [root, *root.children(recursive=True)]:
        try:
            info = process.memory_full_info()
            total += int(getattr(info, "pss", info.rss))
        except psutil.Error:  # ended meanwhile
            continue
    return total
