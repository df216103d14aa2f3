"""Encoders that a user's factory makes: what runs in lockstep, what takes turns, what is refused and in which words."""

from __future__ import annotations

import random
import textwrap
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from trainables.networks.draws import Draws, seeded
from trainables.networks.layers import Layout
from trainables.networks.modules import PREFIX, ModuleEncoder, ModuleError, module_encoder
from trainables.networks.network import build_networks
from trainables.networks.trial import Findings, examine, prepared
from trainables.sources import Source
from trainables.spec import AlignmentSpec, EncoderSpec

OWN = Path(__file__).parents[1] / "own_encoders.py"
CPU = torch.device("cpu")
Find = Callable[..., Findings]


def own(factory: str, shape: tuple[int, ...], **options: object) -> ModuleEncoder:
    source = Source.of_file(f"{OWN}:{factory}")
    return module_encoder(
        EncoderSpec(kind="module", width=6, factory=source.name, code=source.text, options=options), shape
    )


@pytest.fixture
def find(tmp_path: Path) -> Find:
    """What the trial finds of the factory `make` in this code; its class is called Net."""

    def of(code: str, shape: tuple[int, ...] = (5,), *, masked: bool = False) -> Findings:
        start = "import torch\nfrom torch import nn\n\ndef make(shape, width):\n    return Net(shape, width)\n\n"
        (tmp_path / "mine.py").write_text(start + textwrap.dedent(code))
        source = Source.of_file(f"{tmp_path / 'mine.py'}:make")
        spec = EncoderSpec(kind="module", width=6, factory=source.name, code=source.text)
        return examine(module_encoder(spec, shape), masked=masked, device=CPU)

    return of


@pytest.mark.parametrize(
    ("factory", "shape", "draws", "turns"),
    [
        ("mlp", (5,), False, ""),
        ("batch_norm", (8, 8), False, ""),
        ("group_norm", (8, 8), False, ""),
        ("frozen", (5,), False, ""),
        ("noisy", (5,), True, ""),
        ("transformer", (4, 3), True, ""),
        ("gru", (4, 3), False, "vmap refuses it (Batching rule not implemented for aten::gru"),
        ("branching", (5,), False, "vmap refuses it (vmap: It looks like you're attempting"),
    ],
)
def test_what_vmap_runs_as_a_plain_loop_does_runs_in_lockstep(
    factory: str, shape: tuple[int, ...], draws: bool, turns: str
) -> None:
    findings = examine(own(factory, shape), masked=factory in ("transformer", "gru"), device=CPU)
    assert findings.draws == draws
    assert turns in findings.turns
    assert bool(turns) == bool(findings.turns)


def test_what_is_another_thing_in_lockstep_takes_turns(find: Find) -> None:
    """A sum over everything that torch has seen: the very trick that a batch of replicas breaks without an error."""
    findings = find("""
        class Net(nn.Module):
            def __init__(self, shape, width):
                super().__init__()
                self.layer = nn.Linear(shape[0], width)
            def forward(self, x):
                if torch._C._functorch.is_batchedtensor(self.layer.weight):
                    return 2 * self.layer(x)
                return self.layer(x)
    """)
    assert findings.turns == "in lockstep it computes something else"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("return nn.Linear(shape[0], width + 1)", r"makes \(2, 7\), not \(N, width\) = \(2, 6\)"),
        ("return 3", "returns a int; return an nn.Module"),
        ("raise KeyError('no such backbone')", r"the factory raised KeyError: 'no such backbone' \(mine.py, line"),
        ("import sys; sys.exit(3)", "the factory raised SystemExit: 3"),
        ("return nn.Linear(shape[0], width).double()", "weight is float64; train in float32, or freeze it"),
        ("return nn.LazyLinear(width)", "has no shape before the first batch; take it from `shape`"),
        ("return nn.LSTM(shape[0], width)", "its forward returns a tuple; return features"),
        ("torch.manual_seed(torch.seed()); return nn.Linear(shape[0], width)", "do not follow from the seed"),
        ("return nn.Linear(shape[0], width, bias=torch.rand(1).item() > .5)", "another architecture for another seed"),
    ],
)
def test_factories_that_make_no_encoder_are_refused_in_a_line(tmp_path: Path, body: str, message: str) -> None:
    (tmp_path / "mine.py").write_text(f"import torch\nfrom torch import nn\ndef make(shape, width):\n    {body}\n")
    source = Source.of_file(f"{tmp_path / 'mine.py'}:make")
    spec = EncoderSpec(kind="module", width=6, factory=source.name, code=source.text)
    with pytest.raises(ModuleError, match=message) as refused:
        examine(module_encoder(spec, (5,)), masked=False, device=CPU)
    assert str(refused.value).startswith("mine.py:make")
    assert "\n" not in str(refused.value)


