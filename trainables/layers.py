"""Layers with a leading replica axis: K networks of one shape run as one batched computation.

A layer is a frozen description. It declares its parameters (shapes of one replica) and is called with a mapping that
holds them for all replicas, each of shape (K, …), and activations of shape (K, N, …). No operation mixes replicas, so
replica k's result is that of a solo training (K = 1) of it. `Layout` keeps all parameters of a pack in one (K, P)
buffer: clipping and the optimiser are then a few elementwise operations instead of several per parameter.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

Parameters = Mapping[str, Tensor]
Activation = Callable[[Tensor], Tensor]

ACTIVATIONS: Mapping[str, Activation] = {
    "relu": torch.relu,
    "leaky_relu": lambda x: F.leaky_relu(x, 0.1),  # slope of Tjandrasuwita et al. 2025
    "tanh": torch.tanh,
    "gelu": F.gelu,
}


@dataclass(frozen=True)
class Parameter:
    """Name and shape of one replica's parameter, and its initial distribution: U(-scale, scale), N(0, scale²) or scale."""

    name: str
    shape: tuple[int, ...]
    distribution: Literal["uniform", "normal", "constant"]
    scale: float

    def draw(self, generator: torch.Generator) -> Tensor:
        """Initial values of one replica, of `shape`, from a CPU generator."""
        if self.distribution == "uniform":
            return torch.rand(self.shape, generator=generator).mul_(2 * self.scale).sub_(self.scale)
        if self.distribution == "normal":
            return torch.randn(self.shape, generator=generator).mul_(self.scale)
        return torch.full(self.shape, self.scale)


class Layout:
    """Where each parameter lies in a flat (K, P) buffer."""

    def __init__(self, parameters: Iterable[Parameter]) -> None:
        self.parameters = tuple(parameters)
        self.sizes = [math.prod(p.shape) for p in self.parameters]
        self.size = sum(self.sizes)

    def split(self, flat: Tensor) -> dict[str, Tensor]:
        """Views of `flat` (K, P) by name, each (K, …); their gradients come back as one tensor."""
        pieces = flat.split(self.sizes, dim=1)
        return {p.name: piece.view(-1, *p.shape) for p, piece in zip(self.parameters, pieces, strict=True)}

    def draw(self, seed: int) -> Tensor:
        """Initial values of one replica, (P,): a function of the seed alone."""
        generator = torch.Generator().manual_seed(seed)
        return torch.cat([p.draw(generator).flatten() for p in self.parameters])


class Dropout:
    """Inverted dropout whose masks depend on a replica's seed alone, never on what shares its pack.

    One CPU generator per distinct seed draws one mask of a sample-shaped tensor, which all replicas of that seed share
    (common random numbers across strengths).
    """

    def __init__(self, rate: float, seeds: Sequence[int], index: Tensor) -> None:
        self.rate = rate
        self._generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        self._index = index  # (K,): which of the seeds each replica has

    def __call__(self, x: Tensor) -> Tensor:
        """Zero each element of x (K, …) with probability `rate`, and scale the others by 1 / (1 - rate)."""
        if self.rate == 0.0:
            return x
        keep = 1.0 - self.rate
        draws = [torch.empty(x.shape[1:]).bernoulli_(keep, generator=g).div_(keep) for g in self._generators]
        return x * torch.stack(draws).to(x.device)[self._index]


@dataclass(frozen=True)
class Linear:
    """x W + b with W (in, out); initial values as `torch.nn.Linear` (U(±1/√in))."""

    name: str
    n_in: int
    n_out: int

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        bound = 1.0 / math.sqrt(self.n_in)
        return (
            Parameter(f"{self.name}.weight", (self.n_in, self.n_out), "uniform", bound),
            Parameter(f"{self.name}.bias", (self.n_out,), "uniform", bound),
        )

    def __call__(self, parameters: Parameters, x: Tensor) -> Tensor:
        """(K, …, in) -> (K, …, out)."""
        weight, bias = parameters[f"{self.name}.weight"], parameters[f"{self.name}.bias"]
        out = torch.baddbmm(bias.unsqueeze(1), x.flatten(1, -2), weight)
        return out.view(*x.shape[:-1], self.n_out)
