"""The policy of a cell's search: which trials each round asks for, given what earlier rounds came to.

A cell is a generator of rounds. It is resumed once every trial of the round has its replicates, and depends on nothing
but the ledger; so with the same records it asks for the same rounds, in a first run or a resumed one.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence

from study.cells.cell import Cell
from study.cells.trials import ONE_SIDED, SERVED, SUBJECTS, Arm, Asked, Setting, Trials
from study.search import Ledger
from study.search.allowance import Allowance
from study.search.confirming import confirmation
from study.search.curves import curve, select_curve
from study.search.design import nuisance_settings
from study.search.earlier import Experience, reordered
from study.search.extended import Lacking, Round, ask_lacking, lacking, recorded_round
from study.search.one_sided import (
    as_begun,
    begun_before,
    first_strengths,
    may_give_up,
    wants_one_sided,
    worthwhile,
)
from study.search.record.notes import LEARNT
from study.search.samplers import suggest
from study.selection import Unit, warp_scale
from trainables.spec import derive_seed


def rounds(cell: Cell, ledger: Ledger, *, allowance: Allowance | None = None) -> Generator[Round, None, None]:
    """Yield every round of the cell's search and confirmation; the caller fills the ledger before asking for the next.

    The shared strength is searched first, then one-sided strengths for as long as they may be of use, then what was
    found is confirmed. Ends early, without confirmation, where no curve came out of the search. The encoders that are
    kept come after the rounds of all cells: see `encoder_round`. An `allowance` may end the search earlier, of the
    shared strength or of one-sided ones; then what was found by then is confirmed.
    """
    allowed = allowance or Allowance(cell, ledger)
    for round_ in _all_rounds(cell, ledger, allowed):
        allowed.count(round_)
        yield round_


def _all_rounds(cell: Cell, ledger: Ledger, allowance: Allowance) -> Generator[Round, None, None]:
    yield from _search(cell, ledger, ("shared",), allowance)
    if not has_answer(cell, ledger):
        return
    if wants_one_sided(cell, ledger, put_off=allowance.put_off("one_sided")):
        yield from _search(cell, ledger, ONE_SIDED, allowance)
    if cell.config.replicates.confirm:
        yield from confirmation(cell, ledger)


def encoder_round(cell: Cell, ledger: Ledger, settings: tuple[Setting, Setting]) -> Round:
    """The round that trains the encoders that are kept, at the setting of each; two where each has its own strength.

    Asked for once: a decision that has changed since (a cell that had failed was confirmed meanwhile) is another round.
    """
    kept = settings[:1] if settings[0] == settings[1] else settings
    asked = ledger.trials(cell.id, "final")
    known = {trial.round: tuple(t.setting for t in asked if t.round == trial.round) for trial in asked}
    number = next((number for number, tried in known.items() if tried == kept), len(known))
    return ledger.ask(cell.id, "final", round_=number, settings=kept, replicates=range(1))


def learnt(cell: Cell, ledger: Ledger) -> Sequence[Experience]:
    """Experiences that the study chose for this cell when it started; none where it was not to learn."""
    return (ledger.note(LEARNT) or {}).get(cell.id, ())


def has_answer(cell: Cell, ledger: Trials) -> bool:
    """Whether the shared arm has a curve of both encoders and of the pair to select from."""
    trials = ledger.trials(cell.id, "shared")
    return all(curve(trials, subject).is_drawable for subject in SUBJECTS)


def _search(cell: Cell, ledger: Ledger, arms: Sequence[Arm], allowance: Allowance) -> Generator[Round, None, None]:
    config = cell.config
    seeds = config.replicates.search
    each = config.search.trials_per_strength * seeds  # trainings of a strength

    def fitting(round_: int, *, unit: int, wanted: int = 1, strengths: int = 0, trainings: int = 0) -> int:
        """As `Allowance.fitting`; `strengths` and `trainings` come before those that the sampler adds to open arms."""
        added = (config.strength.refine - refined) * len(open_arms)
        asked = [trial for arm in open_arms for trial in ledger.trials(cell.id, arm) if trial.round == round_]
        has_results = any(trial.results for trial in asked)
        return allowance.fitting(
            "shared" if "shared" in arms else "one_sided",
            each=unit,
            wanted=wanted,
            strengths=strengths + added,
            trainings=trainings + added * each,
            begun=bool(asked),
            kept=sum(len(trial.replicates) for trial in asked) if has_results else 0,
        )

    open_arms: Sequence[Arm]
    droppable = "shared" not in arms and may_give_up(cell, ledger)
    past, refined = _past(cell, ledger, arms)
    yield from past
    if past:
        open_arms = _not_left(cell, ledger, arms, before=len(past), droppable=droppable)
        units = {arm: lacking(cell, ledger, arm, before=len(past)) for arm in open_arms}
        asks = any(units.values())
        if asks:
            lacked = [unit for own in units.values() for unit in own]
            count = sum(len(unit.columns) for unit in lacked)
            placed = len({unit.setting.strengths for unit in lacked})
            if not fitting(len(past), unit=count, strengths=placed, trainings=count):
                return
            yield ask_lacking(cell, ledger, units, len(past))
        index = len(past) + asks
    else:
        parts = {arm: _parts(cell, ledger, arm) for arm in arms}  # as many for one arm as for the other
        for index in range(len(parts[arms[0]])):
            open_arms = _open(cell, ledger, arms, before=index, droppable=droppable) if index else arms
            if not open_arms:
                return
            if "shared" not in arms:  # else it is what a cell begins with
                left = [[len(part) for part in parts[arm][index:]] for arm in open_arms]
                now, all_left = sum(counts[0] for counts in left), sum(map(sum, left))
                if not fitting(index, unit=now * each, strengths=all_left, trainings=all_left * each):
                    return
            columns = tuple(range(seeds))
            asked = {
                arm: [Unit(strength=strength, columns=columns) for strength in parts[arm][index]] for arm in open_arms
            }
            yield _ask(cell, ledger, asked, index)
        index = len(parts[arms[0]])
    while refined < config.strength.refine:
        open_arms = _open(cell, ledger, arms, before=index, droppable=droppable)
        if not open_arms:
            return
        wanted = min(config.strength.per_round, config.strength.refine - refined)
        count = fitting(index, unit=each * len(open_arms), wanted=wanted)
        if not count:
            return
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
        index += 1


def _past(cell: Cell, ledger: Ledger, arms: Sequence[Arm]) -> tuple[list[Round], int]:
    """The rounds that some arms asked for in past stages, and how many strengths the sampler added to an arm there."""
    past: list[Round] = []
    refined = 0
    for place, stage in enumerate(cell.past):
        begun, ends = len(past), max(stage.rounds.get(arm, 0) for arm in arms)
        past += [recorded_round(ledger, cell, arms, index) for index in range(begun, ends)]
        opening = begun + _opening_rounds(cell, ledger, arms, place, past[begun:])
        refined += sum(_units(cell, round_) for round_ in past[opening:])
    return past, refined


def _opening_rounds(cell: Cell, ledger: Ledger, arms: Sequence[Arm], place: int, own: Sequence[Round]) -> int:
    """How many of a past stage's own rounds came before the strengths that the sampler added."""
    if not own or not own[0]:
        return 0
    begun = own[0][0].round
    then = cell.as_of(place)
    if not begun:
        return len(_parts(then if "shared" in arms else cell, ledger, arms[0]))
    lacked = [unit for arm in arms for unit in lacking(then, ledger, arm, before=begun)]
    return int(Lacking(own[0][0].setting, own[0][0].replicates) in lacked)


