"""LSMI (Yang, Wang & Hu, ICML 2025): redundancy row by row, from learned densities and posteriors."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from study.pid.discretise import Discretiser
from study.pid.networks import optimiser_of
from study.pid.profile import PIDProfile
from study.pid.replicated import HalvedRows, replicated_profile
from trainables.datasets.base import PairData
from trainables.networks.layers import Layout, Parameter, Parameters

_KERNELS = 5
_STEPS, _BATCH, _LEARNING_RATE = 400, 64, 1e-2
_COMPONENTS = 8

Array = NDArray[np.float64]


def lsmi_profile(
    data: PairData,
    *,
    bootstrap: int,  # noqa: ARG001 - intervals are over seeds
    bins: Sequence[int] | None,  # noqa: ARG001 - nothing is binned
    seed: int,
    level: float,
    splits: Sequence[str],
    discretiser: Discretiser,
) -> PIDProfile:
    """Pointwise redundancy min h(x_i) - min h(x_i | y), with h(x) from KNIFE and h(x | y) = h(x) - i(x; y).

    It is another measure than BROJA's, and not invariant to rescaling a modality: both are brought to the same
    number of principal components of variance 1. The pointwise i(x; y) have the class frequencies as prior
    (published: uniform), and all of a row's terms belong to that row.
    """
    return replicated_profile(
        data,
        _parts,
        estimator="lsmi",
        components=_COMPONENTS,
        seed=seed,
        level=level,
        splits=splits,
        discretiser=discretiser,
    )


def _parts(rows: HalvedRows, seed: int) -> Array:
    """Components (K, 4) in bits, each seed's densities fitted on its `fit` rows and read on its `check` rows."""
    width = min(points.shape[1] for points in rows.points)
    h1, h2 = (
        _surprise(points[:, :width] / points[:, :width].std(axis=0), rows, seed=seed + which)
        for which, points in enumerate(rows.points)
    )
    i1, i2, i12 = (point[rows.check] for point in rows.pointwise())
    redundancy = (np.minimum(h1, h2) - np.minimum(h1 - i1, h2 - i2)).mean(axis=1)
    i1, i2, i12 = i1.mean(axis=1), i2.mean(axis=1), i12.mean(axis=1)
    parts = np.stack([redundancy, i1 - redundancy, i2 - redundancy, i12 - i1 - i2 + redundancy], axis=1)
    # The published correction: one shift of redundancy and synergy against both unique terms, where one is negative.
    lowest_shared, lowest_unique = parts[:, [0, 3]].min(axis=1), parts[:, [1, 2]].min(axis=1)
    shift = np.where(lowest_shared < 0, -lowest_shared, np.minimum(lowest_unique, 0.0))
    return np.asarray((parts + shift[:, None] * np.array([1.0, -1.0, -1.0, 1.0])) / np.log(2))


def _surprise(points: Array, rows: HalvedRows, *, seed: int) -> Array:
    """-log density of the `check` rows in nats, (K, N // 2), by mixtures trained on the `fit` rows."""
    x = torch.from_numpy(points.astype(np.float32))
    mixture = Mixture(x.shape[1])
    rng = np.random.default_rng([seed, 2])
    flat = torch.stack([mixture.layout.draw(int(rng.integers(2**31))) for _ in rows.fit]).requires_grad_()
    optimiser = optimiser_of(flat.data, learning_rate=_LEARNING_RATE, weight_decay=0.0)
    for _ in range(_STEPS):
        index = np.stack([rng.choice(own, size=_BATCH) for own in rows.fit])
        loss = -mixture(mixture.layout.split(flat), x[torch.from_numpy(index)]).mean(dim=1)
        (gradient,) = torch.autograd.grad(loss.sum(), flat)
        optimiser.step(gradient, loss.detach())
    with torch.no_grad():
        density = mixture(mixture.layout.split(flat), x[torch.from_numpy(rows.check)])
    return -density.double().numpy()


class Mixture:
    """KNIFE's marginal kernel (Pichler et al. 2022): a mixture of Gaussians with triangular inverse roots."""

    def __init__(self, width: int) -> None:
        self._width = width
        self.layout = Layout(
            [
                Parameter("mean", (_KERNELS, width), "normal", 1.0),
                Parameter("log_scale", (_KERNELS, width), "constant", 0.0),
                Parameter("lower", (_KERNELS, width, width), "constant", 0.0),
                Parameter("logit", (_KERNELS,), "constant", 0.0),
            ]
        )

    def __call__(self, parameters: Parameters, x: Tensor) -> Tensor:
        """Log density in nats, (K, N), of x (K, N, width)."""
        centred = x[:, :, None] - parameters["mean"][:, None]  # (K, N, kernels, width)
        scale = torch.tanh(parameters["log_scale"])
        lower = torch.tril(parameters["lower"], diagonal=-1)
        white = centred * scale.exp()[:, None] + torch.einsum("kmij,knmj->knmi", lower, centred)
        volume = scale.sum(dim=-1) - 0.5 * self._width * math.log(2 * math.pi)
        log_kernel = volume[:, None] - 0.5 * white.square().sum(dim=-1)
        weight = torch.log_softmax(parameters["logit"], dim=-1)
        return torch.logsumexp(log_kernel + weight[:, None], dim=-1)
