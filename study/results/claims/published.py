"""What the papers published of their data: Table 1 of Fang, Zhang and Chan (AAAI 2026, arXiv 2511.12121).

The paper says neither which estimator gave the profiles nor in which unit they are; they may be nats or bits.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from study.pid import COMPONENTS
from study.results.model import CellResult, ProfileResult

Profile = tuple[float, float, float, float]  # redundancy, unique_1, unique_2, synergy

PROFILES: Mapping[tuple[str, str, str], Profile] = {
    ("mosei", "vision", "text"): (0.123, 0.001, 0.163, 0.005),
    ("mosei", "vision", "audio"): (0.116, 0.010, 0.001, 0.012),
    ("mosei", "audio", "text"): (0.127, 0.001, 0.248, 0.002),
    ("avmnist", "image", "audio"): (0.170, 0.970, 0.030, 0.040),
    ("mustard", "vision", "text"): (0.150, 0.020, 0.010, 0.340),
    ("mustard", "vision", "audio"): (0.140, 0.020, 0.010, 0.200),
    ("mustard", "audio", "text"): (0.160, 0.010, 0.010, 0.370),
}


def published_profile(cell: CellResult) -> Profile | None:
    """The published profile of a cell in the order of its pair, in the paper's unknown unit; None if there is none."""
    (first, second), dataset = cell.names, str(cell.dataset)
    if profile := PROFILES.get((dataset, first, second)):
        return profile
    if turned := PROFILES.get((dataset, second, first)):
        return turned[0], turned[2], turned[1], turned[3]
    return None


def measured_profile(cell: CellResult) -> list[float | None]:
    """The measured profile of a cell in the order of its pair, bits; None where a component is not known."""
    return list((cell.pid or ProfileResult()).components.values())


def agrees(cell: CellResult) -> bool | None:
    """Whether each published component is inside the measured 90 % interval, all in nats or all in bits.

    None where nothing was published, or there is no interval.
    """
    published, known = published_profile(cell), cell.pid.interval if cell.pid else {}
    intervals = [known.get(name) for name in COMPONENTS]
    if published is None or any(bounds is None for bounds in intervals):
        return None
    return any(
        all(
            bounds[0] <= unit * value <= bounds[1] for value, bounds in zip(published, intervals, strict=True) if bounds
        )
        for unit in (1.0, 1 / math.log(2))
    )


def profile_words(values: Sequence[float | None]) -> str:
    """Four components as `R 0.12 U₁ 0.00 U₂ 0.16 S 0.01`; nothing of those that are not known."""
    names = ("R", "U₁", "U₂", "S")
    return " ".join(f"{name} {value:.2f}" for name, value in zip(names, values, strict=True) if value is not None)


def published_sentence(cell: CellResult) -> str:
    """The published profile next to the measured one; "" where none was published or this is stand-in data."""
    values, measured = published_profile(cell), measured_profile(cell)
    if values is None or cell.stand_in or not profile_words(measured):
        return ""
    return (
        f"Published profile (Fang et al. 2026, Table 1, unit not stated): {profile_words(values)}; "
        f"measured here: {profile_words(measured)} bits."
    )
