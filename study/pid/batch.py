"""BATCH (Liang et al. 2023, arXiv 2302.12247, Section 3.3): the optimal joint law as a network, batch by batch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from study.pid.discretise import Discretiser
from study.pid.exact import components
from study.pid.networks import SmallNetwork, optimiser_of
from study.pid.profile import PIDProfile
from study.pid.replicated import HalvedRows, replicated_profile
from trainables.datasets.base import PairData

_EMBEDDING = 10  # per class
_HIDDEN = 32
_STEPS, _BATCH = 60, 128
_SINKHORN, _DIFFERENTIATED = 30, 3
_COMPONENTS = 64


def batch_profile(
    data: PairData,
    *,
    bootstrap: int,  # noqa: ARG001 - intervals are over seeds
    bins: Sequence[int] | None,  # noqa: ARG001 - nothing is binned
    seed: int,
    level: float,
    splits: Sequence[str],
    discretiser: Discretiser,
) -> PIDProfile:
    """A network as q(x1, x2, y), its batches brought to the pair marginals by Sinkhorn, trained to least I_q(X2;Y|X1).

    I(X1;Y), I(X2;Y) and I(X1, X2; Y) come from cross-fitted posteriors. In a batch a class has the same mass in both
    marginals (the published code leaves them apart, so that its Sinkhorn steps cannot converge). The trained q is some
    table with these marginals, not known to be the best: intervals hold all that this leaves open.
    """
    return replicated_profile(
        data,
        _parts,
        estimator="batch",
        components=_COMPONENTS,
        seed=seed,
        level=level,
        splits=splits,
        discretiser=discretiser,
        bounded_above=True,
    )


def _parts(rows: HalvedRows, seed: int) -> NDArray[np.float64]:
    """Components (K, 4) in bits, each seed trained on its `fit` rows and measured on its `check` rows."""
    n_classes = rows.log_posteriors[0].shape[1]
    x1, x2 = (torch.from_numpy((p / p.std()).astype(np.float32)) for p in rows.points)
    p1, p2 = (torch.from_numpy(np.exp(p).astype(np.float32)) for p in rows.log_posteriors[:2])
    nets = [SmallNetwork(x.shape[1], _HIDDEN, n_classes * _EMBEDDING) for x in (x1, x2)]
    rng = np.random.default_rng([seed, 1])
    sizes = [net.layout.size for net in nets]
    flat = torch.stack(
        [torch.cat([net.layout.draw(int(rng.integers(2**31))) for net in nets]) for _ in rows.fit]
    ).requires_grad_()
    optimiser = optimiser_of(flat.data)

    def unique_2(index: NDArray[np.int64]) -> Tensor:
        """I_q(X2; Y | X1) of a batch of row numbers (K, B), in nats, (K,)."""
        chosen = torch.from_numpy(index)
        embedded = [
            _standardised(net(net.layout.split(part), x[chosen]).view(*index.shape, n_classes, _EMBEDDING))
            for net, part, x in zip(nets, torch.split(flat, sizes, dim=1), (x1, x2), strict=True)
        ]
        score = torch.einsum("kaye,kbye->kyab", *embedded) / _EMBEDDING**0.5
        return _conditional_information(score, p1[chosen].transpose(1, 2), p2[chosen].transpose(1, 2))

    size = min(_BATCH, rows.fit.shape[1])
    for _ in range(_STEPS):
        index = np.stack([rng.choice(own, size=size, replace=False) for own in rows.fit])
        loss = unique_2(index)
        (gradient,) = torch.autograd.grad(loss.sum(), flat)
        optimiser.step(gradient, loss.detach())
    with torch.no_grad():
        batches = [rows.check[:, i : i + size] for i in range(0, rows.check.shape[1] - size + 1, size)]
        least = torch.stack([unique_2(index) for index in batches]).mean(dim=0).double().numpy()
    i1, i2, i12 = (np.maximum(point[rows.check].mean(axis=1), 0.0) for point in rows.pointwise())
    return np.asarray(components(i1, i2, i12, i1 + least) / np.log(2))


def _standardised(x: Tensor) -> Tensor:
    """Mean 0 and variance 1 over the last axis."""
    return (x - x.mean(dim=-1, keepdim=True)) / (x.std(dim=-1, keepdim=True) + 1e-6)


def _conditional_information(score: Tensor, p1: Tensor, p2: Tensor) -> Tensor:
    """I_q(X2; Y | X1) in nats, (K,), of exp(score) (K, n_y, B, B) scaled to marginals p1, p2 (K, n_y, B)."""
    mass = (p1.sum(dim=2, keepdim=True) + p2.sum(dim=2, keepdim=True)) / 2
    rows, columns = ((p / p.sum(dim=2, keepdim=True) * mass).clamp_min(1e-9) for p in (p1, p2))
    kernel = score.exp()  # scores of standardised embeddings are at most sqrt(10) in size: no need for logarithms
    left = _left_scale(kernel.detach(), rows, columns)
    # At the fixed point the scales' own derivative is that of a few more steps: only these are differentiated.
    for _ in range(_DIFFERENTIATED):
        right = columns / (kernel.mT @ left[..., None])[..., 0]
        left = rows / (kernel @ right[..., None])[..., 0]
    q = kernel * left[..., None] * right[:, :, None, :]
    given_y = q / q.sum(dim=3, keepdim=True)
    marginal = q.sum(dim=1, keepdim=True) / q.sum(dim=(1, 3), keepdim=True)
    return (q * (given_y.log() - marginal.log())).sum(dim=(1, 2, 3)) / q.sum(dim=(1, 2, 3))


@torch.no_grad()
def _left_scale(kernel: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Sinkhorn's scale of the rows, (K, n_y, B)."""
    left = torch.ones_like(rows)
    for _ in range(_SINKHORN):
        right = columns / (kernel.mT @ left[..., None])[..., 0]
        left = rows / (kernel @ right[..., None])[..., 0]
    return left
