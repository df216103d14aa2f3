"""Encoders of one modality, by kind, with their task head and projector; all with a leading replica axis."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from torch import Tensor

from trainables.layers import ACTIVATIONS, Dropout, Linear, Parameter, Parameters
from trainables.spec import AlignmentSpec, EncoderSpec


class Encoder(Protocol):
    """Maps a batch of one modality to features."""

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """All parameters of one replica."""

    def __call__(self, parameters: Parameters, x: Tensor, mask: Tensor | None, dropout: Dropout | None) -> Tensor:
        """Features (K, N, width) of x (K, N, …) with `mask` (K, N, T), True at real time steps."""


@dataclass(frozen=True)
class MLP:
    """Linear layers, each followed by the activation (none for the linear encoder), on the flattened input."""

    layers: tuple[Linear, ...]
    activation: str | None

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        return tuple(p for layer in self.layers for p in layer.parameters)

    def __call__(self, parameters: Parameters, x: Tensor, mask: Tensor | None, dropout: Dropout | None) -> Tensor:
        x = x.flatten(2)
        for layer in self.layers:
            x = layer(parameters, x)
            if self.activation is not None:
                x = ACTIVATIONS[self.activation](x)
            if dropout is not None:
                x = dropout(x)
        return x


def _mlp(spec: EncoderSpec, shape: tuple[int, ...]) -> Encoder:
    widths = [_size(shape)] + [spec.width] * spec.layers
    layers = tuple(Linear(f"layer{i}", n_in, n_out) for i, (n_in, n_out) in enumerate(zip(widths, widths[1:])))
    return MLP(layers, spec.activation)


def _linear(spec: EncoderSpec, shape: tuple[int, ...]) -> Encoder:
    return MLP((Linear("layer0", _size(shape), spec.width),), None)


def _size(shape: tuple[int, ...]) -> int:
    size = 1
    for n in shape:
        size *= n
    return size


ENCODERS: Mapping[str, Callable[[EncoderSpec, tuple[int, ...]], Encoder]] = {
    "linear": _linear,
    "mlp": _mlp,
}


class Outputs(NamedTuple):
    """What a network says of a batch: features (K, N, width), task outputs (K, N, n_out), projections (K, N, D)."""

    features: Tensor
    predictions: Tensor
    projections: Tensor


@dataclass(frozen=True)
class Network:
    """An encoder with its task head and the projector that the alignment loss sees the features through."""

    encoder: Encoder
    head: Linear
    projector: tuple[Linear, ...]

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        layers = (self.head, *self.projector)
        return self.encoder.parameters + tuple(p for layer in layers for p in layer.parameters)

    def __call__(
        self, parameters: Parameters, x: Tensor, mask: Tensor | None, dropout: Dropout | None = None
    ) -> Outputs:
        features = self.encoder(parameters, x, mask, dropout).float()
        projections = features
        for i, layer in enumerate(self.projector):
            projections = layer(parameters, projections if i == 0 else projections.relu())
        return Outputs(features, self.head(parameters, features).float(), projections.float())


def build_networks(
    encoders: tuple[EncoderSpec, EncoderSpec],
    alignment: AlignmentSpec,
    shapes: tuple[tuple[int, ...], tuple[int, ...]],
    n_outs: tuple[int, int],
) -> tuple[Network, Network]:
    """The two networks of a pair, for inputs of `shapes` (one sample) and `n_outs` task outputs.

    Raises:
        ValueError: an unknown kind or projector, or features of different widths without a projector.
    """
    widths = encoders[0].width, encoders[1].width
    if alignment.projector == "none" and widths[0] != widths[1]:
        raise ValueError(
            f"the encoders are {widths[0]} and {widths[1]} wide and cannot be compared directly; "
            "use equal widths or alignment projector 'linear' or 'mlp'"
        )
    target = alignment.projector_width or min(widths)
    networks = []
    for spec, shape, n_out in zip(encoders, shapes, n_outs):
        if spec.kind not in ENCODERS:
            raise ValueError(f"unknown encoder kind {spec.kind!r}; known are {', '.join(ENCODERS)}")
        projector = {
            "none": (),
            "linear": (Linear("projector0", spec.width, target),),
            "mlp": (Linear("projector0", spec.width, spec.width), Linear("projector1", spec.width, target)),
        }[alignment.projector]
        networks.append(Network(ENCODERS[spec.kind](spec, shape), Linear("head", spec.width, n_out), projector))
    return networks[0], networks[1]
