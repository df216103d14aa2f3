"""Layers with a leading replica axis: K networks of one shape run as one batched computation.

A layer is a frozen description. It declares the parameters of one replica and is called with a mapping that holds them
for all replicas, each of shape (K, …), and with activations of shape (K, N, …). No operation mixes replicas, so what
replica k gets is what a solo training (K = 1) of it gets. `Layout` keeps all parameters of a pack in one (K, P) buffer:
clipping and the optimiser are then a few elementwise operations instead of several for each parameter.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

Parameters = Mapping[str, Tensor]

LEAKY_SLOPE = 0.1  # as Tjandrasuwita et al. 2025

# Of a tensor, and whether to overwrite it: in a training step that keeps memory in the cache.
ACTIVATIONS: Mapping[str, Callable[[Tensor, bool], Tensor]] = {
    "relu": functional.relu,
    "leaky_relu": lambda x, inplace: functional.leaky_relu(x, LEAKY_SLOPE, inplace),
    "tanh": lambda x, inplace: x.tanh_() if inplace else x.tanh(),
    "gelu": lambda x, _inplace: functional.gelu(x),
}


@dataclass(frozen=True)
class Parameter:
    """One replica's parameter, initially U(-scale, scale), N(0, scale²) or the constant `scale`."""

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
        pieces = torch.split(flat, self.sizes, dim=1)
        return {p.name: piece.view(-1, *p.shape) for p, piece in zip(self.parameters, pieces, strict=True)}

    def draw(self, seed: int) -> Tensor:
        """Initial values of one replica, (P,): a function of the seed alone."""
        generator = torch.Generator().manual_seed(seed)
        return torch.cat([p.draw(generator).flatten() for p in self.parameters])


class Dropout:
    """Inverted dropout whose masks depend on a replica's seed alone, never on what shares its pack.

    Each distinct seed has a CPU generator; all replicas of that seed share its masks (common random numbers).
    """

    def __init__(self, rate: float, seeds: Sequence[int], seed_of: Tensor) -> None:
        self._keep = 1.0 - rate
        self._generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        self._seed_of = seed_of  # (K,), which of `seeds` is whose

    def __call__(self, x: Tensor) -> Tensor:
        """Zero the elements of x (K, …) with probability `rate`, and scale the others by 1 / (1 - rate)."""
        masks = [torch.empty(x.shape[1:]).bernoulli_(self._keep, generator=g) for g in self._generators]
        return x * torch.stack(masks).div_(self._keep).to(x.device)[self._seed_of]


def no_dropout(x: Tensor) -> Tensor:
    """The dropout of evaluation, and of rate 0."""
    return x


@dataclass(frozen=True)
class Linear:
    """x W + b with W (in, out), initially U(±1/√in) as in `torch.nn.Linear`, or within the given bounds."""

    name: str
    n_in: int
    n_out: int
    weight_bound: float | None = None
    bias_bound: float | None = None

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """Weight and bias."""
        default = 1.0 / math.sqrt(self.n_in)
        weight = default if self.weight_bound is None else self.weight_bound
        bias = default if self.bias_bound is None else self.bias_bound
        return (
            Parameter(f"{self.name}.weight", (self.n_in, self.n_out), "uniform", weight),
            Parameter(f"{self.name}.bias", (self.n_out,), "uniform", bias),
        )

    def __call__(self, parameters: Parameters, x: Tensor) -> Tensor:
        """(K, …, in) -> (K, …, out)."""
        weight, bias = parameters[f"{self.name}.weight"], parameters[f"{self.name}.bias"]
        # Not baddbmm: on CPUs it first spreads the bias over the output, which costs more than the product.
        if x.ndim == 3:  # feature by feature in memory: what follows then runs along many samples, not few features
            return torch.bmm(weight.mT, x.mT).add_(bias.unsqueeze(2)).mT
        out = torch.bmm(x.flatten(1, -2), weight).add_(bias.unsqueeze(1))
        return out.view(*x.shape[:-1], self.n_out)


