"""The estimators of a pair's profile from samples, by name."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Protocol

from study.pid.batch import batch_profile
from study.pid.binned import cluster_profile, measured, posterior_profile, posteriors
from study.pid.discretise import Codes, Discretiser
from study.pid.learning import SHARE
from study.pid.lsmi import lsmi_profile
from study.pid.profile import PIDProfile
from trainables.datasets.base import PairData
from trainables.training.threads import one_thread


class Estimator(Protocol):
    """A profile of a pair from its samples; see `profile_pair`, which fills in the defaults."""

    def __call__(
        self,
        data: PairData,
        *,
        bootstrap: int,
        bins: Sequence[int] | None,
        seed: int,
        level: float,
        splits: Sequence[str],
        discretiser: Discretiser,
    ) -> PIDProfile:
        """The profile; `ValueError` where the data cannot carry one."""
        ...


ESTIMATORS: dict[str, Estimator] = {
    "posterior": posterior_profile,
    "broja": cluster_profile,
    "batch": batch_profile,
    "lsmi": lsmi_profile,
}

_OF_POSTERIORS = {"posterior", "batch", "lsmi"}  # what they read is faster to train for all pairs at once


def prepare(
    pairs: Sequence[PairData],
    *,
    discretiser: Discretiser,
    estimator: str = "posterior",
    splits: Sequence[str] = ("train", "valid"),
) -> None:
    """Train in lockstep what `profile_pair` would train pair by pair for pairs of one dataset; answers are the same.

    Raises:
        ValueError: as `profile_pair`, of whichever pair.
    """
    if estimator not in _OF_POSTERIORS:
        return
    by_labels: dict[bytes, tuple[Codes, list[PairData]]] = {}
    for pair in pairs:
        _, y = measured(pair, splits)
        by_labels.setdefault(y.tobytes(), (y, []))[1].append(pair)
    with one_thread():
        for (y, group), share in product(by_labels.values(), (1.0, SHARE)):
            posteriors(group, y, splits=splits, discretiser=discretiser, share=share)


def profile_pair(
    data: PairData,
    *,
    estimator: str = "posterior",
    bootstrap: int = 100,
    bins: Sequence[int] | None = None,
    seed: int = 0,
    level: float = 0.9,
    splits: Sequence[str] = ("train", "valid"),
    discretiser: Discretiser | None = None,
) -> PIDProfile:
    """Profile of a pair by one of `ESTIMATORS`, in bits, with intervals at `level`.

    It is measured on the rows of `splits` (the test split is left alone); whatever is fitted is fitted on the training
    rows, or on rows other than the one it is applied to. `bins` are the numbers of states to try: the profile is that
    of the middle one, `spread` shows all (None: by rows and classes). Pass one `discretiser` for all pairs of a
    dataset, and each modality is prepared once. A real target is cut into classes, and two different targets make
    one: their pair (see `discretise.classes`).

    Raises:
        ValueError: unknown estimator, a setting out of range, or data that cannot carry a profile.
    """
    if estimator not in ESTIMATORS:
        raise ValueError(f"unknown PID estimator {estimator!r}; choose one of {', '.join(ESTIMATORS)}")
    if bootstrap < 20:
        raise ValueError(f"bootstrap is {bootstrap}; give at least 20 resamples, 100 for intervals worth reading")
    if not 0 < level < 1:
        raise ValueError(f"level is {level}; give the intervals' coverage between 0 and 1, such as 0.9")
    if bins is not None and (not bins or min(bins) < 2):
        raise ValueError(f"bins are {list(bins)}; give one or more numbers of at least 2")
    with one_thread():
        return ESTIMATORS[estimator](
            data,
            bootstrap=bootstrap,
            bins=bins,
            seed=seed,
            level=level,
            splits=splits,
            discretiser=Discretiser(seed=seed) if discretiser is None else discretiser,
        )
