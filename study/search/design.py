"""The design of nuisance settings: those that every strength of a cell is tried with, the same at each."""

from __future__ import annotations

from dataclasses import replace

from scipy.stats import qmc

from study.cells.cell import Cell
from study.cells.trials import Setting
from trainables.functions.spec import Value
from trainables.spec import derive_seed


def nuisance_settings(cell: Cell) -> tuple[Setting, ...]:
    """The nuisance settings that every strength is tried with, the first of them and then a Sobol sequence.

    The first is that of `training`, or with a trainer of the user's the middle of every range and the first choices.
    """
    config = cell.config
    ranges = dict(sorted(config.search.nuisance.items()))
    first: dict[str, Value] = {
        name: float(getattr(config.training, name)) if config.trainer is None else range_.first
        for name, range_ in ranges.items()
    }
    own = Setting(strength_1=0.0, strength_2=0.0, nuisance=first)
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
