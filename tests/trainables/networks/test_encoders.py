"""Encoders of every kind against modules of torch.nn, their masks, and what they refuse."""

import pytest
import torch
from torch import nn

from trainables.networks.encoders import ENCODERS, to_patches
from trainables.networks.network import SoloEncoder, build_networks
from trainables.spec import AlignmentSpec, EncoderSpec

K, N, T, D = 3, 7, 5, 4
BUILT_IN = [kind for kind in ENCODERS if kind != "module"]
SHAPES = {"linear": (D,), "mlp": (T, D), "transformer": (T, D), "vit": (8, 12)}


def build(kind="mlp", *, shape=None, n_out=3, projector="none", **options):
    spec = EncoderSpec(kind=kind, **({"width": 6, "heads": 2} | options))
    shape = SHAPES[kind] if shape is None else shape
    return build_networks((spec, spec), AlignmentSpec(projector=projector), (shape, shape), (n_out, n_out))[0]


def draw(network, n_replicas=K):
    return torch.stack([network.layout.draw(seed) for seed in range(n_replicas)])


def samples(shape, n_replicas=K):
    return torch.randn(n_replicas, N, *shape, generator=torch.Generator().manual_seed(1))


def padding():
    return (torch.arange(T) < torch.tensor([T, 1, 2, 3, T, 4, 1])[:, None]).expand(K, N, T)


def fill(module, parameters, name, k):
    with torch.no_grad():
        module.weight.copy_(parameters[f"{name}.weight"][k].T)
        module.bias.copy_(parameters[f"{name}.bias"][k])


def reference_transformer(parameters, k, layers):
    stack = nn.TransformerEncoder(
        nn.TransformerEncoderLayer(6, 2, 6, dropout=0.0, batch_first=True), layers, enable_nested_tensor=False
    )
    for i, layer in enumerate(stack.layers):
        with torch.no_grad():
            for kind, target in (("weight", layer.self_attn.in_proj_weight), ("bias", layer.self_attn.in_proj_bias)):
                parts = [parameters[f"layer{i}.attention.{part}.{kind}"][k] for part in ("query", "key_value")]
                target.copy_(torch.cat([part.T for part in parts] if kind == "weight" else parts))
        fill(layer.self_attn.out_proj, parameters, f"layer{i}.attention.out", k)
        fill(layer.linear1, parameters, f"layer{i}.hidden", k)
        fill(layer.linear2, parameters, f"layer{i}.out", k)
    return stack


@pytest.mark.parametrize("kind", BUILT_IN)
@pytest.mark.parametrize("projector", ["none", "linear", "mlp"])
def test_each_replica_computes_what_it_computes_alone(kind, projector):
    network = build(kind, projector=projector)
    flat, x = draw(network), samples(SHAPES[kind])
    together = network(flat, x, None)
    for k in range(K):
        alone = network(flat[k : k + 1], x[k : k + 1], None)
        for ours, theirs in zip(together, alone, strict=True):
            torch.testing.assert_close(ours[k : k + 1], theirs)


@pytest.mark.parametrize("kind", BUILT_IN)
def test_shapes_of_features_task_outputs_and_projections(kind):
    network = build(kind, projector="linear")
    outputs = network(draw(network), samples(SHAPES[kind]), None)
    assert [tuple(out.shape) for out in outputs] == [(K, N, 6), (K, N, 3), (K, N, 6)]


