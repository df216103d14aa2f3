"""An encoder with its task head and its projector, and the one encoder of one replica that is left of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import NamedTuple

import torch
from torch import Tensor, nn

from trainables.networks.encoders import ENCODERS, DropoutFunction, Encoder, Shape
from trainables.networks.layers import ACTIVATIONS, Layout, Linear, Parameters, no_dropout
from trainables.networks.modules import PREFIX, ModuleEncoder
from trainables.spec import AlignmentSpec, EncoderSpec

State = Mapping[str, Tensor]  # of K replicas, (K, …) each: what a training changes besides its parameters
NO_STATE: State = MappingProxyType({})


class Outputs(NamedTuple):
    """What a network says of a batch: features (K, N, width), task outputs (K, N, n_out), projections (K, N, D)."""

    features: Tensor
    predictions: Tensor
    projections: Tensor


@dataclass(frozen=True)
class EncoderNetwork:
    """An encoder with its task head, and the projector through which the alignment loss sees the features."""

    encoder: Encoder
    head: Linear
    projector: tuple[Linear, ...]

    @cached_property
    def layout(self) -> Layout:
        """Encoder, head, projector: the first two are drawn alike whatever the projector."""
        layers = (self.head, *self.projector)
        return Layout((*self.encoder.parameters, *(p for layer in layers for p in layer.parameters)))

    def draw(self, seed: int) -> tuple[Tensor, State]:
        """Initial values of one replica, (P,), and its state (without the replica axis): a function of the seed alone.

        Raises:
            ValueError: a factory of the user's makes something else for this seed.
        """
        if not isinstance(self.encoder, ModuleEncoder):
            return self.layout.draw(seed), NO_STATE
        flat, state = self.encoder.draw(seed)
        others = Layout(self.layout.parameters[len(self.encoder.parameters) :])
        return torch.cat([flat, others.draw(seed)]), state

    def __call__(
        self,
        flat: Tensor,
        x: Tensor,
        mask: Tensor | None,
        dropout: DropoutFunction = no_dropout,
        state: State = NO_STATE,
    ) -> Outputs:
        """Outputs in float32 for x (K, N, …) and its mask, with all parameters in `flat` (K, P)."""
        parameters = self.layout.split(flat)
        return self.outputs({**parameters, **state} if state else parameters, x, mask, dropout)

    def outputs(
        self, parameters: Parameters, x: Tensor, mask: Tensor | None, dropout: DropoutFunction = no_dropout
    ) -> Outputs:
        """The same, with parameters by name."""
        return self.of_features(parameters, self.encoder(parameters, x, mask, dropout), dropout)

    def of_features(self, parameters: Parameters, features: Tensor, dropout: DropoutFunction = no_dropout) -> Outputs:
        """The same, of the encoder's features (K, N, width)."""
        projections = features
        for i, layer in enumerate(self.projector):
            projections = layer(parameters, projections if i == 0 else projections.relu())
        seen = features
        if (activation := self.encoder.head_activation) is not None:
            seen = dropout(ACTIVATIONS[activation](features, False))
        return Outputs(features.float(), self.head(parameters, seen).float(), projections.float())


class SoloEncoder(nn.Module):
    """One trained encoder of one replica, without a replica axis: raw inputs in, features and task outputs out.

    `forward(x, mask=None)` standardises x (N, …) as in training, sets masked steps to 0 and returns features (N, width)
    and task outputs (N, n_out), of a real target in the unit in which it was learned. A mask (N, T) needs at least one
    real step per sample. x is scaled in the precision of `mean` and `factor`.
    """

    mean: Tensor
    factor: Tensor

    def __init__(
        self, network: EncoderNetwork, flat: Tensor, mean: Tensor, factor: Tensor, state: State = NO_STATE
    ) -> None:
        super().__init__()
        self._network = network
        self._names = {}
        parameters = {name: values[0] for name, values in network.layout.split(flat[None]).items()}
        self.module: nn.Module | None = None
        if isinstance(network.encoder, ModuleEncoder):
            self.module = network.encoder.solo({**parameters, **state}).to(flat.device)
            parameters = {name: values for name, values in parameters.items() if not name.startswith(PREFIX)}
        for name, values in parameters.items():
            self._names[name] = name.replace(".", "_")
            self.register_parameter(self._names[name], nn.Parameter(values.clone()))
        self.register_buffer("mean", mean)
        self.register_buffer("factor", factor)
        self.eval()

    def forward(self, x: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Features (N, width) and task outputs (N, n_out)."""
        x = ((x - self.mean) * self.factor).float()
        if mask is not None:
            x, mask = x.masked_fill(~mask[..., None], 0.0), mask[None]
        parameters = {name: self.get_parameter(attribute)[None] for name, attribute in self._names.items()}
        if self.module is None:
            outputs = self._network.outputs(parameters, x[None], mask)
        else:
            features = self.module(x) if mask is None else self.module(x, mask[0])
            outputs = self._network.of_features(parameters, features[None])
        return outputs.features[0], outputs.predictions[0]


def build_networks(
    encoders: tuple[EncoderSpec, EncoderSpec],
    alignment: AlignmentSpec,
    shapes: tuple[Shape, Shape],
    n_outs: tuple[int, int],
) -> tuple[EncoderNetwork, EncoderNetwork]:
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

    def network(spec: EncoderSpec, shape: Shape, n_out: int) -> EncoderNetwork:
        if spec.kind not in ENCODERS:
            raise ValueError(f"unknown encoder kind {spec.kind!r}; known are {', '.join(ENCODERS)}")
        if spec.layers < 1 or spec.width < 1:
            raise ValueError(f"an encoder needs at least 1 layer and width 1, given {spec.layers} and {spec.width}")
        head = Linear("head", spec.width, n_out)
        return EncoderNetwork(ENCODERS[spec.kind](spec, shape), head, projector(spec.width))

    def projector(width: int) -> tuple[Linear, ...]:
        if alignment.projector == "none":
            return ()
        if alignment.projector == "linear":
            return (Linear("projector0", width, target),)
        if alignment.projector == "mlp":
            return (Linear("projector0", width, width), Linear("projector1", width, target))
        raise ValueError(f"unknown projector {alignment.projector!r}; known are none, linear, mlp")

    return network(encoders[0], shapes[0], n_outs[0]), network(encoders[1], shapes[1], n_outs[1])
