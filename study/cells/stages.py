"""Stages of a study that was extended: what it asked for before, and how far each of its cells was by then."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from study.cells.trials import Arm
from study.config.amounts import Amounts

# How much of a confirmation was there to be looked at: nothing, a part, or all that had been asked for.
Looked = Literal["not", "partly", "whole"]


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One stage of a cell, which an extension ended: what was asked for, how many rounds of each arm were on record,
    and how much of the confirmation could be seen.

    Everything that was asked for since belongs to later stages.
    """

    amounts: Amounts
    rounds: Mapping[Arm, int] = field(default_factory=dict)
    looked: Looked = "not"