def _units(cell: Cell, recorded: Round) -> int:
    """How many strengths a round on record had the sampler add to an arm."""
    by_arm: dict[Arm, int] = {}
    for trial in recorded:
        by_arm[trial.arm] = by_arm.get(trial.arm, 0) + 1
    return -(-max(by_arm.values(), default=0) // len(nuisance_settings(cell)))


def _parts(cell: Cell, ledger: Ledger, arm: Arm) -> list[tuple[float, ...]]:
    """The strengths of the arm's design, round by round; λ = 0 of a one-sided arm is that of the shared one."""
    design = (cell if arm == "shared" else as_begun(cell)[0]).config.strength.design
    if arm == "shared" or begun_before(cell, ledger):
        parts = reordered(design, learnt(cell, ledger))
        return [tuple(s for s in part if s or arm == "shared") for part in parts if part]
    first = first_strengths(cell, ledger, arm)
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
        own: Round = ()
        for place, unit in enumerate(wanted):
            own = ledger.ask(
                cell.id,
                arm,
                round_=round_,
                settings=[setting.at(unit.strength, arm) for setting in nuisance],
                replicates=unit.columns,
                first_slot=place * len(nuisance),
            )
        asked += own
    return tuple(asked)


def _not_left(cell: Cell, ledger: Ledger, arms: Sequence[Arm], *, before: int, droppable: bool) -> list[Arm]:
    """The arms that an extension brings to its number of seeds: those that may be of use, or have been confirmed."""
    useful = worthwhile(cell, ledger, before=before) if droppable else arms
    known = [trial.setting.strengths for trial in ledger.trials(cell.id, "confirm")] if droppable else []
    confirmed = {arm for i, arm in enumerate(ONE_SIDED) for pair in known if pair[i] and not pair[1 - i]}
    return [arm for arm in arms if arm in useful or arm in confirmed]


def _settled(cell: Cell, ledger: Ledger, arm: Arm, *, before: int) -> bool:
    """Whether more strengths are not worth their cost: a target of the study file is met by everything the arm serves,
    or there is no curve to refine, by the rounds before this one.
    """
    trials = ledger.trials_before(cell.id, arm, round_=before)
    curves = [curve(trials, subject) for subject in SERVED[arm]]
    if not all(one.is_drawable for one in curves):
        return True
    targets = cell.config.search
    if not (targets.stop_interval or targets.stop_regret):
        return False
    selections = [select_curve(cell, one) for one in curves]
    widths = [selection.interval[1] - selection.interval[0] for selection in selections]
    regrets = [selection.expected_regret for selection in selections]
    return max(widths) < targets.stop_interval or max(regrets) < targets.stop_regret