LAYER = """
        class Net(nn.Module):
            def __init__(self, shape, width):
                super().__init__()
                self.layer = nn.Linear(shape[-1], width)
"""


@pytest.mark.parametrize(
    ("forward", "message"),
    [
        ("return self.layer(x).detach()", "no gradient reaches its parameters"),
        ("return self.layer(x) + 1 / 0", r"the module raised ZeroDivisionError: division by zero \(mine.py, line"),
        ("return self.layer(x) * __import__('random').random()", "comes to something else the second time"),
        ("return self.layer(x).argmax(1, keepdim=True).expand(-1, 6)", "its features are torch.int64"),
        ("return self.layer(x + torch.randn_like(x))", "comes to something else the second time"),
    ],
)
def test_modules_that_are_no_encoder_are_refused_in_a_line(find: Find, forward: str, message: str) -> None:
    forward = forward.replace("torch.randn_like(x)", "torch.tensor(__import__('numpy').random.rand()).float()")
    with pytest.raises(ModuleError, match=message):
        find(f"{LAYER}            def forward(self, x):\n                {forward}\n")


def test_a_weight_that_is_kept_aside_is_noticed(find: Find) -> None:
    with pytest.raises(ModuleError, match="does not follow from its parameters and buffers alone"):
        find(f"""{LAYER}                self.aside = [self.layer.weight]
            def forward(self, x):
                return x @ self.aside[0].T
        """)


@pytest.mark.parametrize(
    ("forward", "message"),
    [
        ("def forward(self, x): return self.layer(x).mean(1)", "its forward takes no mask, and the data have one"),
        ("def forward(self, x, mask): return self.layer(x).mean(1)", "takes the mask and does not use it"),
        ("def forward(self, x, mask=None): return self.layer(x * mask[..., None]).mean(1)", ""),
        ("def forward(self, x, mask): return (self.layer(x) * mask[..., None]).sum(1) / mask.sum(1, True)", ""),
    ],
)
def test_a_mask_has_to_be_taken_and_used(find: Find, forward: str, message: str) -> None:
    code = f"{LAYER}            {forward}\n"
    if not message:
        assert find(code, (4, 3), masked=True).turns == ""
        return
    with pytest.raises(ModuleError, match=message):
        find(code, (4, 3), masked=True)


def test_making_a_module_leaves_all_generators_as_they_were() -> None:
    torch.manual_seed(3), np.random.seed(3), random.seed(3)
    expected = torch.rand(1).item(), np.random.rand(), random.random()
    torch.manual_seed(3), np.random.seed(3), random.seed(3)
    own("mlp", (5,)).draw(1)
    assert (torch.rand(1).item(), np.random.rand(), random.random()) == expected
    with seeded(4):
        first = torch.rand(1).item(), np.random.rand(), random.random()
    with seeded(4):
        assert (torch.rand(1).item(), np.random.rand(), random.random()) == first


