"""Layers with a replica axis are the layers of torch.nn, once per replica."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from trainables.networks.layers import (
    ACTIVATIONS,
    Attention,
    Dropout,
    LayerNorm,
    Layout,
    Linear,
    Parameter,
    TransformerLayer,
    no_dropout,
)

K, N, T, WIDTH = 3, 5, 4, 6


def draw(layer, n_replicas=K):
    layout = Layout(layer.parameters)
    return layout.split(torch.stack([layout.draw(seed) for seed in range(n_replicas)]))


def fill(module, values):
    """Copy one replica's (in, out) weight and bias into an nn.Linear."""
    weight, bias = values
    with torch.no_grad():
        module.weight.copy_(weight.T)
        module.bias.copy_(bias)


def fill_attention(module, parameters, name, k):
    with torch.no_grad():
        weights = [parameters[f"{name}.{part}.weight"][k].T for part in ("query", "key_value")]
        module.in_proj_weight.copy_(torch.cat(weights))
        module.in_proj_bias.copy_(torch.cat([parameters[f"{name}.{part}.bias"][k] for part in ("query", "key_value")]))
    fill(module.out_proj, (parameters[f"{name}.out.weight"][k], parameters[f"{name}.out.bias"][k]))


def padding():
    """A mask with a whole, a partly padded and a single-step sample among others."""
    return torch.arange(T) < torch.tensor([T, T - 1, 1, 2, T])[:, None]


def test_linear_is_nn_linear_per_replica():
    layer = Linear("l", 4, WIDTH)
    parameters, x = draw(layer), torch.randn(K, N, 4, generator=torch.Generator().manual_seed(0))
    out = layer(parameters, x)
    for k in range(K):
        expected = nn.functional.linear(x[k], parameters["l.weight"][k].T, parameters["l.bias"][k])
        torch.testing.assert_close(out[k], expected)


def test_linear_keeps_the_axes_between_replica_and_feature():
    layer = Linear("l", 4, WIDTH)
    parameters, x = draw(layer), torch.randn(K, N, T, 4, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(layer(parameters, x)[:, :, 1], layer(parameters, x[:, :, 1]))


def test_linear_starts_within_the_bounds_of_nn_linear():
    layer = Linear("l", 16, 400)
    values = Layout(layer.parameters).draw(3)
    assert values.abs().max() <= 1 / math.sqrt(16)
    assert values.abs().max() > 0.99 / math.sqrt(16)
    assert abs(values.mean()) < 0.01


@pytest.mark.parametrize(
    ("distribution", "mean", "deviation"),
    [("uniform", 0.0, 2 / math.sqrt(3)), ("normal", 0.0, 2.0), ("constant", 2.0, 0.0)],
)
def test_parameters_are_drawn_from_their_distribution(distribution, mean, deviation):
    values = Parameter("p", (200, 200), distribution, 2.0).draw(torch.Generator().manual_seed(0))
    assert values.mean().item() == pytest.approx(mean, abs=0.05)
    assert values.std().item() == pytest.approx(deviation, abs=0.05)


def test_layer_norm_is_nn_layer_norm_per_replica():
    layer = LayerNorm("n", WIDTH)
    generator = torch.Generator().manual_seed(0)
    parameters = {
        "n.scale": torch.randn(K, WIDTH, generator=generator),
        "n.shift": torch.randn(K, WIDTH, generator=generator),
    }
    x = torch.randn(K, N, T, WIDTH, generator=generator)
    for k in range(K):
        expected = nn.functional.layer_norm(x[k], (WIDTH,), parameters["n.scale"][k], parameters["n.shift"][k])
        torch.testing.assert_close(layer(parameters, x)[k], expected)


@pytest.mark.parametrize("heads", [1, 2, 3])
@pytest.mark.parametrize("mask", [None, padding()], ids=["whole", "padded"])
def test_attention_is_nn_multihead_attention_per_replica(heads, mask):
    layer = Attention("a", WIDTH, heads)
    parameters, x = draw(layer), torch.randn(K, N, T, WIDTH, generator=torch.Generator().manual_seed(0))
    out = layer(parameters, x, x, None if mask is None else mask.expand(K, N, T))
    for k in range(K):
        reference = nn.MultiheadAttention(WIDTH, heads, batch_first=True)
        fill_attention(reference, parameters, "a", k)
        expected, _ = reference(x[k], x[k], x[k], key_padding_mask=None if mask is None else ~mask)
        torch.testing.assert_close(out[k], expected)


def test_attention_starts_as_nn_multihead_attention():
    parameters = draw(Attention("a", 64, 1))
    xavier = math.sqrt(6 / (3 * 64 + 64))
    for part in ("query", "key_value"):
        assert 0.99 * xavier < parameters[f"a.{part}.weight"].abs().max() <= xavier
        assert not parameters[f"a.{part}.bias"].any()
    assert not parameters["a.out.bias"].any()


@pytest.mark.parametrize("mask", [None, padding()], ids=["whole", "padded"])
def test_transformer_layer_is_nn_transformer_encoder_layer_per_replica(mask):
    layer = TransformerLayer("t", WIDTH, 2, 7)
    parameters, x = draw(layer), torch.randn(K, N, T, WIDTH, generator=torch.Generator().manual_seed(0))
    out = layer(parameters, x, None if mask is None else mask.expand(K, N, T), no_dropout)
    for k in range(K):
        reference = nn.TransformerEncoderLayer(WIDTH, 2, 7, dropout=0.0, batch_first=True)
        fill_attention(reference.self_attn, parameters, "t.attention", k)
        fill(reference.linear1, (parameters["t.hidden.weight"][k], parameters["t.hidden.bias"][k]))
        fill(reference.linear2, (parameters["t.out.weight"][k], parameters["t.out.bias"][k]))
        expected = reference(x[k], src_key_padding_mask=None if mask is None else ~mask)
        torch.testing.assert_close(out[k], expected)


def test_a_transformer_layer_asked_for_one_query_gives_the_first_step_of_all():
    layer = TransformerLayer("t", WIDTH, 2, 7)
    parameters, x = draw(layer), torch.randn(K, N, T, WIDTH, generator=torch.Generator().manual_seed(0))
    whole = layer(parameters, x, padding().expand(K, N, T), no_dropout)
    first = layer(parameters, x, padding().expand(K, N, T), no_dropout, n_queries=1)
    torch.testing.assert_close(first, whole[:, :, :1])


@pytest.mark.parametrize("inplace", [True, False])
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations_have_the_gradient_of_their_definition(name, inplace):
    reference = {
        "relu": torch.relu,
        "leaky_relu": nn.LeakyReLU(0.1),
        "tanh": torch.tanh,
        "gelu": nn.functional.gelu,
    }[name]
    x = torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(0), requires_grad=True)
    ours, theirs = ACTIVATIONS[name](x * 2, inplace), reference(x * 2)
    torch.testing.assert_close(ours, theirs)
    weights = torch.arange(24.0).view(2, 3, 4)
    gradients = [torch.autograd.grad((out * weights).sum(), x)[0] for out in (ours, theirs)]
    torch.testing.assert_close(*gradients)


