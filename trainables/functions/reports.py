"""What a function reports while it trains: its progress and its learning curve."""

from __future__ import annotations

import contextlib
import json
import math
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from trainables.trainer import Progress

MOST_POINTS = 64  # of a learning curve, which goes on record
CurvePoint = tuple[float, float, float, float, float]


class Reports:
    """Reports by epoch, the last one of each; written by the call's thread, read by the worker's."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._scores: dict[float, tuple[float, float]] = {}
        self._epoch, self._total = 0.0, 0.0
        self._log: Path | None = None

    def go_on(self, log: Path) -> None:
        """Take in what a call that was killed has told `log`, and tell it all that is reported from now on.

        What the function saves and what it reports then come equally far: the curve of a call that goes on has no gap.
        """
        with contextlib.suppress(OSError):
            for line in log.read_text(encoding="utf-8").splitlines():
                with contextlib.suppress(ValueError, TypeError):  # one that the kill has torn
                    epoch, total, scores = json.loads(line)
                    self.add(float(epoch), of=total, scores=scores and (float(scores[0]), float(scores[1])))
        self._log = log

    def add(self, epoch: float, *, of: float | None, scores: tuple[float, float] | None) -> None:
        """Take one in. An epoch before the last one is another way to it, as after a restart from an older state."""
        with self._lock:
            self._epoch = epoch
            self._total = self._total if of is None else of
            if scores is not None:
                self._scores[epoch] = scores
            if self._log is not None:
                with contextlib.suppress(OSError), self._log.open("a", encoding="utf-8") as log:  # it costs the curve
                    log.write(f"{json.dumps([epoch, of, scores])}\n")

    @property
    def progress(self) -> Progress:
        """How far it is, as it said last."""
        with self._lock:
            return Progress(epochs=_whole(max(0.0, self._epoch)), total=_whole(max(0.0, self._total)))

    @property
    def curve(self) -> tuple[CurvePoint, ...]:
        """Epoch, both scores and no losses, in the order of epochs: at most `MOST_POINTS`, evenly spread, the last one
        included.
        """
        with self._lock:
            points = sorted(self._scores.items())
        n = min(len(points), MOST_POINTS)
        chosen = [points[round((i + 1) * len(points) / n) - 1] for i in range(n)]
        return tuple((epoch, *scores, math.nan, math.nan) for epoch, scores in chosen)

    def to_json(self) -> dict[str, Any]:
        """Plain containers, the inverse of `from_json`."""
        with self._lock:
            points = [[epoch, *scores] for epoch, scores in self._scores.items()]
            return {"epoch": self._epoch, "total": self._total, "scores": points}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Reports:
        """The reports that `to_json` was called on."""
        reports = cls()
        reports._epoch, reports._total = float(value["epoch"]), float(value["total"])
        reports._scores = {float(epoch): (float(first), float(second)) for epoch, first, second in value["scores"]}
        return reports


def _whole(value: float) -> float:
    return int(value) if value.is_integer() else value
