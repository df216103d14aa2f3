"""The policy of a cell's search: which trials each round asks for, given what earlier rounds came to.

A cell is a generator of rounds. It is resumed once every trial of the round has its replicates, and depends on nothing
but the ledger; so with the same records it asks for the same rounds, in a first run or a resumed one.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import replace

import numpy as np
from scipy.stats import qmc

from study.cells.cell import Cell
from study.cells.trials import Arm, Asked, Setting
from study.search import Ledger
from study.search.curves import ENCODERS, SUBJECTS, Curve, Subject, curve
from study.search.earlier import Experience, reordered
from study.search.one_sided import ONE_SIDED, opening, worthwhile
from study.search.record.notes import LEARNT
from study.search.samplers import suggest
from study.selection import Selection, Unit, select, warp_scale
from trainables.spec import derive_seed

Round = tuple[Asked, ...]
# The confirmed settings that both encoders of each cell should have, by cell id, once all cells are confirmed.
Recommend = Callable[[Sequence[Cell], Ledger], Mapping[str, tuple[Setting, Setting]]]
_SERVED: Mapping[Arm, Sequence[Subject]] = {"shared": SUBJECTS, "to_1": ENCODERS[:1], "to_2": ENCODERS[1:]}


def rounds(cell: Cell, ledger: Ledger) -> Generator[Round, None, None]:
    """Yield every round of the cell's search and confirmation; the caller fills the ledger before asking for the next.

    The shared strength is searched first, then one-sided strengths for as long as they may be of use, then what was
    found is confirmed. Ends early, without confirmation, where no curve came out of the search. The encoders that are
    kept come after the rounds of all cells: see `encoder_round`.
    """
    yield from _search(cell, ledger, ("shared",))
    if not has_answer(cell, ledger):
        return
    if wants_one_sided(cell, ledger):
        yield from _search(cell, ledger, ONE_SIDED)
    if cell.config.replicates.confirm:
        settings = confirmed_settings(cell, ledger)
        yield ledger.ask(
            cell.id, "confirm", round_=0, settings=settings, replicates=range(cell.config.replicates.confirm)
        )


def encoder_round(cell: Cell, ledger: Ledger, settings: tuple[Setting, Setting]) -> Round:
    """What trains the encoders that are kept, at the setting of each; they differ where each has its own strength.

    Asked for once: a decision that has changed since (a cell that had failed was confirmed meanwhile) is another round.
    """
    kept = settings[:1] if settings[0] == settings[1] else settings
    asked = ledger.trials(cell.id, "final")
    known = {trial.round: tuple(t.setting for t in asked if t.round == trial.round) for trial in asked}
    number = next((number for number, tried in known.items() if tried == kept), len(known))
    return ledger.ask(cell.id, "final", round_=number, settings=kept, replicates=range(1))


def learnt(cell: Cell, ledger: Ledger) -> Sequence[Experience]:
    """What the study chose of earlier ones for this cell when it started; nothing where it was not to."""
    return (ledger.note(LEARNT) or {}).get(cell.id, ())


def has_answer(cell: Cell, ledger: Ledger) -> bool:
    """Whether the shared arm has a curve of both encoders and of the pair to select from."""
    trials = ledger.trials(cell.id, "shared")
    return all(curve(trials, subject).is_drawable for subject in SUBJECTS)


def searched(cell: Cell, ledger: Ledger, arm: Arm) -> tuple[Asked, ...]:
    """Everything that an arm's curve rests on: λ = 0 of the shared arm is that of the one-sided arms too."""
    trials = ledger.trials(cell.id, arm)
    if arm == "shared" or not trials:
        return trials
    return tuple(trial for trial in ledger.trials(cell.id, "shared") if not trial.setting.strength_1) + trials


def wants_one_sided(cell: Cell, ledger: Ledger) -> bool:
    """Whether one-sided strengths are begun: unless the study file rules them out.

    By `auto` neither where nothing is to be confirmed, without which none of them is offered, nor where confirmation
    was asked for without them: a version before this one searched them only where the shared curves disagreed, and what
    it had decided stands.
    """
    alignment = cell.config.alignment
    if alignment.direction != "both" or alignment.one_sided == "never":
        return False
    begun = any(ledger.trials(cell.id, arm) for arm in ONE_SIDED)
    undecided = bool(cell.config.replicates.confirm) and not ledger.trials(cell.id, "confirm")
    return begun or alignment.one_sided == "always" or undecided