@pytest.mark.parametrize("activation", ["relu", "leaky_relu", "tanh", "gelu"])
def test_mlp_is_a_sequence_of_nn_linear_and_activation_whose_last_activation_the_head_alone_sees(activation):
    network = build("mlp", layers=3, activation=activation)
    flat, x = draw(network), samples((T, D))
    parameters, outputs = network.layout.split(flat), network(flat, x, None)
    function = {"relu": nn.ReLU(), "leaky_relu": nn.LeakyReLU(0.1), "tanh": nn.Tanh(), "gelu": nn.GELU()}[activation]
    for k in range(K):
        layers = [nn.Linear(T * D, 6), nn.Linear(6, 6), nn.Linear(6, 6)]
        head = nn.Linear(6, 3)
        for i, layer in enumerate(layers):
            fill(layer, parameters, f"layer{i}", k)
        fill(head, parameters, "head", k)
        features = nn.Sequential(nn.Flatten(), layers[0], function, layers[1], function, layers[2])(x[k])
        torch.testing.assert_close(outputs.features[k], features)
        torch.testing.assert_close(outputs.predictions[k], head(function(features)))


def test_hidden_layers_of_an_mlp_may_be_wider_than_its_representation():
    network = build("mlp", layers=3, width=2, feedforward=11)
    shapes = {name: values.shape[1:] for name, values in network.layout.split(draw(network)).items()}
    assert [shapes[f"layer{i}.weight"] for i in range(3)] == [(T * D, 11), (11, 11), (11, 2)]
    assert network(draw(network), samples(SHAPES["mlp"]), None).features.shape == (K, N, 2)


def test_linear_encoder_has_no_activation():
    network = build("linear")
    flat, x = draw(network), samples((D,))
    shift = network(flat, 0 * x, None).features
    features = network(flat, x, None).features - shift
    torch.testing.assert_close(network(flat, -2 * x, None).features - shift, -2 * features)


@pytest.mark.parametrize("pooling", ["mean", "cls", "last"])
@pytest.mark.parametrize("is_padded", [True, False])
def test_transformer_is_nn_transformer_encoder_with_embedding_and_pooling(pooling, is_padded):
    network = build("transformer", layers=2, pooling=pooling)
    flat, x, mask = draw(network), samples((T, D)), padding() if is_padded else torch.ones(K, N, T, dtype=torch.bool)
    parameters, features = network.layout.split(flat), network(flat, x, mask if is_padded else None).features
    for k in range(K):
        embed = nn.Linear(D, 6)
        fill(embed, parameters, "embed", k)
        tokens, keys = embed(x[k]), mask[k]
        if pooling == "cls":
            tokens = torch.cat([parameters["cls"][k].expand(N, 1, 6), tokens], 1)
            keys = torch.cat([torch.ones(N, 1, dtype=torch.bool), keys], 1)
        tokens = tokens + parameters["positions"][k]
        tokens = reference_transformer(parameters, k, 2)(tokens, src_key_padding_mask=~keys)
        for n in range(N):
            real = tokens[n, : int(keys[n].sum())]
            expected = {"mean": real.mean(0), "cls": real[0], "last": real[-1]}[pooling]
            torch.testing.assert_close(features[k, n], expected)


@pytest.mark.parametrize("pooling", ["mean", "cls", "last"])
def test_values_at_masked_steps_do_not_matter(pooling):
    network = build("transformer", pooling=pooling)
    flat, x, mask = draw(network), samples((T, D)), padding()
    other = torch.where(mask[..., None], x, 100 * torch.flip(x, [2]) + 5)
    torch.testing.assert_close(network(flat, x, mask).predictions, network(flat, other, mask).predictions)


def test_real_values_do_matter():
    network = build("transformer")
    flat, x = draw(network), samples((T, D))
    other = x.clone()
    other[:, :, 0] += 1
    assert not torch.allclose(network(flat, x, padding()).predictions, network(flat, other, padding()).predictions)


def test_patches_are_the_squares_of_the_image_row_by_row():
    image = torch.arange(4 * 6 * 2.0).view(1, 1, 4, 6, 2)
    patches = to_patches(image, 2)
    assert patches.shape == (1, 1, 6, 8)
    assert torch.equal(patches[0, 0, 1], image[0, 0, :2, 2:4].flatten())
    assert torch.equal(patches[0, 0, 3], image[0, 0, 2:, :2].flatten())


