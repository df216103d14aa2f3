"""Encoders of one modality, by kind, with a leading replica axis.

`ENCODERS` is the whole list: a new kind is one function and one line there.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, Protocol

import torch
from torch import Tensor

from trainables.networks.layers import ACTIVATIONS, Linear, Parameter, Parameters, TransformerLayer
from trainables.networks.modules import module_encoder
from trainables.spec import EncoderSpec

Shape = tuple[int, ...]
DropoutFunction = Callable[[Tensor], Tensor]


class Encoder(Protocol):
    """Maps a batch of one modality to features."""

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """All parameters of one replica."""

    @property
    def head_activation(self) -> str | None:
        """The activation through which the task head sees the features; the alignment loss sees them as they are."""

    def __call__(self, parameters: Parameters, x: Tensor, mask: Tensor | None, dropout: DropoutFunction) -> Tensor:
        """Features (K, N, width) of x (K, N, …) with `mask` (K, N, T), True at real time steps."""


@dataclass(frozen=True)
class MLP:
    """Linear layers with the activation (if any) between them, on the input flattened to one vector.

    Its features are the last layer's values before their activation, which only the task head sees: rectified features
    could not point apart, and a strong alignment would kill units for good.
    """

    layers: tuple[Linear, ...]
    activation: str | None

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """Weights and biases of all layers."""
        return tuple(p for layer in self.layers for p in layer.parameters)

    @property
    def head_activation(self) -> str | None:
        """The activation between the layers."""
        return self.activation

    def __call__(self, parameters: Parameters, x: Tensor, mask: Tensor | None, dropout: DropoutFunction) -> Tensor:
        """The last layer's output; `mask` has done its work, masked steps being 0."""
        del mask
        x = x.flatten(2)
        for layer in self.layers[:-1]:
            x = layer(parameters, x)
            if self.activation is not None:
                x = dropout(ACTIVATIONS[self.activation](x, True))
        return self.layers[-1](parameters, x)


@dataclass(frozen=True)
class Transformer:
    """Tokens -> linear embedding (-> class token) -> + learned positions -> transformer layers -> pooling.

    The encoder of Tjandrasuwita et al. 2025 (class token and positions N(0, 1), post-norm, ReLU). Tokens are time
    steps, or square image patches. Pooling: `mean` over real tokens, `cls` (the class token), `last` real token.
    """

    embed: Linear
    n_tokens: int
    layers: tuple[TransformerLayer, ...]
    pooling: Literal["mean", "cls", "last"]
    patch: int | None = None  # None: the input is a sequence already

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """Parameters of the embedding, the tokens, and all layers."""
        width, cls = self.embed.n_out, self.pooling == "cls"
        tokens = [Parameter("cls", (width,), "normal", 1.0)] if cls else []
        positions = Parameter("positions", (self.n_tokens + cls, width), "normal", 1.0)
        return (*self.embed.parameters, *tokens, positions, *(p for layer in self.layers for p in layer.parameters))

    @property
    def head_activation(self) -> str | None:
        """None: the last layer ends with a norm."""
        return None

    def __call__(self, parameters: Parameters, x: Tensor, mask: Tensor | None, dropout: DropoutFunction) -> Tensor:
        """Features (K, N, width) of sequences (K, N, T, d) or images (K, N, H, W[, C])."""
        tokens = self.embed(parameters, x if self.patch is None else to_patches(x, self.patch))
        if self.patch is not None and mask is not None:
            mask = to_patch_mask(mask, self.patch, self.n_tokens)
        if self.pooling == "cls":
            cls = parameters["cls"][:, None, None].expand(-1, tokens.shape[1], 1, -1)
            tokens = torch.cat([cls, tokens], dim=2)
            mask = None if mask is None else torch.cat([mask.new_ones(*mask.shape[:2], 1), mask], dim=2)
        tokens = dropout(tokens + parameters["positions"][:, None])
        for layer in self.layers[:-1]:
            tokens = layer(parameters, tokens, mask, dropout)
        # The class token alone is read, so the last layer needs no other query.
        tokens = self.layers[-1](parameters, tokens, mask, dropout, n_queries=1 if self.pooling == "cls" else None)
        return self._pool(tokens, mask)

    def _pool(self, tokens: Tensor, mask: Tensor | None) -> Tensor:
        if self.pooling == "cls":
            return tokens[:, :, 0]
        if self.pooling == "mean":
            if mask is None:
                return tokens.mean(2)
            weights = mask / mask.sum(2, keepdim=True)
            return torch.einsum("knt,kntw->knw", weights.to(tokens.dtype), tokens)
        if mask is None:
            return tokens[:, :, -1]
        positions = torch.arange(mask.shape[2], device=mask.device)
        last = (mask * positions).amax(2)[:, :, None, None]
        return tokens.gather(2, last.expand(-1, -1, -1, tokens.shape[3])).squeeze(2)


