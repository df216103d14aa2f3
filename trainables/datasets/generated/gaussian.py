"""Two Gaussian modalities whose information about the target is known in closed form.

A hidden score is normal, and modality i holds one direction t_i that correlates with it; all other directions are
noise. The target is the score itself, or its quantile classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainables.datasets.base import DataError, Modality, MultimodalData, Target
from trainables.datasets.splits import quantile_classes, stratified_split
from trainables.datasets.table import SEED, Dataset, Option, profile


def gaussian_information(correlation: float, classes: int = 0) -> float:
    """I(t; Y) in bits, where t and a normal score have that correlation.

    Y is the score itself (`classes` 0): -log2(1 - correlation²) / 2; or its `classes` equally probable quantile
    classes: one integral over t, by the trapezoidal rule to 1e-6.
    """
    if classes == 0:
        return float(-0.5 * np.log2(1 - correlation**2))
    return _class_information(abs(correlation), classes)


def gaussian_profile(correlation_1: float, correlation_2: float, between: float, classes: int = 0) -> dict[str, float]:
    """Exact PID in bits of t_1 and t_2 about the score or its classes; `between` is the correlation of t_1 and t_2.

    The modality with the smaller correlation sees the score through a degraded channel of the other's, so that its
    unique information is zero and all its information is redundant (Barrett 2015, arXiv 1411.2832, for a scalar target;
    that it holds for classes of the score as well is this project's remark: what degrades a channel from the score
    degrades the channel from any function of it). Their joint information is that of
    the best linear predictor, whose correlation R has R² = (a² + b² - 2abc) / (1 - c²).

    Raises:
        DataError: no three normal variables have these correlations.
    """
    joint = joint_correlation(correlation_1, correlation_2, between)
    info_1, info_2, info_12 = (gaussian_information(c, classes) for c in (correlation_1, correlation_2, joint))
    redundancy = min(info_1, info_2)
    return profile(redundancy, info_1 - redundancy, info_2 - redundancy, max(0.0, info_12 - max(info_1, info_2)))


def joint_correlation(correlation_1: float, correlation_2: float, between: float) -> float:
    """Correlation of the score with its best linear predictor from t_1 and t_2."""
    a, b, c = correlation_1, correlation_2, between
    squared = (a * a + b * b - 2 * a * b * c) / (1 - c * c) if abs(c) < 1 else np.inf
    if not squared < 1:
        raise DataError(f"correlations {a:g}, {b:g} with the score and {c:g} between: no normal variables have these")
    return float(np.sqrt(squared))


@lru_cache(maxsize=512)
def _class_information(correlation: float, classes: int) -> float:
    from scipy.special import ndtr, ndtri  # here: most datasets do without SciPy

    t = np.linspace(-9.0, 9.0, 8001)
    density = np.exp(-0.5 * t**2)
    density /= density.sum()
    cuts = ndtri(np.arange(1, classes) / classes)
    below = ndtr((cuts - correlation * t[:, None]) / np.sqrt(1 - correlation**2))
    edges = np.concatenate([np.zeros((len(t), 1)), below, np.ones((len(t), 1))], axis=1)
    p = np.diff(edges, axis=1)
    entropy = -(p * np.log2(np.where(p > 0, p, 1.0))).sum(axis=1)
    return max(0.0, float(np.log2(classes) - density @ entropy))


def load_gaussian(options: Mapping[str, Any]) -> MultimodalData:
    """Modalities `first` and `second` (rows, features); each feature has variance 1; a 70/15/15 split."""
    a, b, between = options["correlation_1"], options["correlation_2"], options["between"]
    classes, rows, features = options["classes"], options["rows"], options["features"]
    if classes == 1:
        raise DataError("dataset option classes: 1 is not allowed; give 0 for the real score, or at least 2")
    between = a * b if between is None else between
    exact = gaussian_profile(a, b, between, classes)
    rng = np.random.default_rng(options["seed"])
    correlations = np.array([[1, between, a], [between, 1, b], [a, b, 1]])
    latents = rng.standard_normal((rows, 3)) @ np.linalg.cholesky(correlations).T
    score = latents[:, 2]
    labels = quantile_classes(score, classes or 10)
    if classes:
        target = Target(values=labels, kind="classes", n_classes=classes)
    else:
        target = Target(values=score.astype(np.float32), kind="real", metric="r2")
    names = ("first", "second")
    return MultimodalData(
        name="gaussian",
        modalities={
            name: Modality(name=name, values=hide(latents[:, [column]], features, rng=rng))
            for column, name in enumerate(names)
        },
        targets=dict.fromkeys(names, target),
        split=stratified_split(labels, fractions=(0.7, 0.15, 0.15), seed=options["seed"]),
        exact_profiles={names: exact},
    )


def hide(signal: NDArray[np.float64], features: int, *, rng: np.random.Generator) -> NDArray[np.float32]:
    """Columns of `signal` (N, k) and independent normal noise, rotated at random into (N, features)."""
    noise = rng.standard_normal((len(signal), features - signal.shape[1]))
    rotation, _ = np.linalg.qr(rng.standard_normal((features, features)))
    return np.asarray(np.concatenate([signal, noise], axis=1) @ rotation.T, dtype=np.float32)


_CORRELATION = "correlation of modality {}'s direction with the score"

GAUSSIAN = Dataset(
    load=load_gaussian,
    description="two Gaussian modalities with information in closed form; real or class targets",
    licence="generated here",
    shapes={"first": (10,), "second": (10,)},
    options={
        "correlation_1": Option(doc=_CORRELATION.format(1), types=(float,), default=0.8, bounds=(0, 0.999)),
        "correlation_2": Option(doc=_CORRELATION.format(2), types=(float,), default=0.5, bounds=(0, 0.999)),
        "between": Option(
            doc="correlation of the two directions (their product if not given: independent given the score)",
            types=(float,),
            bounds=(-0.999, 0.999),
        ),
        "classes": Option(doc="quantile classes of the score; 0: the score", types=(int,), default=2, bounds=(0, 100)),
        "features": Option(doc="of each modality", types=(int,), default=10, bounds=(1, 10_000)),
        "rows": Option(doc="of all splits together", types=(int,), default=4000, bounds=(100, 10_000_000)),
        "seed": SEED,
    },
)
