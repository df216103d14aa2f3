"""Learning from earlier studies: what was best for the most similar profiles is tried first.

Only the order of a search changes: the first round holds λ = 0, the end of the range and the strengths of the design
nearest to what earlier cells came to; the rest of the design follows, unless a target of the study file is met by then.
What a study learnt is chosen once, when it starts, and kept in its own record, so that it can be resumed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NotRequired, TypedDict

NEIGHBOURS = 3


class Experience(TypedDict):
    """One cell of a finished study, as a report and the record hold it.

    `profile` is redundancy, unique 1, unique 2 and synergy in bits; `lambda_star` and `interval` are the pair's;
    `distance` (bits) is that of its profile from the one that learns from it.
    """

    study: str
    label: str | None
    estimator: str | None
    profile: list[float]
    lambda_star: float
    interval: list[float] | None
    distance: NotRequired[float]


def most_similar(
    profile: Sequence[float], estimator: str, earlier: Iterable[Experience], *, range_: tuple[float, float]
) -> list[Experience]:
    """Up to three experiences of the nearest profiles, nearest first, each with its `distance` in bits.

    Profiles (redundancy, unique 1, unique 2, synergy) are compared by the sum of absolute differences, in the order of
    the pair that is nearer; only those of the same estimator, and with λ* inside the range, say anything.
    """
    similar: list[Experience] = []
    for one in earlier:
        redundancy, first, second, synergy = one["profile"]
        turned = (redundancy, second, first, synergy)
        near = min(_distance(profile, one["profile"]), _distance(profile, turned))
        if one["estimator"] == estimator and range_[0] <= one["lambda_star"] <= range_[1]:
            similar.append({**one, "distance": near})
    return sorted(similar, key=lambda one: (one["distance"], one["study"], str(one["label"])))[:NEIGHBOURS]


def reordered(design: Sequence[float], learnt: Sequence[Experience]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """The design in two parts, each ascending: what is tried first, and the rest (none without experiences).

    First come λ = 0 and the end of the range, then for each experience in turn the nearest strength, until half of the
    design is named.
    """
    if not learnt or len(design) < 4:
        return tuple(design), ()
    first = {min(design), max(design)}
    wanted = len(first) + -(-(len(design) - len(first)) // 2)
    while len(first) < wanted:
        for one in learnt:
            left = [strength for strength in design if strength not in first]
            if left and len(first) < wanted:
                first.add(min(left, key=lambda strength: (abs(strength - one["lambda_star"]), strength)))
    return tuple(s for s in design if s in first), tuple(s for s in design if s not in first)


def _distance(first: Sequence[float], second: Sequence[float]) -> float:
    return float(sum(abs(a - b) for a, b in zip(first, second, strict=True)))
