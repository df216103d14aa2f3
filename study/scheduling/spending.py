"""What a study has spent of the time that its budget allows, and whether more of its search still fits in."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

from study.config import BudgetSection
from study.results.text.budget import UNITS, amount_text
from study.search.record.cuts import Limit, Spent

_MARGIN = 1.1  # confirmations fill the last round of places only in part


class Demand(NamedTuple):
    """What is still to be done, as work of `study.scheduling.packs.pack_work`: what is done already of packs that have
    not ended, what is left of these, a round that may be asked for, the confirmations of all cells, the one-sided arms
    that these may begin; and in how many packs all of it is.
    """

    begun: float
    left: float
    round: float
    reserved: float
    opening: float
    packs: int


class Spending:
    """The time that a study takes, over all its runs, beside its limits; speed is measured by its own packs.

    Args:
        budget: of the study.
        gpus: share of one that a pack trains on; 0 on CPUs, where GPU-hours count nothing.
        places: says how many packs train at once by now, at most.
        before: what earlier runs have spent.
        say: is told, once for each limit, that it ends the search.
        clock: seconds.
    """

    def __init__(
        self,
        budget: BudgetSection,
        *,
        gpus: float,
        places: Callable[[], int] = lambda: 1,
        before: Spent | None = None,
        say: Callable[[str], None] = lambda _: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._budget, self._gpus, self._places = budget, gpus, places
        self._say, self._clock = say, clock
        self._before = before or Spent()
        self._begun = clock()
        self._given: dict[str, float] = {}  # when packs were handed out
        self._pack_seconds = self._work = 0.0
        self._told: set[Limit] = set()
        if budget.gpu_hours is not None and not gpus:
            say("budget.gpu_hours: packs train on CPUs here, of which it counts nothing")

    @property
    def spent(self) -> Spent:
        """What all runs have spent by now."""
        return Spent(
            seconds=self._before.seconds + self._clock() - self._begun,
            gpu_seconds=self._before.gpu_seconds + self._gpus * self._pack_seconds,
            pack_seconds=self._before.pack_seconds + self._pack_seconds,
            work=self._before.work + self._work,
        )

    def give(self, pack_id: str) -> None:
        """Note that a pack was handed out."""
        self._given[pack_id] = self._clock()

    def end(self, pack_id: str, *, work: float, seconds: float | None = None) -> None:
        """Note that a pack has ended, after so many seconds by its worker's count or else since it was handed out."""
        now = self._clock()
        since = now - self._given.pop(pack_id, now)
        self._pack_seconds += since if seconds is None else seconds
        self._work += work

    def refusal(self, demand: Demand) -> Limit | None:
        """The limit that has no room for a round and the confirmations after it; None where it fits."""
        spent, limits = self.spent, self._budget
        each = _MARGIN * spent.pack_seconds / spent.work if spent.work else 0.0  # seconds of a pack for its work
        if limits.minutes is not None:
            wall = each / min(max(1, self._places()), max(1, demand.packs))
            ahead = wall * (demand.left + demand.reserved)
            more, opening = wall * demand.round, wall * demand.opening
            if self._is_over("minutes", spent.seconds, ahead, more, opening, 60 * limits.minutes):
                return "minutes"
        if limits.gpu_hours is not None and self._gpus:
            ahead = self._gpus * each * (demand.begun + demand.left + demand.reserved)  # none of it is counted yet
            more, opening = self._gpus * each * demand.round, self._gpus * each * demand.opening
            if self._is_over("gpu_hours", spent.gpu_seconds, ahead, more, opening, 3600 * limits.gpu_hours):
                return "gpu_hours"
        return None

    def _is_over(self, by: Limit, spent: float, ahead: float, more: float, opening: float, limit: float) -> bool:
        """Whether so many seconds more are too many; the first time it is said whether the rest will fit.

        One-sided arms that are still to be opened are waited for where they fit in themselves.
        """
        aside = opening if spent + ahead + opening <= limit else 0.0
        if spent + ahead + more + aside <= limit:
            return False
        if by not in self._told:
            self._told.add(by)
            unit, scale = UNITS[by], 60 if by == "minutes" else 3600
            allowed = f"budget: {limit / scale:g} {unit}"
            if spent + ahead > limit:
                self._say(
                    f"{allowed} are less than what is begun and its confirmation take, about "
                    f"{amount_text((spent + ahead) / scale)}; these are made all the same, and nothing beyond them"
                )
            else:
                self._say(f"{allowed} leave no room for more strengths; what was found is confirmed now")
        return True