@pytest.mark.parametrize("factory", ["noisy", "transformer"])
def test_what_a_replica_draws_is_the_same_in_lockstep_and_alone_and_for_all_of_its_seed(factory: str) -> None:
    shape = (5,) if factory == "noisy" else (4, 3)
    encoder = own(factory, shape)
    seed_of = [0, 1, 0]
    flat = torch.stack([encoder.draw(7)[0]] * 3)
    x, mask = torch.randn(1, 5, *shape).repeat(3, 1, *[1] * len(shape)), None
    if factory == "transformer":
        mask = torch.ones(3, 5, 4, dtype=torch.bool)
    parameters = Layout(encoder.parameters).split(flat)
    together = Draws([11, 12], seed_of, device=CPU)
    steps = [encoder.lockstep(parameters, x, mask, together) for _ in range(3)]
    for step in steps:
        torch.testing.assert_close(step[0], step[2])
        assert not torch.allclose(step[0], step[1])
    assert not torch.allclose(steps[0], steps[1])
    for k, seed in enumerate(seed_of):
        alone = Draws([[11, 12][seed]], [0], device=CPU)
        own_parameters = {name: values[k : k + 1] for name, values in parameters.items()}
        for step in steps:
            said = encoder.lockstep(own_parameters, x[k : k + 1], None if mask is None else mask[k : k + 1], alone)
            torch.testing.assert_close(said[0], step[k])


def test_frozen_parts_are_there_once_and_buffers_are_each_replicas() -> None:
    encoder = own("frozen", (5,))
    flat, state = encoder.draw(3)
    assert flat.numel() == 9 * 6 + 6  # the layer on top
    assert set(state) == {
        f"{PREFIX}backbone.1.{name}" for name in ("running_mean", "running_var", "num_batches_tracked")
    }


def test_frozen_parts_that_follow_from_the_seed_are_each_replicas(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "from torch import nn\ndef make(shape, width):\n"
        "    net = nn.Sequential(nn.Linear(shape[0], 4), nn.Linear(4, width))\n"
        "    net[0].requires_grad_(False)\n    return net\n"
    )
    source = Source.of_file(f"{tmp_path / 'mine.py'}:make")
    spec = EncoderSpec(kind="module", width=6, factory=source.name, code=source.text)
    encoder = module_encoder(spec, (5,))
    assert set(encoder.draw(1)[1]) == {f"{PREFIX}0.weight", f"{PREFIX}0.bias"}
    assert examine(encoder, masked=False, device=CPU).turns == ""


def test_parts_left_in_evaluation_stay_so_in_training() -> None:
    network, _ = build_networks(
        (spec := EncoderSpec(kind="module", width=6, factory="own_encoders.py:frozen",
                             code=Source.of_file(f"{OWN}:frozen").text), spec),
        AlignmentSpec(), ((5,), (5,)), (3, 3),
    )  # fmt: skip
    network = prepared(network, masked=False, device=CPU)
    (flat, state), draws = network.draw(1), Draws([1], [0], device=CPU)
    state = {name: values[None].clone() for name, values in state.items()}
    before = {name: values.clone() for name, values in state.items()}
    network(flat[None], torch.randn(1, 8, 5), None, draws, state)
    assert all(torch.equal(state[name], before[name]) for name in state)


def test_running_statistics_are_those_of_a_plain_loop() -> None:
    encoder = own("batch_norm", (8, 8))
    plain, (flat, state) = encoder.make(2), encoder.draw(2)
    state = {name: values[None].clone() for name, values in state.items()}
    x = torch.randn(3, 16, 8, 8)
    for batch in x:
        plain(batch)
        encoder.lockstep({**Layout(encoder.parameters).split(flat[None]), **state}, batch[None], None,
                         Draws([1], [0], device=CPU))  # fmt: skip
    for name, buffer in plain.named_buffers():
        torch.testing.assert_close(state[PREFIX + name][0], buffer)
    assert int(state[f"{PREFIX}norm.num_batches_tracked"]) == 3
