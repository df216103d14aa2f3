"""What a study has spent so far, noted on its record while it runs."""

from __future__ import annotations

import time
from types import TracebackType

from study.search import Ledger
from study.search.record.notes import HELD, Held

# Between two notes, which the end of a pack writes: a driver that is killed loses packs in flight, and those that ended
# since the last.
_NOTE_SECONDS = 30.0


class Account:
    """The account of a study whose packs each hold one place of a worker and `gpus` of a GPU; goes on from the record.

    It is noted every half minute, and when the context ends, unless by an error, which may be the record's own.
    """

    def __init__(self, ledger: Ledger, *, gpus: float) -> None:
        self._ledger, self._gpus = ledger, gpus
        self._held = ledger.note(HELD) or Held()
        self._noted = time.monotonic()

    def __enter__(self) -> Account:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None or kind is KeyboardInterrupt:
            self._note()

    def add(self, seconds: float) -> None:
        """Add the time of a pack that has ended, however it did; called by one thread at a time."""
        self._held = Held(
            worker_seconds=self._held.worker_seconds + seconds,
            gpu_seconds=self._held.gpu_seconds + seconds * self._gpus,
        )
        if time.monotonic() > self._noted + _NOTE_SECONDS:
            self._note()

    def _note(self) -> None:
        self._noted = time.monotonic()
        self._ledger.set_note(HELD, self._held)
