"""What a cell will ask for, as far as that can be known before its results are.

Known are all rounds but for two things: for how long one-sided strengths are searched, and how many strengths there
will be to confirm. So there are three cases, the least, the likely and the most.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Literal, NamedTuple, get_args

from study.cells.cell import Cell
from study.cells.trials import ONE_SIDED, SUBJECTS, Arm, Asked, opening_size
from study.scheduling.packs import even_groups, pack_work
from study.search.curves import curve

Case = Literal["least", "likely", "most"]
CASES: tuple[Case, ...] = get_args(Case)
PlannedRound = Sequence[tuple[Arm, int]]  # trainings of each arm
ONE_SIDED_SHARE = 3 / 4  # of what one-sided arms may ask for after their first round, as in the digits study


class Phase(IntEnum):
    """Stage of a cell's search. A cell goes through them in this order, and may leave any but the first out."""

    SHARED = 0
    ONE_SIDED = 1
    CONFIRM = 2
    FINAL = 3

    @classmethod
    def of(cls, arm: Arm) -> Phase:
        """The phase whose rounds ask for trainings of this arm."""
        return cls.ONE_SIDED if arm in ONE_SIDED else cls[arm.upper()]

    @property
    def is_one_round(self) -> bool:
        """Whether the phase asks for all of its trainings at once."""
        return self >= Phase.CONFIRM


def planned_rounds(cell: Cell, *, case: Case, going: Sequence[Arm] | None = None) -> list[PlannedRound]:
    """Trainings that each round of the cell asks for.

    Least: refinement stops at once where the study file has a target, one-sided arms are given up as soon as they may
    be, and λ* is 0 for both encoders and the pair. Most: nothing stops early, one-sided arms go on to their end,
    and all λ* differ. Likely: nothing stops early, and one-sided arms go on where they always do. `going`: the
    one-sided arms that do not end with their first round, if that is known.
    """
    config = cell.config
    strength, search, replicates = config.strength, config.search, config.replicates
    each = search.trials_per_strength * replicates.search
    stops = case == "least" and (search.stop_interval or search.stop_regret)
    added = [] if stops else list(range(0, strength.refine, strength.per_round))
    extra = [min(strength.per_round, strength.refine - done) for done in added]
    rounds: list[PlannedRound] = [[("shared", count * each)] for count in (len(strength.design), *extra)]
    wanted = config.alignment.one_sided if config.alignment.direction == "both" else "never"
    if wanted == "auto" and not replicates.confirm:
        wanted = "never"
    if going is None:
        going = ONE_SIDED if wanted == "always" or (wanted == "auto" and case == "most") else ()
    if wanted != "never":
        first = opening_size(strength.design)
        rounds.append([(arm, first * each) for arm in ONE_SIDED])
        rest = len(strength.design) - 1 - first
        rounds += [[(arm, count * each) for arm in going] for count in ([rest] if rest else []) + extra if going]
    if replicates.confirm:
        distinct = {"least": 1, "likely": len(SUBJECTS), "most": 1 + len(SUBJECTS)}[case]
        own = 0 if case == "least" else len(going)  # a one-sided λ* of 0 is confirmed already
        rounds.append([("confirm", (distinct + own) * replicates.confirm)])
        if config.models:
            rounds.append([("final", 2 if case == "most" else 1)])
    return rounds


class Left(NamedTuple):
    """Trainings that are still to be asked for, and their work as `pack_work` has it."""

    trainings: int = 0
    work: float = 0.0

    def towards(self, other: Left, *, share: float) -> Left:
        """What lies between the two, at this share of the way."""
        return Left(
            trainings=self.trainings + round(share * (other.trainings - self.trainings)),
            work=self.work + share * (other.work - self.work),
        )


@dataclass
class Ahead:
    """What a cell is still to ask for, corrected by every round that it does ask for.

    `asked` are the trainings asked for so far, by arm, `left` those that are likely to be asked for still, `least` and
    `most` those of the two other cases. Until it is known which one-sided arms go on, the share of those that do
    (`auto`) counts.
    """

    cell: Cell
    pack_size: int
    asked: dict[Arm, int] = field(default_factory=lambda: dict.fromkeys(get_args(Arm), 0))
    left: Left = field(init=False)  # kept: every sign of progress reads them of every cell
    least: Left = field(init=False)
    most: Left = field(init=False)
    _phase: Phase = Phase.SHARED  # the latest that has begun
    _going: tuple[Arm, ...] | None = None  # the one-sided arms that go on, once that is known

    def __post_init__(self) -> None:
        self._look()

    def correct(self, arms: Mapping[Arm, int]) -> None:
        """Take a round into account that the cell has asked for, by its trainings in each arm."""
        one_sided = tuple(arm for arm in ONE_SIDED if arm in arms)
        if any(self.asked[arm] for arm in one_sided):  # not the first round of them
            self._going = one_sided
        for arm, count in arms.items():
            self.asked[arm] += count
            self._phase = max(self._phase, Phase.of(arm))
        self._look()

    def _look(self) -> None:
        self.least, self.left, self.most = self._left("least"), self._expected(), self._left("most")

    def _expected(self) -> Left:
        if self._going is not None:
            return self._left("most")
        likely = self._left("likely")
        if self._phase <= Phase.ONE_SIDED and self.cell.config.alignment.one_sided == "auto":
            return likely.towards(self._left("most"), share=ONE_SIDED_SHARE)
        return likely

    def _left(self, case: Case) -> Left:
        """What the plan of this case asks for beyond the trainings asked for, in phases that are not over."""
        trainings, work = 0, 0.0
        uncounted = dict(self.asked)  # trainings asked for that no planned round has been matched with
        for planned in planned_rounds(self.cell, case=case, going=self._going):
            for arm, count in planned:
                if self._is_over(Phase.of(arm)):
                    continue
                known = min(uncounted[arm], count)
                uncounted[arm] -= known
                if count > known:
                    trainings += count - known
                    groups = even_groups(range(count - known), self.pack_size)
                    work += sum(pack_work(len(group), pack_size=self.pack_size) for group in groups)
        return Left(trainings, work)

    def _is_over(self, phase: Phase) -> bool:
        """Whether nothing more will be asked for in a phase, however much was planned."""
        return phase < self._phase or (phase == self._phase and phase.is_one_round)


