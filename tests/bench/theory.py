"""The linear theory: how fast the forecast is, and how far trained linear encoders follow it.

Speed: `forecast` of a generated pair beside the plain way to its risk curves alone, one dense generalised eigenproblem
per encoder and strength. Training: encoder pairs on linear-Gaussian data in which each modality has its own and shared
directions (k of each; 15 cells of redundancy × correlation), at strengths around the critical one; the measured
crossing (half of the row space turned from own to shared directions) against the theory's.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

import numpy as np
import scipy.linalg
import torch
from numpy.typing import NDArray
from torch import Tensor

from study.theory import Moments, crossings, forecast, info_nce_strength, rank_agreement
from study.theory.forecast import DEFAULT_STRENGTHS
from trainables.datasets.base import Modality, PairData, Target
from trainables.objectives.alignment import info_nce

CELLS = tuple((r, rho) for r in (0.0, 0.1, 0.2, 0.3, 0.4) for rho in (0.5, 0.7, 0.9))
MULTIPLES = np.geomspace(1 / 16, 64, 16)  # of the theory's critical strength
FEATURES = 12


@dataclass(frozen=True)
class Setting:
    """What is trained: an alignment objective on raw or whitened representations of width k."""

    objective: str
    whitened: bool
    k: int = 2
    temperature: float = 0.0
    batch: int = 128

    @property
    def name(self) -> str:
        temperature = f", τ = {self.temperature:g}" if self.temperature else ""
        return f"{self.objective}{', whitened' if self.whitened else ''}, k = {self.k}{temperature}"


SETTINGS = (
    Setting("regression from the other input", whitened=True, batch=256),
    Setting("squared distance", whitened=True),
    Setting("InfoNCE", whitened=True, temperature=0.5),
    Setting("InfoNCE", whitened=True, temperature=0.1),
    Setting("InfoNCE", whitened=False, temperature=0.5),
    Setting("InfoNCE", whitened=False, temperature=0.1),
    Setting("InfoNCE", whitened=False, k=4, temperature=0.5),
)


def generated_pair(rows: int, features: int, classes: int) -> PairData:
    """A pair with 20 shared directions, a class target that both modalities inform, and many noise features."""
    rng = np.random.default_rng(0)
    shared = rng.standard_normal((rows, 20))
    values = []
    for _ in range(2):
        x = np.hstack([shared + 0.3 * rng.standard_normal(shared.shape), rng.standard_normal((rows, features - 20))])
        values.append(x @ rng.standard_normal((features, features)))
    score = shared[:, :classes] + sum(np.linalg.qr(v)[0][:, :classes] * np.sqrt(rows) for v in values)
    target = Target(values=np.argmax(score, axis=1), kind="classes", n_classes=classes)
    first, second = (Modality(name=n, values=v.astype(np.float32)) for n, v in zip("ab", values, strict=True))
    split = np.arange(rows) % 4 // 3
    return PairData(dataset="generated", modalities=(first, second), targets=(target,) * 2, split=split.astype(np.int8))


def plain_curves(data: PairData, k: int) -> None:
    """Risk curves of both encoders by one dense generalised eigenproblem per strength."""
    train, y = data.rows("train"), np.eye(data.targets[0].n_classes)[data.targets[0].values]
    x_1, x_2 = (modality.values[train].astype(np.float64) for modality in data.modalities)
    moments = Moments.from_samples(x_1, x_2, y[train], y[train])
    for m in (moments, moments.swapped()):
        shared = m.s12 @ np.linalg.solve(m.s22, m.s12.T)
        for strength in DEFAULT_STRENGTHS:
            scipy.linalg.eigh(
                m.s1y @ m.s1y.T + strength * shared, m.s11, subset_by_index=[len(shared) - k, len(shared) - 1]
            )


def seconds(call: Callable[[], object], repeats: int) -> float:
    """Median wall time of a call, after one that is not counted."""
    call()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return median(times)


def show_speed(repeats: int) -> None:
    """Print forecast times beside the plain way."""
    print(
        f"forecast of both encoders, {len(DEFAULT_STRENGTHS)} strengths, with crossings: seconds, median of {repeats}"
    )
    print(f"{'rows × features':>16} {'k':>4} {'forecast':>10} {'plain, curves only':>19} {'ratio':>7}")
    for rows, features in ((2000, 100), (2000, 300), (20_000, 300)):
        data = generated_pair(rows, features, 10)
        for k in (8, 32):
            ours = seconds(lambda: forecast(data, k=k), repeats)  # noqa: B023
            plain = seconds(lambda: plain_curves(data, k), repeats)  # noqa: B023
            print(f"{f'{rows} × {features}':>16} {k:>4} {ours:>10.3f} {plain:>19.3f} {plain / ours:>7.1f}")


def predicted(setting: Setting) -> NDArray[np.float64]:
    """(cells, 2): the theory's critical strength of one encoder, and where this setting should cross."""
    rows = []
    for r, rho in CELLS:
        d = 2 * setting.k
        power = np.repeat([r, 1 - r], setting.k)
        s12 = np.diag(np.repeat([rho, 0.0], setting.k))
        s1y, eye = np.diag(np.sqrt(power)), np.eye(d)
        m = Moments(s11=eye, s22=eye, s12=s12, s1y=s1y, s2y=s1y, syy_1=np.diag(power), syy_2=np.diag(power))
        first, second = (crossings(m, k=setting.k, encoder=encoder)[0] for encoder in (1, 2))
        # the squared distance is InfoNCE's positive part at 2kτ = 1
        together = info_nce_strength(first, second, k=setting.k, temperature=setting.temperature or 0.5 / setting.k)
        own = first.strength
        rows.append((own, own if setting.objective.startswith("regression") else together))
    return np.array(rows)


