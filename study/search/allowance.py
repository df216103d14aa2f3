"""What a budget leaves a cell: how many of the strengths that its search would place it may still ask for.

What a confirmation needs is set aside from the start, and so are the encoders that are kept and, where it can be
afforded, the first round of the one-sided arms. So a search that is cut short ends with a confirmed answer. Where it
was cut is noted: a study that is resumed stops there again, whoever was faster then.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

from study.cells.cell import Cell
from study.cells.trials import ONE_SIDED, PER_ENCODER, SUBJECTS, Asked, has_one_score, opening_size
from study.config import ConfigError, StudyConfig
from study.search import Ledger
from study.search.record.cuts import LIMITS, Cut, Cuts, Limit, Part
from study.search.record.notes import CUTS

_ENCODERS = 2  # that are kept, at most one training each
Refusal = Callable[[int], Limit | None]  # of so many trainings more: the limit that has no room for them


class Allowance:
    """What one cell may ask for, by its part of a budget; without one everything.

    Args:
        cell: whose search it is.
        ledger: of the study; cuts are noted there.
        trainings: that the cell may ask for in all, with its confirmation; None: any number.
        refusal: says which other limit has no room for so many trainings and the confirmations of all cells.
    """

    def __init__(
        self, cell: Cell, ledger: Ledger, *, trainings: int | None = None, refusal: Refusal = lambda _: None
    ) -> None:
        self._cell, self._ledger = cell, ledger
        self._trainings, self._refusal = trainings, refusal
        self._spent = 0
        self._one_sided = False
        self._part: Part = "shared"  # the latest that is at work
        self._confirming = 0
        self._cuts = dict(_noted(ledger).get(cell.id, {}))
        self._past = _confirmed_before(cell, ledger)

    @property
    def trainings(self) -> int | None:
        """All that the cell may ask for; None: any number."""
        return self._trainings

    @property
    def reserved(self) -> int:
        """Trainings that are set aside for the confirmation and the encoders, at most; fewer as they are asked for."""
        aside = reserve(self._cell.config, arms=self._arms_searched, one_score=self._has_one_score)
        return max(0, aside - self._confirming)

    @property
    def opening(self) -> int:
        """Trainings of the first round of one-sided arms, with their confirmation, where it is still to come."""
        cut = self._cuts.get("one_sided")
        is_over = self._part != "shared" or bool(self._arms_searched) or (cut is not None and not cut.lifted)
        return 0 if is_over else _opening(self._cell.config, one_score=self._has_one_score)

    def count(self, asked: Iterable[Asked]) -> None:
        """Take a round into account that the cell has asked for."""
        for trial in asked:
            self._spent += len(trial.replicates)
            if trial.arm in PER_ENCODER:
                self._confirming += len(trial.replicates)
                self._part = "one_sided"
            self._one_sided = self._one_sided or trial.arm in ONE_SIDED

    def put_off(self, part: Part) -> bool:
        """Whether a budget has ever ended this part of the search."""
        return part in self._cuts

    def fitting(
        self, part: Part, *, each: int, wanted: int, strengths: int, trainings: int, begun: bool, kept: int = 0
    ) -> int:
        """How many of the `wanted` units of `each` trainings may be asked for; where there is room for none, the part
        ends, which is noted.

        Args:
            part: of the search.
            each: trainings of a unit.
            wanted: units, 1 or more.
            strengths: that the part would still place, these among them.
            trainings: that those would take.
            begun: whether these units are on record already: no time ends them any more.
            kept: trainings of these units that a round on record has, whatever the budget is by now.
        """
        self._part = part
        if not each:
            return wanted
        cut = self._cuts.get(part)
        if cut is not None and not cut.lifted:
            return min(wanted, max(0, cut.spent - self._spent) // each)
        fits, by = wanted, None
        if self._trainings is not None:
            aside = self._past + self._set_aside(part)
            fits = min(wanted, max(0, self._trainings - self._spent - aside) // each)
            by = LIMITS[0]
        fits = max(fits, min(wanted, kept // each))
        if fits and not begun and (refused := self._refusal(fits * each)):
            fits, by = 0, refused
        if not fits and by is not None:
            limit = self._cell.config.budget.given[by]
            self._note(part, Cut(by=by, limit=limit, spent=self._spent, strengths=strengths, trainings=trainings))
        return fits

    def _note(self, part: Part, cut: Cut) -> None:
        self._cuts[part] = cut
        self._ledger.set_note(CUTS, {**_noted(self._ledger), self._cell.id: dict(self._cuts)})

    def _set_aside(self, part: Part) -> int:
        """What the rest of the study needs of the cell's trainings if this part goes on."""
        config, one_score = self._cell.config, self._has_one_score
        if part == "one_sided" or self._arms_searched:
            return reserve(config, arms=len(ONE_SIDED), one_score=one_score)
        plain = reserve(config, arms=0, one_score=one_score)
        with_opening = plain + _opening(config, one_score=one_score)
        assert self._trainings is not None
        return with_opening if self._spent + self._past + with_opening <= self._trainings else plain

    @property
    def _arms_searched(self) -> int:
        begun = self._one_sided or any(stage.rounds.get(arm) for stage in self._cell.past for arm in ONE_SIDED)
        return len(ONE_SIDED) if begun else 0

    @property
    def _has_one_score(self) -> bool:
        return has_one_score(self._cell.id, self._ledger)


