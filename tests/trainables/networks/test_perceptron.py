"""A network's written-out gradient is that of the layers that it stands for."""

import pytest
import torch

from trainables.networks.network import build_networks
from trainables.networks.perceptron import Perceptron, is_perceptron
from trainables.spec import AlignmentSpec, EncoderSpec

K, N = 3, 5


def network(activation="relu", layers=2, *, projector="none", kind="mlp"):
    spec = EncoderSpec(kind=kind, layers=layers, width=6, feedforward=4, activation=activation)
    return build_networks((spec, spec), AlignmentSpec(projector=projector), ((7,), (7,)), (2, 2))[0]


@pytest.mark.parametrize("pulled", [False, True])
@pytest.mark.parametrize("layers", [1, 2, 3])
@pytest.mark.parametrize("activation", ["relu", "leaky_relu", "tanh"])
def test_it_is_the_plain_layers_in_value_and_gradient(activation, layers, pulled):
    plain, generator = network(activation, layers), torch.Generator().manual_seed(0)
    flat = torch.randn(K, plain.layout.size, generator=generator).div_(2).requires_grad_()
    x, for_features, for_outputs = (torch.randn(K, N, n, generator=generator) for n in (7, 6, 2))
    expected = plain(flat, x, None)
    loss = (expected.predictions * for_outputs).sum() + pulled * (expected.features * for_features).sum()
    (gradient,) = torch.autograd.grad(loss, flat)

    fused = Perceptron.of(plain, flat.detach())
    found = fused.forward(x)
    parts = fused.backward(found, for_outputs.mT, for_features.mT if pulled else None)
    torch.testing.assert_close(found.features.mT, expected.features)
    torch.testing.assert_close(found.outputs.mT, expected.predictions)
    torch.testing.assert_close(torch.cat(parts, 1), gradient)


def test_it_follows_the_parameters():
    plain = network()
    flat = torch.randn(K, plain.layout.size, generator=torch.Generator().manual_seed(0))
    fused, x = Perceptron.of(plain, flat), torch.ones(K, N, 7)
    before = fused.forward(x).outputs
    flat.mul_(2)
    assert not torch.equal(fused.forward(x).outputs, before)


def test_what_it_does_not_know_is_left_to_autograd():
    assert is_perceptron(network())
    assert not is_perceptron(network("gelu"))
    assert not is_perceptron(network(projector="linear"))
    assert not is_perceptron(network(kind="linear"))
