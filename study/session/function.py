"""The user's own function in a session: found and checked before anything trains, compared with what is on record."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, get_args

from study.cells.cell import Cell
from study.cells.trials import Arm
from study.config import ConfigError, StudyConfig
from study.search import Ledger
from trainables.functions.code import Code, read_code
from trainables.functions.errors import FunctionError
from trainables.functions.loading import check_callable
from trainables.functions.objects import code_of

Function = Callable[[Any], object]


def read_function(config: StudyConfig, given: Function | None = None, *, out: Path | None = None) -> Code | None:
    """The code of the function that a study names, or that was `given` from Python; None where it names none.

    What lies in `out`, the folder of all studies, is no part of it.

    Raises:
        ConfigError: there is no such file or function, it cannot be imported or taken to a worker.
    """
    trainer = config.trainer
    if trainer is None:
        return None
    try:
        if given is not None:
            code = code_of(given)
        elif trainer.file is None:
            raise ConfigError(
                f"trainer.call is {trainer.call}, a function that was given from Python; run the study from there "
                "again, or name FILE.py:NAME"
            )
        else:
            folder = None if trainer.folder is None else Path(trainer.folder)
            left_out = [] if out is None else [out]
            call = f"{trainer.file.name}:{trainer.name}"
            code = read_code(call, base=trainer.file.parent, folder=folder, leave_out=left_out)
        check_callable(code)
    except FunctionError as error:
        raise ConfigError(str(error)) from None
    return code


def note_changes(code: Code, cells: Sequence[Cell], ledger: Ledger, *, say: Callable[[str], None]) -> None:
    """Say that what is on record was trained by another state of the function's code, if it was."""
    states = Counter(
        result.code
        for cell in cells
        for arm in get_args(Arm)
        for trial in ledger.trials(cell.id, arm)
        for result in trial.results.values()
        if result.code
    )
    if other := sum(count for state, count in states.items() if state != code.hash):
        say(
            f"note: {code.call} has changed since {other} of the {states.total()} trainings on record; they are kept, "
            "and the rest is trained by the code as it is now. Give the study another name to train all by one"
        )