def whitened(z: Tensor) -> Tensor:
    """z (K, N, k) with mean 0 and covariance 1 over the batch."""
    z = z - z.mean(1, keepdim=True)
    factor = torch.linalg.cholesky(z.mT @ z / z.shape[1] + 1e-4 * torch.eye(z.shape[2]))
    return torch.linalg.solve_triangular(factor, z.mT, upper=False).mT


def train(setting: Setting, critical: NDArray[np.float64], *, steps: int, seed: int) -> NDArray[np.float64]:
    """Share of the row space in own directions, mean of both encoders, (cells, multiples).

    Adam on fresh batches; all cells and strengths are trained side by side from one initialisation and the same draws.
    """
    k, generator = setting.k, torch.Generator().manual_seed(seed)
    r, rho = (torch.tensor(v).repeat_interleave(len(MULTIPLES))[:, None, None] for v in np.float32(CELLS).T)
    strengths = torch.tensor(np.outer(critical, MULTIPLES).ravel(), dtype=torch.float32)
    scale = torch.cat([r.sqrt().expand(-1, 1, k), (1 - r).sqrt().expand(-1, 1, k)], 2)

    def start(*shape: int, size: float) -> Tensor:
        return (torch.randn(1, *shape, generator=generator) * size).repeat(len(strengths), 1, 1).requires_grad_()

    weights = [start(k, FEATURES, size=FEATURES**-0.5) for _ in range(2)]
    heads = [start(2 * k, k, size=k**-0.5) for _ in range(2)]
    biases, others = ([start(*shape, size=0.0) for _ in range(2)] for shape in ((1, k), (k, FEATURES)))
    optimiser = torch.optim.Adam([*weights, *heads, *biases, *others], lr=0.02)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    for _ in range(steps):
        x_1, x_2 = torch.randn(2, setting.batch, FEATURES, generator=generator)
        shared = rho * x_1[:, :k] + (1 - rho**2).sqrt() * x_2[:, :k]
        inputs = x_1.expand(len(strengths), -1, -1), torch.cat([shared, x_2[:, k:].expand(len(strengths), -1, -1)], 2)
        z = [x @ w.mT + b for x, w, b in zip(inputs, weights, biases, strict=True)]
        if setting.whitened:
            z = [whitened(v) for v in z]
        loss = sum(
            (v @ h.mT - x[..., : 2 * k] * scale).square().sum(2).mean(1)
            for v, h, x in zip(z, heads, inputs, strict=True)
        )
        if setting.objective == "InfoNCE":
            alignment = info_nce(z[0], z[1], setting.temperature)
        elif setting.objective == "squared distance":
            alignment = (z[0] - z[1]).square().sum(2).mean(1)
        else:
            facing = zip(z, inputs[::-1], others, strict=True)
            alignment = sum((v - x @ o.mT).square().sum(2).mean(1) for v, x, o in facing)
        optimiser.zero_grad()
        (loss + strengths * alignment).sum().backward()
        optimiser.step()
        schedule.step()
    own = [torch.linalg.qr(w.detach().mT)[0][:, k : 2 * k].square().sum((1, 2)) / k for w in weights]
    return torch.stack(own).mean(0).numpy().astype(np.float64).reshape(len(CELLS), -1)


def measured(own: NDArray[np.float64], critical: NDArray[np.float64]) -> NDArray[np.float64]:
    """The strength of each cell at which the share of own directions first falls below half; NaN if it never does."""
    found = np.full(len(own), np.nan)
    for cell, share in enumerate(own):
        below = np.flatnonzero(share < 0.5)
        if below.size and below[0] > 0:
            right = below[0]
            part = (share[right - 1] - 0.5) / (share[right - 1] - share[right])
            found[cell] = critical[cell] * MULTIPLES[right - 1] * (MULTIPLES[right] / MULTIPLES[right - 1]) ** part
    return found


def show_training(steps: int, seeds: int) -> None:
    """Print, per setting, the measured crossing over the predicted one and the agreement in order over the cells."""
    print(
        f"\ntrained linear encoders: {len(CELLS)} cells, {len(MULTIPLES)} strengths, {seeds} seeds, {steps} Adam steps"
    )
    print(
        "measured/predicted: geometric mean over cells ×÷ spread [extremes]; own: share of the row space at both ends"
    )
    for setting in SETTINGS:
        critical, expected = predicted(setting).T
        own = np.mean([train(setting, critical, steps=steps, seed=seed) for seed in range(seeds)], axis=0)
        crossing = measured(own, critical)
        logs = np.log(crossing / expected)[np.isfinite(crossing)]
        order = rank_agreement(critical.tolist(), crossing.tolist())
        low, high = order.spearman_interval
        print(
            f"{setting.name:<49} {np.exp(logs.mean()):5.2f} ×÷ {np.exp(logs.std()):4.2f} "
            f"[{np.exp(logs.min()):4.2f}, {np.exp(logs.max()):4.2f}]  "
            f"Spearman {order.spearman:4.2f} [{low:4.2f}, {high:4.2f}] of {order.cells}  "
            f"own {own[:, 0].mean():4.2f} → {own[:, -1].mean():4.2f}"
        )


def main() -> None:
    """Run the parts that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", nargs="?", choices=("speed", "training", "all"), default="all")
    parser.add_argument("--repeats", type=int, default=5, help="timings per figure (default 5)")
    parser.add_argument("--steps", type=int, default=600, help="training steps (default 600)")
    parser.add_argument("--seeds", type=int, default=1, help="initialisations averaged per cell (default 1)")
    arguments = parser.parse_args()
    if arguments.part in ("speed", "all"):
        show_speed(arguments.repeats)
    if arguments.part in ("training", "all"):
        show_training(arguments.steps, arguments.seeds)


if __name__ == "__main__":
    main()