def to_patches(x: Tensor, patch: int) -> Tensor:
    """Images (K, N, H, W[, C]) as rows of square patches (K, N, H/patch · W/patch, patch · patch · C)."""
    k, n, height, width = x.shape[:4]
    x = x.reshape(k, n, height // patch, patch, width // patch, -1).transpose(3, 4)
    return x.reshape(k, n, (height // patch) * (width // patch), -1)


def to_patch_mask(mask: Tensor, patch: int, n_tokens: int) -> Tensor:
    """A mask of steps (K, N, H), which are the rows of an image, as one of patches: real where one of its rows is."""
    bands = mask.reshape(*mask.shape[:2], -1, patch).any(-1)
    return bands.repeat_interleave(n_tokens // bands.shape[2], dim=2)


def _linear(spec: EncoderSpec, shape: Shape) -> Encoder:
    return MLP((Linear("layer0", math.prod(shape), spec.width),), None)


def _mlp(spec: EncoderSpec, shape: Shape) -> Encoder:
    widths = [math.prod(shape)] + [spec.feedforward or spec.width] * (spec.layers - 1) + [spec.width]
    if spec.activation not in ACTIVATIONS:
        raise ValueError(f"unknown activation {spec.activation!r}; known are {', '.join(ACTIVATIONS)}")
    layers = tuple(Linear(f"layer{i}", n_in, n_out) for i, (n_in, n_out) in enumerate(pairwise(widths)))
    return MLP(layers, spec.activation)


def _transformer(spec: EncoderSpec, shape: Shape) -> Encoder:
    if len(shape) != 2:
        raise ValueError(
            f"a transformer reads (time, feature) sequences, given samples of shape {shape}; use mlp or vit"
        )
    return _tokens(spec, *shape, None)


def _vit(spec: EncoderSpec, shape: Shape) -> Encoder:
    if len(shape) not in (2, 3):
        raise ValueError(f"a vit reads (height, width[, channel]) images, given samples of shape {shape}; use mlp")
    height, width, channels = (*shape, 1)[:3]
    if spec.patch < 1 or height % spec.patch or width % spec.patch:
        raise ValueError(
            f"patch {spec.patch} does not divide images of {height} × {width}; choose one that divides both"
        )
    n_tokens = (height // spec.patch) * (width // spec.patch)
    return _tokens(spec, n_tokens, spec.patch * spec.patch * channels, spec.patch)


def _tokens(spec: EncoderSpec, n_tokens: int, n_features: int, patch: int | None) -> Encoder:
    if spec.heads < 1 or spec.width % spec.heads:
        raise ValueError(f"{spec.heads} heads do not divide width {spec.width}; choose a divisor of the width")
    if spec.pooling not in ("mean", "cls", "last"):
        raise ValueError(f"unknown pooling {spec.pooling!r}; known are mean, cls, last")
    layers = tuple(
        TransformerLayer(f"layer{i}", spec.width, spec.heads, spec.feedforward or spec.width)
        for i in range(spec.layers)
    )
    return Transformer(Linear("embed", n_features, spec.width), n_tokens, layers, spec.pooling, patch)


ENCODERS: dict[str, Callable[[EncoderSpec, Shape], Encoder]] = {
    "linear": _linear,
    "mlp": _mlp,
    "transformer": _transformer,
    "vit": _vit,
    "module": module_encoder,
}
