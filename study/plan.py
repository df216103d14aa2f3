"""What a study will do, before it does it: the text of `--dry-run`."""

from __future__ import annotations

from collections.abc import Sequence

from study.cells import Cell
from study.rounds import planned_trainings


def describe(cells: Sequence[Cell]) -> str:
    """The plan in lines: what is searched in each cell, and how many trainings and packs that makes at most."""
    config = cells[0].config
    strength, search, replicates = config.strength, config.search, config.replicates
    trainings = sum(planned_trainings(cell) for cell in cells)
    size = config.resources.pack
    packs = "packs as large as pays" if isinstance(size, str) else f"about {-(-trainings // size)} packs"
    lines = [
        f"{config.study}: {len(cells)} cells, at most {trainings} trainings in {packs}",
        f"strengths: {', '.join(f'{value:g}' for value in strength.design)}; "
        f"then up to {strength.refine} more by {search.sampler}",
        f"seeds: {replicates.search} at each of {search.trials_per_strength} nuisance setting(s), "
        f"{replicates.confirm} fresh ones to confirm",
    ]
    for cell in cells:
        rows = ", ".join(f"{count} {split}" for split, count in cell.rows.items())
        lines.append(f"  {cell.label} ({rows} rows)")
    return "\n".join(lines)