@settings(max_examples=30)
@given(st.lists(st.lists(st.integers(1, 4), max_size=3).map(tuple), min_size=1, max_size=5), st.integers(1, 4))
def test_a_layout_splits_what_it_drew_into_the_declared_shapes(shapes, n_replicas):
    layout = Layout(Parameter(str(i), shape, "normal", 1.0) for i, shape in enumerate(shapes))
    flat = torch.stack([layout.draw(seed) for seed in range(n_replicas)])
    parts = layout.split(flat)
    assert [tuple(part.shape) for part in parts.values()] == [(n_replicas, *shape) for shape in shapes]
    torch.testing.assert_close(torch.cat([part.reshape(n_replicas, -1) for part in parts.values()], 1), flat)


def test_initial_values_follow_from_the_seed_alone():
    layout = Layout(TransformerLayer("t", WIDTH, 2, 7).parameters)
    first = layout.draw(5)
    torch.rand(3)
    assert torch.equal(first, layout.draw(5))
    assert not torch.equal(first, layout.draw(6))


def test_dropout_keeps_the_mean_and_drops_at_its_rate():
    dropped = Dropout(0.3, [1], torch.tensor([0]))(torch.ones(1, 400, 100))
    assert (dropped == 0).float().mean().item() == pytest.approx(0.3, abs=0.01)
    assert dropped.mean().item() == pytest.approx(1.0, abs=0.01)


def test_dropout_masks_depend_on_the_seed_and_on_nothing_else_in_the_pack():
    x = torch.ones(3, 8, 8)
    pack = Dropout(0.5, [7, 9], torch.tensor([0, 1, 0]))
    solo = Dropout(0.5, [7], torch.tensor([0]))
    for _ in range(2):  # the second call draws other masks, again the same for both
        shared, alone = pack(x), solo(x[:1])
        assert torch.equal(shared[0], alone[0])
        assert torch.equal(shared[0], shared[2])
        assert not torch.equal(shared[0], shared[1])
