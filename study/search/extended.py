"""What an extended cell lacks, and what of its past stages is on record.

A study that is extended keeps its rounds as they are on record and asks for further ones: first for whatever any
strength lacks of what is asked for now, then for the strengths that the sampler may add, as ever. So seeds come to the
same trainings as in a study that asked for them at once; strengths that were placed by fewer trainings stay where they
are.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

from study.cells.cell import Cell
from study.cells.trials import Arm, Asked, Setting
from study.search import Ledger
from study.search.curves import nuisance_of
from study.search.design import nuisance_settings

Round = tuple[Asked, ...]


class Lacking(NamedTuple):
    """A setting and the replicates that it lacks."""

    setting: Setting
    columns: tuple[int, ...]


def lacking(cell: Cell, ledger: Ledger, arm: Arm, *, before: int) -> tuple[Lacking, ...]:
    """What the strengths of an arm that searches lack after its rounds before `before`, ascending strengths.

    Every strength tried, and every one of the design, is to have all seeds of the search in every nuisance setting.
    """
    held: dict[tuple[float, object], set[int]] = {}
    tried: set[float] = set()
    for trial in ledger.trials(cell.id, arm):
        if trial.round < before:
            tried.add(trial.setting.strength)
            held.setdefault((trial.setting.strength, nuisance_of(trial)), set()).update(trial.replicates)
    wanted = tried | {*cell.config.strength.design, *_new_ends(cell)}
    units = []
    for strength in sorted(wanted - ({0.0} if arm != "shared" else set())):  # which the shared arm has
        for nuisance in nuisance_settings(cell):
            key = (strength, tuple(sorted(nuisance.nuisance.items())))
            columns = without(cell.config.replicates.search, held.get(key, set()))
            units += [Lacking(nuisance.at(strength, arm), columns)] if columns else []
    return tuple(units)


def ask_lacking(cell: Cell, ledger: Ledger, units: Mapping[Arm, Sequence[Lacking]], round_: int) -> Round:
    """A round that asks for what is lacking, by arm."""
    asked: list[Asked] = []
    for arm, wanted in units.items():
        own: Round = ()
        for place, unit in enumerate(wanted):
            own = ledger.ask(
                cell.id, arm, round_=round_, settings=[unit.setting], replicates=unit.columns, first_slot=place
            )
        asked += own
    return tuple(asked)


def recorded_round(ledger: Ledger, cell: Cell, arms: Iterable[Arm], round_: int) -> tuple[Asked, ...]:
    """The trials of a round as they are on record."""
    return tuple(trial for arm in arms for trial in ledger.trials(cell.id, arm) if trial.round == round_)


def _new_ends(cell: Cell) -> set[float]:
    """Upper ends by which the range was widened, where no strength of the design lies beyond the end before."""
    config = cell.config
    ends = [*(stage.amounts.range[1] for stage in cell.past), config.strength.range[1]]
    return {new for old, new in pairwise(ends) if new > old and max(config.strength.design) <= old}


def without(count: int, held: set[int]) -> tuple[int, ...]:
    """The first `count` replicates but for those held."""
    return tuple(index for index in range(count) if index not in held)
