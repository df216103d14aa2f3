"""The confirmation of a cell: which settings are trained on fresh seeds, and which of those on record stand for which.

A confirmation that is extended goes on where it was. Where more trainings have moved what the search came to, strengths
that were confirmed next to it stand for it still, and only a strength that is better than they are is confirmed anew.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping, Sequence

import numpy as np

from study.cells.cell import Cell
from study.cells.trials import ENCODERS, ONE_SIDED, SUBJECTS, Arm, Asked, Setting, StrengthPair
from study.search import Ledger
from study.search.curves import ScoreCurve, curve, nuisance_of, searched, select_curve
from study.search.extended import Lacking, Round, ask_lacking, recorded_round, without
from study.search.one_sided import may_give_up, worthwhile
from study.selection import SAME_STRENGTH, Selection, rounded, warp


def confirmation(cell: Cell, ledger: Ledger) -> Generator[Round, None, None]:
    """The rounds of the confirmation: those of past stages as they are on record, and what is lacking after them."""
    begun = begun_rounds(cell)
    for index in range(begun):
        yield recorded_round(ledger, cell, ("confirm",), index)
    settings = confirmed_settings(cell, ledger, before=begun)
    if units := lacking_to_confirm(cell, ledger, settings, before=begun):
        yield ask_lacking(cell, ledger, {"confirm": units}, begun)


def begun_rounds(cell: Cell) -> int:
    """How many rounds of the confirmation belong to past stages of a cell; 0 where none does."""
    return max((stage.rounds.get("confirm", 0) for stage in cell.past), default=0)


def confirmed_settings(cell: Cell, ledger: Ledger, *, before: int = 0) -> tuple[Setting, ...]:
    """λ = 0, the shared λ* of both encoders and of the pair, and the one-sided λ* that may be of use.

    Each has the nuisance setting that was best at the nearest strength searched. What rounds of the confirmation before
    `before` have confirmed may stand for a λ*: see `settled_strength`.
    """
    earlier = [trial for trial in ledger.trials(cell.id, "confirm") if trial.round < before]
    held = standing(confirmed_groups(earlier))
    shared = {subject: curve(ledger.trials(cell.id, "shared"), subject) for subject in SUBJECTS}
    alike = [first for first, second in held if first == second]
    stars = (settled_strength(select_curve(cell, one), alike, extended=bool(before)) for one in shared.values())
    settings = [_like_nearest(shared["pair"], strength, "shared") for strength in sorted({0.0, *stars})]
    useful = worthwhile(cell, ledger) if may_give_up(cell, ledger) else ONE_SIDED
    for index, (arm, subject) in enumerate(zip(ONE_SIDED, ENCODERS, strict=True)):
        own_sided = [pair[index] for pair in held if pair[index] and not pair[1 - index]]
        if (arm in useful or own_sided) and (trials := searched(cell, ledger, arm)):
            own = curve(trials, subject)
            if own.is_drawable and (
                star := settled_strength(select_curve(cell, own), own_sided, extended=bool(before))
            ):
                settings.append(_like_nearest(own, star, arm))
    return tuple(settings)


def lacking_to_confirm(cell: Cell, ledger: Ledger, settings: Iterable[Setting], *, before: int) -> tuple[Lacking, ...]:
    """What settings that are to be confirmed lack after the rounds of the confirmation before `before`."""
    earlier = [trial for trial in ledger.trials(cell.id, "confirm") if trial.round < before]
    units = []
    for setting in settings:
        held = {index for trial in earlier if trial.setting == setting for index in trial.replicates}
        columns = without(cell.config.replicates.confirm, held)
        units += [Lacking(setting, columns)] if columns else []
    return tuple(units)


def confirmed_groups(trials: Iterable[Asked]) -> dict[StrengthPair, tuple[Asked, ...]]:
    """The confirming trials that stand for each pair of strengths: of one setting, whichever was asked for last with
    the most replicates.
    """
    by_setting: dict[StrengthPair, dict[object, list[Asked]]] = {}
    for trial in trials:
        by_setting.setdefault(trial.setting.strengths, {}).setdefault(nuisance_of(trial), []).append(trial)
    standing_for: dict[StrengthPair, tuple[Asked, ...]] = {}
    for strengths, groups in by_setting.items():
        latest = max(groups.values(), key=lambda group: (_asked(group), group[-1].round))
        standing_for[strengths] = tuple(latest)
    return standing_for


def standing(groups: Mapping[StrengthPair, Sequence[Asked]]) -> list[StrengthPair]:
    """The strengths whose confirmation is not left behind: that have as many replicates as any others."""
    most = max(map(_asked, groups.values()), default=0)
    return [strengths for strengths, group in groups.items() if _asked(group) == most]


def settled_strength(selection: Selection, confirmed: Iterable[float], *, extended: bool) -> float:
    """The strength that stands for λ*: the one that the search came to, or one of those confirmed.

    That is one which is the same but for rounding. Of a cell that was `extended` it may also be one at which the curve
    is expected to be lower by no more than λ* itself is expected to lose against the unknown best: more trainings move
    the highest point a little every time, and what was confirmed next to it still tells of it.
    """
    star = rounded(selection.lambda_star)
    positive = [strength for strength in confirmed if strength > 0]
    if not star or not positive:
        return star
    nearest = min(positive, key=lambda strength: abs(strength - star))
    if abs(nearest - star) <= SAME_STRENGTH * star:
        return nearest
    if not extended:
        return star
    best, *others = _expected(selection, [star, *positive])
    value, strength = max(zip(others, positive, strict=True))
    return strength if best - value <= selection.expected_regret else star


def _like_nearest(searched: ScoreCurve, strength: float, arm: Arm) -> Setting:
    nearest = int(np.abs(searched.strengths - strength).argmin())
    return searched.chosen[nearest].setting.at(strength, arm)


def _expected(selection: Selection, strengths: Sequence[float]) -> list[float]:
    """The posterior mean of a curve at some strengths."""
    drawn = selection.posterior
    axis = warp(drawn.strengths, scale=drawn.scale)
    return list(map(float, np.interp(warp(strengths, scale=drawn.scale), axis, drawn.mean)))


def _asked(group: Iterable[Asked]) -> int:
    return len({index for trial in group for index in trial.replicates})
