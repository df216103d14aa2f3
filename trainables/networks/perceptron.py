"""The most frequent network, an MLP and its task head, with its gradient written out.

Layers as small as a study's cost less arithmetic than autograd's bookkeeping for them. Activations lie feature by
feature in memory, (K, width, N), so that every operator runs along samples.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from trainables.networks.encoders import MLP
from trainables.networks.layers import ACTIVATIONS, LEAKY_SLOPE, Layout
from trainables.networks.network import EncoderNetwork

# The gradient before an activation, of the gradient behind it and of the activation's value.
_BACKWARD: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = {
    "relu": lambda gradient, value: torch.ops.aten.threshold_backward(gradient, value, 0),
    "leaky_relu": lambda gradient, value: torch.ops.aten.leaky_relu_backward(gradient, value, LEAKY_SLOPE, True),
    "tanh": lambda gradient, value: torch.ops.aten.tanh_backward(gradient, value),
}


def is_perceptron(network: EncoderNetwork) -> bool:
    """Whether `Perceptron` knows the network: an MLP without projector, whose activation tells its own slope."""
    encoder = network.encoder
    return isinstance(encoder, MLP) and not network.projector and encoder.head_activation in _BACKWARD


class Pass(NamedTuple):
    """Features (K, width, N) before their activation, task outputs (K, m, N), and what each layer has read."""

    features: Tensor
    outputs: Tensor
    read: list[Tensor]


class Perceptron:
    """Linear layers of K replicas with one activation between them, by name.

    The parameters, a weight and a bias of each layer, are views of `flat` (K, P): who changes `flat` changes them.
    """

    def __init__(self, layout: Layout, flat: Tensor, activation: str) -> None:
        values = list(layout.split(flat).values())
        self._weights, biases = values[::2], values[1::2]
        self._layers = [(weight.mT, bias.unsqueeze(2)) for weight, bias in zip(self._weights, biases, strict=True)]
        self._activate, self._before = ACTIVATIONS[activation], _BACKWARD[activation]

    @classmethod
    def of(cls, network: EncoderNetwork, flat: Tensor) -> Perceptron:
        """A perceptron of a network of which `is_perceptron` is true."""
        activation = network.encoder.head_activation
        assert activation is not None
        return cls(network.layout, flat, activation)

    def forward(self, x: Tensor) -> Pass:
        """What the network makes of x (K, N, d)."""
        below, features, read = x.mT, x, []
        for i, (weight, bias) in enumerate(self._layers, 2):
            read.append(below)
            values = torch.bmm(weight, below).add_(bias)
            if i > len(self._layers):
                return Pass(features, values, read)
            # The features themselves are read by the alignment loss as well.
            features, below = values, self._activate(values, i < len(self._layers))
        raise AssertionError("a network has a head")

    def backward(self, done: Pass, for_outputs: Tensor, for_features: Tensor | None) -> list[Tensor]:
        """The gradients of the parameters, in their order, (K, …) each, from those of outputs and features."""
        read, gradient, parts = done.read, for_outputs, []
        for i in reversed(range(len(read))):
            parts += [gradient.sum(2), torch.bmm(read[i], gradient.mT).flatten(1)]
            if i:
                gradient = self._before(torch.bmm(self._weights[i], gradient), read[i])
                if i == len(read) - 1 and for_features is not None:
                    gradient += for_features
        return parts[::-1]
