"""What a study's budget cut, from its record."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from study.cells.cell import Cell
from study.cells.trials import PER_ENCODER
from study.results.model import PairResult
from study.results.model.budget import BudgetResult, CutResult
from study.search import Ledger
from study.search.allowance import whole
from study.search.record.notes import CUTS, SPENT


def budget_result(cells: Sequence[Cell], ledger: Ledger, cuts: Iterable[CutResult | None]) -> BudgetResult | None:
    """The limits of a study and what it used of them; None where it has none."""
    config = cells[0].config
    limits, spent = config.budget, ledger.note(SPENT)
    if not limits.given:
        return None
    confirmed = (
        sum(len(trial.replicates) for arm in PER_ENCODER for trial in ledger.trials(cell.id, arm)) for cell in cells
    )  # which may have to be done anew
    in_time = limits.minutes is not None or limits.gpu_hours is not None
    return BudgetResult(
        trainings=limits.trainings,
        minutes=limits.minutes,
        gpu_hours=limits.gpu_hours,
        used_minutes=round(spent.seconds / 60, 3) if spent and in_time else None,
        used_gpu_hours=round(spent.gpu_seconds / 3600, 4) if spent and in_time else None,
        enough=(whole(config) + max(confirmed)) * len(cells) if any(cuts) else None,
    )


def cut_result(cell: Cell, ledger: Ledger, choice: PairResult) -> CutResult | None:
    """What the budget cut from a cell's search; None where that ended by itself."""
    cuts = {part: cut for part, cut in (ledger.note(CUTS) or {}).get(cell.id, {}).items() if not cut.lifted}
    if not cuts:
        return None
    shared, one_sided = cuts.get("shared"), cuts.get("one_sided")
    width = expected = None
    if choice.interval is not None:
        width = choice.interval[1] - choice.interval[0]
        if shared is not None:
            done = sum(len(trial.results) for trial in ledger.trials(cell.id, "shared"))
            expected = width * math.sqrt(done / (done + shared.trainings)) if done else None
    return CutResult(
        by=next(iter(cuts.values())).by,
        strengths=shared.strengths if shared else 0,
        one_sided=one_sided.strengths if one_sided else 0,
        trainings=sum(cut.trainings for cut in cuts.values()),
        width=width,
        expected_width=expected,
    )
