"""Linear-Gaussian modalities, each informative of its own target: what alignment keeps is not what both targets need.

Modality i is a rotation of [s_i, u_i, noise]: `latents` shared directions s_i, correlated with those of the other
modality, as many directions u_i of its own, and noise; all of variance 1. Its target is [√r s_i, √(1 - r) u_i], r
being the redundancy, and noise that gives every component the variance 1 + noise². In the notation of `study.theory`
the shared directions have canonical correlation ρ = `correlation` and prediction eigenvalue μ_s = r, its own have ρ = 0
and μ_u = 1 - r. An encoder of width `latents` must choose: facing a free regression it keeps its own directions below
the strength (μ_u - μ_s) / ρ², and the shared ones above (`study.theory.together`: facing another encoder).
The setting is that of Thoreau et al. 2025 (arXiv 2509.17943); its numbers are this project's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainables.datasets.base import DataError, Modality, MultimodalData, Target
from trainables.datasets.splits import quantile_classes, stratified_split
from trainables.datasets.table import SEED, Dataset, Option
from trainables.spec import EncoderSpec

Matrix = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Population:
    """The law behind the rows: `rotations` (features, features) of both modalities, and r, ρ and k."""

    rotations: tuple[Matrix, Matrix]
    redundancy: float
    correlation: float
    latents: int

    @property
    def cross_covariance(self) -> Matrix:
        """E[x_1 x_2'], (features, features)."""
        k = self.latents
        first, second = self.rotations
        cross: Matrix = self.correlation * first[:, :k] @ second[:, :k].T
        return cross

    def target_covariance(self, index: int) -> Matrix:
        """E[x_i y_i'], (features, 2 latents), for modality `index` 0 or 1."""
        k = self.latents
        covariance: Matrix = self.rotations[index][:, : 2 * k] * self.target_scale
        return covariance

    @property
    def target_scale(self) -> Matrix:
        """Weight of each latent in its component of the target, (2 latents,): √r and √(1 - r)."""
        return np.repeat(np.sqrt([self.redundancy, 1 - self.redundancy]), self.latents)

    @property
    def critical_strength(self) -> float:
        """Where the joint optimum of width `latents` swaps own for shared directions; <= 0: it starts with these."""
        return (1 - 2 * self.redundancy) / self.correlation**2


def population(options: Mapping[str, Any]) -> Population:
    """The law that `load_linear` draws from; E[x_i x_i'] is the identity."""
    rng = np.random.default_rng((options["seed"], 1))
    features = options["features"]
    first, second = (np.linalg.qr(rng.standard_normal((features, features)))[0] for _ in range(2))
    return Population(
        rotations=(first, second),
        redundancy=options["redundancy"],
        correlation=options["correlation"],
        latents=options["latents"],
    )


def load_linear(options: Mapping[str, Any]) -> MultimodalData:
    """Modalities `first` and `second` (rows, features), each with a real target (rows, 2 latents) scored by R²."""
    law = population(options)
    rows, features, k = options["rows"], options["features"], law.latents
    if features < 2 * k:
        raise DataError(f"dataset option features: {features} is too few for {k} latents; give at least {2 * k}")
    rng = np.random.default_rng((options["seed"], 0))
    z = rng.standard_normal((2, rows, features))
    z[1, :, :k] = law.correlation * z[0, :, :k] + np.sqrt(1 - law.correlation**2) * z[1, :, :k]
    noise = np.sqrt(1 + options["noise"] ** 2 - law.target_scale**2) * rng.standard_normal((2, rows, 2 * k))
    scaled = z[:, :, : 2 * k] * law.target_scale
    names = ("first", "second")
    return MultimodalData(
        name=f"linear r={law.redundancy:g}",
        modalities={
            name: Modality(name=name, values=(z[i] @ law.rotations[i].T).astype(np.float32))
            for i, name in enumerate(names)
        },
        targets={
            name: Target(values=(scaled[i] + noise[i]).astype(np.float32), kind="real", metric="r2")
            for i, name in enumerate(names)
        },
        split=stratified_split(quantile_classes(z[0, :, 0], 10), seed=options["seed"]),
    )


LINEAR = Dataset(
    load=load_linear,
    description="linear-Gaussian modalities, each with a real target of its own; redundancy from none to full",
    licence="generated here",
    shapes={"first": (20,), "second": (20,)},
    encoders=dict.fromkeys(("first", "second"), EncoderSpec(kind="linear", layers=1, width=1)),
    options={
        "redundancy": Option(
            doc="share of the target's explained variance that is in shared directions",
            types=(float,),
            default=0.25,
            bounds=(0, 1),
            cells=True,
        ),
        "correlation": Option(doc="of the shared directions", types=(float,), default=0.9, bounds=(0.01, 1)),
        "latents": Option(doc="shared directions, and own ones", types=(int,), default=1, bounds=(1, 1000)),
        "features": Option(doc="of each modality", types=(int,), default=20, bounds=(2, 10_000)),
        "noise": Option(doc="√(variance of a target's component - 1)", types=(float,), default=0.3, bounds=(0, 100)),
        "rows": Option(doc="of all splits together", types=(int,), default=4000, bounds=(100, 10_000_000)),
        "seed": SEED,
    },
)
