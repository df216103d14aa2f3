"""What a report says of the user's own function: which one it was, and by which states of its code."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from study.cells.cell import Cell
from study.results.model import OwnTraining
from trainables.spec import ReplicateResult


def own_training(cell: Cell, results: Sequence[ReplicateResult]) -> OwnTraining | None:
    """The user's function that trained a cell, by its results; None where the built-in trainer did."""
    trainer = cell.config.trainer
    if trainer is None:
        return None
    return OwnTraining(
        call=trainer.identity["call"],
        code=dict(Counter(result.code for result in results if result.code)),
        options=trainer.options,
        maximise=trainer.maximise,
        one_score=any(result.one_score for result in results),
    )
