"""Every score of an encoder beside the one that decides, without alignment and at λ*, on the test rows."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from study.cells.cell import Cell
from study.cells.trials import Trials
from study.results.finite import finite_mean
from study.results.model import ScoreResult
from trainables.metrics.scores import LOWER, turned


def score_results(cell: Cell, ledger: Trials, index: int, *, star: float | None, arm: str) -> tuple[ScoreResult, ...]:
    """The scores of encoder 0 or 1, whose λ* is `star` under an `arm`; empty where no confirming training had them."""
    before = _means(cell, ledger, index, (0.0, 0.0))
    at = (star if arm != "to_2" else 0.0, star if arm != "to_1" else 0.0)
    after = _means(cell, ledger, index, at) if star else {}
    return tuple(
        ScoreResult(
            score=name,
            better="lower" if turned(name).startswith(LOWER) else "higher",
            decides=turned(name) == cell.metrics[index],
            at_zero=mean,
            at_star=after.get(name),
        )
        for name, mean in before.items()
    )


def _means(cell: Cell, ledger: Trials, index: int, at: tuple[float | None, float | None]) -> Mapping[str, float | None]:
    """Mean of each score over the confirming seeds at two strengths."""
    known = [
        result.others[index]
        for trial in ledger.trials(cell.id, "confirm")
        if trial.setting.strengths == at
        for result in trial.results.values()
        if result.others
    ]
    return {name: finite_mean(np.array([scores[name] for scores in known])) for name in (known[0] if known else ())}
