"""A study on record that is asked for more: what may grow, and how the record says that it did."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from study.cells.cell import Cell
from study.cells.stages import Looked
from study.config import ConfigError, StudyConfig, differences
from study.config.amounts import Amounts
from study.config.comparing import Comparison, compare
from study.search import Ledger
from study.search.allowance import lift
from study.search.record.cuts import Cuts
from study.search.record.extensions import Extension, past_of, rounds_on_record
from study.search.record.notes import CELLS, CONFIGURATION, CUTS, EXTENSIONS, RUN, Identity, RecordedCell, Run

REMEDY = "give this one another name, or undo the change to resume it"


@dataclass(frozen=True, kw_only=True)
class Growth:
    """By how much a study file asks for more than is on record: its lines, and the amounts before and now."""

    lines: tuple[str, ...]
    before: Amounts
    now: Amounts


def check_growth(
    config: StudyConfig, known: Identity, cells: Sequence[Cell], recorded: Sequence[RecordedCell], *, where: object
) -> Growth | None:
    """How a study file asks for more than the record `known`; None where it asks for the same.

    Args:
        config: of the study file, in the record's words.
        known: the recorded configuration.
        cells: of the study file, under the ids of the recorded ones that they are.
        recorded: the recorded cells.
        where: the folder of all studies, for messages.

    Raises:
        ConfigError: it asks for less, or for something else.
    """
    if not (changed := differences(known, config.identity)):
        return None
    begun = f"the study {config.study} in {where} was started with another configuration"
    try:
        before = Amounts.of(StudyConfig.of_identity(known))
    except ValueError:  # an option that this version does not have
        raise ConfigError(f"{begun} ({'; '.join(changed)}); {REMEDY}") from None
    now = Amounts.of(config)
    compared = compare(known, config.identity, before=before, now=now)
    if refused := (*compared.other, *(() if _has_all(cells, recorded) else compared.cells)):
        if not compared.other and _has_all(recorded, cells):
            raise ConfigError(
                f"the study {config.study} in {where} has more pairs on record ({'; '.join(refused)}), and what was "
                "trained is not taken back; name them too, or give this one another name"
            )
        raise ConfigError(f"{begun} ({'; '.join(refused)}); {REMEDY}")
    if compared.less:
        raise ConfigError(
            f"the study {config.study} in {where} has more on record ({'; '.join(compared.less)}), and what was "
            f"trained is not taken back; ask for as much, with {_as_recorded(compared)}, or give this one another name"
        )
    return Growth(lines=(*compared.more, *compared.cells), before=before, now=now)


def extend(
    ledger: Ledger,
    growth: Growth,
    config: StudyConfig,
    cells: Sequence[Cell],
    *,
    say: Callable[[str], None],
) -> None:
    """Note in the record that the study is extended, so that it goes on from where it is.

    What was asked for before stands there with how far each cell was: rounds on record belong to it, later ones to the
    new amounts. The configuration comes last but for the cells, so that an extension that is killed here is made anew.
    """
    recorded, known = ledger.note(CELLS) or (), ledger.note(CONFIGURATION) or {}
    old = {cell.id for cell in recorded} if growth.before != growth.now else set()
    standing = [cell for cell in cells if cell.id in old]
    _end_stage(ledger, standing, amounts=growth.before, config_hash=StudyConfig.of_identity(known).hash)
    ledger.set_note(CONFIGURATION, config.identity)
    trained = ledger.trained
    say(
        f"the study {config.study} is extended ({'; '.join(growth.lines)}); "
        f"{f'all {trained} trainings' if trained > 1 else 'what'} on record count"
    )
    if trained and _places_more(growth):
        say(
            "seeds come to what they would have in a study of this size from the start; strengths that were placed by "
            "fewer trainings stay, so that such a study might have placed others"
        )


def raised_limits(config: StudyConfig, cells: Sequence[Cell], cuts: Cuts) -> dict[str, str]:
    """The cells, by id, whose search a budget had cut short that is larger now: what was raised, each in a line."""
    now = config.budget.given
    return {
        cell.id: f"budget.{cut.by}: {cut.limit:.10g} -> {f'{now[cut.by]:.10g}' if cut.by in now else 'any'}"
        for cell in cells
        for cut in cuts.get(cell.id, {}).values()
        if not cut.lifted and now.get(cut.by, math.inf) > cut.limit
    }


def go_on(ledger: Ledger, config: StudyConfig, cells: Sequence[Cell], *, say: Callable[[str], None]) -> list[str]:
    """Let a study go on whose budget was raised, in the cells whose search it had cut short; what was raised, in lines.

    Cells that the budget did not stop stay as they are.
    """
    raised = raised_limits(config, cells, ledger.note(CUTS) or {})
    if not raised:
        return []
    _end_stage(
        ledger,
        [cell for cell in cells if cell.id in raised],
        amounts=Amounts.of(config),
        config_hash=StudyConfig.of_identity(ledger.note(CONFIGURATION) or {}).hash,
    )
    told = sorted(set(raised.values()))
    say(
        f"the study {config.study} goes on where its budget had stopped it ({'; '.join(told)}): "
        f"{len(raised)} pair{'s' * (len(raised) > 1)}; what is on record counts"
    )
    return told


def _end_stage(ledger: Ledger, cells: Sequence[Cell], *, amounts: Amounts, config_hash: str) -> None:
    """Note that what these cells have on record belongs to a stage of its own, which asked for these amounts, and that
    nothing stops what comes now.
    """
    earlier = ledger.note(EXTENSIONS) or ()
    extension = Extension(
        amounts=amounts,
        config_hash=config_hash,
        rounds={cell.id: rounds_on_record(cell.id, ledger) for cell in cells},
        looked={cell.id: _looked(cell, ledger, earlier) for cell in cells},
    )
    if not any(one.is_of_the_same_state(extension) for one in earlier[-1:]):  # else one was killed right here
        ledger.set_note(EXTENSIONS, [*earlier, extension])
    ledger.set_note(RUN, Run(complete=False, versions={}))
    lift(ledger, [cell.id for cell in cells])


def note_cells(ledger: Ledger, cells: Sequence[Cell]) -> None:
    """Note cells that have come to a study; those on record stay as they are, under what is special about each now."""
    known = {cell.id: cell for cell in ledger.note(CELLS) or ()}
    noted = [
        RecordedCell({**known[cell.id].json, "label": cell.label, "variant": dict(cell.variant)})
        if cell.id in known
        else RecordedCell.of(cell)
        for cell in cells
    ]
    ledger.set_note(CELLS, noted)


def _has_all(cells: Sequence[Cell | RecordedCell], some: Sequence[Cell | RecordedCell]) -> bool:
    """Whether `cells` are all of `some`, of the same data, and others besides."""
    more, fewer = ({(cell.id, cell.data_key) for cell in known} for known in (cells, some))
    return fewer < more


def _looked(cell: Cell, ledger: Ledger, earlier: Sequence[Extension]) -> Looked:
    """How much of a cell's confirmation could be seen that could not when it was extended before."""
    confirmed = ledger.trials(cell.id, "confirm")
    if not any(trial.results for trial in confirmed):
        return "not"
    looked: Looked = "partly" if any(trial.missing for trial in confirmed) else "whole"
    past = [stage for stage in past_of(cell.id, earlier) if stage.looked != "not"]
    is_new = not past or (past[-1].rounds.get("confirm"), past[-1].looked) != (
        rounds_on_record(cell.id, ledger).get("confirm"),
        looked,
    )
    return looked if is_new else "not"


def _places_more(growth: Growth) -> bool:
    before, now = growth.before, growth.now
    return (before.search, before.initial, before.range) != (now.search, now.initial, now.range)


def _as_recorded(compared: Comparison) -> str:
    """What to write in the study file so that it asks for no less than is on record."""
    keys = [line.split(" -> ")[0].split(": ", 1) for line in compared.less]
    return " ".join(f"--set '{key}={value}'" if " " in value else f"--set {key}={value}" for key, value in keys)
