"""What a report says of a study's budget: its limits, what they cut from a pair's search, and what more would buy."""

from __future__ import annotations

from dataclasses import dataclass

from study.results.model.containers import said

LIMITS = ("trainings", "minutes", "gpu_hours")


@dataclass(frozen=True, slots=True, kw_only=True)
class CutResult:
    """What the budget cut from the search of one pair."""

    by: str | None = said("the limit that it came to", choices=LIMITS)
    strengths: int | None = said("shared ones that were not placed", minimum=0)
    one_sided: int | None = said("one-sided ones that were not placed, at most", minimum=0)
    trainings: int | None = said("what these would have taken, at most", minimum=0)
    width: float | None = said("of the 90 % interval of the pair's λ*", minimum=0, null=True)
    expected_width: float | None = said(
        "of that interval, roughly, with the shared strengths placed: it narrows with the square root of trainings",
        minimum=0,
        null=True,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetResult:
    """The limits of a study, as its study file gives them, and what is used of them."""

    trainings: int | None = said("all that the study may take", minimum=1)
    minutes: float | None = said("that it may train, over all its runs", above=0)
    gpu_hours: float | None = said(above=0)
    used_minutes: float | None = said("where one of the latter two is given", minimum=0)
    used_gpu_hours: float | None = said("where one of the latter two is given", minimum=0)
    enough: int | None = said("trainings with which nothing would be cut, at most; absent where nothing is", minimum=1)
