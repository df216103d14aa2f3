"""What a cell will ask for, as far as that can be known before its results are.

Known are all rounds but for two things: whether one-sided strengths are worth searching, and how many strengths there
will be to confirm. So there are three cases, the least, the likely and the most.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Literal, TypeVar, get_args

from study.cells import Cell
from study.curves import SUBJECTS
from study.rounds import ONE_SIDED
from study.trials import Arm

T = TypeVar("T")
Case = Literal["least", "likely", "most"]
CASES: tuple[Case, ...] = get_args(Case)
PlannedRound = Sequence[tuple[Arm, int]]  # trainings of each arm
PHASES = ("shared", "one-sided", "confirm", "final")
ONE_SIDED_SHARE = 1 / 3  # of the pairs need one-sided strengths, as of the digits study's


def planned_rounds(cell: Cell, *, case: Case) -> list[PlannedRound]:
    """Trainings that each round of the cell asks for.

    Least: refinement stops at once where the study file has a target, the encoders agree so that nothing is one-sided,
    and λ* is the same for both of them and the pair. Most: nothing stops early, one-sided strengths are searched, and
    all λ* differ. Likely: nothing stops early, and one-sided strengths are searched if they always are.
    """
    config = cell.config
    strength, search, replicates = config.strength, config.search, config.replicates
    each = search.trials_per_strength * replicates.search
    stops = case == "least" and (search.stop_interval or search.stop_regret)
    added = [] if stops else list(range(0, strength.refine, strength.per_round))
    extra = [min(strength.per_round, strength.refine - done) for done in added]
    rounds: list[PlannedRound] = [[("shared", count * each)] for count in (len(strength.design), *extra)]
    wanted, both = config.alignment.one_sided, config.alignment.direction == "both"
    sided = both and (wanted == "always" or (wanted == "auto" and case == "most"))
    if sided:
        rounds += [[(arm, count * each) for arm in ONE_SIDED] for count in (len(strength.design) - 1, *extra)]
    if replicates.confirm:
        distinct = {"least": 2, "likely": len(SUBJECTS), "most": 1 + len(SUBJECTS)}[case]
        settings = distinct + (len(ONE_SIDED) if sided else 0)
        rounds.append([("confirm", settings * replicates.confirm)])
        if config.models:
            rounds.append([("final", 2 if case == "most" else 1)])
    return rounds


def planned_trainings(cell: Cell) -> int:
    """How many trainings the cell is likely to take."""
    return sum(count for asked in planned_rounds(cell, case="likely") for _, count in asked)


def even_groups(members: Sequence[T], largest: int) -> list[Sequence[T]]:
    """The fewest groups of at most `largest`, of sizes that differ by one at most: the packs of an arm's round."""
    count = -(-len(members) // largest)
    bounds = [round(i * len(members) / count) for i in range(count + 1)]
    return [members[low:high] for low, high in pairwise(bounds)]


def pack_work(size: int, *, pack_size: int) -> float:
    """Relative time of a pack of `size` trainings, that of one training more being 1.

    What a pack takes besides its trainings is about that of three tenths of the largest pack: `resources.pack: auto`
    makes packs larger the more there is to gain (measured on pairs of MLPs; `tests/bench/dry_run.py`).
    """
    return size + 0.3 * pack_size


@dataclass
class Ahead:
    """What a cell is still to ask for, corrected by every round that it does ask for.

    `left` are the trainings that are likely to be asked for still, and their work as `pack_work` has it. Until it is
    known whether the cell needs one-sided strengths, their share of the pairs that do (`auto`) counts.
    """

    cell: Cell
    pack_size: int
    asked: dict[str, int] = field(default_factory=lambda: dict.fromkeys(PHASES, 0))
    left: tuple[int, float] = field(init=False)  # kept: every sign of progress reads it of every cell
    _phase: int = 0

    def __post_init__(self) -> None:
        self.left = self._expected()

    def ask(self, arms: Mapping[Arm, int]) -> None:
        """Note a round, by its trainings in each arm."""
        for arm, count in arms.items():
            phase = _phase_of(arm)
            self.asked[phase] += count
            self._phase = max(self._phase, PHASES.index(phase))
        self.left = self._expected()

    def _expected(self) -> tuple[int, float]:
        if self.asked["one-sided"]:
            return self._left("most")
        trainings, work = self._left("likely")
        if self._phase == PHASES.index("shared") and self.cell.config.alignment.one_sided == "auto":
            most_trainings, most_work = self._left("most")
            trainings += round(ONE_SIDED_SHARE * (most_trainings - trainings))
            work += ONE_SIDED_SHARE * (most_work - work)
        return trainings, work

    def _left(self, case: Case) -> tuple[int, float]:
        trainings, work = 0, 0.0
        open_ = {phase: 0 for phase in PHASES[self._phase :] if phase in PHASES[:2] or not self.asked[phase]}
        past = {phase: self.asked[phase] for phase in open_}
        for planned in planned_rounds(self.cell, case=case):
            for arm, count in planned:
                phase = _phase_of(arm)
                known = min(past.get(phase, count), count)  # asked for already
                if phase in past:
                    past[phase] -= known
                if count > known:
                    trainings += count - known
                    groups = even_groups(range(count - known), self.pack_size)
                    work += sum(pack_work(len(group), pack_size=self.pack_size) for group in groups)
        return trainings, work


def _phase_of(arm: Arm) -> str:
    return "one-sided" if arm in ONE_SIDED else arm
