"""Where a budget ended a part of a cell's search, as the record holds it: a resumed study stops at the same place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from study.search.record.forms import Form

Limit = Literal["trainings", "minutes", "gpu_hours"]
LIMITS: tuple[Limit, ...] = get_args(Limit)
Part = Literal["shared", "one_sided"]  # of a cell's search; its confirmation is never cut
Cuts = Mapping[str, Mapping[Part, "Cut"]]  # by cell id

CUTS_FORM: Form = {
    str: {str: {"by": str, "limit": float, "spent": int, "strengths": int, "trainings": int, "lifted": bool}}
}


@dataclass(frozen=True, kw_only=True)
class Cut:
    """The end that a budget put to a part of a cell's search.

    `by` is the key of the budget that ended it and `limit` its value; `spent` the trainings that the cell had asked for
    by then; `strengths` those that were not placed any more and `trainings` what they would have taken, at most. A cut
    that is `lifted`, as the budget was raised, ends nothing any more: it only says that the part was put off.
    """

    by: Limit
    limit: float
    spent: int
    strengths: int
    trainings: int
    lifted: bool = False


@dataclass(frozen=True, kw_only=True)
class Spent:
    """What all runs of a study have taken by now: seconds in which it trained, seconds of whole GPUs; and, by which the
    speed is known, the seconds of all packs and their work as the coordinator counts it.
    """

    seconds: float = 0.0
    gpu_seconds: float = 0.0
    pack_seconds: float = 0.0
    work: float = 0.0


SPENT_FORM: Form = {"seconds": float, "gpu_seconds": float, "pack_seconds": float, "work": float}


def cuts_to_json(cuts: Cuts) -> dict[str, Any]:
    """Plain containers; the inverse of `cuts_from_json`."""
    return {cell: {part: asdict(cut) for part, cut in parts.items()} for cell, parts in cuts.items()}


def cuts_from_json(value: Mapping[str, Any]) -> Cuts:
    """The cuts that `cuts_to_json` was called on."""
    return {cell: {part: Cut(**cut) for part, cut in parts.items()} for cell, parts in value.items()}