def reserve(config: StudyConfig, *, arms: int, one_score: bool = False) -> int:
    """Trainings that the confirmation of a cell and its encoders take at most, with so many one-sided arms searched."""
    confirm = config.replicates.confirm
    if not confirm:
        return 0
    strengths = 1 + (1 if one_score else len(SUBJECTS)) + arms  # λ = 0, and every λ* another one
    return strengths * confirm + (_ENCODERS if config.models else 0)


def _opening(config: StudyConfig, *, one_score: bool) -> int:
    """Trainings of the first round of one-sided arms, and what they add to a confirmation; 0 where none is begun."""
    if one_score or not _may_be_one_sided(config):
        return 0
    first = len(ONE_SIDED) * opening_size(config.strength.design) * _each(config)
    return first + reserve(config, arms=len(ONE_SIDED)) - reserve(config, arms=0)


def shares(config: StudyConfig, cells: Iterable[Cell]) -> dict[str, int | None]:
    """The trainings that each cell may ask for, by id: equal parts of the budget, the first cells having what is over.

    Raises:
        ConfigError: a part is too small for the strengths that a cell begins with and their confirmation.
    """
    ids = [cell.id for cell in cells]
    total = config.budget.trainings
    if total is None:
        return dict.fromkeys(ids)
    fewest = fewest_trainings(config)
    if total < fewest * len(ids):
        pairs = f"{len(ids)} pair{'s' * (len(ids) > 1)}"
        raise ConfigError(
            f"budget.trainings is {total:,}, but {pairs} need {fewest * len(ids):,} for the strengths that they begin "
            f"with and their confirmation ({fewest:,} each); give as many, or fewer of strength.initial, "
            "replicates.search or replicates.confirm"
        )
    each, over = divmod(total, len(ids))
    return {id_: each + (place < over) for place, id_ in enumerate(ids)}


def fewest_trainings(config: StudyConfig) -> int:
    """Trainings of a cell that places no strength beyond those that it begins with, and confirms."""
    return len(config.strength.design) * _each(config) + reserve(config, arms=0)


def whole(config: StudyConfig) -> int:
    """Trainings of a cell in whose search nothing is cut, at most."""
    design, refine = len(config.strength.design), config.strength.refine
    one_sided = len(ONE_SIDED) if _may_be_one_sided(config) else 0
    strengths = design + refine + one_sided * (design - 1 + refine)
    return strengths * _each(config) + reserve(config, arms=one_sided)


def lift(ledger: Ledger, cells: Iterable[str]) -> None:
    """Lift the cuts of some cells, by their ids: what they ended may go on."""
    cuts = dict(_noted(ledger))
    own = [cell for cell in cells if cell in cuts]
    for cell in own:
        cuts[cell] = {part: replace(cut, lifted=True) for part, cut in cuts[cell].items()}
    if own:
        ledger.set_note(CUTS, cuts)


def _noted(ledger: Ledger) -> Cuts:
    return ledger.note(CUTS) or {}


def _each(config: StudyConfig) -> int:
    return config.search.trials_per_strength * config.replicates.search


def _may_be_one_sided(config: StudyConfig) -> bool:
    alignment = config.alignment
    if alignment.direction != "both" or alignment.one_sided == "never":
        return False
    return alignment.one_sided == "always" or bool(config.replicates.confirm)


def _confirmed_before(cell: Cell, ledger: Ledger) -> int:
    """Trainings of past stages that confirmed, or made encoders: asked for again only after the search."""
    ends = {arm: max((stage.rounds.get(arm, 0) for stage in cell.past), default=0) for arm in PER_ENCODER}
    return sum(
        len(trial.replicates) for arm, end in ends.items() for trial in ledger.trials(cell.id, arm) if trial.round < end
    )
