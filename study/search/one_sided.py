"""One-sided strengths of a cell: the search of each arm is begun, and goes on unless it is shown to be of no use.

How an encoder does when it alone is pulled cannot be read off the shared curves, where the other one is pulled too. So
each arm begins with half of the design, λ = 0 being that of the shared arm, and before every further round it is asked
whether the arm can still change what is recommended. It cannot where

- the gain that its encoder is expected to have is negligible beside what the confirming seeds could tell from 0; or
- the shared strength surely gains what can be confirmed, and with posterior probability 0.95 both encoders with
  one-sided strengths of their own gain the pair less than that.

Everything follows from the trainings of earlier rounds.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from study.cells.cell import Cell
from study.cells.trials import ENCODERS, Arm, Subject
from study.search import Ledger
from study.search.curves import ScoreCurve, curve
from study.selection import SIZE, Prospect, prospect, warp, warp_scale
from trainables.spec import derive_seed

ONE_SIDED: tuple[Arm, ...] = ("to_1", "to_2")
_FEWEST = 3  # strengths that an arm begins with, where the design has as many
_EVERY = 2**31  # after all rounds


def opening_size(design: Sequence[float]) -> int:
    """The number of strengths above 0 that an arm begins with: half of the design's."""
    count = sum(strength > 0 for strength in design)
    return max(min(_FEWEST, count), -(-count // 2))


def opening(design: Sequence[float], *, near: float) -> tuple[float, ...]:
    """The strengths above 0 that an arm begins with, ascending: the end of the design, the one nearest to `near`, and
    those that leave the smallest gaps on the warped axis.

    `near` is λ* of the arm's encoder by the shared curve: one-sided, it is often not far from there.
    """
    positive = [strength for strength in design if strength > 0]
    if not positive:
        return ()
    place = dict(zip(design, warp(design, scale=warp_scale(design)).tolist(), strict=True))
    chosen = {0.0, positive[-1]}
    wanted = 1 + opening_size(design)
    if near > 0 and len(chosen) < wanted:
        chosen.add(min(positive, key=lambda strength: (abs(strength - near), strength)))
    while len(chosen) < wanted:
        left = [strength for strength in positive if strength not in chosen]
        chosen.add(max(left, key=lambda strength: (min(abs(place[strength] - place[c]) for c in chosen), strength)))
    return tuple(sorted(chosen - {0.0}))


def worthwhile(cell: Cell, ledger: Ledger, *, before: int = _EVERY) -> tuple[Arm, ...]:
    """The one-sided arms that may still change what is recommended, by their rounds before `before`.

    An arm whose curve cannot be drawn is not among them.
    """
    prospects: dict[Arm, Prospect | None] = {}
    for arm, subject in zip(ONE_SIDED, ENCODERS, strict=True):
        own = curve(ledger.trials_before(cell.id, arm, round_=before), subject)
        if own.is_drawable:
            prospects[arm] = _prospect(cell, own, subject)
    useful = tuple(arm for arm, one in prospects.items() if one is None or not one.is_negligible)
    if not useful or any(one is None for one in prospects.values()):
        return useful
    shared = _prospect(cell, curve(ledger.trials(cell.id, "shared"), "pair"), "pair")
    if shared is None or not shared.is_sure:
        return useful
    together = sum(one.gains / 2 for one in prospects.values() if one is not None)
    return useful if np.mean(together > shared.sure) > SIZE else ()


def _prospect(cell: Cell, searched: ScoreCurve, subject: Subject) -> Prospect | None:
    config = cell.config
    return prospect(
        searched.strengths,
        searched.scores,
        confirm=config.replicates.confirm or config.replicates.search,
        seed=derive_seed(config.seed, cell.id, "prospect", subject),
        range_=config.strength.range,
        scale=warp_scale(config.strength.design),
        diverged=searched.diverged,
    )
