"""The estimators of a pair's profile from samples, by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from study.pid.discretise import Discretiser
from study.pid.profile import PIDProfile
from study.pid.samples import binned_profile
from trainables.datasets.base import PairData


class Estimator(Protocol):
    """A profile of a pair from its samples; `ValueError` where they cannot carry one."""

    def __call__(
        self,
        data: PairData,
        *,
        bootstrap: int = 200,
        bins: Sequence[int] | None = None,
        seed: int = 0,
        level: float = 0.9,
        measure: Sequence[str] = ("train", "valid"),
        discretiser: Discretiser | None = None,
    ) -> PIDProfile:
        """See `profile_pair`."""
        ...


ESTIMATORS: Mapping[str, Estimator] = {"broja": binned_profile}


def profile_pair(
    data: PairData,
    *,
    estimator: str = "broja",
    bootstrap: int = 200,
    bins: Sequence[int] | None = None,
    seed: int = 0,
    level: float = 0.9,
    measure: Sequence[str] = ("train", "valid"),
    discretiser: Discretiser | None = None,
) -> PIDProfile:
    """Profile of a pair by one of `ESTIMATORS`, in bits.

    Pass one `discretiser` for all pairs of a dataset: each modality is then binned once.

    Raises:
        ValueError: unknown estimator, or data that cannot carry a profile.
    """
    if estimator not in ESTIMATORS:
        raise ValueError(f"unknown PID estimator {estimator!r}; choose one of {', '.join(ESTIMATORS)}")
    return ESTIMATORS[estimator](
        data, bootstrap=bootstrap, bins=bins, seed=seed, level=level, measure=measure, discretiser=discretiser
    )