@pytest.mark.parametrize("shape", [(8, 12), (8, 12, 1)])
def test_vit_is_a_transformer_over_patches(shape):
    vit = build("vit", shape=shape, pooling="cls")
    transformer = build("transformer", shape=(6, 16), pooling="cls")
    flat, x = draw(vit), samples(shape)
    assert vit.layout.sizes == transformer.layout.sizes
    torch.testing.assert_close(vit(flat, x, None), transformer(flat, to_patches(x, 4), None))


@pytest.mark.parametrize("kind", BUILT_IN)
def test_a_projector_changes_neither_the_encoder_nor_its_start(kind):
    plain, projected = build(kind), build(kind, projector="mlp")
    assert torch.equal(projected.layout.draw(4)[: plain.layout.size], plain.layout.draw(4))
    x = samples(SHAPES[kind])
    torch.testing.assert_close(plain(draw(plain), x, None)[:2], projected(draw(projected), x, None)[:2])


def test_projectors_bring_different_widths_to_one():
    specs = EncoderSpec(width=8), EncoderSpec(width=5)
    networks = build_networks(specs, AlignmentSpec(projector="linear"), ((4,), (4,)), (2, 2))
    projections = [network(draw(network), samples((4,)), None).projections for network in networks]
    assert [tuple(z.shape) for z in projections] == [(K, N, 5), (K, N, 5)]
    wide = build_networks(specs, AlignmentSpec(projector="mlp", projector_width=9), ((4,), (4,)), (2, 2))
    assert wide[1](draw(wide[1]), samples((4,)), None).projections.shape == (K, N, 9)


@pytest.mark.parametrize("kind", BUILT_IN)
def test_a_solo_encoder_standardises_masks_and_computes_what_its_replica_does(kind):
    network = build(kind)
    flat, x = draw(network), samples(SHAPES[kind], 1)
    mean, factor = torch.randn(x.shape[-1]), torch.rand(x.shape[-1])
    mask = padding()[:1] if kind in ("mlp", "transformer") else None
    scaled = (x - mean) * factor
    if mask is not None:
        scaled = scaled.masked_fill(~mask[..., None], 0.0)
    expected = network(flat[1:2], scaled, mask)
    features, predictions = SoloEncoder(network, flat[1], mean, factor)(x[0], None if mask is None else mask[0])
    torch.testing.assert_close(features, expected.features[0])
    torch.testing.assert_close(predictions, expected.predictions[0])


def test_a_solo_encoder_has_named_parameters_that_can_be_saved():
    solo = SoloEncoder(build("mlp"), draw(build("mlp"))[0], torch.zeros(D), torch.ones(D))
    assert {"layer0_weight", "layer0_bias", "head_weight", "mean", "factor"} <= set(solo.state_dict())


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        ("convolution", {"shape": (D,)}, "unknown encoder kind 'convolution'; known are linear, mlp"),
        ("mlp", {"activation": "swish"}, "unknown activation 'swish'; known are relu"),
        ("mlp", {"layers": 0}, "at least 1 layer"),
        ("mlp", {"projector": "conv"}, "unknown projector 'conv'"),
        ("transformer", {"shape": (D,)}, r"reads \(time, feature\) sequences"),
        ("transformer", {"heads": 4}, "4 heads do not divide width 6"),
        ("transformer", {"pooling": "max"}, "unknown pooling 'max'; known are mean, cls, last"),
        ("vit", {"shape": (D,)}, r"reads \(height, width\[, channel\]\) images"),
        ("vit", {"patch": 5}, "patch 5 does not divide images of 8 × 12"),
    ],
)
def test_what_cannot_be_built_is_refused_with_a_reason(kind, options, message):
    with pytest.raises(ValueError, match=message):
        build(kind, **options)


def test_different_widths_need_a_projector():
    specs = EncoderSpec(width=8), EncoderSpec(width=5)
    with pytest.raises(ValueError, match="widths 8 and 5 cannot be aligned directly"):
        build_networks(specs, AlignmentSpec(), ((4,), (4,)), (2, 2))
