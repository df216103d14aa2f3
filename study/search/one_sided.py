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
from study.cells.trials import ENCODERS, ONE_SIDED, SERVED, Arm, Subject, has_one_score, opening_size
from study.search import Ledger
from study.search.curves import ScoreCurve, curve, select_curve
from study.search.design import nuisance_settings
from study.selection import SIZE, Prospect, prospect, warp, warp_scale
from trainables.spec import derive_seed

_EVERY = 2**31  # after all rounds


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


def wants_one_sided(cell: Cell, ledger: Ledger, *, put_off: bool = False) -> bool:
    """Whether one-sided strengths are begun: unless the study file rules them out.

    Never where a user's function has one score for the pair: no encoder has one of its own to serve.
    By `auto` neither where nothing is to be confirmed, without which none of them is offered, nor where confirmation
    was asked for without them: a version before this one searched them only where the shared curves disagreed, and what
    it had decided stands. Arms that were `put_off`, as a budget had no room for them, are begun once it has.
    """
    alignment = cell.config.alignment
    if alignment.direction != "both" or alignment.one_sided == "never" or has_one_score(cell.id, ledger):
        return False
    begun = any(ledger.trials(cell.id, arm) for arm in ONE_SIDED)
    undecided = bool(cell.config.replicates.confirm) and (put_off or not ledger.trials(cell.id, "confirm"))
    return begun or alignment.one_sided == "always" or undecided


def may_give_up(cell: Cell, ledger: Ledger) -> bool:
    """Whether a one-sided arm may be given up: not where `always` is asked for, nor where a version before this one
    began it, with strengths that this one would not have begun with: it goes on as it was begun.
    """
    return cell.config.alignment.one_sided == "auto" and not begun_before(cell, ledger)


def as_begun(cell: Cell) -> tuple[Cell, int]:
    """The cell as it was when its one-sided arms began, or as it is, and how many shared rounds there were by then."""
    for place, stage in enumerate(cell.past):
        if any(stage.rounds.get(arm) for arm in ONE_SIDED):
            return cell.as_of(place), stage.rounds.get("shared", 0)
    return cell, _EVERY


def begun_before(cell: Cell, ledger: Ledger) -> bool:
    """Whether a version before this one began a one-sided arm, with strengths that this one would not begin with."""
    count = len(nuisance_settings(cell))
    for arm in ONE_SIDED:
        first = [trial for trial in ledger.trials(cell.id, arm) if trial.round == 0]
        own = first_strengths(cell, ledger, arm) if first else ()
        for trial in first:
            place = trial.slot // count
            if place >= len(own) or own[place] != trial.setting.strength:
                return True
    return False


def first_strengths(cell: Cell, ledger: Ledger, arm: Arm) -> tuple[float, ...]:
    """The strengths above 0 that the arm begins with, by what the shared curve says of its encoder: see `opening`."""
    then, rounds = as_begun(cell)
    shared = curve(ledger.trials_before(cell.id, "shared", round_=rounds), SERVED[arm][0])
    return opening(then.config.strength.design, near=select_curve(then, shared).lambda_star)


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
