"""Estimators that solve the exact programme on states: clusters of the modalities, or of their posteriors."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from study.pid.discretise import Codes, Discretiser, classes, cluster
from study.pid.learning import SHARE, entropy, left_to_learn, widened
from study.pid.posteriors import cross_fitted
from study.pid.profile import COMPONENTS, PIDProfile
from study.pid.resampling import measure
from study.pid.states import States
from trainables.datasets.base import Modality, PairData
from trainables.training.threads import one_thread

Array = NDArray[np.float64]

_NETWORK_COMPONENTS = 64  # principal components that the networks read
_SOURCES_PER_THREAD = 3  # fewer are no faster on two threads than on one


def cluster_profile(
    data: PairData,
    *,
    bootstrap: int,
    bins: Sequence[int] | None,
    seed: int,
    level: float,
    splits: Sequence[str],
    discretiser: Discretiser,
) -> PIDProfile:
    """Clusters of each modality's first five principal components (Liang et al. 2023), then the exact programme.

    Fast, and right for few features. Information that lies across many directions is lost by the clusters.
    """
    rows, y = measured(data, splits)
    choices = default_bins(len(rows), int(y.max()) + 1, per_entry=20) if bins is None else tuple(bins)

    def states(size: int) -> States:
        x1, x2 = (discretiser.codes(modality, data.split, bins=size)[rows] for modality in data.modalities)
        return States.of(x1, x2, y)

    return _at_every(choices, states, estimator="broja", bootstrap=bootstrap, seed=seed, level=level, splits=splits)


def posterior_profile(
    data: PairData,
    *,
    bootstrap: int,
    bins: Sequence[int] | None,
    seed: int,
    level: float,
    splits: Sequence[str],
    discretiser: Discretiser,
) -> PIDProfile:
    """Clusters of each modality's cross-fitted posterior p(y | x), then the exact programme.

    The posterior is all that redundancy and unique information depend on (see `posteriors`), so nothing but what the
    networks did not learn is lost. That may be much where rows are few and the modality is hard to read: estimates are
    then too low, redundancy first. Intervals hold the sampling of rows and what the learning curve says is missing (see
    `learning`). I(X1, X2; Y), and with it synergy, is that of clusters of the joint posterior.
    """
    rows, y = measured(data, splits)
    n_classes = int(y.max()) + 1
    choices = default_bins(len(rows), n_classes, per_entry=10) if bins is None else tuple(bins)
    full, part = (
        posteriors([data], y, splits=splits, discretiser=discretiser, share=share)[0] for share in (1.0, SHARE)
    )
    groups: tuple[Sequence[Modality], ...] = (data.modalities[:1], data.modalities[1:], data.modalities)

    def codes(which: int, size: int) -> Codes:
        def clusters() -> Codes:
            fitted = cluster(np.sqrt(full[which]), bins=size, seed=discretiser.seed)
            return np.asarray(fitted.labels_, dtype=np.int64)

        key = ("posterior codes", size, tuple(splits), y.tobytes())
        return discretiser.keep(groups[which], key, clusters)

    def states(size: int) -> States:
        # The joint posterior's table is small, and its states cost the solver nothing: it may have more of them.
        return States.of(codes(0, size), codes(1, size), y, codes(2, 2 * size))

    left = left_to_learn(full, part, y)
    return _at_every(
        choices,
        states,
        estimator="posterior",
        bootstrap=bootstrap,
        seed=seed,
        level=level,
        splits=splits,
        widen=lambda interval, value: widened(interval, value, left, most=entropy(y)),
    )


def posteriors(
    pairs: Sequence[PairData], y: Codes, *, splits: Sequence[str], discretiser: Discretiser, share: float = 1.0
) -> list[tuple[Array, Array, Array]]:
    """Cross-fitted p(y | x1), p(y | x2), p(y | x1, x2) of the measured rows, each (N, n_y), for pairs of one dataset.

    What the discretiser does not hold yet is trained in lockstep, modalities and pairs apart (their widths differ).
    `share` is that of the rows to learn from: see `cross_fitted`.
    """
    split, rows = pairs[0].split, pairs[0].rows(*splits)

    def train(groups: Sequence[Sequence[Modality]]) -> list[Array]:
        sources = []
        for group in groups:
            points = [discretiser.points(m, split, components=_NETWORK_COMPONENTS)[rows] for m in group]
            sources.append(np.concatenate([block / block.std() for block in points], axis=1))
        learned: list[Array] = [np.empty(0)] * len(sources)

        def fit(part: Sequence[int]) -> None:
            with one_thread():
                own = [sources[i] for i in part]
                answers = cross_fitted(own, y, int(y.max()) + 1, seed=discretiser.seed, share=share)
            for i, answer in zip(part, answers, strict=True):
                learned[i] = answer

        # Small packs on a thread each: unlike threads inside of each product, they never wait for one another.
        threads = os.cpu_count() or 1
        with ThreadPoolExecutor(threads) as pool:
            parts = []
            for size in (2, 1):  # the wider ones first: they take longest
                alike = [i for i, group in enumerate(groups) if len(group) == size]
                count = max(1, min(len(alike) // _SOURCES_PER_THREAD, threads))
                parts += [alike[k::count] for k in range(count) if alike]
            list(pool.map(fit, parts))
        return learned

    groups = [*((m,) for pair in pairs for m in pair.modalities), *(pair.modalities for pair in pairs)]
    tables = discretiser.keep_all(groups, ("posterior", share, tuple(splits), y.tobytes()), train)
    single, joint = tables[: 2 * len(pairs)], tables[2 * len(pairs) :]
    return list(zip(single[::2], single[1::2], joint, strict=True))


def measured(data: PairData, splits: Sequence[str]) -> tuple[NDArray[np.int64], Codes]:
    """Rows of these splits and their classes, 0 … n_y - 1, all of which occur.

    Raises:
        ValueError: no row, or one class only.
    """
    rows = data.rows(*splits)
    _, y = np.unique(classes(data.targets, data.split)[rows], return_inverse=True)
    if len(rows) == 0 or y.max() == 0:
        raise ValueError(
            f"{len(rows)} rows of {len(set(y))} class(es) in {', '.join(splits)}; a profile needs at least two classes"
        )
    return rows, y.ravel().astype(np.int64)


def default_bins(rows: int, n_classes: int, *, per_entry: int) -> tuple[int, ...]:
    """Three numbers of bins; the middle one has `per_entry` rows per entry of p(x, y), and is 20 at most.

    It is one and a half times the number of classes at least, rows permitting: fewer states cannot tell them apart, and
    redundancy then suffers most.
    """
    middle = min(max(rows / (per_entry * n_classes), 1.5 * n_classes), 20, rows / 3)
    return tuple(sorted({int(np.clip(scale * middle, 2, rows)) for scale in (0.7, 1.0, 1.4)}))


def _at_every(
    choices: Sequence[int],
    states: Callable[[int], States],
    *,
    estimator: str,
    bootstrap: int,
    seed: int,
    level: float,
    splits: Sequence[str],
    widen: Callable[[Array, Array], Array] = lambda interval, _: interval,
) -> PIDProfile:
    """The profile at the middle choice of bins; the others go into `spread`, with fewer resamples."""
    middle = choices[len(choices) // 2]
    results = {}
    for size in choices:
        counted = states(size)
        if size > counted.rows:
            raise ValueError(f"{counted.rows} rows for {size} bins; use fewer bins")
        rng = np.random.default_rng([seed, size])
        results[size] = measure(counted, bootstrap=bootstrap if size == middle else 0, level=level, rng=rng)
    chosen = results[middle]
    value, sampled, null = chosen.named()
    _, interval, _ = chosen._replace(interval=widen(chosen.interval, chosen.value)).named()
    return PIDProfile(
        **value,
        estimator=estimator,
        gap=chosen.gap,
        interval=interval,
        null=null,
        significant={name: value[name] > null[name] and sampled[name][0] > 0 for name in COMPONENTS},
        spread={str(size): result.named()[0] for size, result in results.items()},
        settings={
            "bins": middle,
            "rows": counted.rows,
            "splits": list(splits),
            "level": level,
            "bootstrap": bootstrap,
            "seed": seed,
        },
    )
