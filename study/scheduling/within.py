"""A plan beside a budget: which limits it comes to, and which are too small for a confirmed answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from study.cells.cell import Cell
from study.results.text.budget import UNITS, amount_text
from study.scheduling.plan import Plan
from study.search.allowance import fewest_trainings
from study.search.record.cuts import LIMITS, Limit


@dataclass(frozen=True, kw_only=True)
class Within:
    """One limit of a budget, and what a study would take of it: its first strengths with their confirmation, `fewest`,
    and all that it asks for, likely and at most.
    """

    by: Limit
    limit: float
    fewest: float
    likely: float
    most: float

    def __str__(self) -> str:
        """The comparison in a line."""
        unit = UNITS[self.by]
        told = f"budget: {self.limit:,.6g} {unit}"
        if not self.most:
            return f"{told}, of which packs that train on CPUs take nothing"
        whole = f"all of it takes about {amount_text(self.likely)} (at most {amount_text(self.most)})"
        if self.limit < self.fewest:
            return (
                f"{told}, but the first strengths and their confirmation take about {amount_text(self.fewest)}: these "
                "are made all the same, and nothing beyond them"
            )
        if self.limit >= self.most:
            return f"{told}, which is enough: {whole}"
        return f"{told}; {whole}, so that fewer strengths may be placed, and what is found is confirmed"


def within(plan: Plan, cells: Sequence[Cell], *, gpus: float) -> tuple[Within, ...]:
    """The limits of a study's budget beside its plan; `gpus` is the share of one that a pack trains on."""
    config = cells[0].config
    fewest = fewest_trainings(config) * len(cells)
    part = min(1.0, fewest / max(1, plan.least.trainings))
    told = []
    for by in LIMITS:
        if (limit := config.budget.given.get(by)) is None:
            continue
        if by == "trainings":
            amounts: tuple[float, float, float] = fewest, plan.likely.trainings, plan.most.trainings
        else:
            scale = 1 / 60 if by == "minutes" else plan.at_once * gpus / 3600  # every place busy: an upper bound
            least, likely, most = (one.training_seconds * scale for one in (plan.least, plan.likely, plan.most))
            amounts = part * least, likely, most
        told.append(Within(by=by, limit=limit, fewest=amounts[0], likely=amounts[1], most=amounts[2]))
    return tuple(told)
