"""The packs of a round: their sizes, what they take, and who gets which result."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TypeVar

from study.cells.cell import Cell, Job
from study.cells.trials import Asked

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class PlannedPack:
    """Replicates to train in lockstep: the specification, the cell they belong to, and who gets which result."""

    spec: Job
    cell: Cell
    members: tuple[tuple[Asked, int], ...]  # trial and replicate index, in the order of spec.replicas
    ready_at: float = field(default_factory=time.monotonic, compare=False)  # when it could have been taken

    @property
    def keeps_encoders(self) -> bool:
        """Whether the trained encoders are wanted, not only their results."""
        return self.members[0][0].arm == "final"

    @property
    def drawn(self) -> tuple[int, ...]:
        """The places of the replicates that a report draws: the first one's at each strength of the search, and all
        that confirm.
        """
        return tuple(
            place
            for place, (asked, index) in enumerate(self.members)
            if asked.arm == "confirm" or (asked.arm != "final" and index == 0)
        )

    @property
    def id(self) -> str:
        """Content hash of the specification: the same after a restart."""
        return self.spec.hash


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