def _gives_up(cell: Cell, ledger: Ledger) -> bool:
    """Whether a one-sided arm may be given up: not where `always` is asked for, nor where a version before this one
    began it, with strengths that this one would not have begun with: it goes on as it was begun.
    """
    return cell.config.alignment.one_sided == "auto" and not _begun_before(cell, ledger)


def _begun_before(cell: Cell, ledger: Ledger) -> bool:
    count = len(nuisance_settings(cell))
    for arm in ONE_SIDED:
        first = [trial for trial in ledger.trials(cell.id, arm) if trial.round == 0]
        own = _opening(cell, ledger, arm) if first else ()
        for trial in first:
            place = trial.slot // count
            if place >= len(own) or own[place] != max(trial.setting.strength_1, trial.setting.strength_2):
                return True
    return False


def _opening(cell: Cell, ledger: Ledger, arm: Arm) -> tuple[float, ...]:
    shared = curve(ledger.trials(cell.id, "shared"), _SERVED[arm][0])
    return opening(cell.config.strength.design, near=select_curve(cell, shared).lambda_star)


def select_curve(cell: Cell, found: Curve) -> Selection:
    """`study.selection.select` on a curve of this cell, over its range of strengths and with its seed.

    The warp is that of the first round's design: refinements near 0 must not stretch the axis there ever further.
    """
    strength = cell.config.strength
    return select(
        found.strengths,
        found.scores,
        seed=derive_seed(cell.config.seed, cell.id, "select"),
        range_=strength.range,
        scale=warp_scale(strength.design),
        diverged=found.diverged,
    )


def confirmed_settings(cell: Cell, ledger: Ledger) -> tuple[Setting, ...]:
    """λ = 0, the shared λ* of both encoders and of the pair, and the one-sided λ* that may be of use.

    Each has the nuisance setting that was best at the nearest strength searched.
    """
    shared = {subject: curve(ledger.trials(cell.id, "shared"), subject) for subject in SUBJECTS}
    strengths = {0.0, *(rounded(select_curve(cell, shared[subject]).lambda_star) for subject in SUBJECTS)}
    settings = [_like_nearest(shared["pair"], strength, "shared") for strength in sorted(strengths)]
    useful = worthwhile(cell, ledger) if _gives_up(cell, ledger) else ONE_SIDED
    for arm, subject in zip(ONE_SIDED, ENCODERS, strict=True):
        if arm in useful and (trials := searched(cell, ledger, arm)):
            found = curve(trials, subject)
            if found.is_drawable and (star := rounded(select_curve(cell, found).lambda_star)):
                settings.append(_like_nearest(found, star, arm))
    return tuple(settings)


def rounded(strength: float) -> float:
    """A strength to three significant digits: what is confirmed is what is reported."""
    return float(f"{strength:.3g}")


def _search(cell: Cell, ledger: Ledger, arms: Sequence[Arm]) -> Generator[Round, None, None]:
    config = cell.config
    seeds = config.replicates.search
    droppable = "shared" not in arms and _gives_up(cell, ledger)
    parts = {arm: _parts(cell, ledger, arm) for arm in arms}  # as many for one arm as for the other
    for index in range(len(parts[arms[0]])):
        open_arms = _open(cell, ledger, arms, before=index, droppable=droppable) if index else arms
        if not open_arms:
            return
        columns = tuple(range(seeds))
        asked = {arm: [Unit(strength=strength, columns=columns) for strength in parts[arm][index]] for arm in open_arms}
        yield _ask(cell, ledger, asked, index)
    refined, index = 0, len(parts[arms[0]]) - 1
    while refined < config.strength.refine:
        index += 1
        open_arms = _open(cell, ledger, arms, before=index, droppable=droppable)
        if not open_arms:
            return
        count = min(config.strength.per_round, config.strength.refine - refined)
        refined += count
        suggested = {
            arm: suggest(
                ledger.trials_before(cell.id, arm, round_=index),
                arm,
                count=count,
                sampler=config.search.sampler,
                seed=derive_seed(config.seed, cell.id, arm, index),
                range_=config.strength.range,
                scale=warp_scale(config.strength.design),
                seeds=seeds,
            )
            for arm in open_arms
        }
        yield _ask(cell, ledger, suggested, index)


