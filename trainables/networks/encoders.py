"""Encoders of one modality, by kind, with their task head and projector; all with a leading replica axis."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Literal, NamedTuple, Protocol

import torch
from torch import Tensor, nn

from trainables.networks.layers import ACTIVATIONS, Layout, Linear, Parameter, Parameters, TransformerLayer, no_dropout
from trainables.spec import AlignmentSpec, EncoderSpec

Shape = tuple[int, ...]
DropoutFunction = Callable[[Tensor], Tensor]


class Encoder(Protocol):
    """Maps a batch of one modality to features."""

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """All parameters of one replica."""

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
        """Of all layers."""
        return tuple(p for layer in self.layers for p in layer.parameters)

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
        """Of the embedding, the tokens, and all layers."""
        width, cls = self.embed.n_out, self.pooling == "cls"
        tokens = [Parameter("cls", (width,), "normal", 1.0)] if cls else []
        positions = Parameter("positions", (self.n_tokens + cls, width), "normal", 1.0)
        return (*self.embed.parameters, *tokens, positions, *(p for layer in self.layers for p in layer.parameters))

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


ENCODERS: Mapping[str, Callable[[EncoderSpec, Shape], Encoder]] = {
    "linear": _linear,
    "mlp": _mlp,
    "transformer": _transformer,
    "vit": _vit,
}


class Outputs(NamedTuple):
    """What a network says of a batch: features (K, N, width), task outputs (K, N, n_out), projections (K, N, D)."""

    features: Tensor
    predictions: Tensor
    projections: Tensor


@dataclass(frozen=True)
class Network:
    """An encoder with its task head, and the projector through which the alignment loss sees the features."""

    encoder: Encoder
    head: Linear
    head_activation: str | None  # of the features, where the head reads them
    projector: tuple[Linear, ...]

    @cached_property
    def layout(self) -> Layout:
        """Encoder, head, projector: the first two are drawn alike whatever the projector."""
        layers = (self.head, *self.projector)
        return Layout((*self.encoder.parameters, *(p for layer in layers for p in layer.parameters)))

    def __call__(self, flat: Tensor, x: Tensor, mask: Tensor | None, dropout: DropoutFunction = no_dropout) -> Outputs:
        """Outputs in float32 for x (K, N, …) and its mask, with all parameters in `flat` (K, P)."""
        return self.outputs(self.layout.split(flat), x, mask, dropout)

    def outputs(
        self, parameters: Parameters, x: Tensor, mask: Tensor | None, dropout: DropoutFunction = no_dropout
    ) -> Outputs:
        """The same, with parameters by name."""
        features = self.encoder(parameters, x, mask, dropout)
        projections = features
        for i, layer in enumerate(self.projector):
            projections = layer(parameters, projections if i == 0 else projections.relu())
        seen = features
        if self.head_activation is not None:
            seen = dropout(ACTIVATIONS[self.head_activation](features, False))
        return Outputs(features.float(), self.head(parameters, seen).float(), projections.float())


class SoloEncoder(nn.Module):
    """One trained encoder of one replica, without a replica axis: raw inputs in, features and task outputs out.

    `forward(x, mask=None)` standardises x (N, …) as in training, sets masked steps to 0 and returns features (N, width)
    and task outputs (N, n_out), of a real target in the unit in which it was learned. A mask (N, T) needs at least one
    real step per sample. x is scaled in the precision of `mean` and `factor`.
    """

    mean: Tensor
    factor: Tensor

    def __init__(self, network: Network, flat: Tensor, mean: Tensor, factor: Tensor) -> None:
        super().__init__()
        self._network = network
        self._names = {}
        for name, values in network.layout.split(flat[None]).items():
            self._names[name] = name.replace(".", "_")
            self.register_parameter(self._names[name], nn.Parameter(values[0].clone()))
        self.register_buffer("mean", mean)
        self.register_buffer("factor", factor)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Features (N, width) and task outputs (N, n_out)."""
        x = ((x - self.mean) * self.factor).float()
        if mask is not None:
            x, mask = x.masked_fill(~mask[..., None], 0.0), mask[None]
        parameters = {name: self.get_parameter(attribute)[None] for name, attribute in self._names.items()}
        outputs = self._network.outputs(parameters, x[None], mask)
        return outputs.features[0], outputs.predictions[0]


def build_networks(
    encoders: tuple[EncoderSpec, EncoderSpec],
    alignment: AlignmentSpec,
    shapes: tuple[Shape, Shape],
    n_outs: tuple[int, int],
) -> tuple[Network, Network]:
    """The two networks of a pair, for samples of `shapes` and `n_outs` task outputs.

    Raises:
        ValueError: an unknown kind, activation or projector, an input that the kind cannot read, or features of
            different widths without a projector.
    """
    widths = encoders[0].width, encoders[1].width
    if alignment.projector == "none" and widths[0] != widths[1]:
        raise ValueError(
            f"features of widths {widths[0]} and {widths[1]} cannot be aligned directly; "
            "give the encoders one width, or alignment a projector: linear or mlp"
        )
    target = alignment.projector_width or min(widths)

    def network(spec: EncoderSpec, shape: Shape, n_out: int) -> Network:
        if spec.kind not in ENCODERS:
            raise ValueError(f"unknown encoder kind {spec.kind!r}; known are {', '.join(ENCODERS)}")
        if spec.layers < 1 or spec.width < 1:
            raise ValueError(f"an encoder needs at least 1 layer and width 1, given {spec.layers} and {spec.width}")
        activation = spec.activation if spec.kind == "mlp" else None
        head = Linear("head", spec.width, n_out)
        return Network(ENCODERS[spec.kind](spec, shape), head, activation, projector(spec.width))

    def projector(width: int) -> tuple[Linear, ...]:
        if alignment.projector == "none":
            return ()
        if alignment.projector == "linear":
            return (Linear("projector0", width, target),)
        if alignment.projector == "mlp":
            return (Linear("projector0", width, width), Linear("projector1", width, target))
        raise ValueError(f"unknown projector {alignment.projector!r}; known are none, linear, mlp")

    return network(encoders[0], shapes[0], n_outs[0]), network(encoders[1], shapes[1], n_outs[1])
