"""The demonstration data of Yang, Wang & Hu (ICML 2025): a class in each of two correlated Gaussian modalities."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from trainables.datasets.base import Modality, MultimodalData, Target
from trainables.datasets.splits import stratified_split
from trainables.datasets.table import SEED, Dataset, Option, profile


def lsmi_profile(correlation: float, noise: float) -> dict[str, float]:
    """Exact PID in bits for two classes.

    Both modalities are the same channel of the class, so that nothing is unique and redundancy is I(X1;Y). Together
    they are one such channel with noise · sqrt((1 + correlation) / 2). (This project's derivation.)
    """
    alone, both = _two_class_information(noise), _two_class_information(noise * float(np.sqrt((1 + correlation) / 2)))
    return profile(alone, 0.0, 0.0, max(0.0, both - alone))


def _two_class_information(noise: float) -> float:
    """I(X;Y) in bits of X = onehot(Y) + noise · N(0, I) with two equal classes: one integral over the log odds."""
    distance = np.sqrt(2) / noise  # between the class means, in standard deviations
    z = np.linspace(-12, 12, 16001)
    density = np.exp(-0.5 * z**2)
    density /= density.sum()
    log_odds = distance * z + distance**2 / 2  # of the true class: normal, with mean d²/2 and variance d²
    return float(1 - density @ np.logaddexp(0, -log_odds) / np.log(2))


def load_lsmi(options: Mapping[str, Any]) -> MultimodalData:
    """Modalities `first` = onehot(y) + u and `second` = onehot(y) + ρu + sqrt(1 - ρ²)v, both (rows, classes).

    Of the published 2,000 rows 1,600 train and 400 test; here the 400 are halved into validation and test.
    """
    rng = np.random.default_rng(options["seed"])
    classes, rows, rho = options["classes"], options["rows"], options["correlation"]
    labels = rng.integers(0, classes, size=rows)
    u, v = rng.normal(0, options["noise"], size=(2, rows, classes))
    onehot = np.eye(classes)[labels]
    values = {"first": onehot + u, "second": onehot + rho * u + np.sqrt(1 - rho**2) * v}
    target = Target(values=labels, kind="classes", n_classes=classes)
    exact = {("first", "second"): lsmi_profile(rho, options["noise"])} if classes == 2 else {}
    return MultimodalData(
        name="lsmi",
        modalities={name: Modality(name=name, values=value.astype(np.float32)) for name, value in values.items()},
        targets=dict.fromkeys(values, target),
        split=stratified_split(labels, fractions=(0.8, 0.1, 0.1), seed=options["seed"]),
        exact_profiles=exact,
    )


LSMI = Dataset(
    load=load_lsmi,
    description="demonstration data of LSMI (Yang et al. 2025): one-hot class plus correlated noise",
    licence="generated here",
    shapes={"first": (2,), "second": (2,)},
    options={
        "classes": Option(
            doc="how many, and as many features of each modality", types=(int,), default=2, bounds=(2, 100)
        ),
        "correlation": Option(doc="of the two modalities' noise", types=(float,), default=0.5, bounds=(-0.99, 1)),
        "noise": Option(doc="standard deviation", types=(float,), default=0.5, bounds=(0.01, 100)),
        "rows": Option(doc="of all splits together", types=(int,), default=2000, bounds=(100, 10_000_000)),
        "seed": SEED,
    },
)