def planned_in_record(
    cells: Sequence[Cell], record: Mapping[tuple[str, Arm], Sequence[Asked]], *, given_up: Collection[str]
) -> dict[str, int]:
    """How many trainings each cell will have taken in the end, by id: what a coordinator says whose record it is.

    Args:
        cells: of the study.
        record: the trials by cell and arm.
        given_up: ids of the cells that nothing more is asked for.
    """
    trials = {
        cell.id: [trial for arm in get_args(Arm) for trial in _once(record.get((cell.id, arm), ()))] for cell in cells
    }
    states = {cell.id: "over" if cell.id in given_up else _state(cell, trials[cell.id]) for cell in cells}
    decided = "at work" not in states.values() and any(t.arm == "final" for asked in trials.values() for t in asked)
    planned = {}
    for cell in cells:
        ahead = Ahead(cell=cell, pack_size=1)
        for round_ in _rounds(trials[cell.id]):
            ahead.correct(round_)
        over = states[cell.id] == "over" or (decided and states[cell.id] == "confirmed")
        planned[cell.id] = sum(ahead.asked.values()) + (0 if over else ahead.left.trainings)
    return planned


def planned_in_extension(cells: Sequence[Cell], record: Mapping[tuple[str, Arm], Sequence[Asked]]) -> dict[str, int]:
    """How many trainings each cell of a study that is extended will have taken in the end, by id.

    Supposed is that one-sided arms go on where they did, and that as many strengths are confirmed as were: what the new
    trainings say may move them.
    """
    planned = {}
    for cell in cells:
        trials = {arm: _once(record.get((cell.id, arm), ())) for arm in get_args(Arm)}
        asked = {arm: sum(len(trial.replicates) for trial in known) for arm, known in trials.items()}
        going = [arm for arm in ONE_SIDED if len({trial.round for trial in trials[arm]}) > 1]
        known = going if any(asked[arm] for arm in ONE_SIDED) else None
        wanted: dict[Arm, int] = {}
        for round_ in planned_rounds(cell, case="likely", going=known):
            for arm, count in round_:
                wanted[arm] = wanted.get(arm, 0) + count
        if confirmed := len({trial.setting.strengths for trial in trials["confirm"]}):
            wanted["confirm"] = confirmed * cell.config.replicates.confirm
        planned[cell.id] = sum(max(asked[arm], wanted.get(arm, 0)) for arm in asked)
    return planned


def _once(trials: Iterable[Asked]) -> Collection[Asked]:
    """One of those that were made twice, as the answer to the first got lost: the one with more results."""
    known: dict[tuple[int, int], Asked] = {}
    for trial in trials:
        place = (trial.round, trial.slot)
        if place not in known or len(trial.results) > len(known[place].results):
            known[place] = trial
    return known.values()


def _rounds(trials: Iterable[Asked]) -> list[dict[Arm, int]]:
    """The trainings of each round by arm, in the order in which rounds are asked for."""
    counts: dict[tuple[Phase, int], dict[Arm, int]] = {}
    for trial in trials:
        arms = counts.setdefault((Phase.of(trial.arm), trial.round), {})
        arms[trial.arm] = arms.get(trial.arm, 0) + len(trial.replicates)
    return [counts[place] for place in sorted(counts)]


def _state(cell: Cell, trials: Sequence[Asked]) -> Literal["at work", "confirmed", "over"]:
    """Where a cell's rounds are; a next round is on record as soon as the one before has all its results."""
    if not trials or any(trial.missing for trial in trials):
        return "at work"
    arms = {trial.arm for trial in trials}
    if "confirm" in arms:
        return "confirmed"
    shared = [trial for trial in trials if trial.arm == "shared"]
    if not all(curve(shared, subject).is_drawable for subject in SUBJECTS):
        return "over"  # it has no answer
    search = cell.config.search
    early = search.stop_interval or search.stop_regret or not arms.isdisjoint(ONE_SIDED)
    return "over" if early and not cell.config.replicates.confirm else "at work"