def _parts(cell: Cell, ledger: Ledger, arm: Arm) -> list[tuple[float, ...]]:
    """The strengths of the arm's design, round by round; λ = 0 of a one-sided arm is that of the shared one."""
    design = cell.config.strength.design
    if arm == "shared" or _begun_before(cell, ledger):
        parts = reordered(design, learnt(cell, ledger))
        return [tuple(s for s in part if s or arm == "shared") for part in parts if part]
    first = _opening(cell, ledger, arm)
    rest = tuple(strength for strength in design if strength and strength not in first)
    return [first, rest] if rest else [first]


def _open(cell: Cell, ledger: Ledger, arms: Sequence[Arm], *, before: int, droppable: bool) -> list[Arm]:
    """The arms that go on after their rounds before this one; `droppable` ones only where they may be of use."""
    useful = worthwhile(cell, ledger, before=before) if droppable else arms
    return [arm for arm in arms if arm in useful and not _settled(cell, ledger, arm, before=before)]


def _ask(cell: Cell, ledger: Ledger, units: Mapping[Arm, Sequence[Unit]], round_: int) -> Round:
    nuisance = nuisance_settings(cell)
    asked: list[Asked] = []
    for arm, wanted in units.items():
        found: Round = ()
        for place, unit in enumerate(wanted):
            found = ledger.ask(
                cell.id,
                arm,
                round_=round_,
                settings=[_at(setting, unit.strength, arm) for setting in nuisance],
                replicates=unit.columns,
                first_slot=place * len(nuisance),
            )
        asked += found
    return tuple(asked)


def nuisance_settings(cell: Cell) -> tuple[Setting, ...]:
    """The nuisance settings that every strength is tried with: those of `training`, then a Sobol sequence."""
    config = cell.config
    ranges = dict(sorted(config.search.nuisance.items()))
    own = Setting(
        strength_1=0.0, strength_2=0.0, nuisance={name: float(getattr(config.training, name)) for name in ranges}
    )
    count = config.search.trials_per_strength - 1
    if not count or not ranges:
        return (own,)
    sobol = qmc.Sobol(len(ranges), seed=derive_seed(config.seed, cell.id, "nuisance") % 2**32)
    points = sobol.random_base2((count - 1).bit_length())[:count]
    return (
        own,
        *(
            replace(own, nuisance={name: r.value(float(x)) for (name, r), x in zip(ranges.items(), point, strict=True)})
            for point in points
        ),
    )


def _settled(cell: Cell, ledger: Ledger, arm: Arm, *, before: int) -> bool:
    """Whether more strengths are not worth their cost: a target of the study file is met by everything the arm serves,
    or there is no curve to refine, by the rounds before this one.
    """
    trials = ledger.trials_before(cell.id, arm, round_=before)
    curves = [curve(trials, subject) for subject in _SERVED[arm]]
    if not all(one.is_drawable for one in curves):
        return True
    targets = cell.config.search
    if not (targets.stop_interval or targets.stop_regret):
        return False
    found = [select_curve(cell, one) for one in curves]
    widths = [selection.interval[1] - selection.interval[0] for selection in found]
    regrets = [selection.expected_regret for selection in found]
    return max(widths) < targets.stop_interval or max(regrets) < targets.stop_regret


def _at(setting: Setting, strength: float, arm: Arm) -> Setting:
    return replace(
        setting, strength_1=0.0 if arm == "to_2" else strength, strength_2=0.0 if arm == "to_1" else strength
    )


def _like_nearest(found: Curve, strength: float, arm: Arm) -> Setting:
    nearest = int(np.abs(found.strengths - strength).argmin())
    return _at(found.chosen[nearest].setting, strength, arm)
