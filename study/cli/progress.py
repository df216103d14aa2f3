"""Where a running study is, as the terminal, the log and a program's own callback are told it."""

from __future__ import annotations

import math
import time
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from study.results.text.amounts import duration

if TYPE_CHECKING:  # a study shows that it has begun before it needs SciPy and torch
    from study.scheduling import coordinator

Phase = Literal["reading data", "computing profiles", "starting Ray", "training", "writing the report", "done"]

_AFTER = 0.4  # of the time before training; measured by tests/bench/dry_run.py
_LOOKS = (0.0, 0.5, 0.75)  # shares of the work done from which on a rate is taken
_MOST_TOLD = 6  # pairs whose answer so far is told


@dataclass(frozen=True, kw_only=True)
class StudyProgress:
    """Where a study is; what `on_progress` of `study.run` is called with.

    Attributes:
        phase: what it is at.
        done: trainings on record, those of earlier runs of the study included.
        planned: trainings that it is likely to take in the end; 0 before that is known.
        planned_range: the least and the most of them. How many it will be depends on results: on which one-sided
            searches go on, and on how many strengths are to be confirmed.
        diverged: of those done.
        in_flight: trainings' worth of epochs that are done in trainings that have not ended.
        busy: jobs that workers hold.
        latest: the pair that moved last; "" before there is one.
        seconds: since the study was begun in this process.
        seconds_left: until its end; None before the first job has ended, as nothing says how fast it goes.
        seconds_left_range: by the least and the most that is planned, at the fastest and the slowest of late.
        so_far: what each pair has come to, in a few words, by its name. It is provisional: not yet confirmed.
    """

    phase: Phase
    done: int = 0
    planned: int = 0
    planned_range: tuple[int, int] = (0, 0)
    diverged: int = 0
    in_flight: float = 0.0
    busy: int = 0
    latest: str = ""
    seconds: float = 0.0
    seconds_left: float | None = None
    seconds_left_range: tuple[float, float] | None = None
    so_far: Mapping[str, str] = field(default_factory=dict)

    @property
    def counted(self) -> str:
        """`300 of 888 trainings`, or `300 of about 888 trainings (807 to 921)` while that is open."""
        least, most = self.planned_range
        told = [f"{least} to {most}"] if least < most else []
        told += [f"{self.diverged} diverged"] if self.diverged else []
        more = f" ({', '.join(told)})" if told else ""
        return f"{self.done} of {'about ' * (least < most)}{self.planned} trainings{more}"

    @property
    def at_work(self) -> str:
        """`8 workers busy`; "" where none is."""
        return f"{self.busy} worker{'s' * (self.busy != 1)} busy" if self.busy else ""

    @property
    def left(self) -> str:
        """`about 2 min left (90 s to 3 min)`; `starting` before that can be said."""
        if self.seconds_left is None:
            return "starting"
        ends = [duration(value) for value in self.seconds_left_range or ()]
        told = f" ({' to '.join(ends)})" if len(set(ends)) == 2 else ""
        return f"about {duration(self.seconds_left)} left{told}"

    @property
    def line(self) -> str:
        """All but the answers so far, in one line."""
        return ", ".join(filter(None, (self.counted, self.at_work, self.left, self.latest)))

    @property
    def answers(self) -> list[str]:
        """The answers so far, a line each, of the first pairs where there are many."""
        told = [f"{pair}: {text}" for pair, text in self.so_far.items()][:_MOST_TOLD]
        more = len(self.so_far) - len(told)
        return [*told, *([f"and {more} more pair{'s' * (more > 1)}"] if more else [])]


class Estimate:
    """How long a study will still take, by what it has done.

    The time left is the work that is planned, at the rate of the latter half of what this run has done: at first
    workers still start, and profiles are computed beside them. Before the first pack has ended the rate says too
    little, and none is told. A share of the time before the first sign of work stands for what comes after training,
    the report and MLflow's copy.
    """

    def __init__(self) -> None:
        self._start = time.monotonic()
        self._seen: list[tuple[float, float]] = []  # how much work was done, and when: whenever there was more
        self._done, self._busy = -1, 0

    def progress(self, moved: coordinator.Progress, *, so_far: Mapping[str, str]) -> StudyProgress:
        """The study in training, which has moved to there."""
        now, done = time.monotonic(), moved.work_done
        if done > 0 and (not self._seen or done > self._seen[-1][0]):
            self._seen.append((done, now))
        paces = [pace for share in _LOOKS if (pace := self._pace(share, done, now)) is not None]
        left, ends = None, None
        if moved.work_ended and (usual := self._pace(0.5, done, now)) is not None:
            after = _AFTER * (self._seen[0][1] - self._start)
            least, most = moved.work_left_range or (moved.work_left, moved.work_left)
            left = usual * moved.work_left + after
            ends = (min(paces) * least + after, max(paces) * most + after)
        # A worker that has just ended a job has the next one in a moment, where there is one.
        ended = moved.done > self._done and moved.work_left > 0
        self._busy = max(self._busy, moved.packs_out) if ended else moved.packs_out
        self._done = moved.done
        return StudyProgress(
            phase="training",
            done=moved.done,
            planned=moved.planned,
            planned_range=moved.planned_range or (moved.planned, moved.planned),
            diverged=moved.diverged,
            in_flight=moved.in_flight,
            busy=self._busy,
            latest=moved.latest,
            seconds=now - self._start,
            seconds_left=left,
            seconds_left_range=ends,
            so_far=so_far,
        )

    def _pace(self, share: float, done: float, now: float) -> float | None:
        """Seconds for a unit of work, since that share of what is done was done; None where nothing is since."""
        if not self._seen:
            return None
        place = max(0, bisect_right(self._seen, (share * done, math.inf)) - 1)
        before, since = self._seen[place]
        return (now - since) / (done - before) if done > before else None