@dataclass(frozen=True)
class LayerNorm:
    """Normalisation over the last axis with a scale and shift per replica, initially 1 and 0."""

    name: str
    width: int

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """Scale and shift."""
        return (
            Parameter(f"{self.name}.scale", (self.width,), "constant", 1.0),
            Parameter(f"{self.name}.shift", (self.width,), "constant", 0.0),
        )

    def __call__(self, parameters: Parameters, x: Tensor) -> Tensor:
        """(K, N, T, width) -> the same shape."""
        scale, shift = (parameters[f"{self.name}.{part}"][:, None, None] for part in ("scale", "shift"))
        return torch.addcmul(shift, functional.layer_norm(x, (self.width,)), scale)


@dataclass(frozen=True)
class Attention:
    """Multi-head self-attention (Vaswani et al. 2017), initialised as `torch.nn.MultiheadAttention`."""

    name: str
    width: int
    heads: int

    @property
    def _layers(self) -> tuple[Linear, Linear, Linear]:
        bound = math.sqrt(6.0 / (4 * self.width))  # Xavier of the stacked (3 width, width) matrix
        return (
            Linear(f"{self.name}.query", self.width, self.width, bound, 0.0),
            Linear(f"{self.name}.key_value", self.width, 2 * self.width, bound, 0.0),
            Linear(f"{self.name}.out", self.width, self.width, None, 0.0),
        )

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """Parameters of the query, the key and value, and the output projection."""
        return tuple(p for layer in self._layers for p in layer.parameters)

    def __call__(self, parameters: Parameters, queries: Tensor, x: Tensor, mask: Tensor | None) -> Tensor:
        """`queries` (K, N, Q, width), each attending to those steps of x (K, N, T, width) that `mask` (K, N, T) has."""
        query, key_value, out = self._layers
        n_replicas, n, n_steps, _ = x.shape
        q = query(parameters, queries).view(n_replicas * n, -1, self.heads, self.width // self.heads).transpose(1, 2)
        kv = key_value(parameters, x).view(n_replicas * n, n_steps, 2, self.heads, -1)
        k, v = kv.permute(2, 0, 3, 1, 4).unbind(0)
        keys = None if mask is None else mask.reshape(-1, 1, 1, n_steps)
        attended = functional.scaled_dot_product_attention(q, k, v, attn_mask=keys)
        return out(parameters, attended.transpose(1, 2).reshape(queries.shape))


@dataclass(frozen=True)
class TransformerLayer:
    """Post-norm transformer layer with a ReLU feed-forward part, equal to `torch.nn.TransformerEncoderLayer`.

    Dropout falls on both residual branches and on the hidden feed-forward units, not on the attention weights.
    """

    name: str
    width: int
    heads: int
    feedforward: int

    @property
    def _layers(self) -> tuple[Attention, LayerNorm, Linear, Linear, LayerNorm]:
        return (
            Attention(f"{self.name}.attention", self.width, self.heads),
            LayerNorm(f"{self.name}.norm1", self.width),
            Linear(f"{self.name}.hidden", self.width, self.feedforward),
            Linear(f"{self.name}.out", self.feedforward, self.width),
            LayerNorm(f"{self.name}.norm2", self.width),
        )

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """Parameters of attention, both norms and the feed-forward part."""
        return tuple(p for layer in self._layers for p in layer.parameters)

    def __call__(
        self,
        parameters: Parameters,
        x: Tensor,
        mask: Tensor | None,
        dropout: Callable[[Tensor], Tensor],
        n_queries: int | None = None,
    ) -> Tensor:
        """(K, N, T, width) -> the same shape, or its first `n_queries` steps alone."""
        attention, norm_1, hidden, out, norm_2 = self._layers
        queries = x if n_queries is None else x[:, :, :n_queries]
        x_1 = norm_1(parameters, queries + dropout(attention(parameters, queries, x, mask)))
        inner = dropout(torch.relu(hidden(parameters, x_1)))
        return norm_2(parameters, x_1 + dropout(out(parameters, inner)))
