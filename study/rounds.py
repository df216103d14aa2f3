"""The policy of a cell's search: which trials each round asks for, given what earlier rounds came to.

A cell is a generator of rounds. It is resumed once every trial of the round has its replicates, and depends on nothing
but the ledger; so with the same records it asks for the same rounds, in a first run or a resumed one.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import replace

import numpy as np
from scipy.stats import qmc

from study.cells import Cell
from study.curves import ENCODERS, SUBJECTS, Curve, Subject, curve
from study.search import Ledger
from study.search.samplers import suggest
from study.selection import Selection, Unit, select, warp_scale
from study.transfer import Experience, reordered
from study.trials import Arm, Asked, Setting
from trainables.spec import derive_seed

Round = tuple[Asked, ...]
# The confirmed settings that both encoders of each cell should have, by cell id, once all cells are confirmed.
Recommend = Callable[[Sequence[Cell], Ledger], Mapping[str, tuple[Setting, Setting]]]
ONE_SIDED: tuple[Arm, ...] = ("to_1", "to_2")
LEARNT = "learnt"  # note of the ledger: by cell, what was chosen of earlier studies


def rounds(cell: Cell, ledger: Ledger) -> Generator[Round, None, None]:
    """Yield every round of the cell's search and confirmation; the caller fills the ledger before asking for the next.

    The shared strength is searched first, one-sided strengths where they may be worth it, then what was found is
    confirmed. Ends early, without confirmation, where no curve came out of the search. The encoders that are kept come
    after the rounds of all cells: see `encoder_round`.
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
    found: Sequence[Experience] = (ledger.note(LEARNT) or {}).get(cell.id, ())
    return found


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
    """Whether one-sided strengths are searched: as the study file says, or (`auto`) if the shared curves disagree.

    They disagree where the intervals of the two encoders' λ* do not overlap, or where one curve falls while the other
    one rises (at once or to a peak): one strength cannot then serve both.
    """
    alignment = cell.config.alignment
    if alignment.direction != "both" or alignment.one_sided != "auto":
        return alignment.direction == "both" and alignment.one_sided == "always"
    first, second = (select_curve(cell, curve(ledger.trials(cell.id, "shared"), s)) for s in ENCODERS)
    apart = first.interval[1] < second.interval[0] or second.interval[1] < first.interval[0]
    shapes = {first.shape, second.shape}
    return apart or ("falling" in shapes and bool(shapes & {"rising", "inverted-u"}))


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
    """λ = 0, the shared λ* of both encoders and of the pair, and the one-sided λ* if there are any.

    Each has the nuisance setting that was best at the nearest strength searched.
    """
    shared = {subject: curve(ledger.trials(cell.id, "shared"), subject) for subject in SUBJECTS}
    strengths = {0.0, *(rounded(select_curve(cell, shared[subject]).lambda_star) for subject in SUBJECTS)}
    settings = [_like_nearest(shared["pair"], strength, "shared") for strength in sorted(strengths)]
    for arm, subject in zip(ONE_SIDED, ENCODERS, strict=True):
        if trials := searched(cell, ledger, arm):
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
    index = 0
    for part in filter(None, reordered(config.strength.design, learnt(cell, ledger))):
        open_arms = [arm for arm in arms if index == 0 or not _settled(cell, ledger, arm)]
        if not open_arms:
            return
        units = [Unit(strength=strength, columns=tuple(range(seeds))) for strength in part]
        # λ = 0 of a one-sided arm is that of the shared one.
        asked = {arm: [unit for unit in units if unit.strength or arm == "shared"] for arm in open_arms}
        yield _ask(cell, ledger, asked, index)
        index += 1
    refined, index = 0, index - 1
    while refined < config.strength.refine:
        open_arms = [arm for arm in arms if not _settled(cell, ledger, arm)]
        if not open_arms:
            return
        index += 1
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


def _settled(cell: Cell, ledger: Ledger, arm: Arm) -> bool:
    """Whether more strengths are not worth their cost: a target of the study file is met by everything the arm serves,
    or there is no curve to refine.
    """
    served: Mapping[Arm, Sequence[Subject]] = {"shared": SUBJECTS, "to_1": ENCODERS[:1], "to_2": ENCODERS[1:]}
    trials = searched(cell, ledger, arm)
    curves = [curve(trials, subject) for subject in served[arm]]
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
